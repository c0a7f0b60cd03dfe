// Formulas on tensors, written for one element.
#pragma once
#include <utility>

#include "inkling/core/tensor.hpp"

namespace inkling {

// f(a_i, b_i, ...) for every element i of tensors of one shape:
//   x_t = elementwise([=](T x0, T eps) { return alpha * x0 + sigma * eps; }, x0, eps)
template <class F, class T, std::size_t N, class... Rest>
Tensor<T, N> elementwise(F f, const Tensor<T, N>& first, const Rest&... rest) {
  (require_shape(rest.shape(), first.shape(), "elementwise"), ...);
  Tensor<T, N> out(first.shape(), uninitialized);
  for (Index i = 0, n = first.size(); i < n; ++i) out.data()[i] = f(first.data()[i], rest.data()[i]...);
  return out;
}

}  // namespace inkling
