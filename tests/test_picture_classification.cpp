// Classifying pictures: batches visit everything once, a simple world is learnt, and what is shipped reads CIFAR-10.
#include <doctest/doctest.h>

#include "inkling/io/load_parameters.hpp"
#include "inkling/io/model_files.hpp"
#include "inkling/train/picture_classification.hpp"
#include "support.hpp"

namespace {

using namespace inkling;
using namespace inkling_test;

template <std::size_t N>
bool equal(const Tensor<float, N>& a, const Tensor<float, N>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// Picture n has one bright pixel of colour n % 3 in the middle, all else black; its label is n % 3.
LabelledColorImages dots(Index count) {
  LabelledColorImages set{Tensor<std::uint8_t, 4>({count, 3, 8, 8}), Tensor<std::uint8_t, 1>({count})};
  for (Index n = 0; n < count; ++n) {
    set.labels(n) = static_cast<std::uint8_t>(n % 3);
    set.images(n, n % 3, 4, 3) = static_cast<std::uint8_t>(250 - n);
  }
  return set;
}

// All pixels of colour n % 3 are bright.
LabelledColorImages plain_colors(Index count) {
  LabelledColorImages set = dots(count);
  for (Index n = 0; n < count; ++n) std::fill_n(&set.images(n, n % 3, 0, 0), 64, static_cast<std::uint8_t>(250 - n));
  return set;
}

TEST_CASE("batches: every picture once, mirrored and moved") {
  const LabelledColorImages set = dots(30);
  std::vector<int> seen(30);
  std::vector<int> columns(8), rows(8);
  for (Index step = 0; step < 6; ++step) {  // 60 pictures: two rounds
    const LabelledBatch batch = augmented_batch(set, 5, step, 10, 2);
    CHECK(equal(batch.pixels, augmented_batch(set, 5, step, 10, 2).pixels));
    for (Index n = 0; n < 10; ++n) {
      const Index c = batch.labels(n);
      Index bright = 0;
      for (Index y = 0; y < 8; ++y)
        for (Index x = 0; x < 8; ++x)
          for (Index k = 0; k < 3; ++k)
            if (batch.pixels(n, k, y, x) > 0.5f) {
              CHECK(k == c);
              ++bright, ++columns[static_cast<std::size_t>(x)], ++rows[static_cast<std::size_t>(y)];
              const Index which = 250 - std::lround((batch.pixels(n, k, y, x) + 1) * 127.5f);
              CHECK(which % 3 == c);
              ++seen[static_cast<std::size_t>(which)];
            }
      CHECK(bright == 1);
    }
    if (step == 2) CHECK(std::all_of(seen.begin(), seen.end(), [](int s) { return s == 1; }));
  }
  CHECK(std::all_of(seen.begin(), seen.end(), [](int s) { return s == 2; }));
  // (4, 3) moved by up to 2, mirrored: columns 1..5 and their mirror images 2..6, rows 2..6
  CHECK((columns[0] == 0 && columns[7] == 0 && columns[1] > 0 && columns[6] > 0));
  CHECK((rows[1] == 0 && rows[7] == 0 && rows[2] > 0 && rows[6] > 0));
  CHECK_THROWS_AS(augmented_batch(dots(0), 1, 0, 4), ConfigError);
  CHECK_THROWS_AS(augmented_batch(set, 1, 0, 0), ConfigError);
}

TEST_CASE("a simple world is learnt; classes and features come in the order of the pictures") {
  const TempDir folder;
  PictureClassifierConfig config;
  config.encoder.image_size = 8, config.encoder.channels = {8, 16}, config.encoder.hidden_size = 16;
  config.encoder.norm_groups = 4, config.classes = 3;
  PictureClassifier<float> model(config);
  TrainOptions options;
  options.name = "colors", options.folder = folder.path(), options.steps = 150, options.learning_rate = 5e-3;
  options.warmup_steps = 5, options.ema_decay = 0.9;
  train_picture_classifier(model, plain_colors(30), options, 16);
  CHECK(accuracy(model, plain_colors(30)) == 1.0);
  // What is left in the model is the moving average, and every layer has taken part.
  const SafetensorsFile checkpoint(folder.path() / "colors.checkpoint.safetensors");
  for_each_parameter(model, [&](const std::string& path, auto& p) {
    INFO(path);
    std::vector<float> average(static_cast<std::size_t>(p.size()));
    checkpoint.read("average." + path, std::span(average));
    CHECK(std::equal(average.begin(), average.end(), p.value().begin()));
  });
  set_trainable(model, true);
  LabelledBatch batch = augmented_batch(plain_colors(30), 1, 0, 8);
  backward(cross_entropy_loss(model.forward(Variable<float, 4>(std::move(batch.pixels))), batch.labels));
  for_each_parameter(model, [&](const std::string& path, auto& p) {
    INFO(path);
    REQUIRE(p.variable().has_grad());
    const auto& grad = p.variable().grad();
    CHECK(std::any_of(grad.begin(), grad.end(), [](float v) { return v != 0; }));
  });
  zero_grad(model), set_trainable(model, false);
  const Tensor<float, 4> x = signed_pixels(plain_colors(30), 0, 30);
  const std::vector<Index> classes = classify(model, x);
  for (Index n = 0; n < 30; ++n) CHECK(classes[static_cast<std::size_t>(n)] == n % 3);
  const Tensor<float, 2> features = picture_features(model, x);
  CHECK(features.shape() == Shape<2>{30, 16});
  const Tensor<float, 2> in_sevens =
      for_all_pictures(x, [&](const Variable<float, 4>& part) { return model.features(part); }, 7);
  // The same but for rounding: how many pictures come at once may decide in what order a sum is taken.
  for (Index i = 0; i < features.size(); ++i)
    CHECK(in_sevens.data()[i] == doctest::Approx(static_cast<double>(features.data()[i])).epsilon(1e-4).scale(1e-2));
}

TEST_CASE("data: the shipped classifier reads 70 % of unseen pictures") {
  PictureClassifier<float> model(PictureClassifierConfig::cifar10());
  load_parameters(model, plain_weights(source_dir() / "models" / "ships" / "classifier.safetensors"));
  const double right = accuracy(model, read_cifar10(data_dir() / "cifar10" / "test_batch.bin.gz"));
  MESSAGE("right on 10,000 test pictures: " << 100 * right << " %");
  CHECK(right >= 0.70);
}

}  // namespace
