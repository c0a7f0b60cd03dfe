// What the channels of a trained SegmentationUNet have found.
#pragma once
#include <cmath>
#include <numeric>

#include "inkling/train/segmentation.hpp"

namespace inkling {

// What one block puts out for a picture[C, H, W]: [channels, h, w]. Blocks are named as parameters are: "down.0" is the
// first, "bottom" the lowest, "up.2" the last of a network of depth 3.
inline Tensor<float, 3> segmentation_features(SegmentationUNet<float>& model, const std::string& block,
                                              const Tensor<float, 3>& image) {
  std::optional<Tensor<float, 3>> seen;
  Observer<float> observer;
  observer.watch(model);
  observer.on_output = [&](const std::string& path, std::span<const Index> shape, std::span<const float> values) {
    if (path == block) seen.emplace(Shape<3>{shape[1], shape[2], shape[3]}, values);
  };
  const Observation<float> observation(observer);
  segment(model, image);
  if (!seen) throw ConfigError("segmentation_features", "a block of the network, as \"bottom\"", "\"" + block + "\"");
  return std::move(*seen);
}

// How each channel of a block goes with the masks: mask_correlations, on average over the pictures.
inline std::vector<double> feature_correlations(SegmentationUNet<float>& model, const std::string& block,
                                                const SegmentationSet& set) {
  std::vector<double> mean;
  for (const SegmentationSample& s : set) {
    const std::vector<double> r = mask_correlations(segmentation_features(model, block, s.image), s.mask);
    mean.resize(r.size());
    for (std::size_t c = 0; c < r.size(); ++c) mean[c] += r[c] / static_cast<double>(set.size());
  }
  return mean;
}
// Channels: the one that goes best with the masks first, the one that goes most against them last.
inline std::vector<std::size_t> channels_by_correlation(const std::vector<double>& r) {
  std::vector<std::size_t> order(r.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return r[a] != r[b] ? r[a] > r[b] : a < b; });
  return order;
}
// How well the best of the channels goes with the masks or against them, from 0 to 1.
inline double strongest_correlation(const std::vector<double>& r) {
  double most = 0;
  for (const double v : r) most = std::max(most, std::abs(v));
  return most;
}

}  // namespace inkling
