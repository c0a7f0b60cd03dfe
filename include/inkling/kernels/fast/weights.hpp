// Linear layers and convolutions with packed weights, forward only.
#pragma once
#include "inkling/kernels/fast/conv.hpp"  // first

#include "inkling/kernels/fast/stored_operands.hpp"

namespace inkling::kernels::fast {

// Y [M, Out] = X [M, K] W^T + bias
template <WeightType type>
void packed_linear(Index M, const float* x, const PackedWeight& w, const float* bias, float* y) {
  gemm<Unit<type, WeightUse::linear>>(M, w.out(), w.depth(), left_activations<type>(x, w.depth()),
                                      RightWeight<type>(w), MatrixOut<float>{y, w.out()}, false,
                                      ColumnBias<float>{bias});
}
// Y = W P + bias, y [N, O, OH, OW]
template <WeightType type>
void packed_conv(const Patches<float>& P, const PackedWeight& w, const float* bias, float* y) {
  const Index O = w.out(), pixels = P.OH * P.OW;
  gemm<Unit<type, WeightUse::convolution>>(O, P.columns(), P.rows(), LeftWeight<type>(w), right_activations<type>(P),
                                           PixelsOut<float>{y, pixels, O * pixels, P.OW, P.OH, P.OW}, false,
                                           RowBias<float>{bias});
}

// The filters of a packed weight of 3 x 3 convolutions, widened to float for winograd.hpp. Stored panels lie as it
// wants them.
inline winograd::Filters packed_filters(const PackedWeight& w) {
  return [&w](Index o, Index, Index c, Index count, float* out) {
    with_weight_type(w.type(), [&](auto type) {
      using Panel = StoredPanel<decltype(type)::value>;
      const StoredLayout<decltype(type)::value> layout(w.out(), w.depth(), WeightUse::convolution);
      const Index lanes = layout.lanes, end = (c + count) * 9;
      float* piece = workspace<float, 7>((count * 9 + Panel::granule) * lanes);
      for (Index k = c * 9; k < end;) {  // one block of the panel after the other, each from a whole granule on
        const Index inside = k % layout.blocks.step, depth = std::min(end - k, layout.blocks.step - inside);
        const Index before = inside % Panel::granule;
        Panel::widen(w.data() + layout.offset(k, o / lanes) + Panel::bytes(lanes, inside - before), lanes,
                     before + depth, piece);
        out = std::copy_n(piece + before * lanes, depth * lanes, out);
        k += depth;
      }
    });
  };
}

// x [..., K], w [Out, K], bias [Out] or nullptr -> y [..., Out]
template <std::size_t N>
Tensor<float, N> linear(const Tensor<float, N>& x, const PackedWeight& w, const Tensor<float, 1>* bias) {
  require_use(w, WeightUse::linear, "linear");
  Tensor<float, N> y(linear_output_shape(x.shape(), Shape<2>{w.out(), w.depth()}), uninitialized);
  require_vector(bias, w.out(), "linear bias");
  with_weight_type(w.type(), [&](auto type) {
    packed_linear<type>(row_count(x.shape()), x.data(), w, bias ? bias->data() : nullptr, y.data());
  });
  return y;
}

// x [N, C, H, W], w [O, C/G, KH, KW] = w_shape, bias [O] or nullptr -> y [N, O, OH, OW]
inline Tensor<float, 4> conv2d(const Tensor<float, 4>& x, const PackedWeight& w, const Shape<4>& w_shape,
                               const Tensor<float, 1>* bias, const Conv2dOptions& o) {
  if (o.groups != 1)  // a panel of weights could belong to two groups; no large network has any
    return conv2d(x, unpacked(w, w_shape, WeightUse::convolution, "conv2d"), bias, o);
  require_packed_shape(w, w_shape, WeightUse::convolution, "conv2d");
  Tensor<float, 4> y(conv2d_output_shape(x.shape(), w_shape, o), uninitialized);
  require_vector(bias, w_shape[0], "conv2d bias");
  // Products of bf16 are about twice as fast as those of floats, of 8-bit integers up to four times.
  const double speed = w.type() == WeightType::q8 ? 4 : w.type() == WeightType::bf16 ? 2 : 1;
  if (const auto p = winograd::problem(x.shape(), w_shape, y.shape(), o, speed)) {
    winograd::convolve(*p, x.data(), packed_filters(w), false, bias ? bias->data() : nullptr, y.data());
    return y;
  }
  const Patches<float> P = conv_patches(x, w_shape, y.shape(2), y.shape(3), o, 0);
  with_weight_type(w.type(), [&](auto type) { packed_conv<type>(P, w, bias ? bias->data() : nullptr, y.data()); });
  return y;
}

}  // namespace inkling::kernels::fast
