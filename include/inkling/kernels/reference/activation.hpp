// Activation functions and their derivatives, element by element.
#pragma once
#include <numbers>

#include "inkling/kernels/options.hpp"

namespace inkling::kernels::reference {

// 1 / (1 + e^-x), written so that e^ never overflows.
template <class T>
T sigmoid(T x) {
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const T e = std::exp(x);
  return e / (1 + e);
}
// P(X <= x) of a standard normal X: (1 + erf(x / sqrt 2)) / 2 = erfc(-x / sqrt 2) / 2; erfc does not cancel at x << 0.
template <class T>
T normal_cdf(T x) {
  return std::erfc(-x / std::numbers::sqrt2_v<T>) / 2;
}
// Its density, e^(-x^2 / 2) / sqrt(2 pi).
template <class T>
T normal_pdf(T x) {
  return std::exp(-x * x / 2) * std::numbers::inv_sqrtpi_v<T> / std::numbers::sqrt2_v<T>;
}

template <class T>
inline constexpr T quick_gelu_rate = T(1.702);  // the logistic curve nearest to the normal one (GELU paper, section 2)
template <class T>
inline constexpr T gelu_tanh_cubic = T(0.044715);  // fitted to the normal curve as well (the same place)
template <class T>
T gelu_tanh_scale() {
  return std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>;  // sqrt(2 / pi): equal slope at 0
}

// One function a line reads best.
// clang-format off
template <class T>
T activation_value(Activation kind, T x) {
  switch (kind) {
    case Activation::silu: return x * sigmoid(x);     // Elfwing et al. 2017, equation 8
    case Activation::gelu: return x * normal_cdf(x);  // Hendrycks & Gimpel 2016, section 2
    case Activation::gelu_tanh:
      return x / 2 * (1 + std::tanh(gelu_tanh_scale<T>() * (x + gelu_tanh_cubic<T> * x * x * x)));
    case Activation::quick_gelu: return x * sigmoid(quick_gelu_rate<T> * x);
    case Activation::sigmoid: return sigmoid(x);
    case Activation::tanh: return std::tanh(x);
    case Activation::softplus: return std::max(x, T{0}) + std::log1p(std::exp(-std::abs(x)));  // log(1 + e^x)
    case Activation::leaky_relu: return x > 0 ? x : static_cast<T>(leaky_relu_slope) * x;
    case Activation::exp: return std::exp(x);
    case Activation::relu: return x < 0 ? T{0} : x;  // this way round a NaN stays visible
  }
  throw ConfigError("activation", "a known activation", std::to_string(static_cast<int>(kind)));
}

template <class T>
T activation_slope(Activation kind, T x) {
  switch (kind) {
    case Activation::silu: return sigmoid(x) * (1 + x * sigmoid(-x));  // s' = s (1 - s), and 1 - s(x) = s(-x)
    case Activation::gelu: return normal_cdf(x) + x * normal_pdf(x);
    case Activation::gelu_tanh: {
      const T t = std::tanh(gelu_tanh_scale<T>() * (x + gelu_tanh_cubic<T> * x * x * x));
      const T du = gelu_tanh_scale<T>() * (1 + 3 * gelu_tanh_cubic<T> * x * x);
      const T dt = 1 - t * t;  // zero far out, where du may be infinite
      return (1 + t) / 2 + (dt == 0 ? T{0} : x / 2 * dt * du);
    }
    case Activation::quick_gelu: {
      const T a = quick_gelu_rate<T> * x;
      return sigmoid(a) * (1 + a * sigmoid(-a));
    }
    case Activation::sigmoid: return sigmoid(x) * sigmoid(-x);
    case Activation::tanh: return 1 - std::tanh(x) * std::tanh(x);
    case Activation::softplus: return sigmoid(x);
    case Activation::leaky_relu: return x > 0 ? T{1} : static_cast<T>(leaky_relu_slope);
    case Activation::exp: return std::exp(x);
    case Activation::relu: return x > 0 ? T{1} : T{0};
  }
  throw ConfigError("activation_backward", "a known activation", std::to_string(static_cast<int>(kind)));
}
// clang-format on

// x [...] -> y [...]
template <class T, std::size_t N>
Tensor<T, N> activation(Activation kind, const Tensor<T, N>& x) {
  Tensor<T, N> y(x.shape());
  for (Index i = 0; i < x.size(); ++i) y.data()[i] = activation_value(kind, x.data()[i]);
  return y;
}

// dy, x [...] -> dx [...]
template <class T, std::size_t N>
Tensor<T, N> activation_backward(Activation kind, const Tensor<T, N>& dy, const Tensor<T, N>& x) {
  require_shape(dy.shape(), x.shape(), "activation_backward");
  Tensor<T, N> dx(x.shape());
  for (Index i = 0; i < x.size(); ++i) dx.data()[i] = dy.data()[i] * activation_slope(kind, x.data()[i]);
  return dx;
}

// GEGLU (Shazeer 2020, equation 5): one half of the features gates the other.
// x [..., 2D] = (a, g) -> y [..., D]
template <class T, std::size_t N>
Tensor<T, N> geglu(const Tensor<T, N>& x) {
  Tensor<T, N> y(geglu_output_shape(x.shape()));
  const Index rows = row_count(x.shape()), D = y.shape(N - 1);
  for (Index r = 0; r < rows; ++r)
    for (Index i = 0; i < D; ++i) {
      const T a = x.data()[r * 2 * D + i], g = x.data()[r * 2 * D + D + i];
      y.data()[r * D + i] = a * activation_value(Activation::gelu, g);  // y = a gelu(g)
    }
  return y;
}

// dy [..., D], x [..., 2D] -> dx [..., 2D]
template <class T, std::size_t N>
Tensor<T, N> geglu_backward(const Tensor<T, N>& dy, const Tensor<T, N>& x) {
  require_shape(dy.shape(), geglu_output_shape(x.shape()), "geglu_backward");
  Tensor<T, N> dx(x.shape());
  const Index rows = row_count(x.shape()), D = dy.shape(N - 1);
  for (Index r = 0; r < rows; ++r)
    for (Index i = 0; i < D; ++i) {
      const T a = x.data()[r * 2 * D + i], g = x.data()[r * 2 * D + D + i], dyi = dy.data()[r * D + i];
      // y = a gelu(g)   =>   da = dy gelu(g),  dg = dy a gelu'(g)
      dx.data()[r * 2 * D + i] = dyi * activation_value(Activation::gelu, g);
      dx.data()[r * 2 * D + D + i] = dyi * a * activation_slope(Activation::gelu, g);
    }
  return dx;
}

}  // namespace inkling::kernels::reference
