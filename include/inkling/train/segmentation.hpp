// Training a SegmentationUNet, running it on pictures of any size, and what it reaches on a set.
#pragma once
#include "inkling/autograd/loss_ops.hpp"
#include "inkling/autograd/math_ops.hpp"
#include "inkling/models/segmentation_unet.hpp"
#include "inkling/train/mask_measure.hpp"
#include "inkling/train/segmentation_data.hpp"
#include "inkling/train/trainer.hpp"

namespace inkling {

// L = 1 - D,  D = (2 sum_i p_i g_i + 1) / (sum_i p_i^2 + sum_i g_i^2 + 1),  p = sigmoid(logit)
// Milletari, Navab, Ahmadi 2016, "V-Net", section 3, over the whole batch. The two 1s are not in the paper: without them
// a batch in which nothing is to be found has no D. Cells are few and background is plenty; cross-entropy counts
// pixels and would live with a mask that is empty, D would not.
template <class T, std::size_t N>
Variable<T, 0> dice_loss(const Variable<T, N>& logits, const Tensor<T, N>& target) {
  require_shape(target.shape(), logits.shape(), "dice_loss target");
  const Variable<T, N> p = activation(Activation::sigmoid, logits);
  double both = 0, squares = 0;
  for (Index i = 0; i < target.size(); ++i) {
    const double a = static_cast<double>(p.value().data()[i]), g = static_cast<double>(target.data()[i]);
    both += a * g, squares += a * a + g * g;
  }
  const double top = 2 * both + 1, below = squares + 1;
  return record(
      Tensor<T, 0>({}, static_cast<T>(1 - top / below)),
      [p, target, top, below](const Tensor<T, 0>& dy) {
        // dL/dp_i = -2 (g_i below - p_i top) / below^2                                             equation (3), signed
        const T g_factor = static_cast<T>(-2 / below) * dy(), p_factor = static_cast<T>(2 * top / (below * below)) * dy();
        Tensor<T, N> dp(target.shape(), uninitialized);
        for (Index i = 0; i < dp.size(); ++i)
          dp.data()[i] = g_factor * target.data()[i] + p_factor * p.value().data()[i];
        p.accumulate(std::move(dp));
      },
      p);
}
// Cross-entropy of each pixel plus Dice of the whole.
template <class T, std::size_t N>
Variable<T, 0> segmentation_loss(const Variable<T, N>& logits, const Tensor<T, N>& target) {
  return add(bce_with_logits_loss(logits, target), dice_loss(logits, target));
}

// image[C, H, W] of any size -> logits[out_channels, H, W]. What the network needs beyond the border is mirrored, as in
// section 2 of the U-Net paper, and cut off again.
inline Tensor<float, 3> segment(const SegmentationUNet<float>& model, const Tensor<float, 3>& image) {
  const auto [C, H, W] = image.shape();
  if (H < 1 || W < 1) throw ShapeError("segment", "a picture of at least one pixel", to_string(image.shape()));
  const Index m = model.config.multiple(), PH = (H + m - 1) / m * m, PW = (W + m - 1) / m * m;
  const auto mirrored = [](Index i, Index size) {  // 0, 1, .., size - 1, size - 2, .., 1, 0, 1, ..
    const Index period = std::max<Index>(1, 2 * (size - 1)), at = i % period;
    return at < size ? at : period - at;
  };
  Tensor<float, 4> x({1, C, PH, PW}, uninitialized);
  for (Index c = 0; c < C; ++c)
    for (Index i = 0; i < PH; ++i)
      for (Index j = 0; j < PW; ++j) x(0, c, i, j) = image(c, mirrored(i, H), mirrored(j, W));
  const NoGrad no_grad;
  const Tensor<float, 4> y = model.forward(Variable<float, 4>(std::move(x))).value();
  Tensor<float, 3> logits({y.shape(1), H, W}, uninitialized);
  for (Index c = 0; c < y.shape(1); ++c)
    for (Index i = 0; i < H; ++i)
      for (Index j = 0; j < W; ++j) logits(c, i, j) = y(0, c, i, j);
  return logits;
}
// logits[K, H, W] -> 1 where channel k is more likely than not
inline Tensor<std::uint8_t, 2> mask_of(const Tensor<float, 3>& logits, Index k = 0) {
  if (k < 0 || k >= logits.shape(0))
    throw ShapeError("mask_of", "a channel from 0 to " + std::to_string(logits.shape(0) - 1), std::to_string(k));
  Tensor<std::uint8_t, 2> mask({logits.shape(1), logits.shape(2)}, uninitialized);
  for (Index i = 0; i < mask.size(); ++i) mask.data()[i] = logits.data()[k * mask.size() + i] > 0;
  return mask;
}

struct SegmentationScore {
  MaskOverlap all, band;  // of all pixels of all pictures at once; of those near the true outlines
  double mean_dice = 0, mean_band_dice = 0;  // of single pictures, each with the same weight
};
inline SegmentationScore evaluate_segmentation(const SegmentationUNet<float>& model, const SegmentationSet& set,
                                               Index band_reach = 2) {
  SegmentationScore score;
  for (const SegmentationSample& sample : set) {
    const Tensor<std::uint8_t, 2> found = mask_of(segment(model, sample.image));
    const Tensor<std::uint8_t, 2> band = outline_band(sample.mask, band_reach);
    const MaskOverlap overlap = mask_overlap(found, sample.mask);
    score.mean_dice += overlap.dice() / static_cast<double>(set.size());
    const MaskOverlap near = mask_overlap(found, sample.mask, &band);
    score.mean_band_dice += near.dice() / static_cast<double>(set.size());
    score.all += overlap, score.band += near;
  }
  return score;
}

// Trains in place from fresh weights and leaves the moving average in the model; checkpoints lie in options.folder, and
// a run that was stopped goes on from there.
inline void train_segmentation(SegmentationUNet<float>& model, const SegmentationSet& set, const CropOptions& crops,
                               TrainOptions options, std::uint64_t seed = 1,
                               const std::function<bool(const TrainStep&)>& after = {}) {
  if (model.config.out_channels != 1)
    throw ConfigError("train_segmentation", "a model with one output channel", std::to_string(model.config.out_channels));
  Generator generator(seed);
  initialize(model, generator);
  Trainer<SegmentationUNet<float>> trainer(model, std::move(options));
  trainer.run(
      [&](Index step) {
        SegmentationBatch batch = random_crops(set, crops, seed, step);
        return segmentation_loss(model.forward(Variable<float, 4>(std::move(batch.images))), batch.masks);
      },
      after);
  trainer.use_average();
}

}  // namespace inkling
