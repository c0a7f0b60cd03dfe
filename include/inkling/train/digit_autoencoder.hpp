// Training an MlpAutoencoder on the digits of MNIST.
#pragma once
#include <cmath>
#include <functional>

#include "inkling/autograd/loss_ops.hpp"
#include "inkling/io/idx.hpp"
#include "inkling/models/mlp_autoencoder.hpp"
#include "inkling/train/sample_random.hpp"
#include "inkling/train/trainer.hpp"

namespace inkling {

// Images first, .., first + count - 1 (counted round and round) as rows of pixels in [0, 1].
inline Tensor<float, 2> digit_rows(const LabelledImages& set, Index first, Index count) {
  const Index all = set.images.shape(0), pixels = set.images.shape(1) * set.images.shape(2);
  Tensor<float, 2> x({count, pixels}, uninitialized);
  for (Index n = 0; n < count; ++n)
    for (Index i = 0; i < pixels; ++i)
      x(n, i) = static_cast<float>(set.images.data()[(first + n) % all * pixels + i]) / 255.0f;
  return x;
}
// Rows of pixels in [0, 1], those of square pictures, as [N, 1, side, side].
inline Tensor<float, 4> rows_to_squares(const Tensor<float, 2>& x) {
  const Index side = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(x.shape(1)))));
  if (side * side != x.shape(1))
    throw ShapeError("rows_to_squares", "a square number of pixels", to_string(x.shape()));
  return x.reshaped(Shape<4>{x.shape(0), 1, side, side});
}
// `count` images drawn at random; a function of (seed, step) alone.
inline Tensor<float, 2> random_digit_rows(const LabelledImages& set, std::uint64_t seed, Index step, Index count) {
  SampleRandom random(seed, static_cast<std::uint64_t>(step));
  const Index pixels = set.images.shape(1) * set.images.shape(2);
  Tensor<float, 2> x({count, pixels}, uninitialized);
  for (Index n = 0; n < count; ++n) {
    const std::uint8_t* image = set.images.data() + random.below(set.images.shape(0)) * pixels;
    for (Index i = 0; i < pixels; ++i) x(n, i) = static_cast<float>(image[i]) / 255.0f;
  }
  return x;
}

// L = -sum_i (x_i log y_i + (1 - x_i) log(1 - y_i)),  y = decode(z)           the picture's own cross-entropy
//     + KL(q(z|x) || N(0, 1)),  z = mean + e^(logvar / 2) eps                 where the autoencoder is variational
// (Kingma & Welling 2014, equation (10) and appendix B), both divided by the number of pixels. x[N, pixels]
template <class T>
Variable<T, 0> autoencoder_loss(const MlpAutoencoder<T>& model, const Tensor<T, 2>& x, Generator& noise) {
  const Index N = x.shape(0), pixels = x.shape(1), d = model.config.latent;
  const Variable<T, 2> encoded = model.encode(Variable<T, 2>(x));
  const Variable<T, 2> means = model.mean(encoded);
  if (!model.config.variational) return bce_with_logits_loss(model.decode(means), x);
  const Variable<T, 2> logvar = slice(encoded, 1, d, 2 * d);
  const Variable<T, 2> std = activation(Activation::exp, scale(logvar, T(0.5)));
  const Variable<T, 2> z = add(means, mul(std, Variable<T, 2>(noise.randn<T>(Shape<2>{N, d}))));
  const Variable<T, 1> kl = kl_diagonal_gaussian(reshape(encoded, Shape<4>{N, 2 * d, 1, 1}));
  return add(bce_with_logits_loss(model.decode(z), x), scale(inkling::mean(kl), T(1) / static_cast<T>(pixels)));
}

// x[N, pixels] -> codes [N, latent]; of a variational encoder the means
inline Tensor<float, 2> encode_digits(const MlpAutoencoder<float>& model, const Tensor<float, 2>& x) {
  const NoGrad no_grad;
  return model.mean(model.encode(Variable<float, 2>(x))).value();
}
// Codes z[N, latent] -> pixels [N, pixels] in [0, 1]
inline Tensor<float, 2> decode_digits(const MlpAutoencoder<float>& model, const Tensor<float, 2>& z) {
  const NoGrad no_grad;
  return activation(Activation::sigmoid, model.decode(Variable<float, 2>(z))).value();
}

// Trains in place and leaves the moving average in the model; checkpoints lie in options.folder.
inline void train_digit_autoencoder(MlpAutoencoder<float>& model, const LabelledImages& digits, TrainOptions options,
                                    Index batch = 128, std::uint64_t seed = 1,
                                    const std::function<bool(const TrainStep&)>& after = {}) {
  Generator generator(seed);
  initialize(model, generator);
  Trainer<MlpAutoencoder<float>> trainer(model, std::move(options));
  trainer.run(
      [&](Index step) {
        Generator noise = Generator(seed + 1).child(static_cast<std::uint64_t>(step));
        return autoencoder_loss(model, random_digit_rows(digits, seed, step, batch), noise);
      },
      after);
  trainer.use_average();
}

}  // namespace inkling
