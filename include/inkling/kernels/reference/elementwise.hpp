// Arithmetic element by element, and moving elements around. Nothing broadcasts unless the name says so.
#pragma once
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::reference {

template <class T>
T binary_value(Binary op, T a, T b) {
  switch (op) {
    case Binary::add:
      return a + b;
    case Binary::sub:
      return a - b;
    case Binary::mul:
      return a * b;
    case Binary::div:
      return a / b;
  }
  throw ConfigError("binary", "a known operation", std::to_string(static_cast<int>(op)));
}
template <class T>
T binary_slope_a(Binary op, T b) {
  return op == Binary::mul ? b : op == Binary::div ? 1 / b : T{1};
}
template <class T>
T binary_slope_b(Binary op, T a, T b) {
  return op == Binary::mul ? a : op == Binary::div ? -a / (b * b) : op == Binary::sub ? T{-1} : T{1};
}

// Where in b the element stands that goes with element i of a: b is aligned at the right, its dimensions of 1 repeat.
template <std::size_t N, std::size_t M>
Index broadcast_index(Index i, const Shape<N>& a, const Shape<M>& b) {
  Index at = 0, step = 1;
  for (std::size_t d = M; d-- > 0;) {
    const Index size = a[N - M + d], coordinate = i % size;
    i /= size;
    if (b[d] != 1) at += coordinate * step;
    step *= b[d];
  }
  return at;
}

// a, b [...] -> y [...]
template <class T, std::size_t N>
Tensor<T, N> binary(Binary op, const Tensor<T, N>& a, const Tensor<T, N>& b) {
  require_shape(b.shape(), a.shape(), "binary", "binary_broadcast repeats the second operand");
  Tensor<T, N> y(a.shape());
  for (Index i = 0; i < a.size(); ++i) y.data()[i] = binary_value(op, a.data()[i], b.data()[i]);
  return y;
}

// a [N dimensions], b [M dimensions, M <= N] -> y shaped as a
template <class T, std::size_t N, std::size_t M>
Tensor<T, N> binary_broadcast(Binary op, const Tensor<T, N>& a, const Tensor<T, M>& b) {
  require_broadcast(a.shape(), b.shape());
  Tensor<T, N> y(a.shape());
  for (Index i = 0; i < a.size(); ++i)
    y.data()[i] = binary_value(op, a.data()[i], b.data()[broadcast_index(i, a.shape(), b.shape())]);
  return y;
}
// dy shaped as a -> da shaped as a, db shaped as b
template <class T, std::size_t N, std::size_t M>
BroadcastGradients<T, N, M> binary_broadcast_backward(Binary op, const Tensor<T, N>& dy, const Tensor<T, N>& a,
                                                      const Tensor<T, M>& b) {
  require_broadcast(a.shape(), b.shape(), "binary_broadcast_backward");
  require_shape(dy.shape(), a.shape(), "binary_broadcast_backward");
  BroadcastGradients<T, N, M> d{Tensor<T, N>(a.shape()), Tensor<T, M>(b.shape())};
  for (Index i = 0; i < a.size(); ++i) {
    const Index j = broadcast_index(i, a.shape(), b.shape());
    d.da.data()[i] = dy.data()[i] * binary_slope_a(op, b.data()[j]);
    d.db.data()[j] += dy.data()[i] * binary_slope_b(op, a.data()[i], b.data()[j]);  // used often, learns often
  }
  return d;
}

// x [...] -> y without the axis
template <class T, std::size_t N>
Tensor<T, N - 1> sum(const Tensor<T, N>& x, Index axis) {
  Tensor<T, N - 1> y(reduced_shape(x.shape(), axis, "sum"));
  const AxisView v = axis_view(x.shape(), axis, "sum");
  for (Index o = 0; o < v.outer; ++o)
    for (Index i = 0; i < v.length; ++i)
      for (Index n = 0; n < v.inner; ++n) y.data()[o * v.inner + n] += x.data()[(o * v.length + i) * v.inner + n];
  return y;
}
// dy without the axis -> dx [...]
template <class T, std::size_t N>
Tensor<T, N> sum_backward(const Tensor<T, N - 1>& dy, const Shape<N>& x_shape, Index axis) {
  require_shape(dy.shape(), reduced_shape(x_shape, axis, "sum_backward"), "sum_backward");
  Tensor<T, N> dx(x_shape);
  const AxisView v = axis_view(x_shape, axis, "sum_backward");
  for (Index o = 0; o < v.outer; ++o)
    for (Index i = 0; i < v.length; ++i)
      for (Index n = 0; n < v.inner; ++n) dx.data()[(o * v.length + i) * v.inner + n] = dy.data()[o * v.inner + n];
  return dx;
}

// x [...] times a number
template <class T, std::size_t N>
Tensor<T, N> scale(const Tensor<T, N>& x, std::type_identity_t<T> factor) {
  Tensor<T, N> y(x.shape());
  for (Index i = 0; i < x.size(); ++i) y.data()[i] = factor * x.data()[i];
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
  return scale(sum_backward<T, N>(dy, x_shape, axis), 1 / static_cast<T>(length));
}

// into += x: how gradients from several uses of one tensor meet
template <class T, std::size_t N>
void accumulate(Tensor<T, N>& into, const Tensor<T, N>& x) {
  require_shape(x.shape(), into.shape(), "accumulate");
  for (Index i = 0; i < x.size(); ++i) into.data()[i] += x.data()[i];
}

// a, then b, along the axis. The gradients are slices of dy.
template <class T, std::size_t N>
Tensor<T, N> concat(const Tensor<T, N>& a, const Tensor<T, N>& b, Index axis) {
  Tensor<T, N> y(concat_output_shape(a.shape(), b.shape(), axis));
  const AxisView va = axis_view(a.shape(), axis, "concat"), vb = axis_view(b.shape(), axis, "concat");
  const Index length = va.length + vb.length;
  for (Index o = 0; o < va.outer; ++o)
    for (Index i = 0; i < length; ++i)
      for (Index n = 0; n < va.inner; ++n)
        y.data()[(o * length + i) * va.inner + n] = i < va.length
                                                        ? a.data()[(o * va.length + i) * va.inner + n]
                                                        : b.data()[(o * vb.length + i - va.length) * va.inner + n];
  return y;
}

// The indices begin..end-1 of the axis.
template <class T, std::size_t N>
Tensor<T, N> slice(const Tensor<T, N>& x, Index axis, Index begin, Index end) {
  Tensor<T, N> y(slice_output_shape(x.shape(), axis, begin, end));
  const AxisView v = axis_view(x.shape(), axis, "slice");
  for (Index o = 0; o < v.outer; ++o)
    for (Index i = begin; i < end; ++i)
      for (Index n = 0; n < v.inner; ++n)
        y.data()[(o * (end - begin) + i - begin) * v.inner + n] = x.data()[(o * v.length + i) * v.inner + n];
  return y;
}
// dx is dy where the slice was, and zero elsewhere.
template <class T, std::size_t N>
Tensor<T, N> slice_backward(const Tensor<T, N>& dy, const Shape<N>& x_shape, Index axis, Index begin) {
  const AxisView v = axis_view(x_shape, axis, "slice_backward");
  const Index end = begin + axis_view(dy.shape(), axis, "slice_backward").length;
  require_shape(dy.shape(), slice_output_shape(x_shape, axis, begin, end, "slice_backward"), "slice_backward");
  Tensor<T, N> dx(x_shape);
  for (Index o = 0; o < v.outer; ++o)
    for (Index i = begin; i < end; ++i)
      for (Index n = 0; n < v.inner; ++n)
        dx.data()[(o * v.length + i) * v.inner + n] = dy.data()[(o * (end - begin) + i - begin) * v.inner + n];
  return dx;
}

// Dimension d of y is dimension order[d] of x. The gradient is the permutation back.
template <class T, std::size_t N>
Tensor<T, N> permute(const Tensor<T, N>& x, const std::array<std::size_t, N>& order) {
  Tensor<T, N> y(permute_output_shape(x.shape(), order));
  Shape<N> stride{};  // of x
  Index step = 1;
  for (std::size_t d = N; d-- > 0; step *= x.shape(d)) stride[d] = step;
  for (Index i = 0; i < y.size(); ++i) {
    Index at = 0, rest = i;
    for (std::size_t d = N; d-- > 0; rest /= y.shape(d)) at += rest % y.shape(d) * stride[order[d]];
    y.data()[i] = x.data()[at];
  }
  return y;
}

// x [..., D] -> y [..., D] = x / |x|, along the last dimension
template <class T, std::size_t N>
Tensor<T, N> normalize_l2(const Tensor<T, N>& x) {
  Tensor<T, N> y(x.shape());
  const Index rows = row_count(x.shape()), D = x.shape(N - 1);
  for (Index r = 0; r < rows; ++r) {
    T square = 0;
    for (Index i = 0; i < D; ++i) square += x.data()[r * D + i] * x.data()[r * D + i];
    const T length = std::max(std::sqrt(square), static_cast<T>(shortest_length));
    for (Index i = 0; i < D; ++i) y.data()[r * D + i] = x.data()[r * D + i] / length;
  }
  return y;
}
// dy, x [..., D] -> dx [..., D]
template <class T, std::size_t N>
Tensor<T, N> normalize_l2_backward(const Tensor<T, N>& dy, const Tensor<T, N>& x) {
  require_shape(dy.shape(), x.shape(), "normalize_l2_backward");
  Tensor<T, N> dx(x.shape());
  const Index rows = row_count(x.shape()), D = x.shape(N - 1);
  for (Index r = 0; r < rows; ++r) {
    T square = 0, dy_x = 0;
    for (Index i = 0; i < D; ++i) {
      square += x.data()[r * D + i] * x.data()[r * D + i];
      dy_x += dy.data()[r * D + i] * x.data()[r * D + i];
    }
    const T length = std::max(std::sqrt(square), static_cast<T>(shortest_length));
    // Only what is across x changes the direction: dx = (dy - y (dy . y)) / |x|; a length held fixed passes all of dy.
    const bool fixed = std::sqrt(square) < static_cast<T>(shortest_length);
    for (Index i = 0; i < D; ++i) {
      const T along = fixed ? T{0} : x.data()[r * D + i] / length * (dy_x / length);
      dx.data()[r * D + i] = (dy.data()[r * D + i] - along) / length;
    }
  }
  return dx;
}

}  // namespace inkling::kernels::reference
