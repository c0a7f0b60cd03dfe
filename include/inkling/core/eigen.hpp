// Tensor::matrix(): a tensor seen by Eigen, for linear algebra.
#pragma once
#include "inkling/core/intrinsics.hpp"  // first

#include <Eigen/Core>

#include "inkling/core/tensor.hpp"

namespace inkling {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

namespace detail {
template <class M, class T, std::size_t N>
Eigen::Map<M> matrix_over(T* data, const Shape<N>& shape) {
  static_assert(N >= 1, "a matrix needs a dimension to be its columns");
  Index rows = 1;
  for (std::size_t d = 0; d + 1 < N; ++d) rows *= shape[d];
  return {data, rows, shape[N - 1]};
}
}  // namespace detail

// What x.matrix() calls: [all dimensions but the last, last dimension] over the tensor's own memory.
template <class T, std::size_t N>
Eigen::Map<Matrix<T>> matrix_door(Tensor<T, N>& x) {
  return detail::matrix_over<Matrix<T>>(x.data(), x.shape());
}
template <class T, std::size_t N>
Eigen::Map<const Matrix<T>> matrix_door(const Tensor<T, N>& x) {
  return detail::matrix_over<const Matrix<T>>(x.data(), x.shape());
}

}  // namespace inkling
