// The autoencoder of linear layers, plain and variational: its loss is the formula, its gradients are right.
#include <doctest/doctest.h>

#include "inkling/autograd/gradient_check.hpp"
#include "inkling/train/digit_autoencoder.hpp"
#include "support.hpp"

using namespace inkling;

namespace {

MlpAutoencoder<double> small(bool variational) {
  MlpAutoencoderConfig config;
  config.pixels = 9, config.widths = {6, 5}, config.latent = 2, config.variational = variational;
  MlpAutoencoder<double> model(config);
  Generator generator(4);
  initialize(model, generator);
  return model;
}
Tensor<double, 2> pictures(Index count) {
  Tensor<double, 2> x = Generator(5).randn<double>(Shape<2>{count, 9});
  for (double& v : x) v = 1 / (1 + std::exp(-v));
  return x;
}

}  // namespace

TEST_CASE("digit autoencoder: the variational loss is cross-entropy plus KL divergence, for each pixel") {
  MlpAutoencoder<double> model = small(true);
  const Tensor<double, 2> x = pictures(3);
  Generator noise(6), same(6);
  const double loss = autoencoder_loss(model, x, noise).value()();

  const Tensor<double, 2> encoded = model.encode(Variable<double, 2>(x)).value();
  const Tensor<double, 2> eps = same.randn<double>(Shape<2>{3, 2});
  Tensor<double, 2> z({3, 2});
  double kl = 0, entropy = 0;
  for (Index n = 0; n < 3; ++n)
    for (Index i = 0; i < 2; ++i) {
      const double mean = encoded(n, i), logvar = encoded(n, 2 + i);
      z(n, i) = mean + std::exp(logvar / 2) * eps(n, i);
      kl += 0.5 * (mean * mean + std::exp(logvar) - 1 - logvar);
    }
  const Tensor<double, 2> logits = model.decode(Variable<double, 2>(z)).value();
  for (Index n = 0; n < 3; ++n)
    for (Index i = 0; i < 9; ++i) {
      const double y = 1 / (1 + std::exp(-logits(n, i)));
      entropy -= x(n, i) * std::log(y) + (1 - x(n, i)) * std::log(1 - y);
    }
  CHECK(loss == doctest::Approx((entropy + kl) / 27).epsilon(1e-12));
}

TEST_CASE("digit autoencoder: gradients in double against measured slopes") {
  for (const bool variational : {false, true}) {
    MlpAutoencoder<double> model = small(variational);
    const Tensor<double, 2> x = pictures(4);
    const auto loss = [&] {
      Generator noise(6);
      return autoencoder_loss(model, x, noise);
    };
    GradientCheck check;
    for_each_parameter(model, [&](const std::string& path, auto& p) { check_gradient(check, path, p.variable(), loss); });
    MESSAGE("worst " << check.worst << " at " << check.where);
    CHECK(check.compared > 60);
    CHECK(check.worst < 1e-7);
  }
}

TEST_CASE("data: digit rows are the scans, and random ones a function of seed and step") {
  const LabelledImages set = read_mnist(inkling_test::data_dir() / "mnist", "t10k");
  const Tensor<float, 2> rows = digit_rows(set, 9999, 2);  // the last, then the first again
  for (Index i = 0; i < 784; ++i) {
    REQUIRE(rows(0, i) == static_cast<float>(set.images.data()[9999 * 784 + i]) / 255.0f);
    REQUIRE(rows(1, i) == static_cast<float>(set.images.data()[i]) / 255.0f);
  }
  const Tensor<float, 2> a = random_digit_rows(set, 1, 7, 20), b = random_digit_rows(set, 1, 7, 20),
                         c = random_digit_rows(set, 1, 8, 20);
  CHECK(std::equal(a.begin(), a.end(), b.begin()));
  CHECK_FALSE(std::equal(a.begin(), a.end(), c.begin()));
}

TEST_CASE("data: a small autoencoder learns, and the variational one stays near the prior") {
  const LabelledImages set = read_mnist(inkling_test::data_dir() / "mnist", "t10k");
  const Tensor<float, 2> x = digit_rows(set, 0, 500);
  double spread[2];
  for (const bool variational : {false, true}) {
    MlpAutoencoderConfig config;
    config.widths = {64}, config.variational = variational;
    MlpAutoencoder<float> model(config);
    const inkling_test::TempDir folder;
    TrainOptions options;
    options.name = "digits", options.folder = folder.path(), options.steps = 300, options.learning_rate = 3e-3;
    std::vector<double> losses;
    train_digit_autoencoder(model, set, options, 64, 1, [&](const TrainStep& s) {
      losses.push_back(s.loss);
      return true;
    });
    CHECK(losses.back() < 0.6 * losses.front());
    const NoGrad no_grad;
    const Tensor<float, 2> z = model.mean(model.encode(Variable<float, 2>(x))).value();
    double squares = 0;
    for (float v : z) squares += static_cast<double>(v) * v;
    spread[variational] = std::sqrt(squares / static_cast<double>(z.size()));
  }
  MESSAGE("spread of the codes: plain " << spread[0] << ", variational " << spread[1]);
  CHECK(spread[1] < 0.5 * spread[0]);
}
