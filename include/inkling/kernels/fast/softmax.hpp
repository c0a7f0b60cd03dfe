// Softmax along one axis. The maximum is subtracted only for stability: it cancels in the quotient.
//
// Along the last axis a row lies in one piece of memory; along another one, neighbouring columns are done together,
// a register of them at a time, so that memory is still read in order.
#pragma once
#include "inkling/kernels/fast/exponential.hpp"  // first

#include "inkling/core/tensor.hpp"
#include "inkling/kernels/fast/vector.hpp"
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::fast {

namespace softmax_detail {

// rows(at) for the start of every row of an innermost axis; columns(at, count) for every group of `count` columns.
template <class T, std::size_t N, class Rows, class Columns>
void along(const Tensor<T, N>& x, Index axis, const char* where, Rows&& rows, Columns&& columns) {
  const AxisView v = axis_view(x.shape(), axis, where);
  if (v.outer * v.length * v.inner == 0) return;
  if (v.inner == 1) return parallel_for(v.outer, 8 * v.length, [&](Index o) { rows(o * v.length, v.length); });
  const Index blocks = (v.inner + width<T> - 1) / width<T>;
  parallel_for(v.outer * blocks, 8 * v.length * width<T>, [&](Index i) {
    const Index column = i % blocks * width<T>;
    columns(i / blocks * v.length * v.inner + column, v.length, v.inner, std::min(width<T>, v.inner - column));
  });
}

// A register of columns, or the part of one at the end of the inner dimension.
template <class T>
Vec<T> get(const T* p, Index count) {
  return count == width<T> ? load(p) : load_part(p, count);
}
template <class T>
void put(T* p, const Vec<T>& v, Index count) {
  return count == width<T> ? store(p, v) : store_part<T>(p, v, count);
}

// max_i x_i and sum_i exp(x_i - max) of columns
template <class T>
std::array<Vec<T>, 2> column_max_and_sum(const T* x, Index length, Index inner, Index count) {
  Vec<T> largest = get(x, count), sum = constant<Vec<T>>(0);
  for (Index i = 1; i < length; ++i) largest = maximum(get(x + i * inner, count), largest);
  for (Index i = 0; i < length; ++i) sum = sum + exponential<T>(get(x + i * inner, count) - largest);
  return {largest, sum};
}

}  // namespace softmax_detail

// y_i = exp(x_i - max) / sum_j exp(x_j - max)
template <class T, std::size_t N>
Tensor<T, N> softmax(const Tensor<T, N>& x, Index axis) {
  using namespace softmax_detail;
  Tensor<T, N> y(x.shape(), uninitialized);
  along(
      x, axis, "softmax",
      [&](Index at, Index length) {
        const T *xr = x.data() + at, largest = max_of(length, xr);
        T* yr = y.data() + at;
        map(length, yr, [largest](const Vec<T>& v) { return exponential<T>(v - Vec<T>(largest)); }, xr);
        const T sum = static_cast<T>(sum_of<T>(length, [](const Vec<T>& v) { return v; }, yr));
        map(length, yr, [r = 1 / sum](const Vec<T>& v) { return v * Vec<T>(r); }, yr);
      },
      [&](Index at, Index length, Index inner, Index count) {
        const auto [largest, sum] = column_max_and_sum(x.data() + at, length, inner, count);
        for (Index i = 0; i < length; ++i, at += inner)
          put<T>(y.data() + at, exponential<T>(get(x.data() + at, count) - largest) / sum, count);
      });
  return y;
}

// dx_i = y_i (dy_i - sum_j dy_j y_j)
template <class T, std::size_t N>
Tensor<T, N> softmax_backward(const Tensor<T, N>& dy, const Tensor<T, N>& y, Index axis) {
  using namespace softmax_detail;
  require_shape(dy.shape(), y.shape(), "softmax_backward");
  Tensor<T, N> dx(y.shape(), uninitialized);
  along(
      y, axis, "softmax_backward",
      [&](Index at, Index length) {
        const T *dyr = dy.data() + at, *yr = y.data() + at;
        const T dot = static_cast<T>(
            sum_of<T>(length, [](const Vec<T>& d, const Vec<T>& v) { return d * v; }, dyr, yr));
        map(
            length, dx.data() + at,
            [dot](const Vec<T>& d, const Vec<T>& v) { return v * (d - Vec<T>(dot)); }, dyr, yr);
      },
      [&](Index at, Index length, Index inner, Index count) {
        Vec<T> dot = constant<Vec<T>>(0);
        for (Index i = 0; i < length; ++i)
          dot = dot + get(dy.data() + at + i * inner, count) * get(y.data() + at + i * inner, count);
        for (Index i = 0; i < length; ++i, at += inner)
          put<T>(dx.data() + at, get(y.data() + at, count) * (get(dy.data() + at, count) - dot), count);
      });
  return dx;
}

// y_i = x_i - max - log sum_j exp(x_j - max)
template <class T, std::size_t N>
Tensor<T, N> log_softmax(const Tensor<T, N>& x, Index axis) {
  using namespace softmax_detail;
  Tensor<T, N> y(x.shape(), uninitialized);
  along(
      x, axis, "log_softmax",
      [&](Index at, Index length) {
        const T *xr = x.data() + at, largest = max_of(length, xr);
        const T log_sum = static_cast<T>(std::log(
            sum_of<T>(length, [largest](const Vec<T>& v) { return exponential<T>(v - Vec<T>(largest)); }, xr)));
        map(
            length, y.data() + at,
            [=](const Vec<T>& v) { return v - Vec<T>(largest) - Vec<T>(log_sum); }, xr);
      },
      [&](Index at, Index length, Index inner, Index count) {
        const auto [largest, sum] = column_max_and_sum(x.data() + at, length, inner, count);
        const Vec<T> log_sum = log_of(sum);
        for (Index i = 0; i < length; ++i, at += inner)
          put<T>(y.data() + at, get(x.data() + at, count) - largest - log_sum, count);
      });
  return y;
}

// dx_i = dy_i - exp(y_i) sum_j dy_j
template <class T, std::size_t N>
Tensor<T, N> log_softmax_backward(const Tensor<T, N>& dy, const Tensor<T, N>& y, Index axis) {
  using namespace softmax_detail;
  require_shape(dy.shape(), y.shape(), "log_softmax_backward");
  Tensor<T, N> dx(y.shape(), uninitialized);
  along(
      y, axis, "log_softmax_backward",
      [&](Index at, Index length) {
        const T *dyr = dy.data() + at, *yr = y.data() + at;
        const T sum = static_cast<T>(sum_of<T>(length, [](const Vec<T>& d) { return d; }, dyr));
        map(
            length, dx.data() + at,
            [sum](const Vec<T>& d, const Vec<T>& v) { return d - exponential<T>(v) * Vec<T>(sum); }, dyr, yr);
      },
      [&](Index at, Index length, Index inner, Index count) {
        Vec<T> sum = constant<Vec<T>>(0);
        for (Index i = 0; i < length; ++i) sum = sum + get(dy.data() + at + i * inner, count);
        for (Index i = 0; i < length; ++i, at += inner)
          put<T>(dx.data() + at, get(dy.data() + at, count) - exponential<T>(get(y.data() + at, count)) * sum, count);
      });
  return dx;
}

}  // namespace inkling::kernels::fast
