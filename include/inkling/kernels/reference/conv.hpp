// Convolution (cross-correlation, as every network library calls it), its transpose, and their gradients.
#pragma once
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::reference {

// x [N, C, H, W], w [O, C/G, KH, KW], bias [O] or nullptr -> y [N, O, OH, OW]
template <class T>
Tensor<T, 4> conv2d(const Tensor<T, 4>& x, const Tensor<T, 4>& w, const Tensor<std::type_identity_t<T>, 1>* bias,
                    const Conv2dOptions& o) {
  Tensor<T, 4> y(conv2d_output_shape(x.shape(), w.shape(), o));
  require_vector(bias, w.shape(0), "conv2d bias");
  const auto [N, O, OH, OW] = y.shape();
  const auto [O_, CG, KH, KW] = w.shape();  // CG = C / G: the channels that one output channel sees
  const Index OG = O / o.groups, H = x.shape(2), W = x.shape(3);
  for (Index n = 0; n < N; ++n)
    for (Index oc = 0; oc < O; ++oc)
      for (Index i = 0; i < OH; ++i)
        for (Index j = 0; j < OW; ++j) {
          // y[n,oc,i,j] = b[oc] + sum over c, kh, kw of
          //               w[oc,c,kh,kw] x[n, g CG + c, i s - top + kh d, j s - left + kw d]
          T sum = bias ? (*bias)(oc) : T{0};
          for (Index c = 0; c < CG; ++c)
            for (Index kh = 0; kh < KH; ++kh)
              for (Index kw = 0; kw < KW; ++kw) {
                const Index h = i * o.stride - o.padding.top + kh * o.dilation;
                const Index v = j * o.stride - o.padding.left + kw * o.dilation;
                if (h < 0 || h >= H || v < 0 || v >= W) continue;  // padding is zero
                sum += w(oc, c, kh, kw) * x(n, oc / OG * CG + c, h, v);
              }
          y(n, oc, i, j) = sum;
        }
  return y;
}

// dy [N, O, OH, OW], w [O, C/G, KH, KW] -> dx [N, C, H, W]
template <class T>
Tensor<T, 4> conv2d_backward_input(const Tensor<T, 4>& dy, const Tensor<T, 4>& w, const Shape<4>& x_shape,
                                   const Conv2dOptions& o) {
  require_shape(dy.shape(), conv2d_output_shape(x_shape, w.shape(), o), "conv2d_backward_input");
  Tensor<T, 4> dx(x_shape);
  const auto [N, O, OH, OW] = dy.shape();
  const auto [O_, CG, KH, KW] = w.shape();
  const Index OG = O / o.groups, H = x_shape[2], W = x_shape[3];
  for (Index n = 0; n < N; ++n)
    for (Index oc = 0; oc < O; ++oc)
      for (Index i = 0; i < OH; ++i)
        for (Index j = 0; j < OW; ++j)
          for (Index c = 0; c < CG; ++c)
            for (Index kh = 0; kh < KH; ++kh)
              for (Index kw = 0; kw < KW; ++kw) {
                const Index h = i * o.stride - o.padding.top + kh * o.dilation;
                const Index v = j * o.stride - o.padding.left + kw * o.dilation;
                if (h < 0 || h >= H || v < 0 || v >= W) continue;
                // y += w x   =>   dx += w dy
                dx(n, oc / OG * CG + c, h, v) += w(oc, c, kh, kw) * dy(n, oc, i, j);
              }
  return dx;
}

// dy [N, O, OH, OW], x [N, C, H, W] -> dw [O, C/G, KH, KW]
template <class T>
Tensor<T, 4> conv2d_backward_weight(const Tensor<T, 4>& dy, const Tensor<T, 4>& x, const Shape<4>& w_shape,
                                    const Conv2dOptions& o) {
  require_shape(dy.shape(), conv2d_output_shape(x.shape(), w_shape, o), "conv2d_backward_weight");
  Tensor<T, 4> dw(w_shape);
  const auto [N, O, OH, OW] = dy.shape();
  const auto [O_, CG, KH, KW] = w_shape;
  const Index OG = O / o.groups, H = x.shape(2), W = x.shape(3);
  for (Index n = 0; n < N; ++n)
    for (Index oc = 0; oc < O; ++oc)
      for (Index i = 0; i < OH; ++i)
        for (Index j = 0; j < OW; ++j)
          for (Index c = 0; c < CG; ++c)
            for (Index kh = 0; kh < KH; ++kh)
              for (Index kw = 0; kw < KW; ++kw) {
                const Index h = i * o.stride - o.padding.top + kh * o.dilation;
                const Index v = j * o.stride - o.padding.left + kw * o.dilation;
                if (h < 0 || h >= H || v < 0 || v >= W) continue;
                // y += w x   =>   dw += x dy
                dw(oc, c, kh, kw) += x(n, oc / OG * CG + c, h, v) * dy(n, oc, i, j);
              }
  return dw;
}

// dy [N, O, OH, OW] -> db [O]; also the bias gradient of the transposed convolution
template <class T>
Tensor<T, 1> conv2d_backward_bias(const Tensor<T, 4>& dy) {
  const auto [N, O, OH, OW] = dy.shape();
  Tensor<T, 1> db(Shape<1>{O});
  for (Index n = 0; n < N; ++n)
    for (Index oc = 0; oc < O; ++oc)
      for (Index i = 0; i < OH; ++i)
        for (Index j = 0; j < OW; ++j) db(oc) += dy(n, oc, i, j);  // y = b + ...   =>   db += dy
  return db;
}

// The transpose of the linear map x -> conv2d(x): every input pixel stamps the kernel into the output.
// x [N, C, H, W], w [C, O/G, KH, KW], bias [O] or nullptr -> y [N, O, OH, OW]
template <class T>
Tensor<T, 4> conv_transpose2d(const Tensor<T, 4>& x, const Tensor<T, 4>& w,
                              const Tensor<std::type_identity_t<T>, 1>* bias, const ConvTranspose2dOptions& o) {
  Tensor<T, 4> y(conv_transpose2d_output_shape(x.shape(), w.shape(), o));
  require_vector(bias, y.shape(1), "conv_transpose2d bias");
  const auto [N, C, H, W] = x.shape();
  const auto [C_, OG, KH, KW] = w.shape();  // OG = O / G: the output channels that one input channel reaches
  const auto [N_, O, OH, OW] = y.shape();
  const Index CG = C / o.groups;
  if (bias)
    for (Index n = 0; n < N; ++n)
      for (Index oc = 0; oc < O; ++oc)
        for (Index h = 0; h < OH; ++h)
          for (Index v = 0; v < OW; ++v) y(n, oc, h, v) = (*bias)(oc);
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index i = 0; i < H; ++i)
        for (Index j = 0; j < W; ++j)
          for (Index oc = 0; oc < OG; ++oc)
            for (Index kh = 0; kh < KH; ++kh)
              for (Index kw = 0; kw < KW; ++kw) {
                const Index h = i * o.stride - o.padding + kh * o.dilation;
                const Index v = j * o.stride - o.padding + kw * o.dilation;
                if (h < 0 || h >= OH || v < 0 || v >= OW) continue;
                // y[n, g OG + oc, i s - p + kh d, j s - p + kw d] += w[c,oc,kh,kw] x[n,c,i,j]
                y(n, c / CG * OG + oc, h, v) += w(c, oc, kh, kw) * x(n, c, i, j);
              }
  return y;
}

