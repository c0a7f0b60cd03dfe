// Training a PictureClassifier, and what it says of many pictures.
#pragma once
#include "inkling/autograd/loss_ops.hpp"
#include "inkling/io/cifar.hpp"
#include "inkling/models/picture_classifier.hpp"
#include "inkling/train/sample_random.hpp"
#include "inkling/train/trainer.hpp"

namespace inkling {

struct LabelledBatch {
  Tensor<float, 4> pixels;          // [N, C, H, W] in [-1, 1]
  Tensor<std::int64_t, 1> labels;  // [N]
};

// `count` pictures in an order that visits each once before any again, mirrored left to right half of the time and moved
// by up to `shift` pixels (He et al. 2016, section 4.2: 4). A function of (seed, step) alone.
inline LabelledBatch augmented_batch(const LabelledColorImages& set, std::uint64_t seed, Index step, Index count,
                                     Index shift = 4) {
  const Index N = set.size(), C = set.images.shape(1), H = set.images.shape(2), W = set.images.shape(3);
  if (N == 0 || count < 1 || shift < 0)
    throw ConfigError("augmented_batch", "pictures, a batch of at least 1, a shift of at least 0",
                      std::to_string(N) + ", " + std::to_string(count) + ", " + std::to_string(shift));
  LabelledBatch batch{Tensor<float, 4>({count, C, H, W}), Tensor<std::int64_t, 1>({count})};
  std::vector<std::int64_t> order;
  Index epoch = -1;
  for (Index n = 0; n < count; ++n) {
    const Index at = step * count + n;
    if (at / N != epoch) {
      epoch = at / N;
      order.resize(static_cast<std::size_t>(N));
      for (Index i = 0; i < N; ++i) order[static_cast<std::size_t>(i)] = i;
      Generator(seed).child(static_cast<std::uint64_t>(epoch)).shuffle(std::span(order));
    }
    const Index from = order[static_cast<std::size_t>(at % N)];
    SampleRandom random(seed, static_cast<std::uint64_t>(at));
    const bool mirrored = random.chance(0.5);
    const Index dy = random.below(2 * shift + 1) - shift, dx = random.below(2 * shift + 1) - shift;
    batch.labels(n) = set.labels(from);
    for (Index c = 0; c < C; ++c)
      for (Index y = std::max<Index>(0, -dy); y < std::min(H, H - dy); ++y)
        for (Index x = std::max<Index>(0, -dx); x < std::min(W, W - dx); ++x)
          batch.pixels(n, c, y, mirrored ? W - 1 - x : x) =
              static_cast<float>(set.images(from, c, y + dy, x + dx)) / 127.5f - 1.0f;
  }
  return batch;
}

// Trains in place and leaves the moving average in the model; checkpoints lie in options.folder.
inline void train_picture_classifier(PictureClassifier<float>& model, const LabelledColorImages& set,
                                     TrainOptions options, Index batch = 64, std::uint64_t seed = 1,
                                     const std::function<bool(const TrainStep&)>& after = {}) {
  Generator generator(seed);
  initialize(model, generator);
  Trainer<PictureClassifier<float>> trainer(model, std::move(options));
  trainer.run(
      [&](Index step) {
        LabelledBatch b = augmented_batch(set, seed, step, batch);
        return cross_entropy_loss(model.forward(Variable<float, 4>(std::move(b.pixels))), b.labels);
      },
      after);
  trainer.use_average();
}

// Row by row over the pictures x[N, C, H, W] in [-1, 1], so many at a time; function: Variable -> Variable<float, 2>.
template <class Function>
Tensor<float, 2> for_all_pictures(const Tensor<float, 4>& x, Function&& function, Index at_a_time = 100) {
  const NoGrad no_grad;
  const Index N = x.shape(0), size = N ? x.size() / N : 0;
  Tensor<float, 2> out;
  for (Index first = 0; first < N; first += at_a_time) {
    const Index count = std::min(at_a_time, N - first);
    Tensor<float, 4> part({count, x.shape(1), x.shape(2), x.shape(3)}, uninitialized);
    std::copy_n(x.data() + first * size, part.size(), part.data());
    const Tensor<float, 2> y = function(Variable<float, 4>(std::move(part))).value();
    if (first == 0) out = Tensor<float, 2>({N, y.shape(1)}, uninitialized);
    std::copy(y.begin(), y.end(), out.data() + first * y.shape(1));
  }
  return out;
}
inline Tensor<float, 2> picture_features(const PictureClassifier<float>& model, const Tensor<float, 4>& x) {
  return for_all_pictures(x, [&](const Variable<float, 4>& part) { return model.features(part); });
}
// The most probable class of each.
inline std::vector<Index> classify(const PictureClassifier<float>& model, const Tensor<float, 4>& x) {
  const Tensor<float, 2> logits = for_all_pictures(x, [&](const Variable<float, 4>& part) { return model.forward(part); });
  std::vector<Index> classes;
  for (Index n = 0; n < logits.shape(0); ++n) {
    const float* row = logits.data() + n * logits.shape(1);
    classes.push_back(std::max_element(row, row + logits.shape(1)) - row);
  }
  return classes;
}
inline double accuracy(const PictureClassifier<float>& model, const LabelledColorImages& set) {
  const std::vector<Index> classes = classify(model, signed_pixels(set, 0, set.size()));
  Index right = 0;
  for (Index n = 0; n < set.size(); ++n) right += classes[static_cast<std::size_t>(n)] == set.labels(n);
  return static_cast<double>(right) / static_cast<double>(std::max<Index>(1, set.size()));
}

}  // namespace inkling
