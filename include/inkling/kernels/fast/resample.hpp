// Enlarging and shrinking images. One plane (image, channel) belongs to one thread, also in the backward, where
// neighbouring outputs add to the same input.
#pragma once
#include "inkling/core/tensor.hpp"
#include "inkling/kernels/fast/vector.hpp"
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::fast {

namespace resample_detail {

// body(plane of `in`, plane of `out`) for each of the N * C planes.
template <class In, class Out, class Body>
void for_each_plane(const In& in, Out& out, Body&& body) {
  const Index planes = in.shape(0) * in.shape(1);
  const Index in_size = in.shape(2) * in.shape(3), out_size = out.shape(2) * out.shape(3);
  parallel_for(planes, 2 * std::max(in_size, out_size),
               [&](Index p) { body(in.data() + p * in_size, out.data() + p * out_size); });
}

// into += a * x
template <class T>
void add_scaled(Index n, T* into, T a, const T* x) {
  map(n, into, [a](const Vec<T>& s, const Vec<T>& v) { return s + Vec<T>(a) * v; }, into, x);
}

// Output position o along an axis lies between the inputs low and high, at `part` of the way.
template <class T>
struct Between {
  Index low, high;
  T part;
};
// align_corners: the centres of the corner pixels coincide; otherwise the corners of the images do.
template <class T>
std::vector<Between<T>> positions(Index size, Index factor, bool align_corners) {
  std::vector<Between<T>> all(static_cast<std::size_t>(size * factor));
  for (Index o = 0; o < size * factor; ++o) {
    const double at = align_corners ? (size * factor > 1 ? static_cast<double>(o * (size - 1)) /
                                                               static_cast<double>(size * factor - 1)
                                                         : 0.0)
                                    : std::max(0.0, (static_cast<double>(o) + 0.5) / static_cast<double>(factor) - 0.5);
    const Index low = std::min(static_cast<Index>(at), size - 1);
    all[static_cast<std::size_t>(o)] = {low, std::min(low + 1, size - 1),
                                        static_cast<T>(at - static_cast<double>(low))};
  }
  return all;
}

// The part of window o that lies within 0..size-1.
struct Window {
  Index begin, end;
};
inline Window window(Index o, Index size, const PoolOptions& p) {
  const Index begin = o * p.stride - p.padding;
  return {std::max<Index>(begin, 0), std::min(begin + p.kernel, size)};
}

}  // namespace resample_detail

// y[n, c, h, w] = x[n, c, h / factor, w / factor]
// x [N, C, H, W] -> [N, C, factor*H, factor*W]
template <class T>
Tensor<T, 4> upsample_nearest(const Tensor<T, 4>& x, Index factor) {
  Tensor<T, 4> y(upsample_output_shape(x.shape(), factor), uninitialized);
  const Index H = x.shape(2), W = x.shape(3), OW = W * factor;
  resample_detail::for_each_plane(x, y, [&](const T* in, T* out) {
    for (Index h = 0; h < H; ++h, in += W) {
      T* row = out;
      if (factor == 2)  // the only factor in these networks, worth its own loop
        for (Index w = 0; w < W; ++w) out[2 * w] = out[2 * w + 1] = in[w];
      else
        for (Index w = 0; w < W; ++w) std::fill_n(out + w * factor, factor, in[w]);
      out += OW;
      for (Index i = 1; i < factor; ++i, out += OW) std::copy_n(row, OW, out);
    }
  });
  return y;
}

// dx[n, c, h, w] = the sum of dy over the factor x factor pixels that show x[n, c, h, w]
template <class T>
Tensor<T, 4> upsample_nearest_backward(const Tensor<T, 4>& dy, Index factor) {
  require_option(factor, 1, "upsample_nearest_backward", "factor");
  require(dy.shape(2) % factor == 0 && dy.shape(3) % factor == 0, "upsample_nearest_backward",
          "height and width divisible by " + std::to_string(factor), to_string(dy.shape()));
  Tensor<T, 4> dx(Shape<4>{dy.shape(0), dy.shape(1), dy.shape(2) / factor, dy.shape(3) / factor}, uninitialized);
  const Index H = dx.shape(2), W = dx.shape(3), OW = dy.shape(3);
  resample_detail::for_each_plane(dy, dx, [&](const T* in, T* out) {
    for (Index h = 0; h < H; ++h, in += factor * OW, out += W) {
      if (factor == 2) {
        for (Index w = 0; w < W; ++w) out[w] = (in[2 * w] + in[2 * w + 1]) + (in[OW + 2 * w] + in[OW + 2 * w + 1]);
        continue;
      }
      std::fill_n(out, W, T(0));
      for (Index i = 0; i < factor * OW; ++i) out[i % OW / factor] += in[i];
    }
  });
  return dx;
}

// Each output is a mean of its four neighbours, weighted by nearness.
// x [N, C, H, W] -> [N, C, factor*H, factor*W]
template <class T>
Tensor<T, 4> upsample_bilinear(const Tensor<T, 4>& x, Index factor, bool align_corners) {
  Tensor<T, 4> y(upsample_output_shape(x.shape(), factor, "upsample_bilinear"), uninitialized);
  const Index W = x.shape(3);
  const auto rows = resample_detail::positions<T>(x.shape(2), factor, align_corners);
  const auto columns = resample_detail::positions<T>(W, factor, align_corners);
  resample_detail::for_each_plane(x, y, [&](const T* in, T* out) {
    std::vector<T> blend(static_cast<std::size_t>(W));
    for (const auto& r : rows) {
      map(
          W, blend.data(),
          [part = r.part](const Vec<T>& low, const Vec<T>& high) {
            return Vec<T>(1 - part) * low + Vec<T>(part) * high;
          },
          in + r.low * W, in + r.high * W);
      for (const auto& c : columns)
        *out++ = (1 - c.part) * blend[static_cast<std::size_t>(c.low)] +
                 c.part * blend[static_cast<std::size_t>(c.high)];
    }
  });
  return y;
}

// Every output hands its gradient to its four neighbours with the same weights.
template <class T>
Tensor<T, 4> upsample_bilinear_backward(const Tensor<T, 4>& dy, const Shape<4>& x_shape, Index factor,
                                        bool align_corners) {
  require_shape(dy.shape(), upsample_output_shape(x_shape, factor, "upsample_bilinear_backward"),
                "upsample_bilinear_backward");
  Tensor<T, 4> dx(x_shape);
  const Index W = x_shape[3];
  const auto rows = resample_detail::positions<T>(x_shape[2], factor, align_corners);
  const auto columns = resample_detail::positions<T>(W, factor, align_corners);
  resample_detail::for_each_plane(dy, dx, [&](const T* in, T* out) {
    std::vector<T> blend(static_cast<std::size_t>(W));
    for (const auto& r : rows) {
      std::fill(blend.begin(), blend.end(), T{0});
      for (const auto& c : columns) {
        blend[static_cast<std::size_t>(c.low)] += (1 - c.part) * *in;
        blend[static_cast<std::size_t>(c.high)] += c.part * *in++;
      }
      resample_detail::add_scaled(W, out + r.low * W, 1 - r.part, blend.data());
      resample_detail::add_scaled(W, out + r.high * W, r.part, blend.data());
    }
  });
  return dx;
}

// The mean of each window; the padding counts as zeros, so the divisor is always kernel^2.
// x [N, C, H, W] -> [N, C, OH, OW]
template <class T>
Tensor<T, 4> avg_pool(const Tensor<T, 4>& x, const PoolOptions& o) {
  Tensor<T, 4> y(pool_output_shape(x.shape(), o, "avg_pool"), uninitialized);
  const Index H = x.shape(2), W = x.shape(3), OH = y.shape(2), OW = y.shape(3);
  const T area = static_cast<T>(o.kernel * o.kernel);
  resample_detail::for_each_plane(x, y, [&](const T* in, T* out) {
    for (Index oh = 0; oh < OH; ++oh)
      for (Index ow = 0; ow < OW; ++ow) {
        const auto rows = resample_detail::window(oh, H, o), columns = resample_detail::window(ow, W, o);
        T sum = 0;
        for (Index h = rows.begin; h < rows.end; ++h)
          for (Index w = columns.begin; w < columns.end; ++w) sum += in[h * W + w];
        *out++ = sum / area;
      }
  });
  return y;
}

// y = sum x / kernel^2   =>   every x of the window gets dy / kernel^2
template <class T>
Tensor<T, 4> avg_pool_backward(const Tensor<T, 4>& dy, const Shape<4>& x_shape, const PoolOptions& o) {
  require_shape(dy.shape(), pool_output_shape(x_shape, o, "avg_pool_backward"), "avg_pool_backward");
  Tensor<T, 4> dx(x_shape);
  const Index H = x_shape[2], W = x_shape[3], OH = dy.shape(2), OW = dy.shape(3);
  const T area = static_cast<T>(o.kernel * o.kernel);
  resample_detail::for_each_plane(dy, dx, [&](const T* in, T* out) {
    for (Index oh = 0; oh < OH; ++oh)
      for (Index ow = 0; ow < OW; ++ow) {
        const auto rows = resample_detail::window(oh, H, o), columns = resample_detail::window(ow, W, o);
        const T share = *in++ / area;
        for (Index h = rows.begin; h < rows.end; ++h)
          for (Index w = columns.begin; w < columns.end; ++w) out[h * W + w] += share;
      }
  });
  return dx;
}

// The largest of each window, and where it stood; padding never wins, NaN always does.
// x [N, C, H, W] -> y and argmax [N, C, OH, OW]
template <class T>
MaxPoolResult<T> max_pool(const Tensor<T, 4>& x, const PoolOptions& o) {
  const Shape<4> shape = pool_output_shape(x.shape(), o, "max_pool");
  MaxPoolResult<T> r{Tensor<T, 4>(shape, uninitialized), Tensor<Index, 4>(shape, uninitialized)};
  const Index H = x.shape(2), W = x.shape(3), OH = shape[2], OW = shape[3];
  resample_detail::for_each_plane(x, r.argmax, [&](const T* in, Index* argmax) {
    T* out = r.y.data() + (argmax - r.argmax.data());
    for (Index oh = 0; oh < OH; ++oh)
      for (Index ow = 0; ow < OW; ++ow) {
        const auto rows = resample_detail::window(oh, H, o), columns = resample_detail::window(ow, W, o);
        Index best = rows.begin * W + columns.begin;
        for (Index h = rows.begin; h < rows.end; ++h)
          for (Index w = columns.begin; w < columns.end; ++w) {
            const T v = in[h * W + w];
            if (v > in[best] || (v != v && in[best] == in[best])) best = h * W + w;
          }
        *argmax++ = best;
        *out++ = in[best];
      }
  });
  return r;
}

// Only the largest of a window was seen, so only it gets the gradient.
template <class T>
Tensor<T, 4> max_pool_backward(const Tensor<T, 4>& dy, const Tensor<Index, 4>& argmax, const Shape<4>& x_shape) {
  require_shape(argmax.shape(), dy.shape(), "max_pool_backward argmax");
  require(dy.shape(0) == x_shape[0] && dy.shape(1) == x_shape[1], "max_pool_backward",
          "batch and channels as in " + to_string(x_shape), to_string(dy.shape()));
  Tensor<T, 4> dx(x_shape);
  const Index in_plane = dy.shape(2) * dy.shape(3), out_plane = x_shape[2] * x_shape[3];
  for (Index at : argmax) require_id(at, out_plane, "max_pool_backward argmax");
  resample_detail::for_each_plane(dy, dx, [&](const T* in, T* out) {
    const Index* at = argmax.data() + (in - dy.data());
    for (Index i = 0; i < in_plane; ++i) out[at[i]] += in[i];
  });
  return dx;
}

}  // namespace inkling::kernels::fast