// dy [N, O, OH, OW], w [C, O/G, KH, KW] -> dx [N, C, H, W]
template <class T>
Tensor<T, 4> conv_transpose2d_backward_input(const Tensor<T, 4>& dy, const Tensor<T, 4>& w, const Shape<4>& x_shape,
                                             const ConvTranspose2dOptions& o) {
  require_shape(dy.shape(), conv_transpose2d_output_shape(x_shape, w.shape(), o), "conv_transpose2d_backward_input");
  Tensor<T, 4> dx(x_shape);
  const auto [N, C, H, W] = x_shape;
  const auto [C_, OG, KH, KW] = w.shape();
  const Index CG = C / o.groups, OH = dy.shape(2), OW = dy.shape(3);
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index i = 0; i < H; ++i)
        for (Index j = 0; j < W; ++j)
          for (Index oc = 0; oc < OG; ++oc)
            for (Index kh = 0; kh < KH; ++kh)
              for (Index kw = 0; kw < KW; ++kw) {
                const Index h = i * o.stride - o.padding + kh * o.dilation;
                const Index v = j * o.stride - o.padding + kw * o.dilation;
                if (h < 0 || h >= OH || v < 0 || v >= OW) continue;
                // y += w x   =>   dx += w dy
                dx(n, c, i, j) += w(c, oc, kh, kw) * dy(n, c / CG * OG + oc, h, v);
              }
  return dx;
}

// dy [N, O, OH, OW], x [N, C, H, W] -> dw [C, O/G, KH, KW]
template <class T>
Tensor<T, 4> conv_transpose2d_backward_weight(const Tensor<T, 4>& dy, const Tensor<T, 4>& x, const Shape<4>& w_shape,
                                              const ConvTranspose2dOptions& o) {
  require_shape(dy.shape(), conv_transpose2d_output_shape(x.shape(), w_shape, o), "conv_transpose2d_backward_weight");
  Tensor<T, 4> dw(w_shape);
  const auto [N, C, H, W] = x.shape();
  const auto [C_, OG, KH, KW] = w_shape;
  const Index CG = C / o.groups, OH = dy.shape(2), OW = dy.shape(3);
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index i = 0; i < H; ++i)
        for (Index j = 0; j < W; ++j)
          for (Index oc = 0; oc < OG; ++oc)
            for (Index kh = 0; kh < KH; ++kh)
              for (Index kw = 0; kw < KW; ++kw) {
                const Index h = i * o.stride - o.padding + kh * o.dilation;
                const Index v = j * o.stride - o.padding + kw * o.dilation;
                if (h < 0 || h >= OH || v < 0 || v >= OW) continue;
                // y += w x   =>   dw += x dy
                dw(c, oc, kh, kw) += x(n, c, i, j) * dy(n, c / CG * OG + oc, h, v);
              }
  return dw;
}

}  // namespace inkling::kernels::reference
