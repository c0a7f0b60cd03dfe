// Layers with packed weights and what follows them in one pass: a residual, an activation, the gate of GEGLU.
// The formulas stand in kernels/reference/fused.hpp.
//
//   residual     the product is not started from zero but from what it is added to, so nothing is left to do
//   activation   applied to each row of a tile just written, in the first-level cache
//   GEGLU        panels of values and of their gates alternate (WeightUse::gated): the tile of values waits in the
//                first-level cache for that of the gates, and only the result [M, D] is written, not [M, 2 D]
//
// Milliseconds of one thread in one call of Stable Diffusion 1.5's U-Net (AMD Zen 4, g++ 12 -O3 -march=native, by
// processor time on a busy machine, large pages included):
//                                              f32: apart   fused     bf16: apart   fused
//   16 feed-forwards' first layer, GEGLU              990     964             526     491
//   48 linear layers with a residual                  721     696             380     354
// and what is left of the time that goes into neither products nor attention: 116 before, 52 now, 1 % of the call.
#pragma once
#include "inkling/kernels/fast/weights.hpp"  // first

#include "inkling/kernels/fast/activation.hpp"
#include "inkling/kernels/fast/binary.hpp"

namespace inkling::kernels::fast {

// x[0..n) = f(x[0..n)), by a pointer: so the product is compiled once and not for every function.
template <class T>
using RowFunction = void (*)(T* x, Index n);
template <class T>
RowFunction<T> row_function(Activation kind) {
  RowFunction<T> found = nullptr;
  functions::with_function(kind, [&]<class F>(F) {
    found = [](T* x, Index n) { map(n, x, [](const Vec<T>& v) { return F::y(v); }, x); };
  });
  return found;
}

// Where the product with a gated weight goes. Its columns count panels: 48 of values, 48 of their gates, and so on.
struct GatedOut {
  static constexpr Index together = 2;
  static constexpr Index C = Tile<float>::columns;
  float* c;           // partial sums [M, row_stride] where K comes in several blocks, or nullptr
  Index row_stride;
  float* y;           // [M, D]
  Index D;
  const float* bias;  // [2 D] or nullptr

  void columns(Index, Index, Index*) const {}
  Index first(Index n) const { return n / (2 * C) * C; }  // value n, or the gate that belongs to it
  Index columns_at(Index n) const { return std::min(C, D - first(n)); }
  // The partial sums, which may lie in memory; where there are none, the place of the result.
  Ahead ahead(Index m, Index n) const {
    constexpr Index lines = (C * 4 + 63) / 64;
    return c ? Ahead{c + m * row_stride + n, row_stride * 4, lines} : Ahead{y + m * D + first(n), D * 4, lines};
  }

