// Softmax and its logarithm along one axis.
#pragma once
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::reference {

// The maximum of one line of x; subtracting it leaves softmax unchanged and keeps e^ from overflowing.
template <class T>
T line_maximum(const T* x, Index length, Index step) {
  T maximum = x[0];
  for (Index i = 1; i < length; ++i) maximum = std::max(maximum, x[i * step]);
  return maximum;
}

// x [...] -> y [...], sum of y along the axis = 1
template <class T, std::size_t N>
Tensor<T, N> softmax(const Tensor<T, N>& x, Index axis) {
  Tensor<T, N> y(x.shape());
  const AxisView v = axis_view(x.shape(), axis, "softmax");
  if (x.empty()) return y;
  for (Index o = 0; o < v.outer; ++o)
    for (Index n = 0; n < v.inner; ++n) {
      const Index start = o * v.length * v.inner + n;
      const T maximum = line_maximum(x.data() + start, v.length, v.inner);
      // y_i = e^(x_i) / sum over j of  e^(x_j)
      T sum = 0;
      for (Index i = 0; i < v.length; ++i) sum += std::exp(x.data()[start + i * v.inner] - maximum);
      for (Index i = 0; i < v.length; ++i)
        y.data()[start + i * v.inner] = std::exp(x.data()[start + i * v.inner] - maximum) / sum;
    }
  return y;
}

// dy, y [...] -> dx [...]
template <class T, std::size_t N>
Tensor<T, N> softmax_backward(const Tensor<T, N>& dy, const Tensor<T, N>& y, Index axis) {
  require_shape(dy.shape(), y.shape(), "softmax_backward");
  Tensor<T, N> dx(y.shape());
  const AxisView v = axis_view(y.shape(), axis, "softmax_backward");
  for (Index o = 0; o < v.outer; ++o)
    for (Index n = 0; n < v.inner; ++n) {
      const Index start = o * v.length * v.inner + n;
      // dy_i/dx_j = y_i ([i = j] - y_j)   =>   dx_j = y_j (dy_j - sum over i of  dy_i y_i)
      T sum = 0;
      for (Index i = 0; i < v.length; ++i) sum += dy.data()[start + i * v.inner] * y.data()[start + i * v.inner];
      for (Index j = 0; j < v.length; ++j) {
        const Index at = start + j * v.inner;
        dx.data()[at] = y.data()[at] * (dy.data()[at] - sum);
      }
    }
  return dx;
}

// x [...] -> y [...] = log softmax(x)
template <class T, std::size_t N>
Tensor<T, N> log_softmax(const Tensor<T, N>& x, Index axis) {
  Tensor<T, N> y(x.shape());
  const AxisView v = axis_view(x.shape(), axis, "log_softmax");
  if (x.empty()) return y;
  for (Index o = 0; o < v.outer; ++o)
    for (Index n = 0; n < v.inner; ++n) {
      const Index start = o * v.length * v.inner + n;
      const T maximum = line_maximum(x.data() + start, v.length, v.inner);
      // y_i = x_i - log sum over j of  e^(x_j)
      T sum = 0;
      for (Index i = 0; i < v.length; ++i) sum += std::exp(x.data()[start + i * v.inner] - maximum);
      for (Index i = 0; i < v.length; ++i)
        y.data()[start + i * v.inner] = x.data()[start + i * v.inner] - maximum - std::log(sum);
    }
  return y;
}

// dy, y [...] with y = log_softmax(x) -> dx [...]
template <class T, std::size_t N>
Tensor<T, N> log_softmax_backward(const Tensor<T, N>& dy, const Tensor<T, N>& y, Index axis) {
  require_shape(dy.shape(), y.shape(), "log_softmax_backward");
  Tensor<T, N> dx(y.shape());
  const AxisView v = axis_view(y.shape(), axis, "log_softmax_backward");
  for (Index o = 0; o < v.outer; ++o)
    for (Index n = 0; n < v.inner; ++n) {
      const Index start = o * v.length * v.inner + n;
      // dy_i/dx_j = [i = j] - e^(y_j)   =>   dx_j = dy_j - e^(y_j) sum over i of  dy_i
      T sum = 0;
      for (Index i = 0; i < v.length; ++i) sum += dy.data()[start + i * v.inner];
      for (Index j = 0; j < v.length; ++j) {
        const Index at = start + j * v.inner;
        dx.data()[at] = dy.data()[at] - std::exp(y.data()[at]) * sum;
      }
    }
  return dx;
}

}  // namespace inkling::kernels::reference
