// Negative sampling: Mikolov, Sutskever, Chen, Corrado, Dean, "Distributed representations of words and phrases and
// their compositionality", 2013, equation (4). A sample asks whether a target word belongs to the words around it: the
// first of its targets does, the others are drawn at random and (nearly always) do not.
#pragma once
#include "inkling/kernels/sample_lists.hpp"

namespace inkling::kernels::reference {

// The gradients of every sample, all at the same weights, already multiplied by -rate.
// in, out [V, D] -> h, e [S, D], g [targets]; the loss of each sample [S]
template <class T>
NegativeSampling<T> negative_sampling(const Tensor<T, 2>& in, const Tensor<T, 2>& out, const SampleLists& samples,
                                      std::type_identity_t<T> rate) {
  const Index S = require_samples(in.shape(), out.shape(), samples), D = in.shape(1);
  NegativeSampling<T> r(S, D, static_cast<Index>(samples.targets.size()));
  for (Index s = 0; s < S; ++s) {
    const auto inputs = samples.inputs_of(s);
    const auto targets = samples.targets_of(s);
    // h = 1/|C| sum_{c in C} in_c            (Mikolov et al. 2013a, "Efficient estimation ..", figure 1: CBOW)
    for (const auto c : inputs)
      for (Index i = 0; i < D; ++i) r.h(s, i) += in(c, i) / static_cast<T>(inputs.size());
    for (std::size_t k = 0; k < targets.size(); ++k) {
      T f = 0;
      for (Index i = 0; i < D; ++i) f += r.h(s, i) * out(targets[k], i);
      const T y = k == 0 ? 1 : 0;
      // L = -log sigma(out_0 . h) - sum_{k > 0} log sigma(-out_k . h)                              equation (4)
      r.loss(s) += std::log1p(std::exp(-std::abs(f))) + std::max(y == 1 ? -f : f, T(0));
      // -dL/df_k = y_k - sigma(f_k)
      const T g = rate * (y - 1 / (1 + std::exp(-f)));
      r.g(static_cast<Index>(samples.first_target(s)) + static_cast<Index>(k)) = g;
      // -dL/dh = sum_k (y_k - sigma(f_k)) out_k
      for (Index i = 0; i < D; ++i) r.e(s, i) += g * out(targets[k], i);
    }
  }
  return r;
}

// -dL/dout_k = (y_k - sigma(f_k)) h:  out_k += g_k h;  and in_c += e for each c in C, as word2vec.c does: the gradient
// of the mean would be e / |C|, but with that the rate would have to grow with the window. Sample after sample.
template <class T>
void negative_sampling_update(Tensor<T, 2>& in, Tensor<T, 2>& out, const SampleLists& samples,
                              const NegativeSampling<T>& r) {
  const Index S = require_samples(in.shape(), out.shape(), samples), D = in.shape(1);
  require_results(r, S, D, samples);
  for (Index s = 0; s < S; ++s) {
    for (const auto c : samples.inputs_of(s))
      for (Index i = 0; i < D; ++i) in(c, i) += r.e(s, i);
    const auto targets = samples.targets_of(s);
    for (std::size_t k = 0; k < targets.size(); ++k)
      for (Index i = 0; i < D; ++i)
        out(targets[k], i) += r.g(static_cast<Index>(samples.first_target(s)) + static_cast<Index>(k)) * r.h(s, i);
  }
}

}  // namespace inkling::kernels::reference
