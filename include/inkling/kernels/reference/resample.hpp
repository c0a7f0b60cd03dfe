// Changing the size of an image: repetition, interpolation, pooling.
#pragma once
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::reference {

// Every pixel becomes a square of factor x factor. x [N, C, H, W] -> y [N, C, fH, fW]
template <class T>
Tensor<T, 4> upsample_nearest(const Tensor<T, 4>& x, Index factor) {
  Tensor<T, 4> y(upsample_output_shape(x.shape(), factor));
  const auto [N, C, OH, OW] = y.shape();
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index i = 0; i < OH; ++i)
        for (Index j = 0; j < OW; ++j) y(n, c, i, j) = x(n, c, i / factor, j / factor);
  return y;
}

// dy [N, C, fH, fW] -> dx [N, C, H, W]
template <class T>
Tensor<T, 4> upsample_nearest_backward(const Tensor<T, 4>& dy, Index factor) {
  require_option(factor, 1, "upsample_nearest_backward", "factor");
  const auto [N, C, OH, OW] = dy.shape();
  require(OH % factor == 0 && OW % factor == 0, "upsample_nearest_backward",
          "height and width divisible by " + std::to_string(factor), to_string(dy.shape()));
  Tensor<T, 4> dx(Shape<4>{N, C, OH / factor, OW / factor});
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index i = 0; i < OH; ++i)
        for (Index j = 0; j < OW; ++j) dx(n, c, i / factor, j / factor) += dy(n, c, i, j);
  return dx;
}

// Where output position i of one axis lies in the input: between `low` and `high`, `t` of the way.
template <class T>
struct LinearTap {
  Index low, high;
  T t;
};
// Pixel centres stand at i + 1/2: source = (i + 1/2) / factor - 1/2. With align_corners the first and last pixels of
// both images coincide instead: source = i (size - 1) / (factor size - 1).
template <class T>
LinearTap<T> linear_tap(Index i, Index size, Index factor, bool align_corners) {
  const Index out = size * factor;
  const T source = !align_corners ? (static_cast<T>(i) + T(0.5)) / static_cast<T>(factor) - T(0.5)
                   : out > 1      ? static_cast<T>(i) * (static_cast<T>(size - 1) / static_cast<T>(out - 1))
                                  : T{0};
  const T inside = std::max(source, T{0});  // beyond the first and last centre the border pixel goes on
  const Index low = std::min(static_cast<Index>(inside), size - 1);
  return {low, std::min(low + 1, size - 1), inside - static_cast<T>(low)};
}

// x [N, C, H, W] -> y [N, C, fH, fW]
template <class T>
Tensor<T, 4> upsample_bilinear(const Tensor<T, 4>& x, Index factor, bool align_corners) {
  Tensor<T, 4> y(upsample_output_shape(x.shape(), factor, "upsample_bilinear"));
  const auto [N, C, OH, OW] = y.shape();
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index i = 0; i < OH; ++i)
        for (Index j = 0; j < OW; ++j) {
          const LinearTap<T> v = linear_tap<T>(i, x.shape(2), factor, align_corners);
          const LinearTap<T> h = linear_tap<T>(j, x.shape(3), factor, align_corners);
          // y = (1-v)(1-h) x_00 + (1-v) h x_01 + v (1-h) x_10 + v h x_11
          y(n, c, i, j) = (1 - v.t) * (1 - h.t) * x(n, c, v.low, h.low) + (1 - v.t) * h.t * x(n, c, v.low, h.high) +
                          v.t * (1 - h.t) * x(n, c, v.high, h.low) + v.t * h.t * x(n, c, v.high, h.high);
        }
  return y;
}

// dy [N, C, fH, fW] -> dx [N, C, H, W]
template <class T>
Tensor<T, 4> upsample_bilinear_backward(const Tensor<T, 4>& dy, const Shape<4>& x_shape, Index factor,
                                        bool align_corners) {
  require_shape(dy.shape(), upsample_output_shape(x_shape, factor, "upsample_bilinear_backward"),
                "upsample_bilinear_backward");
  Tensor<T, 4> dx(x_shape);
  const auto [N, C, OH, OW] = dy.shape();
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index i = 0; i < OH; ++i)
        for (Index j = 0; j < OW; ++j) {
          const LinearTap<T> v = linear_tap<T>(i, x_shape[2], factor, align_corners);
          const LinearTap<T> h = linear_tap<T>(j, x_shape[3], factor, align_corners);
          // each of the four pixels receives dy times its weight
          dx(n, c, v.low, h.low) += (1 - v.t) * (1 - h.t) * dy(n, c, i, j);
          dx(n, c, v.low, h.high) += (1 - v.t) * h.t * dy(n, c, i, j);
          dx(n, c, v.high, h.low) += v.t * (1 - h.t) * dy(n, c, i, j);
          dx(n, c, v.high, h.high) += v.t * h.t * dy(n, c, i, j);
        }
  return dx;
}

