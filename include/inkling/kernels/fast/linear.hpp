// Linear layers and matrix products at machine speed; the formulas stand in kernels/reference/linear.hpp.
#pragma once
#include "inkling/kernels/fast/gemm.hpp"  // first

#include "inkling/kernels/fast/mixed_gemm.hpp"
#include "inkling/kernels/fast/vector.hpp"
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::fast {

// sum_i a[i] b[i], on this thread
template <class T>
T dot(Index n, const T* a, const T* b) {
  constexpr Index W = width<T>;
  constexpr std::size_t chains = 4;  // a multiply-add takes 4 cycles: so many independent sums keep it busy
  std::array<Vec<T>, chains> sum;
  sum.fill(Vec<T>(T(0)));
  Index i = 0;
  for (; i + static_cast<Index>(chains) * W <= n; i += static_cast<Index>(chains) * W)
    for (std::size_t c = 0; c < chains; ++c) {
      const Index at = i + static_cast<Index>(c) * W;
      sum[c] = mul_add<T>(load(a + at), load(b + at), sum[c]);
    }
  for (; i + W <= n; i += W) sum[0] = mul_add<T>(load(a + i), load(b + i), sum[0]);
  T total = static_cast<T>(lane_sum<T>((sum[0] + sum[1]) + (sum[2] + sum[3])));
  for (; i < n; ++i) total += a[i] * b[i];
  return total;
}

// x [..., In], w [Out, In], bias [Out] or nullptr -> y [..., Out]
template <class T, std::size_t N>
Tensor<T, N> linear(const Tensor<T, N>& x, const Tensor<T, 2>& w, const Tensor<std::type_identity_t<T>, 1>* bias) {
  Tensor<T, N> y(linear_output_shape(x.shape(), w.shape()), uninitialized);
  require_vector(bias, w.shape(0), "linear bias");
  const Index rows = row_count(x.shape());
  const Index Out = w.shape(0), In = w.shape(1);
  const T* b = bias ? bias->data() : nullptr;
  if (rows <= 3) {
    // One row: the embedding of a timestep. Each weight is used once or twice, packing it would cost more than that.
    constexpr Index piece = 64;
    const T *xs = x.data(), *ws = w.data();
    T* ys = y.data();
    parallel_for((Out + piece - 1) / piece, rows * In * piece / 8, [&](Index p) {
      for (Index o = p * piece; o < std::min(Out, (p + 1) * piece); ++o)
        for (Index r = 0; r < rows; ++r) ys[r * Out + o] = dot(In, xs + r * In, ws + o * In) + (b ? b[o] : T(0));
    });
    return y;
  }
  mixed_gemm<T>(rows, Out, In, LeftMatrix<T>{x.data(), In}, RightTransposed<T>{w.data(), In},
                MatrixOut<T>{y.data(), Out}, false, ColumnBias<T>{b});
  return y;
}

// dy [..., Out], w [Out, In] -> dx [..., In]
template <class T, std::size_t N>
Tensor<T, N> linear_backward_input(const Tensor<T, N>& dy, const Tensor<T, 2>& w) {
  const auto [Out, In] = w.shape();
  require(dy.shape(N - 1) == Out, "linear_backward_input", std::to_string(Out) + " features", to_string(dy.shape()));
  Shape<N> x_shape = dy.shape();
  x_shape[N - 1] = In;
  Tensor<T, N> dx(x_shape, uninitialized);
  // y = x w^T   =>   dx = dy w
  mixed_gemm<T>(row_count(x_shape), In, Out, LeftMatrix<T>{dy.data(), Out}, RightMatrix<T>{w.data(), In},
                MatrixOut<T>{dx.data(), In});
  return dx;
}

// dy [..., Out], x [..., In] -> dw [Out, In]
template <class T, std::size_t N>
Tensor<T, 2> linear_backward_weight(const Tensor<T, N>& dy, const Tensor<T, N>& x) {
  const Index In = x.shape(N - 1), Out = dy.shape(N - 1);
  Shape<N> expected = x.shape();
  expected[N - 1] = Out;
  require_shape(dy.shape(), expected, "linear_backward_weight");
  Tensor<T, 2> dw(Shape<2>{Out, In}, uninitialized);
  // y = x w^T   =>   dw = dy^T x
  mixed_gemm<T>(Out, In, row_count(x.shape()), LeftTransposed<T>{dy.data(), Out}, RightMatrix<T>{x.data(), In},
                MatrixOut<T>{dw.data(), In});
  return dw;
}

// dy [..., Out] -> db [Out]
template <class T, std::size_t N>
Tensor<T, 1> linear_backward_bias(const Tensor<T, N>& dy) {
  const Index Out = dy.shape(N - 1), rows = row_count(dy.shape());
  Tensor<T, 1> db(Shape<1>{Out});
  // Columns are summed 64 rows at a time in T, the blocks in double: the error does not grow with the number of rows.
  constexpr Index piece = 64, block = 64;
  const T* from = dy.data();
  T* to = db.data();
  parallel_for((Out + piece - 1) / piece, rows * piece / 4, [&](Index p) {
    const Index begin = p * piece, n = std::min(piece, Out - begin);
    std::array<double, piece> total{};
    std::array<T, piece> sum;
    for (Index r = 0; r < rows; r += block) {
      sum.fill(T(0));
      for (Index e = r; e < std::min(rows, r + block); ++e)
        map(n, sum.data(), [](const auto& s, const auto& v) { return s + v; }, sum.data(), from + e * Out + begin);
      for (std::size_t j = 0; j < static_cast<std::size_t>(n); ++j) total[j] += static_cast<double>(sum[j]);
    }
    for (Index j = 0; j < n; ++j) to[begin + j] = static_cast<T>(total[static_cast<std::size_t>(j)]);
  });
  return db;
}

// a [B, M, K], b [B, K, N] -> y [B, M, N]; a transposed operand is stored as [B, K, M] or [B, N, K].
// Its gradients are products too: da = dy b^T, db = a^T dy.
template <class T>
Tensor<T, 3> matmul(const Tensor<T, 3>& a, const Tensor<T, 3>& b, bool transpose_a = false, bool transpose_b = false) {
  Tensor<T, 3> y(matmul_output_shape(a.shape(), b.shape(), transpose_a, transpose_b), uninitialized);
  const Index B = y.shape(0), M = y.shape(1), N = y.shape(2);
  const Index K = transpose_a ? a.shape(1) : a.shape(2), a_stride = a.shape(2), b_stride = b.shape(2);
  const T *as = a.data(), *bs = b.data();
  T* ys = y.data();
  const auto one = [&](Index n) {
    gemm<T>(M, N, K, as + n * M * K, a_stride, transpose_a, bs + n * K * N, b_stride, transpose_b, ys + n * M * N, N);
  };
  if (B >= num_threads())
    parallel_for(B, M * N * K / 16, one);  // each product on one thread
  else
    for (Index n = 0; n < B; ++n) one(n);
  return y;
}

// a [M, K], b [K, N] -> y [M, N]
template <class T>
Tensor<T, 2> matmul(const Tensor<T, 2>& a, const Tensor<T, 2>& b, bool transpose_a = false, bool transpose_b = false) {
  Tensor<T, 2> y(matmul_output_shape(a.shape(), b.shape(), transpose_a, transpose_b), uninitialized);
  gemm<T>(y.shape(0), y.shape(1), transpose_a ? a.shape(0) : a.shape(1), a.data(), a.shape(1), transpose_a, b.data(),
          b.shape(1), transpose_b, y.data(), y.shape(1));
  return y;
}

}  // namespace inkling::kernels::fast
