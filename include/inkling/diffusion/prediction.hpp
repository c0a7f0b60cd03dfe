// What a network predicts, and how each kind of prediction tells both the picture x_0 and the noise eps.
//
// Everywhere x_t = alpha x_0 + sigma eps with alpha = sqrt(alpha_bar_t) and sigma = sqrt(1 - alpha_bar_t)
// (Ho et al. 2020, equation (4)), so that alpha^2 + sigma^2 = 1: two unknowns, and the prediction is the second
// equation.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "inkling/diffusion/elementwise.hpp"

namespace inkling {

enum class PredictionType {
  epsilon,       // the noise                                         Ho et al. 2020
  v_prediction,  // v = alpha eps - sigma x_0, the velocity           Salimans & Ho 2022, section 4
  sample         // the picture x_0 itself
};

template <class T>
Tensor<T, 4> predicted_x0(PredictionType type, const Tensor<T, 4>& output, const Tensor<T, 4>& x_t, double alpha_bar) {
  const T alpha = static_cast<T>(std::sqrt(alpha_bar)), sigma = static_cast<T>(std::sqrt(1 - alpha_bar));
  switch (type) {
    case PredictionType::epsilon:
      // x_0 = (x_t - sigma eps) / alpha                                            Ho et al. 2020, equation (15)
      return elementwise([=](T x, T eps) { return (x - sigma * eps) / alpha; }, x_t, output);
    case PredictionType::v_prediction:
      // x_0 = alpha x_t - sigma v                                                  Salimans & Ho 2022, appendix D
      return elementwise([=](T x, T v) { return alpha * x - sigma * v; }, x_t, output);
    case PredictionType::sample:
      break;
  }
  require_shape(output.shape(), x_t.shape(), "predicted_x0");
  return output;
}

template <class T>
Tensor<T, 4> predicted_eps(PredictionType type, const Tensor<T, 4>& output, const Tensor<T, 4>& x_t, double alpha_bar) {
  const T alpha = static_cast<T>(std::sqrt(alpha_bar)), sigma = static_cast<T>(std::sqrt(1 - alpha_bar));
  switch (type) {
    case PredictionType::v_prediction:
      // eps = alpha v + sigma x_t                                                  Salimans & Ho 2022, appendix D
      return elementwise([=](T x, T v) { return alpha * v + sigma * x; }, x_t, output);
    case PredictionType::sample:
      // eps = (x_t - alpha x_0) / sigma
      return elementwise([=](T x, T x0) { return (x - alpha * x0) / sigma; }, x_t, output);
    case PredictionType::epsilon:
      break;
  }
  require_shape(output.shape(), x_t.shape(), "predicted_eps");
  return output;
}

// Keeps a predicted picture within the range of pictures. Meant for models of pixels: latents have no such range.
struct X0Limits {
  bool clip = false;
  double clip_range = 1;
  bool dynamic = false;          // Saharia et al. 2022 (Imagen), section 2.3: dynamic thresholding; it goes before clip
  double dynamic_ratio = 0.995;  // share of the values that decides
  double dynamic_most = 1;       // the threshold never exceeds this
};

template <class T>
Tensor<T, 4> limited_x0(Tensor<T, 4> x0, const X0Limits& limits) {
  if (limits.dynamic) {
    const Index n = x0.shape(0), size = n == 0 ? 0 : x0.size() / n;
    if (size == 0) return x0;
    std::vector<T> magnitude(static_cast<std::size_t>(size));
    for (Index item = 0; item < n; ++item) {
      T* x = x0.data() + item * size;
      for (Index i = 0; i < size; ++i) magnitude[static_cast<std::size_t>(i)] = std::abs(x[i]);
      std::sort(magnitude.begin(), magnitude.end());
      // s = the given percentile of |x_0|, between two values on the straight line; x_0 <- clip(x_0, -s, s) / s
      const double position = limits.dynamic_ratio * static_cast<double>(size - 1);
      const auto below = static_cast<std::size_t>(position), above = std::min(below + 1, magnitude.size() - 1);
      const T part = static_cast<T>(position - static_cast<double>(below));
      const T quantile = magnitude[below] + part * (magnitude[above] - magnitude[below]);
      const T s = std::min(std::max(quantile, T{1}), static_cast<T>(limits.dynamic_most));
      for (Index i = 0; i < size; ++i) x[i] = std::min(std::max(x[i], -s), s) / s;
    }
  } else if (limits.clip) {
    const T range = static_cast<T>(limits.clip_range);
    for (T& x : x0) x = std::min(std::max(x, -range), range);
  }
  return x0;
}

}  // namespace inkling
