// Layers with packed weights and what follows them, one after the other: the formulas that fast/fused.hpp joins.
#pragma once
#include "inkling/kernels/reference/activation.hpp"
#include "inkling/kernels/reference/elementwise.hpp"
#include "inkling/kernels/reference/weights.hpp"

namespace inkling::kernels::reference {

// x [..., K], w [Out, K], bias [Out] or nullptr, residual [..., Out] -> residual + x w^T + bias
template <std::size_t N>
Tensor<float, N> linear_add(const Tensor<float, N>& x, const PackedWeight& w, const Tensor<float, 1>* bias,
                            const Tensor<float, N>& residual) {
  return binary(Binary::add, residual, linear(x, w, bias));
}

// x [..., K], w [Out, K], bias [Out] or nullptr -> f(x w^T + bias) [..., Out]
template <std::size_t N>
Tensor<float, N> linear_activation(const Tensor<float, N>& x, const PackedWeight& w, const Tensor<float, 1>* bias,
                                   Activation kind) {
  return activation(kind, linear(x, w, bias));
}

// x [..., K], w [2 D, K], bias [2 D] or nullptr; (a, g) = x w^T + bias -> a gelu(g) [..., D]
template <std::size_t N>
Tensor<float, N> linear_geglu(const Tensor<float, N>& x, const PackedWeight& w, const Tensor<float, 1>* bias) {
  return geglu(linear(x, w, bias));
}

// x [N, C, H, W], w [O, C/G, KH, KW] = w_shape, bias [O] or nullptr, residual [N, O, OH, OW] -> residual + conv2d(x)
inline Tensor<float, 4> conv2d_add(const Tensor<float, 4>& x, const PackedWeight& w, const Shape<4>& w_shape,
                                   const Tensor<float, 1>* bias, const Conv2dOptions& o,
                                   const Tensor<float, 4>& residual) {
  return binary(Binary::add, residual, conv2d(x, w, w_shape, bias, o));
}

// x [N, C, H, W], w [O, C/G, KH, KW] = w_shape, bias [O] or nullptr -> f(conv2d(x)) [N, O, OH, OW]
inline Tensor<float, 4> conv2d_activation(const Tensor<float, 4>& x, const PackedWeight& w, const Shape<4>& w_shape,
                                          const Tensor<float, 1>* bias, const Conv2dOptions& o, Activation kind) {
  return activation(kind, conv2d(x, w, w_shape, bias, o));
}

}  // namespace inkling::kernels::reference
