// Linear layers and matrix products.
#pragma once
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::reference {

// x [..., In], w [Out, In], bias [Out] or nullptr -> y [..., Out]
template <class T, std::size_t N>
Tensor<T, N> linear(const Tensor<T, N>& x, const Tensor<T, 2>& w, const Tensor<std::type_identity_t<T>, 1>* bias) {
  Tensor<T, N> y(linear_output_shape(x.shape(), w.shape()));
  require_vector(bias, w.shape(0), "linear bias");
  const Index rows = row_count(x.shape());
  const auto [Out, In] = w.shape();
  const T* xr = x.data();
  for (Index r = 0; r < rows; ++r)
    for (Index o = 0; o < Out; ++o) {
      // y[r,o] = b[o] + sum over i of  w[o,i] x[r,i]
      T sum = bias ? (*bias)(o) : T{0};
      for (Index i = 0; i < In; ++i) sum += w(o, i) * xr[r * In + i];
      y.data()[r * Out + o] = sum;
    }
  return y;
}

// dy [..., Out], w [Out, In] -> dx [..., In]
template <class T, std::size_t N>
Tensor<T, N> linear_backward_input(const Tensor<T, N>& dy, const Tensor<T, 2>& w) {
  const auto [Out, In] = w.shape();
  require(dy.shape(N - 1) == Out, "linear_backward_input", std::to_string(Out) + " features", to_string(dy.shape()));
  Shape<N> x_shape = dy.shape();
  x_shape[N - 1] = In;
  Tensor<T, N> dx(x_shape);
  const Index rows = row_count(x_shape);
  for (Index r = 0; r < rows; ++r)
    for (Index o = 0; o < Out; ++o)
      for (Index i = 0; i < In; ++i)
        // y[r,o] += w[o,i] x[r,i]   =>   dx[r,i] += w[o,i] dy[r,o]
        dx.data()[r * In + i] += w(o, i) * dy.data()[r * Out + o];
  return dx;
}

// dy [..., Out], x [..., In] -> dw [Out, In]
template <class T, std::size_t N>
Tensor<T, 2> linear_backward_weight(const Tensor<T, N>& dy, const Tensor<T, N>& x) {
  const Index In = x.shape(N - 1), Out = dy.shape(N - 1);
  Shape<N> expected = x.shape();
  expected[N - 1] = Out;
  require_shape(dy.shape(), expected, "linear_backward_weight");
  Tensor<T, 2> dw(Shape<2>{Out, In});
  const Index rows = row_count(x.shape());
  for (Index r = 0; r < rows; ++r)
    for (Index o = 0; o < Out; ++o)
      for (Index i = 0; i < In; ++i)
        // y[r,o] += w[o,i] x[r,i]   =>   dw[o,i] += x[r,i] dy[r,o]
        dw(o, i) += x.data()[r * In + i] * dy.data()[r * Out + o];
  return dw;
}

// dy [..., Out] -> db [Out]
template <class T, std::size_t N>
Tensor<T, 1> linear_backward_bias(const Tensor<T, N>& dy) {
  const Index Out = dy.shape(N - 1), rows = row_count(dy.shape());
  Tensor<T, 1> db(Shape<1>{Out});
  for (Index r = 0; r < rows; ++r)
    for (Index o = 0; o < Out; ++o) db(o) += dy.data()[r * Out + o];  // y = b + ...   =>   db += dy
  return db;
}

// a [B, M, K], b [B, K, N] -> y [B, M, N]; a transposed operand is stored as [B, K, M] or [B, N, K].
// Its gradients are products too: da = dy b^T, db = a^T dy.
template <class T>
Tensor<T, 3> matmul(const Tensor<T, 3>& a, const Tensor<T, 3>& b, bool transpose_a = false, bool transpose_b = false) {
  Tensor<T, 3> y(matmul_output_shape(a.shape(), b.shape(), transpose_a, transpose_b));
  const auto [B, M, N] = y.shape();
  const Index K = transpose_a ? a.shape(1) : a.shape(2);
  for (Index n = 0; n < B; ++n)
    for (Index i = 0; i < M; ++i)
      for (Index j = 0; j < N; ++j)
        for (Index k = 0; k < K; ++k)
          // y[i,j] = sum over k of  a[i,k] b[k,j]
          y(n, i, j) += (transpose_a ? a(n, k, i) : a(n, i, k)) * (transpose_b ? b(n, j, k) : b(n, k, j));
  return y;
}

// a [M, K], b [K, N] -> y [M, N]: a batch of one
template <class T>
Tensor<T, 2> matmul(const Tensor<T, 2>& a, const Tensor<T, 2>& b, bool transpose_a = false, bool transpose_b = false) {
  const Shape<2> y_shape = matmul_output_shape(a.shape(), b.shape(), transpose_a, transpose_b);
  return matmul(a.reshaped(Shape<3>{1, a.shape(0), a.shape(1)}), b.reshaped(Shape<3>{1, b.shape(0), b.shape(1)}),
                transpose_a, transpose_b)
      .reshaped(y_shape);
}

}  // namespace inkling::kernels::reference
