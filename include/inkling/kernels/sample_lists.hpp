// Samples of words for negative sampling, of different length each, and what the kernels make of them.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "inkling/kernels/checks.hpp"

namespace inkling::kernels {

// Sample s: the words around (inputs), the word in the middle (its first target), words drawn at random (the others).
struct SampleLists {
  std::vector<std::int32_t> inputs, targets;                  // of all samples, one after another
  std::vector<std::int32_t> input_begin{0}, target_begin{0};  // where those of sample s begin; one more at the end

  Index size() const { return static_cast<Index>(input_begin.size()) - 1; }
  void clear() {
    inputs.clear(), targets.clear();
    input_begin.resize(1), target_begin.resize(1);
  }
  // What was added to inputs and targets since the last call is a sample.
  void end_sample() {
    input_begin.push_back(static_cast<std::int32_t>(inputs.size()));
    target_begin.push_back(static_cast<std::int32_t>(targets.size()));
  }
  std::int32_t first_input(Index s) const { return input_begin[static_cast<std::size_t>(s)]; }
  std::int32_t first_target(Index s) const { return target_begin[static_cast<std::size_t>(s)]; }
  std::span<const std::int32_t> inputs_of(Index s) const {
    return {inputs.data() + first_input(s), inputs.data() + first_input(s + 1)};
  }
  std::span<const std::int32_t> targets_of(Index s) const {
    return {targets.data() + first_target(s), targets.data() + first_target(s + 1)};
  }
};

// h: mean of the inputs; g: for each target rate (y - sigma(h . out)); e: sum of g out; the loss of each sample.
template <class T>
struct NegativeSampling {
  NegativeSampling() = default;
  NegativeSampling(Index S, Index D, Index targets) : h({S, D}), e({S, D}), g({targets}), loss({S}) {}
  NegativeSampling(Index S, Index D, Index targets, Uninitialized)
      : h({S, D}, uninitialized), e({S, D}, uninitialized), g({targets}, uninitialized), loss({S}, uninitialized) {}
  Tensor<T, 2> h, e;  // [S, D]
  Tensor<T, 1> g;     // [targets of all samples]
  Tensor<T, 1> loss;  // [S]
};

inline Index require_samples(const Shape<2>& in, const Shape<2>& out, const SampleLists& samples) {
  constexpr auto where = "negative_sampling";
  require_shape(out, in, where, "both lists have a row for each word");
  const Index S = samples.size();
  require(S >= 0 && samples.input_begin.size() == samples.target_begin.size() &&
              static_cast<std::size_t>(samples.input_begin.back()) == samples.inputs.size() &&
              static_cast<std::size_t>(samples.target_begin.back()) == samples.targets.size(),
          where, "samples that end where the lists end", "others");
  for (Index s = 0; s < S; ++s)
    require(
        samples.first_input(s) < samples.first_input(s + 1) && samples.first_target(s) < samples.first_target(s + 1),
        where, "an input and a target in each sample", "none in sample " + std::to_string(s));
  for (const auto* ids : {&samples.inputs, &samples.targets}) {
    std::uint32_t most = 0;  // a negative number is a large one without its sign
    for (const std::int32_t id : *ids) most = std::max(most, static_cast<std::uint32_t>(id));
    if (!ids->empty()) require_id(static_cast<std::int32_t>(most), in[0], where);
  }
  return S;
}
template <class T>
void require_results(const NegativeSampling<T>& r, Index S, Index D, const SampleLists& samples) {
  const Index targets = static_cast<Index>(samples.targets.size());
  if (r.h.shape(0) < S || r.h.shape(1) != D || r.e.shape() != r.h.shape() || r.g.shape(0) < targets)
    throw ShapeError("negative_sampling_update", "results of these samples", "others");
}

}  // namespace inkling::kernels
