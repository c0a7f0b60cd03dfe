// kernels::negative_sampling and its update: the reference loops or the fast version, as the switch in kernels.hpp
// says. Beside the others, not among them: networks do without.
#pragma once
#include "inkling/kernels/fast/negative_sampling.hpp"  // first

#include "inkling/kernels/kernels.hpp"
#include "inkling/kernels/reference/negative_sampling.hpp"

namespace inkling::kernels {

// in, out [V, D] -> h, e [S, D], g [targets], loss [S]
template <class T>
NegativeSampling<T> negative_sampling(const Tensor<T, 2>& in, const Tensor<T, 2>& out, const SampleLists& samples,
                                      std::type_identity_t<T> rate) {
  return reference_in_force() ? reference::negative_sampling(in, out, samples, rate)
                              : fast::negative_sampling(in, out, samples, rate);
}
template <class T>
void negative_sampling_update(Tensor<T, 2>& in, Tensor<T, 2>& out, const SampleLists& samples,
                              const NegativeSampling<T>& results) {
  return reference_in_force() ? reference::negative_sampling_update(in, out, samples, results)
                              : fast::negative_sampling_update(in, out, samples, results);
}

}  // namespace inkling::kernels
