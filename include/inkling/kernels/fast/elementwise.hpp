// Scaling, sums, and moving elements around; arithmetic on two tensors stands in binary.hpp.
// All of it is bounded by memory: what counts is to read in order and to keep every thread busy.
#pragma once
#include "inkling/kernels/fast/pack.hpp"  // first

#include "inkling/kernels/fast/binary.hpp"

namespace inkling::kernels::fast {

namespace elementwise_detail {

// `rows` pieces of `size` elements each, from one spacing to another.
template <class T>
void copy_rows(Index rows, Index size, const T* from, Index from_step, T* to, Index to_step) {
  const Index pieces = (size + piece_size - 1) / piece_size;
  parallel_for(rows * pieces, std::min(size, piece_size), [&](Index p) {
    const Index row = p / pieces, at = p % pieces * piece_size;
    std::copy_n(from + row * from_step + at, std::min(piece_size, size - at), to + row * to_step + at);
  });
}

// One dimension of a permuted tensor: by how much the position in x and in y grows along it.
struct PermutedDimension {
  Index size, x_step, y_step;
};

// `dims` as they stand in y. Dimensions that lie behind each other in x and in y count as one; then two matter: the one
// innermost in y and the one innermost in x. Where they differ, the plane that they span is transposed in strips of one
// cache line's width, so that each line of memory is touched once on either side.
template <class T>
void permute_into(const std::vector<PermutedDimension>& dims, const T* x, T* y) {
  std::vector<PermutedDimension> outer;
  for (const PermutedDimension& d : dims) {
    if (d.size == 0) return;
    if (d.size == 1) continue;
    if (!outer.empty() && outer.back().x_step == d.size * d.x_step)
      outer.back() = {outer.back().size * d.size, d.x_step, d.y_step};
    else
      outer.push_back(d);
  }
  if (outer.empty()) outer.push_back({1, 1, 1});
  const PermutedDimension last = outer.back();
  outer.pop_back();
  PermutedDimension across{1, 1, 1};
  if (last.x_step != 1) {
    const auto found = std::find_if(outer.begin(), outer.end(), [](const auto& d) { return d.x_step == 1; });
    across = *found;
    outer.erase(found);
  }
  Index planes = 1;
  for (const auto& d : outer) planes *= d.size;
  constexpr Index width = 16;
  const Index strips = (across.size + width - 1) / width;
  parallel_for(planes * strips, 2 * std::min(across.size, width) * last.size, [&](Index p) {
    Index from = 0, to = 0, rest = p / strips;
    for (std::size_t d = outer.size(); d-- > 0; rest /= outer[d].size) {
      from += rest % outer[d].size * outer[d].x_step;
      to += rest % outer[d].size * outer[d].y_step;
    }
    const Index i = p % strips * width;
    if (last.x_step == 1)
      std::copy_n(x + from, last.size, y + to);
    else
      transpose(x + from + i, last.x_step, last.size, std::min(width, across.size - i),
                y + to + i * across.y_step, across.y_step);
  });
}

}  // namespace elementwise_detail

// x [...] -> y without the axis
template <class T, std::size_t N>
Tensor<T, N - 1> sum(const Tensor<T, N>& x, Index axis) {
  Tensor<T, N - 1> y(reduced_shape(x.shape(), axis, "sum"));
  const AxisView v = axis_view(x.shape(), axis, "sum");
  parallel_for(v.outer, v.length * v.inner, [&](Index o) {
    const T* xo = x.data() + o * v.length * v.inner;
    if (v.inner == 1)
      y.data()[o] = static_cast<T>(sum_of<T>(
          v.length, [](const Vec<T>& e) { return e; }, xo));
    else
      sum_rows(v.length, v.inner, y.data() + o * v.inner, [&](Index r, Index begin, Index count, T* to) {
        map(
            count, to, [](const Vec<T>& s, const Vec<T>& e) { return s + e; }, to, xo + r * v.inner + begin);
      });
  });
  return y;
}
// dy without the axis -> dx [...]
template <class T, std::size_t N>
Tensor<T, N> sum_backward(const Tensor<T, N - 1>& dy, const Shape<N>& x_shape, Index axis) {
  require_shape(dy.shape(), reduced_shape(x_shape, axis, "sum_backward"), "sum_backward");
  Tensor<T, N> dx(x_shape, uninitialized);
  const AxisView v = axis_view(x_shape, axis, "sum_backward");
  parallel_for(v.outer, v.length * v.inner, [&](Index o) {
    T* to = dx.data() + o * v.length * v.inner;
    if (v.inner == 1)
      std::fill_n(to, v.length, dy.data()[o]);
    else
      for (Index i = 0; i < v.length; ++i) std::copy_n(dy.data() + o * v.inner, v.inner, to + i * v.inner);
  });
  return dx;
}

// x [...] times a number
template <class T, std::size_t N>
Tensor<T, N> scale(const Tensor<T, N>& x, std::type_identity_t<T> factor) {
  Tensor<T, N> y(x.shape(), uninitialized);
  parallel_map(
      x.size(), 1, y.data(), [factor](const Vec<T>& v) { return Vec<T>(factor) * v; }, x.data());
  return y;
}

// x [...] -> y without the axis: the sum divided by the axis' length
template <class T, std::size_t N>
Tensor<T, N - 1> mean(const Tensor<T, N>& x, Index axis) {
  const Index length = axis_view(x.shape(), axis, "mean").length;
  require(length > 0, "mean", "at least one element along the axis", to_string(x.shape()));
  return scale(sum(x, axis), 1 / static_cast<T>(length));
}
template <class T, std::size_t N>
Tensor<T, N> mean_backward(const Tensor<T, N - 1>& dy, const Shape<N>& x_shape, Index axis) {
  const Index length = axis_view(x_shape, axis, "mean_backward").length;
  require(length > 0, "mean_backward", "at least one element along the axis", to_string(x_shape));
  return sum_backward<T, N>(scale(dy, 1 / static_cast<T>(length)), x_shape, axis);
}

// a, then b, along the axis. The gradients are slices of dy.
template <class T, std::size_t N>
Tensor<T, N> concat(const Tensor<T, N>& a, const Tensor<T, N>& b, Index axis) {
  Tensor<T, N> y(concat_output_shape(a.shape(), b.shape(), axis), uninitialized);
  const AxisView va = axis_view(a.shape(), axis, "concat"), vb = axis_view(b.shape(), axis, "concat");
  const Index size_a = va.length * va.inner, size_b = vb.length * vb.inner, step = size_a + size_b;
  elementwise_detail::copy_rows(va.outer, size_a, a.data(), size_a, y.data(), step);
  elementwise_detail::copy_rows(va.outer, size_b, b.data(), size_b, y.data() + size_a, step);
  return y;
}

// The indices begin..end-1 of the axis.
template <class T, std::size_t N>
Tensor<T, N> slice(const Tensor<T, N>& x, Index axis, Index begin, Index end) {
  Tensor<T, N> y(slice_output_shape(x.shape(), axis, begin, end), uninitialized);
  const AxisView v = axis_view(x.shape(), axis, "slice");
  const Index size = (end - begin) * v.inner;
  elementwise_detail::copy_rows(v.outer, size, x.data() + begin * v.inner, v.length * v.inner, y.data(), size);
  return y;
}
// dx is dy where the slice was, and zero elsewhere.
template <class T, std::size_t N>
Tensor<T, N> slice_backward(const Tensor<T, N>& dy, const Shape<N>& x_shape, Index axis, Index begin) {
  const AxisView v = axis_view(x_shape, axis, "slice_backward");
  const Index length = axis_view(dy.shape(), axis, "slice_backward").length, size = length * v.inner;
  require_shape(dy.shape(), slice_output_shape(x_shape, axis, begin, begin + length, "slice_backward"),
                "slice_backward");
  Tensor<T, N> dx(x_shape);
  elementwise_detail::copy_rows(v.outer, size, dy.data(), size, dx.data() + begin * v.inner, v.length * v.inner);
  return dx;
}

// Dimension d of y is dimension order[d] of x. The gradient is the permutation back.
template <class T, std::size_t N>
Tensor<T, N> permute(const Tensor<T, N>& x, const std::array<std::size_t, N>& order) {
  Tensor<T, N> y(permute_output_shape(x.shape(), order), uninitialized);
  Shape<N> x_step{};
  for (std::size_t d = N, step = 1; d-- > 0; step *= static_cast<std::size_t>(x.shape(d)))
    x_step[d] = static_cast<Index>(step);
  std::vector<elementwise_detail::PermutedDimension> dims(N);
  Index y_step = 1;
  for (std::size_t d = N; d-- > 0; y_step *= y.shape(d)) dims[d] = {y.shape(d), x_step[order[d]], y_step};
  elementwise_detail::permute_into(dims, x.data(), y.data());
  return y;
}

// x [..., D] -> y [..., D] = x / |x|, along the last dimension
template <class T, std::size_t N>
Tensor<T, N> normalize_l2(const Tensor<T, N>& x) {
  Tensor<T, N> y(x.shape(), uninitialized);
  const Index rows = row_count(x.shape()), D = x.shape(N - 1);
  parallel_for(rows, 2 * D, [&](Index r) {
    const T* xr = x.data() + r * D;
    const double square = sum_of<T>(
        D, [](const Vec<T>& v) { return v * v; }, xr);
    const T length = static_cast<T>(std::max(std::sqrt(square), shortest_length));
    map(
        D, y.data() + r * D, [length](const Vec<T>& v) { return v / Vec<T>(length); }, xr);
  });
  return y;
}
// Only what is across x changes the direction: dx = (dy - y (dy . y)) / |x|; a length held fixed passes all of dy.
// dy, x [..., D] -> dx [..., D]
template <class T, std::size_t N>
Tensor<T, N> normalize_l2_backward(const Tensor<T, N>& dy, const Tensor<T, N>& x) {
  require_shape(dy.shape(), x.shape(), "normalize_l2_backward");
  Tensor<T, N> dx(x.shape(), uninitialized);
  const Index rows = row_count(x.shape()), D = x.shape(N - 1);
  parallel_for(rows, 6 * D, [&](Index r) {
    const T *xr = x.data() + r * D, *dyr = dy.data() + r * D;
    const std::array<double, 2> s = sums<T, 2>(
        D,
        [](const Vec<T>& v, const Vec<T>& d) {
          return std::array<Vec<T>, 2>{v * v, v * d};
        },
        xr, dyr);
    const double length = std::max(std::sqrt(s[0]), shortest_length);
    const bool fixed = std::sqrt(s[0]) < shortest_length;
    const T inverse = static_cast<T>(1 / length);
    const T along = fixed ? T{0} : static_cast<T>(s[1] / length / length);  // (dy . y) / |x|, so times x it is along y
    map(
        D, dx.data() + r * D,
        [=](const Vec<T>& d, const Vec<T>& v) { return (d - Vec<T>(along) * v) * Vec<T>(inverse); }, dyr, xr);
  });
  return dx;
}

}  // namespace inkling::kernels::fast
