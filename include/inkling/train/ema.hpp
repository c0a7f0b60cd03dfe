// A moving average of the weights. One step of training jumps with the noise of its batch; the average over many
// steps lies nearer to the middle of the valley, and pictures painted with it are visibly better (Ho et al. 2020,
// appendix B; Song & Ermon 2020, section 3.4).
#pragma once
#include <algorithm>
#include <span>
#include <string>

#include "inkling/core/shape.hpp"
#include "inkling/kernels/fast/vector.hpp"

namespace inkling {

// average_n = decay average_{n-1} + (1 - decay) value_n
template <class T>
void ema_update(std::span<T> average, std::span<const std::type_identity_t<T>> value, double decay) {
  if (average.size() != value.size())
    throw ShapeError("ema_update", std::to_string(average.size()) + " values", std::to_string(value.size()));
  if (!(decay >= 0 && decay <= 1)) throw ConfigError("ema_update", "a decay from 0 to 1", std::to_string(decay));
  using namespace kernels::fast;
  const T share = static_cast<T>(1 - decay);
  // written as a step towards the value, so that an average that has arrived stays exactly there
  parallel_map(
      static_cast<Index>(average.size()), 2, average.data(),
      [share](const Vec<T>& a, const Vec<T>& v) { return a + Vec<T>(share) * (v - a); }, average.data(), value.data());
}

// The decay at the n-th update, n = 1, 2, ...: min(decay, (1 + n) / (10 + n)). With the full decay from the start, the
// random weights of the beginning would stay in the average for tens of thousands of steps.
inline double ema_warm_decay(double decay, Index n) {
  return std::min(decay, static_cast<double>(1 + n) / static_cast<double>(10 + n));
}

}  // namespace inkling
