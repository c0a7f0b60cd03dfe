// A moving average of the weights. One step of training jumps with the noise of its batch; the average over many
// steps lies nearer to the middle of the valley, and pictures painted with it are visibly better (Ho et al. 2020,
// appendix B; Song & Ermon 2020, section 3.4).
#pragma once
#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "inkling/core/shape.hpp"
#include "inkling/kernels/fast/vector.hpp"

namespace inkling {

template <class T>
struct AveragedView {
  std::span<T> average;
  std::span<const T> value;
};

// average_n = decay average_{n-1} + (1 - decay) value_n, for all parameters in one parallel loop
template <class T>
void ema_update(const std::vector<AveragedView<T>>& parameters, double decay) {
  if (!(decay >= 0 && decay <= 1)) throw ConfigError("ema_update", "a decay from 0 to 1", std::to_string(decay));
  using namespace kernels::fast;
  std::vector<Index> sizes;
  for (const AveragedView<T>& p : parameters) {
    if (p.average.size() != p.value.size())
      throw ShapeError("ema_update", std::to_string(p.average.size()) + " values", std::to_string(p.value.size()));
    sizes.push_back(static_cast<Index>(p.value.size()));
  }
  const std::vector<Piece> pieces = pieces_of(sizes, piece_size);
  const T share = static_cast<T>(1 - decay);
  parallel_for(static_cast<Index>(pieces.size()), 2 * piece_size, [&](Index i) {
    const Piece& at = pieces[static_cast<std::size_t>(i)];
    T* average = parameters[at.array].average.data() + at.begin;
    // written as a step towards the value, so that an average that has arrived stays exactly there
    map(
        at.count, average, [share](const Vec<T>& a, const Vec<T>& v) { return a + Vec<T>(share) * (v - a); }, average,
        parameters[at.array].value.data() + at.begin);
  });
}
template <class T>
void ema_update(std::span<T> average, std::span<const std::type_identity_t<T>> value, double decay) {
  ema_update<T>(std::vector<AveragedView<T>>{{average, value}}, decay);
}

// The decay at the n-th update, n = 1, 2, ...: min(decay, (1 + n) / (10 + n)). With the full decay from the start, the
// random weights of the beginning would stay in the average for tens of thousands of steps.
inline double ema_warm_decay(double decay, Index n) {
  return std::min(decay, static_cast<double>(1 + n) / static_cast<double>(10 + n));
}

}  // namespace inkling