  // Where a tile waits for its gate or its values: where its partial sums lie, or in the first-level cache.
  struct Waiting {
    float* sums;
    Index row_stride;
  };
  static bool is_gate(Index n) { return n / C % 2 != 0; }
  Waiting waiting(Index m, Index n) const {
    if (c) return {c + m * row_stride + n, row_stride};
    return {workspace<float, 11>(2 * Tile<float>::rows * C) + (is_gate(n) ? Tile<float>::rows * C : 0), C};
  }
  TileOfC<float, ColumnBias<float>> target(Index m, Index n, bool add, bool last) const {
    const Waiting to = waiting(m, n);
    const float* b = bias ? bias + first(n) + (is_gate(n) ? D : 0) : nullptr;
    return {to.sums, to.row_stride, add ? to.sums : nullptr, 0, 0, last, {b}};
  }
  void after_tile(Index rows, Index count, Index m, Index n, bool last) const {
    if (!last || !is_gate(n)) return;
    const Waiting values = waiting(m, n - C), gates = waiting(m, n);
    // y = a gelu(g): Shazeer 2020, "GLU Variants Improve Transformer", eq. 5
    for (Index i = 0; i < rows; ++i)
      map(count, y + (m + i) * D + first(n),
          [](const Vec<float>& a, const Vec<float>& g) { return a * functions::Gelu::y(g); },
          values.sums + i * values.row_stride, gates.sums + i * gates.row_stride);
  }
};

// Y = (X W_v^T + b_v) gelu(X W_g^T + b_g)
template <WeightType type>
void packed_geglu(Index M, const float* x, const PackedWeight& w, const float* bias, float* y) {
  using T = Unit<type, WeightUse::gated>;
  const RightWeight<type> right(w);
  const Index N = right.layout.panels() * GatedOut::C;
  const bool several = right.blocks.count > 1;
  Tensor<float, 1> partial(Shape<1>{several ? M * N : 0}, uninitialized);
  gemm<T>(M, N, w.depth(), left_activations<type>(x, w.depth()), right,
          GatedOut{several ? partial.data() : nullptr, N, y, w.out() / 2, bias});
}

// --- Linear layers --------------------------------------------------------------------------------------------------

// x [..., K], w [Out, K], bias [Out] or nullptr, residual [..., Out] -> residual + x w^T + bias; written over the
// residual where it is given away
template <std::size_t N>
Tensor<float, N> linear_add(const Tensor<float, N>& x, const PackedWeight& w, const Tensor<float, 1>* bias,
                            Tensor<float, N>&& residual) {
  require_use(w, WeightUse::linear, "linear_add");
  require_shape(residual.shape(), linear_output_shape(x.shape(), Shape<2>{w.out(), w.depth()}, "linear_add"),
                "linear_add residual");
  require_vector(bias, w.out(), "linear_add bias");
  if (w.use() == WeightUse::gated)
    accumulate(residual, linear(x, w, bias));
  else
    linear_into(x, w, {bias ? bias->data() : nullptr, nullptr, residual.data()}, residual);
  return std::move(residual);
}
template <std::size_t N>
Tensor<float, N> linear_add(const Tensor<float, N>& x, const PackedWeight& w, const Tensor<float, 1>* bias,
                            const Tensor<float, N>& residual) {
  if (w.use() == WeightUse::gated) return linear_add(x, w, bias, Tensor<float, N>(residual));
  require_use(w, WeightUse::linear, "linear_add");
  Tensor<float, N> y(linear_output_shape(x.shape(), Shape<2>{w.out(), w.depth()}, "linear_add"), uninitialized);
  require_shape(residual.shape(), y.shape(), "linear_add residual");
  require_vector(bias, w.out(), "linear_add bias");
  linear_into(x, w, {bias ? bias->data() : nullptr, nullptr, residual.data()}, y);
  return y;
}

// x [..., K], w [Out, K], bias [Out] or nullptr -> f(x w^T + bias) [..., Out]
template <std::size_t N>
Tensor<float, N> linear_activation(const Tensor<float, N>& x, const PackedWeight& w, const Tensor<float, 1>* bias,
                                   Activation kind) {
  require_use(w, WeightUse::linear, "linear_activation");
  if (w.use() == WeightUse::gated) return activation(kind, linear(x, w, bias));
  Tensor<float, N> y(linear_output_shape(x.shape(), Shape<2>{w.out(), w.depth()}, "linear_activation"), uninitialized);
  require_vector(bias, w.out(), "linear_activation bias");
  linear_into(x, w, {bias ? bias->data() : nullptr, row_function<float>(kind)}, y);
  return y;
}

// x [..., K], w [2 D, K], bias [2 D] or nullptr; (a, g) = x w^T + bias -> a gelu(g) [..., D]
template <std::size_t N>
Tensor<float, N> linear_geglu(const Tensor<float, N>& x, const PackedWeight& w, const Tensor<float, 1>* bias) {
  require_use(w, WeightUse::linear, "linear_geglu");
  if (w.use() != WeightUse::gated) return geglu(linear(x, w, bias));
  Tensor<float, N> y(geglu_output_shape(linear_output_shape(x.shape(), Shape<2>{w.out(), w.depth()}, "linear_geglu")),
                     uninitialized);
  require_vector(bias, w.out(), "linear_geglu bias");
  with_weight_type(w.type(), [&](auto type) {
    packed_geglu<type>(row_count(x.shape()), x.data(), w, bias ? bias->data() : nullptr, y.data());
  });
  return y;
}

// --- Convolutions ---------------------------------------------------------------------------------------------------

// x [N, C, H, W], w [O, C/G, KH, KW] = w_shape, bias [O] or nullptr, residual [N, O, OH, OW] -> residual + conv2d(x),
// written over the residual where it is given away
inline Tensor<float, 4> conv2d_add(const Tensor<float, 4>& x, const PackedWeight& w, const Shape<4>& w_shape,
                                   const Tensor<float, 1>* bias, const Conv2dOptions& o, Tensor<float, 4>&& residual) {
  require_packed_shape(w, w_shape, WeightUse::convolution, "conv2d_add");
  require_shape(residual.shape(), conv2d_output_shape(x.shape(), w_shape, o, "conv2d_add"), "conv2d_add residual");
  require_vector(bias, w_shape[0], "conv2d_add bias");
  if (o.groups != 1)
    accumulate(residual, conv2d(x, w, w_shape, bias, o));
  else
    conv2d_into(x, w, w_shape, o, {bias ? bias->data() : nullptr, nullptr, residual.data()}, residual);
  return std::move(residual);
}
inline Tensor<float, 4> conv2d_add(const Tensor<float, 4>& x, const PackedWeight& w, const Shape<4>& w_shape,
                                   const Tensor<float, 1>* bias, const Conv2dOptions& o,
                                   const Tensor<float, 4>& residual) {
  if (o.groups != 1) return conv2d_add(x, w, w_shape, bias, o, Tensor<float, 4>(residual));
  require_packed_shape(w, w_shape, WeightUse::convolution, "conv2d_add");
  Tensor<float, 4> y(conv2d_output_shape(x.shape(), w_shape, o, "conv2d_add"), uninitialized);
  require_shape(residual.shape(), y.shape(), "conv2d_add residual");
  require_vector(bias, w_shape[0], "conv2d_add bias");
  conv2d_into(x, w, w_shape, o, {bias ? bias->data() : nullptr, nullptr, residual.data()}, y);
  return y;
}

// x [N, C, H, W], w [O, C/G, KH, KW] = w_shape, bias [O] or nullptr -> f(conv2d(x)) [N, O, OH, OW]
inline Tensor<float, 4> conv2d_activation(const Tensor<float, 4>& x, const PackedWeight& w, const Shape<4>& w_shape,
                                          const Tensor<float, 1>* bias, const Conv2dOptions& o, Activation kind) {
  if (o.groups != 1) return activation(kind, conv2d(x, w, w_shape, bias, o));
  require_packed_shape(w, w_shape, WeightUse::convolution, "conv2d_activation");
  Tensor<float, 4> y(conv2d_output_shape(x.shape(), w_shape, o, "conv2d_activation"), uninitialized);
  require_vector(bias, w_shape[0], "conv2d_activation bias");
  conv2d_into(x, w, w_shape, o, {bias ? bias->data() : nullptr, row_function<float>(kind)}, y);
  return y;
}

}  // namespace inkling::kernels::fast