// The mean of each K x K window; padding counts as zeros. x [N, C, H, W] -> y [N, C, OH, OW]
template <class T>
Tensor<T, 4> avg_pool(const Tensor<T, 4>& x, const PoolOptions& o) {
  Tensor<T, 4> y(pool_output_shape(x.shape(), o, "avg_pool"));
  const auto [N, C, OH, OW] = y.shape();
  const Index H = x.shape(2), W = x.shape(3);
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index i = 0; i < OH; ++i)
        for (Index j = 0; j < OW; ++j)
          for (Index h = i * o.stride - o.padding; h < i * o.stride - o.padding + o.kernel; ++h)
            for (Index w = j * o.stride - o.padding; w < j * o.stride - o.padding + o.kernel; ++w)
              if (h >= 0 && h < H && w >= 0 && w < W)
                y(n, c, i, j) += x(n, c, h, w) / static_cast<T>(o.kernel * o.kernel);
  return y;
}

// dy [N, C, OH, OW] -> dx [N, C, H, W]
template <class T>
Tensor<T, 4> avg_pool_backward(const Tensor<T, 4>& dy, const Shape<4>& x_shape, const PoolOptions& o) {
  require_shape(dy.shape(), pool_output_shape(x_shape, o), "avg_pool_backward");
  Tensor<T, 4> dx(x_shape);
  const auto [N, C, OH, OW] = dy.shape();
  const auto [N_, C_, H, W] = x_shape;
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index i = 0; i < OH; ++i)
        for (Index j = 0; j < OW; ++j)
          for (Index h = i * o.stride - o.padding; h < i * o.stride - o.padding + o.kernel; ++h)
            for (Index w = j * o.stride - o.padding; w < j * o.stride - o.padding + o.kernel; ++w)
              if (h >= 0 && h < H && w >= 0 && w < W)
                dx(n, c, h, w) += dy(n, c, i, j) / static_cast<T>(o.kernel * o.kernel);
  return dx;
}

// The largest value of each K x K window, and where it stood. Padding never wins; a NaN does, so that it is seen.
// x [N, C, H, W] -> y and argmax [N, C, OH, OW]
template <class T>
MaxPoolResult<T> max_pool(const Tensor<T, 4>& x, const PoolOptions& o) {
  const Shape<4> y_shape = pool_output_shape(x.shape(), o, "max_pool");
  MaxPoolResult<T> r{Tensor<T, 4>(y_shape), Tensor<Index, 4>(y_shape, Index{-1})};
  const auto [N, C, OH, OW] = y_shape;
  const Index H = x.shape(2), W = x.shape(3);
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index i = 0; i < OH; ++i)
        for (Index j = 0; j < OW; ++j)
          for (Index h = i * o.stride - o.padding; h < i * o.stride - o.padding + o.kernel; ++h)
            for (Index w = j * o.stride - o.padding; w < j * o.stride - o.padding + o.kernel; ++w) {
              if (h < 0 || h >= H || w < 0 || w >= W) continue;
              const T value = x(n, c, h, w);
              const bool first = r.argmax(n, c, i, j) < 0;
              if (first || value > r.y(n, c, i, j) || std::isnan(value)) {
                r.y(n, c, i, j) = value;
                r.argmax(n, c, i, j) = h * W + w;
              }
            }
  return r;
}

// dy, argmax [N, C, OH, OW] -> dx [N, C, H, W]
template <class T>
Tensor<T, 4> max_pool_backward(const Tensor<T, 4>& dy, const Tensor<Index, 4>& argmax, const Shape<4>& x_shape) {
  const auto [N, C, OH, OW] = dy.shape();
  const auto [N_, C_, H, W] = x_shape;
  require_shape(argmax.shape(), dy.shape(), "max_pool_backward");
  require(N == N_ && C == C_, "max_pool_backward", to_string(dy.shape()), to_string(x_shape));
  Tensor<T, 4> dx(x_shape);
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index i = 0; i < OH; ++i)
        for (Index j = 0; j < OW; ++j) {
          const Index at = argmax(n, c, i, j);
          require_id(at, H * W, "max_pool_backward argmax");
          dx(n, c, at / W, at % W) += dy(n, c, i, j);  // y = x[argmax]   =>   dx[argmax] += dy
        }
  return dx;
}

}  // namespace inkling::kernels::reference
