// Linear layers and convolutions with packed weights, forward only.
#pragma once
#include "inkling/kernels/fast/conv.hpp"
#include "inkling/kernels/fast/linear.hpp"
#include "inkling/kernels/weights.hpp"

namespace inkling::kernels::fast {

// x [..., K], w [Out, K], bias [Out] or nullptr -> y [..., Out]
template <std::size_t N>
Tensor<float, N> linear(const Tensor<float, N>& x, const PackedWeight& w, const Tensor<float, 1>* bias) {
  return linear(x, unpacked(w, Shape<2>{w.out(), w.depth()}, WeightUse::linear, "linear"), bias);
}

// x [N, C, H, W], w [O, C/G, KH, KW] = w_shape, bias [O] or nullptr -> y [N, O, OH, OW]
inline Tensor<float, 4> conv2d(const Tensor<float, 4>& x, const PackedWeight& w, const Shape<4>& w_shape,
                               const Tensor<float, 1>* bias, const Conv2dOptions& o) {
  return conv2d(x, unpacked(w, w_shape, WeightUse::convolution, "conv2d"), bias, o);
}

}  // namespace inkling::kernels::fast
