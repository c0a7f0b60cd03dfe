// Options of the kernels, and the shape that each kernel returns. Shared by kernels::reference and kernels::fast,
// so that both refuse the same inputs with the same words.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "inkling/kernels/checks.hpp"
#include "inkling/kernels/results.hpp"

namespace inkling::kernels {

// Zeros added around an image. The four sides differ in the autoencoder's downsampler: one row below, one column right.
struct Padding {
  Index top = 0, bottom = 0, left = 0, right = 0;
  static Padding all(Index p) { return {p, p, p, p}; }
};
struct Conv2dOptions {
  Index stride = 1;
  Padding padding{};
  Index dilation = 1;
  Index groups = 1;
};
struct ConvTranspose2dOptions {
  Index stride = 1, padding = 0, output_padding = 0, dilation = 1, groups = 1;
};
struct PoolOptions {
  Index kernel = 2, stride = 2, padding = 0;
};
struct AttentionOptions {
  Index heads = 1;
  bool causal = false;  // query i sees keys 0..i
  double scale = 0;     // 0: 1 / sqrt(head width)
};
enum class Activation { silu, gelu, gelu_tanh, quick_gelu, sigmoid, tanh, softplus, leaky_relu, exp, relu };
inline constexpr double leaky_relu_slope = 0.2;  // the slope of GAN discriminators (Radford et al. 2015, section 3)
enum class TimestepEmbedding { ldm, ddpm };      // [cos, sin] over half, or [sin, cos] over half - 1
enum class Binary { add, sub, mul, div };

// A vector shorter than this is divided by this instead of its length, so that zero stays zero (as torch's normalize).
inline constexpr double shortest_length = 1e-12;

// KL autoencoders clamp the logarithm of the variance, so that exp() of it stays a float.
inline constexpr double logvar_min = -30, logvar_max = 20;

// Along one axis, output position o sees the inputs o * stride - padding + k * dilation, k = 0..kernel-1.
inline Index conv_output_size(Index size, Index kernel, Index pad_before, Index pad_after, Index stride, Index dilation,
                              std::string_view where) {
  const Index padded = size + pad_before + pad_after, extent = dilation * (kernel - 1) + 1;
  if (padded < extent)
    throw ShapeError(where, "a padded input of at least " + std::to_string(extent) + " (the kernel's extent)",
                     std::to_string(padded), "a larger image, more padding or a smaller kernel");
  return (padded - extent) / stride + 1;
}

// x [N, C, H, W], w [O, C/groups, KH, KW] -> [N, O, OH, OW]
inline Shape<4> conv2d_output_shape(const Shape<4>& x, const Shape<4>& w, const Conv2dOptions& o,
                                    std::string_view where = "conv2d") {
  require_option(o.stride, 1, where, "stride");
  require_option(o.dilation, 1, where, "dilation");
  require_option(o.groups, 1, where, "groups");
  for (Index p : {o.padding.top, o.padding.bottom, o.padding.left, o.padding.right})
    require_option(p, 0, where, "padding");
  for (Index d : w) require(d >= 1, where, "a weight (out, in/groups, kernel height, kernel width)", to_string(w));
  require(x[1] % o.groups == 0 && w[0] % o.groups == 0, where,
          "channels divisible by " + std::to_string(o.groups) + " groups",
          std::to_string(x[1]) + " in, " + std::to_string(w[0]) + " out");
  require(w[1] == x[1] / o.groups, where,
          std::to_string(w[1] * o.groups) + " input channels as in weight " + to_string(w), to_string(x));
  return {x[0], w[0], conv_output_size(x[2], w[2], o.padding.top, o.padding.bottom, o.stride, o.dilation, where),
          conv_output_size(x[3], w[3], o.padding.left, o.padding.right, o.stride, o.dilation, where)};
}

// x [N, C, H, W], w [C, O/groups, KH, KW] -> [N, O, OH, OW]
inline Shape<4> conv_transpose2d_output_shape(const Shape<4>& x, const Shape<4>& w, const ConvTranspose2dOptions& o,
                                              std::string_view where = "conv_transpose2d") {
  require_option(o.stride, 1, where, "stride");
  require_option(o.padding, 0, where, "padding");
  require_option(o.dilation, 1, where, "dilation");
  require_option(o.groups, 1, where, "groups");
  require_option(o.output_padding, 0, where, "output_padding");
  require(o.output_padding < std::max(o.stride, o.dilation), where, "output_padding below stride or dilation",
          std::to_string(o.output_padding));
  for (Index d : w) require(d >= 1, where, "a weight (in, out/groups, kernel height, kernel width)", to_string(w));
  require(w[0] == x[1], where, std::to_string(w[0]) + " input channels as in weight " + to_string(w), to_string(x));
  require(x[1] % o.groups == 0, where, "channels divisible by " + std::to_string(o.groups) + " groups", to_string(x));
  Shape<4> y{x[0], w[1] * o.groups, 0, 0};
  for (std::size_t d : {std::size_t{2}, std::size_t{3}}) {
    require(x[d] >= 1, where, "an image of at least one pixel", to_string(x));
    y[d] = (x[d] - 1) * o.stride - 2 * o.padding + o.dilation * (w[d] - 1) + o.output_padding + 1;
    require(y[d] >= 1, where, "an output of at least one pixel", std::to_string(y[d]), "less padding");
  }
  return y;
}

// x [N, C, H, W] -> [N, C, OH, OW]. Padding is at most half the kernel, so that every window holds a pixel.
inline Shape<4> pool_output_shape(const Shape<4>& x, const PoolOptions& o, std::string_view where = "pool") {
  require_option(o.kernel, 1, where, "kernel");
  require_option(o.stride, 1, where, "stride");
  require_option(o.padding, 0, where, "padding");
  require(2 * o.padding <= o.kernel, where, "padding of at most half the kernel", std::to_string(o.padding));
  return {x[0], x[1], conv_output_size(x[2], o.kernel, o.padding, o.padding, o.stride, 1, where),
          conv_output_size(x[3], o.kernel, o.padding, o.padding, o.stride, 1, where)};
}

// x [N, C, H, W] -> [N, C, factor*H, factor*W]
inline Shape<4> upsample_output_shape(const Shape<4>& x, Index factor, std::string_view where = "upsample") {
  require_option(factor, 1, where, "factor");
  return {x[0], x[1], x[2] * factor, x[3] * factor};
}

// x [..., In], w [Out, In] -> [..., Out]
template <std::size_t N>
Shape<N> linear_output_shape(const Shape<N>& x, const Shape<2>& w, std::string_view where = "linear") {
  static_assert(N >= 1);
  require(x[N - 1] == w[1], where, std::to_string(w[1]) + " features as in weight " + to_string(w), to_string(x));
  Shape<N> y = x;
  y[N - 1] = w[0];
  return y;
}

// [..., M, K] x [..., K, N] -> [..., M, N]; a transposed operand is given as [..., K, M] or [..., N, K].
template <std::size_t R>
Shape<R> matmul_output_shape(const Shape<R>& a, const Shape<R>& b, bool transpose_a, bool transpose_b,
                             std::string_view where = "matmul") {
  static_assert(R >= 2);
  Shape<R> y = a;
  const Index k_a = transpose_a ? a[R - 2] : a[R - 1], k_b = transpose_b ? b[R - 1] : b[R - 2];
  bool fits = k_a == k_b;
  for (std::size_t d = 0; d + 2 < R; ++d) fits = fits && a[d] == b[d];
  require(fits, where, "the same inner dimension and batch in both", to_string(a) + " and " + to_string(b));
  y[R - 2] = transpose_a ? a[R - 1] : a[R - 2];
  y[R - 1] = transpose_b ? b[R - 2] : b[R - 1];
  return y;
}

// x [N, C, ...]: C divisible by groups, and something to take the mean of.
template <std::size_t N>
void require_groups(const Shape<N>& x, Index groups, std::string_view where = "group_norm") {
  static_assert(N >= 2);
  require_option(groups, 1, where, "groups");
  require(x[1] % groups == 0 && x[1] > 0, where, "channels divisible by " + std::to_string(groups) + " groups",
          to_string(x));
  for (std::size_t d = 2; d < N; ++d) require(x[d] > 0, where, "at least one pixel", to_string(x));
}

// x [N, C, H, W] -> how many values of one channel there are. The unbiased variance of a batch needs two of them.
inline Index require_batch(const Shape<4>& x, bool training, std::string_view where = "batch_norm") {
  const Index count = x[0] * x[2] * x[3];
  require(!training || count > 1, where, "more than one value a channel to train on", to_string(x));
  return count;
}

// The sizes of an attention, checked.
struct AttentionSizes {
  Index batch, heads, queries, keys, width, value_width;  // N, A, L, S, d, dv
  double scale;
};
// q [N, L, A*d], k [N, S, A*d], v [N, S, A*dv], mask [L, S] or nullptr
inline AttentionSizes attention_sizes(const Shape<3>& q, const Shape<3>& k, const Shape<3>& v,
                                      const AttentionOptions& o, const Shape<2>* mask,
                                      std::string_view where = "attention") {
  require_option(o.heads, 1, where, "heads");
  require(q[2] == k[2] && q[2] % o.heads == 0 && q[2] > 0, where,
          "queries and keys of one width, divisible by " + std::to_string(o.heads) + " heads",
          to_string(q) + " and " + to_string(k));
  require(v[2] % o.heads == 0, where, "values of a width divisible by " + std::to_string(o.heads) + " heads",
          to_string(v));
  require(q[0] == k[0] && k[0] == v[0], where, "one batch size",
          to_string(q) + ", " + to_string(k) + ", " + to_string(v));
  require(k[1] == v[1], where, "as many values as keys", to_string(k) + " and " + to_string(v));
  require(k[1] > 0 || q[1] == 0, where, "at least one key to attend to", to_string(k));
  if (mask) require_shape(*mask, Shape<2>{q[1], k[1]}, where, "mask: one row a query, one column a key");
  if (!std::isfinite(o.scale)) throw ConfigError(where, "a finite scale", std::to_string(o.scale));
  const Index d = q[2] / o.heads;
  return {q[0], o.heads, q[1], k[1], d, v[2] / o.heads, o.scale != 0 ? o.scale : 1 / std::sqrt(static_cast<double>(d))};
}

// The backward of attention finds the weights again as e^(s - lse). Where lse is beyond 1 / epsilon (8.4 million for
// float) it is off by one and more, and the weights by a factor; what is not finite may pass and shows in the result.
// lse [N, A, L]
template <class T>
void require_precise_lse(const Tensor<T, 3>& lse, std::string_view where) {
  constexpr T most = 1 / std::numeric_limits<T>::epsilon();
  for (const T value : lse)
    if (std::isfinite(value) && std::abs(value) > most)
      throw ConfigError(where, "scores between " + std::to_string(-most) + " and " + std::to_string(most),
                        "a query whose logarithm of the sum of e^scores is " + std::to_string(value),
                        "a mask says -infinity for a key that must not be seen, and a query may see none");
}

// The shape without one axis.
template <std::size_t N>
Shape<N - 1> reduced_shape(const Shape<N>& x, Index axis, std::string_view where) {
  static_assert(N >= 1);
  const std::size_t a = checked_axis(axis, N, where);
  Shape<N - 1> y{};
  for (std::size_t d = 0, e = 0; d < N; ++d)
    if (d != a) y[e++] = x[d];
  return y;
}

// x [..., 2D] -> [..., D]
template <std::size_t N>
Shape<N> geglu_output_shape(const Shape<N>& x, std::string_view where = "geglu") {
  static_assert(N >= 1);
  require(x[N - 1] % 2 == 0, where, "an even last dimension (value and gate)", to_string(x));
  Shape<N> y = x;
  y[N - 1] /= 2;
  return y;
}

// a and b joined along an axis: every other dimension must agree.
template <std::size_t N>
Shape<N> concat_output_shape(const Shape<N>& a, const Shape<N>& b, Index axis, std::string_view where = "concat") {
  const std::size_t x = checked_axis(axis, N, where);
  Shape<N> y = a;
  y[x] = b[x];
  require(y == b, where, "shapes that differ only in dimension " + std::to_string(x),
          to_string(a) + " and " + to_string(b));
  y[x] = a[x] + b[x];
  return y;
}
// Indices begin..end-1 of an axis.
template <std::size_t N>
Shape<N> slice_output_shape(const Shape<N>& x, Index axis, Index begin, Index end, std::string_view where = "slice") {
  const std::size_t a = checked_axis(axis, N, where);
  require(0 <= begin && begin <= end && end <= x[a], where, "a range within 0.." + std::to_string(x[a]),
          std::to_string(begin) + ".." + std::to_string(end));
  Shape<N> y = x;
  y[a] = end - begin;
  return y;
}
// y[d] = x[order[d]]; `order` names every axis once.
template <std::size_t N>
Shape<N> permute_output_shape(const Shape<N>& x, const std::array<std::size_t, N>& order,
                              std::string_view where = "permute") {
  std::array<bool, N> used{};
  Shape<N> y{};
  for (std::size_t d = 0; d < N; ++d) {
    require(order[d] < N && !used[order[d]], where, "every axis once", "axis " + std::to_string(order[d]));
    used[order[d]] = true;
    y[d] = x[order[d]];
  }
  return y;
}
// b, aligned with a at the right as in numpy, is repeated along the dimensions where it has 1; a is never repeated.
template <std::size_t N, std::size_t M>
void require_broadcast(const Shape<N>& a, const Shape<M>& b, std::string_view where = "binary_broadcast") {
  static_assert(M <= N, "the second operand is the one that is repeated");
  for (std::size_t d = 0; d < M; ++d)
    require(b[d] == 1 || b[d] == a[N - M + d], where, "dimensions of 1 or as in " + to_string(a), to_string(b),
            "dimensions are aligned at the right");
}

// logits [N, C, ...] -> class ids [N, ...]
template <std::size_t N>
Shape<N - 1> class_ids_shape(const Shape<N>& logits, std::string_view where = "cross_entropy") {
  static_assert(N >= 2);
  require_elements(logits, where);
  return reduced_shape(logits, 1, where);
}

// t [N] -> [N, dim]
inline Shape<2> timestep_embedding_shape(Index count, Index dim, TimestepEmbedding kind, double max_period,
                                         std::string_view where = "timestep_embedding") {
  require_option(dim, kind == TimestepEmbedding::ddpm ? 4 : 2, where, "dim");  // ddpm divides by dim / 2 - 1
  require_positive(max_period, where, "max_period");
  return {count, dim};
}

// moments [N, 2C, H, W]: mean and logarithm of the variance
inline Shape<4> moments_half_shape(const Shape<4>& moments, std::string_view where = "kl_diagonal_gaussian") {
  require(moments[1] % 2 == 0, where, "an even number of channels (mean and logvar)", to_string(moments));
  return {moments[0], moments[1] / 2, moments[2], moments[3]};
}

}  // namespace inkling::kernels
