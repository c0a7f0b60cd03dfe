// How good a mask is, in figures that people compare; and which channels of a network know of it.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "inkling/core/tensor.hpp"

namespace inkling {

// How two masks cover each other, in pixels.
struct MaskOverlap {
  Index both = 0, only_found = 0, only_true = 0, neither = 0;

  Index pixels() const { return both + only_found + only_true + neither; }
  // 2 |A and B| / (|A| + |B|)  (Dice 1945); two empty masks agree: 1
  double dice() const {
    const Index sum = 2 * both + only_found + only_true;
    return sum ? 2 * static_cast<double>(both) / static_cast<double>(sum) : 1;
  }
  // The share of pixels on the wrong side.
  double pixel_error() const {
    return pixels() ? static_cast<double>(only_found + only_true) / static_cast<double>(pixels()) : 0;
  }
  MaskOverlap& operator+=(const MaskOverlap& o) {
    both += o.both, only_found += o.only_found, only_true += o.only_true, neither += o.neither;
    return *this;
  }
};
// found, truth, where [H, W]: not 0 is inside; only pixels at which `where` is not 0 count (nullptr: all).
inline MaskOverlap mask_overlap(const Tensor<std::uint8_t, 2>& found, const Tensor<std::uint8_t, 2>& truth,
                                const Tensor<std::uint8_t, 2>* where = nullptr) {
  require_shape(found.shape(), truth.shape(), "mask_overlap");
  if (where) require_shape(where->shape(), truth.shape(), "mask_overlap where");
  MaskOverlap o;
  for (Index i = 0; i < truth.size(); ++i) {
    if (where && !where->data()[i]) continue;
    const bool a = found.data()[i] != 0, b = truth.data()[i] != 0;
    ++(a ? b ? o.both : o.only_found : b ? o.only_true : o.neither);
  }
  return o;
}
// 1 within `reach` pixels of the outline: where a square of 2 reach + 1 pixels around the pixel holds both kinds.
inline Tensor<std::uint8_t, 2> outline_band(const Tensor<std::uint8_t, 2>& mask, Index reach) {
  if (reach < 1) throw ConfigError("outline_band", "a reach of at least 1 pixel", std::to_string(reach));
  const Index H = mask.shape(0), W = mask.shape(1);
  Tensor<std::uint8_t, 2> band(mask.shape());
  for (Index i = 0; i < H; ++i)
    for (Index j = 0; j < W; ++j)
      for (Index a = std::max<Index>(0, i - reach); a <= std::min(H - 1, i + reach) && !band(i, j); ++a)
        for (Index b = std::max<Index>(0, j - reach); b <= std::min(W - 1, j + reach); ++b)
          if ((mask(a, b) != 0) != (mask(i, j) != 0)) band(i, j) = 1;
  return band;
}

// How each channel of features[C, h, w] goes with the mask: Pearson's correlation over the pixels, from -1 (bright where
// the mask is empty) to 1; 0 for a channel that says the same everywhere. mask[H, W] is averaged down to h x w.
inline std::vector<double> mask_correlations(const Tensor<float, 3>& features, const Tensor<std::uint8_t, 2>& mask) {
  const auto [C, h, w] = features.shape();
  if (h < 1 || w < 1 || mask.shape(0) % h || mask.shape(1) % w)
    throw ShapeError("mask_correlations", "a mask whose sides are multiples of those of the features " +
                     to_string(features.shape()), to_string(mask.shape()));
  const Index fy = mask.shape(0) / h, fx = mask.shape(1) / w;
  Tensor<double, 2> share({h, w});
  for (Index i = 0; i < mask.shape(0); ++i)
    for (Index j = 0; j < mask.shape(1); ++j)
      share(i / fy, j / fx) += (mask(i, j) != 0) / static_cast<double>(fy * fx);
  std::vector<double> out;
  const double n = static_cast<double>(h * w);
  for (Index c = 0; c < C; ++c) {
    const float* x = features.data() + c * h * w;
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    for (Index i = 0; i < h * w; ++i) mx += static_cast<double>(x[i]) / n, my += share.data()[i] / n;
    for (Index i = 0; i < h * w; ++i) {
      const double dx = static_cast<double>(x[i]) - mx, dy = share.data()[i] - my;
      xx += dx * dx, yy += dy * dy, xy += dx * dy;
    }
    out.push_back(xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0);
  }
  return out;
}

}  // namespace inkling
