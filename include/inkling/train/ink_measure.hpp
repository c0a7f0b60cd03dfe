// Judging a painted ink digit: which colours are really there, and the digit as a gray scan for a classifier.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "inkling/core/tensor.hpp"
#include "inkling/train/ink_attributes.hpp"
#include "inkling/train/moments.hpp"

namespace inkling {

// CIELAB (CIE 1976, white point D65): distances in it follow what people see better than distances in RGB do.
struct Lab {
  float l = 0, a = 0, b = 0;
};
inline Lab to_lab(const Rgb& c) {
  // sRGB, IEC 61966-2-1: the display's curve, then the primaries.
  const auto linear = [](float v) { return v <= 0.04045f ? v / 12.92f : std::pow((v + 0.055f) / 1.055f, 2.4f); };
  const float r = linear(std::clamp(c.r, 0.0f, 1.0f)), g = linear(std::clamp(c.g, 0.0f, 1.0f)),
              b = linear(std::clamp(c.b, 0.0f, 1.0f));
  const float x = (0.4124f * r + 0.3576f * g + 0.1805f * b) / 0.9505f;
  const float y = 0.2126f * r + 0.7152f * g + 0.0722f * b;
  const float z = (0.0193f * r + 0.1192f * g + 0.9505f * b) / 1.0890f;
  const auto f = [](float t) { return t > 0.008856f ? std::cbrt(t) : 7.787f * t + 16.0f / 116.0f; };
  return {116 * f(y) - 16, 500 * (f(x) - f(y)), 200 * (f(y) - f(z))};
}
// Delta E of CIE 1976.
inline float distance(const Lab& p, const Lab& q) {
  return std::sqrt((p.l - q.l) * (p.l - q.l) + (p.a - q.a) * (p.a - q.a) + (p.b - q.b) * (p.b - q.b));
}

inline Ink nearest_ink(const Rgb& color) {
  const Lab lab = to_lab(color);
  return *std::min_element(all_inks.begin(), all_inks.end(),
                           [&](Ink p, Ink q) { return distance(lab, to_lab(rgb(p))) < distance(lab, to_lab(rgb(q))); });
}

struct MeasuredColors {
  Ink ink = Ink::black, background = Ink::white;  // the nearest names
  Rgb ink_rgb, background_rgb;
  float contrast = 0;  // CIELAB distance of the two; under about 20 there is no digit to see
};

namespace detail {
inline Rgb pixel(const Tensor<float, 3>& image, Index i, Index j) {
  const auto value = [&](Index c) { return std::clamp(0.5f * (image(c, i, j) + 1.0f), 0.0f, 1.0f); };
  return {value(0), value(1), value(2)};
}
inline void require_rgb(const Tensor<float, 3>& image, const char* where) {
  if (image.shape(0) != 3 || image.shape(1) < 8 || image.shape(2) < 8)
    throw ShapeError(where, "(3, H, W) with H and W of at least 8", to_string(image.shape()));
}
}  // namespace detail

// image: [3, H, W] in [-1, 1]. The background is the median of a border two pixels wide. The ink is the mean of the
// 1.2 % of pixels farthest from it in CIELAB: the cores of the strokes, where no paper shines through.
inline MeasuredColors measure_colors(const Tensor<float, 3>& image) {
  detail::require_rgb(image, "measure_colors");
  const Index height = image.shape(1), width = image.shape(2);
  std::array<std::vector<float>, 3> border;
  for (Index i = 0; i < height; ++i)
    for (Index j = 0; j < width; ++j)
      if (std::min(std::min(i, height - 1 - i), std::min(j, width - 1 - j)) < 2) {
        const Rgb p = detail::pixel(image, i, j);
        border[0].push_back(p.r), border[1].push_back(p.g), border[2].push_back(p.b);
      }
  const auto median = [](std::vector<float>& v) {
    const auto middle = v.begin() + static_cast<Index>(v.size() / 2);
    std::nth_element(v.begin(), middle, v.end());
    return *middle;
  };
  MeasuredColors out;
  out.background_rgb = {median(border[0]), median(border[1]), median(border[2])};
  const Lab page = to_lab(out.background_rgb);

  std::vector<std::pair<float, Index>> far;
  far.reserve(static_cast<std::size_t>(height * width));
  for (Index k = 0; k < height * width; ++k)
    far.emplace_back(distance(page, to_lab(detail::pixel(image, k / width, k % width))), k);
  const Index count = std::max<Index>(1, height * width * 12 / 1000);
  std::partial_sort(far.begin(), far.begin() + count, far.end(), std::greater<>());
  for (Index k = 0; k < count; ++k) {
    const Index at = far[static_cast<std::size_t>(k)].second;
    const Rgb p = detail::pixel(image, at / width, at % width);
    const float share = 1.0f / static_cast<float>(count);
    out.ink_rgb.r += p.r * share, out.ink_rgb.g += p.g * share, out.ink_rgb.b += p.b * share;
  }
  out.contrast = distance(page, to_lab(out.ink_rgb));
  out.ink = nearest_ink(out.ink_rgb);
  out.background = nearest_ink(out.background_rgb);
  return out;
}

// How much of each pixel is ink: 0 where the paper shines, 1 in the core of a stroke. image [3, H, W] -> [H, W]
inline Tensor<float, 2> ink_coverage(const Tensor<float, 3>& image, const MeasuredColors& colors) {
  const Index height = image.shape(1), width = image.shape(2);
  const Rgb p0 = colors.background_rgb, p1 = colors.ink_rgb;
  const float dr = p1.r - p0.r, dg = p1.g - p0.g, db = p1.b - p0.b, length2 = dr * dr + dg * dg + db * db;
  Tensor<float, 2> gray(Shape<2>{height, width});
  if (length2 < 1e-3f) return gray;
  // pixel = p0 + a (p1 - p0)   =>   a = <pixel - p0, p1 - p0> / |p1 - p0|^2
  for (Index i = 0; i < height; ++i)
    for (Index j = 0; j < width; ++j) {
      const Rgb p = detail::pixel(image, i, j);
      const float a = ((p.r - p0.r) * dr + (p.g - p0.g) * dg + (p.b - p0.b) * db) / length2;
      gray(i, j) = std::clamp((a - 0.1f) / 0.85f, 0.0f, 1.0f);  // a little black and white clipping against noise
    }
  return gray;
}

inline Tensor<float, 2> ink_coverage(const Tensor<float, 3>& image) {
  return ink_coverage(image, measure_colors(image));
}

// The mean of a map on the strokes and on the paper between them. coverage [H, W]; map [h, w], as fine or coarser
struct InkPaper {
  double ink = 0, paper = 0;
};
inline InkPaper mean_on_ink(const Tensor<float, 2>& map, const Tensor<float, 2>& coverage) {
  const Index height = coverage.shape(0), width = coverage.shape(1);
  if (map.shape(0) < 1 || map.shape(1) < 1 || map.shape(0) > height || map.shape(1) > width)
    throw ShapeError("mean_on_ink", "a map of at most " + to_string(coverage.shape()), to_string(map.shape()));
  InkPaper sum, weight;
  for (Index i = 0; i < height; ++i)
    for (Index j = 0; j < width; ++j) {
      const double value = static_cast<double>(map(i * map.shape(0) / height, j * map.shape(1) / width));
      const double ink = static_cast<double>(coverage(i, j));
      sum.ink += ink * value, weight.ink += ink;
      sum.paper += (1 - ink) * value, weight.paper += 1 - ink;
    }
  return {weight.ink > 0 ? sum.ink / weight.ink : 0, weight.paper > 0 ? sum.paper / weight.paper : 0};
}
// Mean difference of the colours, 0 to 1, pixel by pixel. a, b [3, H, W] in [-1, 1] -> [H, W]
inline Tensor<float, 2> color_change(const Tensor<float, 3>& a, const Tensor<float, 3>& b) {
  require_shape(b.shape(), a.shape(), "color_change");
  Tensor<float, 2> out({a.shape(1), a.shape(2)});
  for (Index i = 0; i < out.shape(0); ++i)
    for (Index j = 0; j < out.shape(1); ++j) {
      const Rgb p = detail::pixel(a, i, j), q = detail::pixel(b, i, j);
      out(i, j) = (std::abs(p.r - q.r) + std::abs(p.g - q.g) + std::abs(p.b - q.b)) / 3;
    }
  return out;
}
// What is different in picture b: the colour of the strokes, that of the paper (0 to 1), and the digit's shape, as the
// share of coverage that moved. Strokes are wherever either picture has ink, so that a line that moved does not count
// as paper. a, b [3, H, W] in [-1, 1]
struct InkChange {
  double ink = 0, paper = 0, shape = 0;
};
inline InkChange ink_change(const Tensor<float, 3>& a, const Tensor<float, 3>& b) {
  const Tensor<float, 2> p = ink_coverage(a), q = ink_coverage(b);
  Tensor<float, 2> either(p.shape(), uninitialized);
  double moved = 0;
  for (Index k = 0; k < p.size(); ++k) {
    either.data()[k] = std::max(p.data()[k], q.data()[k]);
    moved += std::abs(static_cast<double>(p.data()[k]) - static_cast<double>(q.data()[k]));
  }
  const InkPaper colors = mean_on_ink(color_change(a, b), either);
  return {colors.ink, colors.paper, moved / static_cast<double>(p.size())};
}

// Picture number n of a batch [N, 3, H, W] -> [3, H, W]
inline Tensor<float, 3> picture(const Tensor<float, 4>& images, Index n) {
  if (n < 0 || n >= images.shape(0))
    throw ShapeError("picture", "a number below " + std::to_string(images.shape(0)), std::to_string(n));
  Tensor<float, 3> out({images.shape(1), images.shape(2), images.shape(3)}, uninitialized);
  std::copy_n(images.data() + n * out.size(), out.size(), out.data());
  return out;
}

// image: [3, H, W] in [-1, 1] -> [28, 28] in [0, 1], ink 1 on 0, made the way MNIST was: the box of the digit scaled to
// fit 20x20, its centre of mass in the middle of 28x28. Its lean is set to the mean of MNIST (hardly anybody there
// leans to the left), as a classifier of MNIST should judge the digit and not the lean. Zeros where there is nothing to
// see.
inline Tensor<float, 2> to_gray_digit(const Tensor<float, 3>& image) {
  const MeasuredColors colors = measure_colors(image);
  const Index height = image.shape(1), width = image.shape(2), n = 28;
  Tensor<float, 2> out(Shape<2>{n, n});
  const Tensor<float, 2> gray = ink_coverage(image, colors);
  const Moments m = moments(height, width, [&](Index i, Index j) { return gray(i, j); });
  if (m.mass < 1) return out;
  constexpr float mnist_slant = -0.11f;  // the mean over its 60,000 training digits; down is +y, so this leans right
  const float x = static_cast<float>(m.x), y = static_cast<float>(m.y);
  const float shear = std::clamp(static_cast<float>(m.slant()) - mnist_slant, -1.0f, 1.0f);
  float left = 1e9f, right = -1e9f, top = 1e9f, bottom = -1e9f;
  for (Index i = 0; i < height; ++i)
    for (Index j = 0; j < width; ++j) {
      if (gray(i, j) < 0.35f) continue;
      const float v = static_cast<float>(i), u = static_cast<float>(j) - shear * (v - y);
      left = std::min(left, u), right = std::max(right, u), top = std::min(top, v), bottom = std::max(bottom, v);
    }
  if (right < left) return out;

  const float scale = 20.0f / (std::max(right - left, bottom - top) + 1);
  const auto at = [&](Index i, Index j) { return i < 0 || j < 0 || i >= height || j >= width ? 0.0f : gray(i, j); };
  constexpr float middle = 14;  // where MNIST has its centres of mass, in pixel numbers from 0
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < n; ++j) {
      const float dy = (static_cast<float>(i) - middle) / scale, dx = (static_cast<float>(j) - middle) / scale;
      const float v = y + dy, u = x + dx + shear * dy;
      const float vi = std::floor(v), ui = std::floor(u), vf = v - vi, uf = u - ui;
      const Index p = static_cast<Index>(vi), q = static_cast<Index>(ui);
      out(i, j) =
          (1 - vf) * ((1 - uf) * at(p, q) + uf * at(p, q + 1)) + vf * ((1 - uf) * at(p + 1, q) + uf * at(p + 1, q + 1));
    }
  return out;
}

}  // namespace inkling
