// How alike two pictures are, and how sharp one is.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "inkling/core/tensor.hpp"

namespace inkling {

// Mean square of a - b, over all elements.
template <class T, std::size_t N>
double mean_square_error(const Tensor<T, N>& a, const Tensor<T, N>& b) {
  require_shape(b.shape(), a.shape(), "mean_square_error");
  double sum = 0;
  for (Index i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i]);
    sum += d * d;
  }
  return a.empty() ? 0 : sum / static_cast<double>(a.size());
}

// Peak signal-to-noise ratio in decibels: 10 log10(peak^2 / mean square error). `picture` is clipped to [low, high]
// first, as a screen clips it; peak = high - low. Infinite for equal pictures.
template <class T, std::size_t N>
double psnr(const Tensor<T, N>& picture, const Tensor<T, N>& original, T low = T(-1), T high = T(1)) {
  if (!(low < high))
    throw ConfigError("psnr", "a range that rises", std::to_string(low) + " to " + std::to_string(high));
  Tensor<T, N> shown = picture;
  for (T& v : shown) v = std::min(std::max(v, low), high);
  const double peak = static_cast<double>(high) - static_cast<double>(low);
  return 10 * std::log10(peak * peak / mean_square_error(shown, original));
}

// For each picture of x[N, C, H, W] the PSNR to that picture of world[M, C, H, W] which is nearest; at most 60 dB, beyond
// which no eye sees a difference -> N numbers
inline std::vector<double> psnr_to_nearest(const Tensor<float, 4>& x, const Tensor<float, 4>& world) {
  const Index N = x.shape(0), M = world.shape(0), size = M ? world.size() / M : 0;
  require_shape(x.shape(), Shape<4>{N, world.shape(1), world.shape(2), world.shape(3)}, "psnr_to_nearest");
  std::vector<double> decibels;
  for (Index n = 0; n < N; ++n) {
    double least = std::numeric_limits<double>::infinity();
    for (Index m = 0; m < M; ++m) {
      double squares = 0;
      for (Index i = 0; i < size && squares < least; ++i) {
        const float shown = std::min(std::max(x.data()[n * size + i], -1.0f), 1.0f);
        const double d = static_cast<double>(shown) - static_cast<double>(world.data()[m * size + i]);
        squares += d * d;
      }
      least = std::min(least, squares);
    }
    decibels.push_back(std::min(60.0, 10 * std::log10(4 * static_cast<double>(size) / least)));
  }
  return decibels;
}

// Mean square difference between neighbours, across and down: a blurred picture has little of it. x[N, C, H, W]
template <class T>
double sharpness(const Tensor<T, 4>& x) {
  const auto [n, c, height, width] = x.shape();
  double sum = 0;
  for (Index p = 0; p < n * c; ++p)
    for (Index h = 0; h + 1 < height; ++h)
      for (Index w = 0; w + 1 < width; ++w) {
        const T* at = x.data() + (p * height + h) * width + w;
        const double across = static_cast<double>(at[1]) - static_cast<double>(at[0]);
        const double down = static_cast<double>(at[width]) - static_cast<double>(at[0]);
        sum += across * across + down * down;
      }
  const Index places = n * c * std::max<Index>(0, height - 1) * std::max<Index>(0, width - 1);
  return places == 0 ? 0 : sum / static_cast<double>(2 * places);
}

// How unlike pictures of one kind are: the root mean square difference of two of them, the mean of all pairs, on a scale
// on which black and white are 1 apart. x[N, C, H, W], clipped to [-1, 1] as a screen clips it
inline double mean_pair_distance(const Tensor<float, 4>& x) {
  const Index count = x.shape(0), size = count == 0 ? 0 : x.size() / count;
  if (count < 2) throw ShapeError("mean_pair_distance", "at least two pictures", to_string(x.shape()));
  double sum = 0;
  for (Index a = 0; a < count; ++a)
    for (Index b = 0; b < a; ++b) {
      double squares = 0;
      for (Index i = 0; i < size; ++i) {
        const auto shown = [&](Index n) {
          return 0.5 * static_cast<double>(std::min(std::max(x.data()[n * size + i], -1.0f), 1.0f));
        };
        squares += (shown(a) - shown(b)) * (shown(a) - shown(b));
      }
      sum += std::sqrt(squares / static_cast<double>(size));
    }
  return sum / static_cast<double>(count * (count - 1) / 2);
}

}  // namespace inkling
