// How large a step to take when: a factor for the learning rate, from 0 to 1.
//
// Adam's second moment knows nothing yet in its first steps, so large ones are wild: the factor climbs from 0 along a
// straight line (Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.2), then falls to 0.
#pragma once
#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "inkling/core/shape.hpp"

namespace inkling {

namespace detail {

// How far the fall has come: 0 at the end of the warm-up, 1 after `total` steps and ever after. Negative: warming up.
inline double fall_progress(Index step, Index warmup, Index total, const char* where) {
  if (step < 0 || warmup < 0 || total < 1)
    throw ConfigError(where, "step and warm-up of at least 0 and a total of at least 1",
                      std::to_string(step) + ", " + std::to_string(warmup) + ", " + std::to_string(total));
  if (step < warmup) return -1;
  return std::min(1.0, static_cast<double>(step - warmup) / static_cast<double>(std::max<Index>(1, total - warmup)));
}

}  // namespace detail

// step / warmup, then (1 + cos(pi progress)) / 2: half a cosine wave (Loshchilov & Hutter 2016, SGDR, eq. 5).
// `step` counts from 0.
inline double cosine_with_warmup(Index step, Index warmup, Index total) {
  const double progress = detail::fall_progress(step, warmup, total, "cosine_with_warmup");
  if (progress < 0) return static_cast<double>(step) / static_cast<double>(warmup);
  return 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

// step / warmup, then 1 - progress (Devlin et al. 2018, BERT, appendix A.2).
inline double linear_with_warmup(Index step, Index warmup, Index total) {
  const double progress = detail::fall_progress(step, warmup, total, "linear_with_warmup");
  if (progress < 0) return static_cast<double>(step) / static_cast<double>(warmup);
  return 1 - progress;
}

}  // namespace inkling
