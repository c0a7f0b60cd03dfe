// Convolution, its transpose and their gradients at machine speed: three matrix products whose operands are made while
// packing (patches.hpp), or, for 3 x 3 filters in float, winograd.hpp. The formulas: kernels/reference/conv.hpp.
#pragma once
#include "inkling/kernels/fast/gemm.hpp"  // first

#include "inkling/kernels/fast/mixed_gemm.hpp"
#include "inkling/kernels/fast/patches.hpp"
#include "inkling/kernels/fast/vector.hpp"
#include "inkling/kernels/fast/winograd.hpp"
#include "inkling/kernels/fast/winograd_weight_gradient.hpp"
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::fast {

// The patches of group g of x [N, C, H, W] under a convolution with w [O, C/G, KH, KW] to images of OH x OW pixels.
template <class T>
Patches<T> conv_patches(const Tensor<T, 4>& x, const Shape<4>& w, Index OH, Index OW, const Conv2dOptions& o, Index g) {
  const auto [N, C, H, W] = x.shape();
  return {x.data() + g * w[1] * H * W, N, w[1], C * H * W, H, W, w[2], w[3], o.stride, o.dilation,
          o.padding.top, o.padding.left, OH, OW};
}

// y [N, O, OH, OW] = the convolution of x [N, C, H, W] with w [O, C/G, KH, KW], bias [O] or nullptr
template <class T>
void conv_into(const Tensor<T, 4>& x, const Tensor<T, 4>& w, const T* bias, const Conv2dOptions& o, Tensor<T, 4>& y) {
  // The forward of a 3 x 3 convolution stays float in a bf16 scope: Winograd's way is the faster one, and as exact as
  // what the trained model will run on.
  if constexpr (std::is_same_v<T, float>)
    if (const auto p = winograd::problem(x.shape(), w.shape(), y.shape(), o,
                                         compute_type_in_force() == ComputeType::bf16 ? 2 : 1))
      return winograd::convolve(*p, x.data(), winograd::filters_at(w.data(), p->C * 9, 9), false, bias, y.data());
  const Index O = y.shape(1), OH = y.shape(2), OW = y.shape(3), OG = O / o.groups;
  for (Index g = 0; g < o.groups; ++g) {
    const Patches<T> P = conv_patches(x, w.shape(), OH, OW, o, g);
    // Y = W P
    mixed_gemm<T>(OG, P.columns(), P.rows(), LeftMatrix<T>{w.data() + g * OG * P.rows(), P.rows()}, RightPatches<T>{P},
                  PixelsOut<T>{y.data() + g * OG * OH * OW, OH * OW, O * OH * OW, OW, OH, OW}, false,
                  RowBias<T>{bias ? bias + g * OG : nullptr});
  }
}

// x [N, C, H, W], w [O, C/G, KH, KW], bias [O] or nullptr -> y [N, O, OH, OW]
template <class T>
Tensor<T, 4> conv2d(const Tensor<T, 4>& x, const Tensor<T, 4>& w, const Tensor<std::type_identity_t<T>, 1>* bias,
                    const Conv2dOptions& o) {
  Tensor<T, 4> y(conv2d_output_shape(x.shape(), w.shape(), o), uninitialized);
  require_vector(bias, w.shape(0), "conv2d bias");
  conv_into(x, w, bias ? bias->data() : nullptr, o, y);
  return y;
}

// --- The gradient of the input --------------------------------------------------------------------------------------
//
// Along one axis, output o reads the inputs i = o s - pad + k d. Turned around: input i gets, for each tap k for which
// i + pad - k d is a multiple of s, the gradient of output o = (i + pad - k d) / s. For the inputs i = phase + s t
// these taps are k = first + m step, and o = t + shift - m dilation: a convolution of dy with stride 1 and the taps in
// reverse. So a stride s makes s small convolutions, none of which multiplies by a zero of its making.

struct BackwardTaps {
  Index first = 0, step = 1, count = 0;  // k = first + m * step, m = 0..count-1
  Index shift = 0, dilation = 1;         // o = t + shift - m * dilation
};
inline BackwardTaps backward_taps(Index phase, Index kernel, Index pad, Index stride, Index dilation) {
  const Index common = std::gcd(stride, dilation);
  BackwardTaps taps;
  taps.step = stride / common;
  taps.dilation = dilation / common;
  while (taps.first < kernel && (phase + pad - taps.first * dilation) % stride != 0) ++taps.first;
  if (taps.first < kernel) taps.count = (kernel - taps.first - 1) / taps.step + 1;
  taps.shift = (phase + pad - taps.first * dilation) / stride;
  return taps;
}

// dx [N, C, H, W] = the inputs' share of dy [N, O, OH, OW] through w [O, C/G, KH, KW]; bias [C] or nullptr
template <class T>
void scatter_through_conv(const Tensor<T, 4>& dy, const Tensor<T, 4>& w, Tensor<T, 4>& dx, const T* bias, Index stride,
                          Index top, Index left, Index dilation, Index groups) {
  if constexpr (std::is_same_v<T, float>)
    if (const auto p =
            winograd::backward_problem(dy.shape(), w.shape(), dx.shape(), stride, top, left, dilation, groups)) {
      const auto filters = winograd::filters_at(w.data(), 9, p->O * 9);
      if (compute_type_in_force() == ComputeType::bf16)
        return winograd::convolve<ComputeType::bf16>(*p, dy.data(), filters, true, bias, dx.data());
      return winograd::convolve(*p, dy.data(), filters, true, bias, dx.data());
    }
  const auto [N, O, OH, OW] = dy.shape();
  const Index C = dx.shape(1), H = dx.shape(2), W = dx.shape(3), CG = w.shape(1), KH = w.shape(2), KW = w.shape(3);
  const Index OG = O / groups;
  for (Index i0 = 0; i0 < std::min(stride, H); ++i0)
    for (Index j0 = 0; j0 < std::min(stride, W); ++j0) {
      const BackwardTaps rows = backward_taps(i0, KH, top, stride, dilation);
      const BackwardTaps columns = backward_taps(j0, KW, left, stride, dilation);
      const Index taps = rows.count * columns.count, PH = (H - i0 + stride - 1) / stride,
                  PW = (W - j0 + stride - 1) / stride;
      // The taps of this phase, reversed, one row for each input channel.
      Tensor<T, 3> turned(Shape<3>{C, OG, taps}, uninitialized);
      for (Index g = 0; g < groups; ++g)
        for (Index c = 0; c < CG; ++c)
          for (Index oc = 0; oc < OG; ++oc) {
            const T* from = w.data() + ((g * OG + oc) * CG + c) * KH * KW;
            T* to = turned.data() + ((g * CG + c) * OG + oc) * taps;
            for (Index a = rows.count; a-- > 0;)
              for (Index b = columns.count; b-- > 0;)
                *to++ = from[(rows.first + a * rows.step) * KW + columns.first + b * columns.step];
          }
      for (Index g = 0; g < groups; ++g) {
        // Only the dilations of the two axes are equal, as in the forward; a kernel of one tap has none.
        const Patches<T> patches{dy.data() + g * OG * OH * OW, N, OG, O * OH * OW, OH, OW, rows.count, columns.count,
                                 1, rows.dilation, (rows.count - 1) * rows.dilation - rows.shift,
                                 (columns.count - 1) * columns.dilation - columns.shift, PH, PW};
        mixed_gemm<T>(CG, N * PH * PW, OG * taps, LeftMatrix<T>{turned.data() + g * CG * OG * taps, OG * taps},
                      RightPatches<T>{patches},
                      PixelsOut<T>{dx.data() + g * CG * H * W, H * W, C * H * W, W, PH, PW, i0, j0, stride}, false,
                      RowBias<T>{bias ? bias + g * CG : nullptr});
      }
    }
}

// dy [N, O, OH, OW], w [O, C/G, KH, KW] -> dx [N, C, H, W]
template <class T>
Tensor<T, 4> conv2d_backward_input(const Tensor<T, 4>& dy, const Tensor<T, 4>& w, const Shape<4>& x_shape,
                                   const Conv2dOptions& o) {
  require_shape(dy.shape(), conv2d_output_shape(x_shape, w.shape(), o), "conv2d_backward_input");
  Tensor<T, 4> dx(x_shape, uninitialized);
  scatter_through_conv<T>(dy, w, dx, nullptr, o.stride, o.padding.top, o.padding.left, o.dilation, o.groups);
  return dx;
}

// --- The gradient of the weight -------------------------------------------------------------------------------------

// dw [O, C/G, KH, KW] = the gradient of the weight, from dy [N, O, OH, OW] and x [N, C, H, W]
template <class T>
void conv_weight_gradient_into(const Tensor<T, 4>& dy, const Tensor<T, 4>& x, const Conv2dOptions& o,
                               Tensor<T, 4>& dw) {
  if constexpr (std::is_same_v<T, float>)
    if (const auto p = winograd::gradient_problem(dy.shape(), x.shape(), dw.shape(), o)) {
      if (compute_type_in_force() == ComputeType::bf16)
        return winograd::weight_gradient<ComputeType::bf16>(*p, dy.data(), x.data(), dw.data());
      return winograd::weight_gradient<ComputeType::f32>(*p, dy.data(), x.data(), dw.data());
    }
  const Index O = dy.shape(1), OH = dy.shape(2), OW = dy.shape(3), OG = O / o.groups, K = dw.size() / O;
  Tensor<T, 2> dw_t(Shape<2>{K, OG}, uninitialized);
  for (Index g = 0; g < o.groups; ++g) {
    const Patches<T> P = conv_patches(x, dw.shape(), OH, OW, o, g);
    // Y = W P   =>   dW = dY P^T, computed as dW^T = P dY^T: so P needs no transposition, only dY, which is smaller.
    mixed_gemm<T>(K, OG, P.columns(), LeftPatches<T>{P},
                  RightPixels<T>{dy.data() + g * OG * OH * OW, O * OH * OW, OH * OW}, MatrixOut<T>{dw_t.data(), OG});
    transpose(dw_t.data(), OG, K, OG, dw.data() + g * OG * K, K);
  }
}

// dy [N, O, OH, OW], x [N, C, H, W] -> dw [O, C/G, KH, KW]
template <class T>
Tensor<T, 4> conv2d_backward_weight(const Tensor<T, 4>& dy, const Tensor<T, 4>& x, const Shape<4>& w_shape,
                                    const Conv2dOptions& o) {
  require_shape(dy.shape(), conv2d_output_shape(x.shape(), w_shape, o), "conv2d_backward_weight");
  Tensor<T, 4> dw(w_shape, uninitialized);
  conv_weight_gradient_into(dy, x, o, dw);
  return dw;
}

// dy [N, O, OH, OW] -> db [O]; also the bias gradient of the transposed convolution
template <class T>
Tensor<T, 1> conv2d_backward_bias(const Tensor<T, 4>& dy) {
  const Index N = dy.shape(0), O = dy.shape(1), pixels = dy.shape(2) * dy.shape(3);
  Tensor<T, 1> db(Shape<1>{O});
  const T* from = dy.data();
  T* to = db.data();
  parallel_for(O, N * pixels / 4, [&](Index c) {
    double sum = 0;
    for (Index n = 0; n < N; ++n)
      sum += sum_of<T>(pixels, [](const auto& v) { return v; }, from + (n * O + c) * pixels);
    to[c] = static_cast<T>(sum);
  });
  return db;
}

// --- The transposed convolution: the gradient of a convolution's input, used forwards -------------------------------

// x [N, C, H, W], w [C, O/G, KH, KW], bias [O] or nullptr -> y [N, O, OH, OW]
template <class T>
Tensor<T, 4> conv_transpose2d(const Tensor<T, 4>& x, const Tensor<T, 4>& w,
                              const Tensor<std::type_identity_t<T>, 1>* bias, const ConvTranspose2dOptions& o) {
  Tensor<T, 4> y(conv_transpose2d_output_shape(x.shape(), w.shape(), o), uninitialized);
  require_vector(bias, y.shape(1), "conv_transpose2d bias");
  scatter_through_conv<T>(x, w, y, bias ? bias->data() : nullptr, o.stride, o.padding, o.padding, o.dilation, o.groups);
  return y;
}

// The convolution of which conv_transpose2d is the transpose.
inline Conv2dOptions transposed_options(const ConvTranspose2dOptions& o) {
  return {o.stride, Padding::all(o.padding), o.dilation, o.groups};
}

// dy [N, O, OH, OW], w [C, O/G, KH, KW] -> dx [N, C, H, W]
template <class T>
Tensor<T, 4> conv_transpose2d_backward_input(const Tensor<T, 4>& dy, const Tensor<T, 4>& w, const Shape<4>& x_shape,
                                             const ConvTranspose2dOptions& o) {
  require_shape(dy.shape(), conv_transpose2d_output_shape(x_shape, w.shape(), o), "conv_transpose2d_backward_input");
  Tensor<T, 4> dx(x_shape, uninitialized);
  conv_into<T>(dy, w, nullptr, transposed_options(o), dx);
  return dx;
}

// dy [N, O, OH, OW], x [N, C, H, W] -> dw [C, O/G, KH, KW]
template <class T>
Tensor<T, 4> conv_transpose2d_backward_weight(const Tensor<T, 4>& dy, const Tensor<T, 4>& x, const Shape<4>& w_shape,
                                              const ConvTranspose2dOptions& o) {
  require_shape(dy.shape(), conv_transpose2d_output_shape(x.shape(), w_shape, o), "conv_transpose2d_backward_weight");
  Tensor<T, 4> dw(w_shape, uninitialized);
  conv_weight_gradient_into(x, dy, transposed_options(o), dw);
  return dw;
}

}  // namespace inkling::kernels::fast
