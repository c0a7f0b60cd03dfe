// An autoencoder of plain linear layers: a picture through a bottleneck of a few numbers and back. With two numbers the
// whole latent space fits on a page.
#pragma once
#include <vector>

#include "inkling/nn/layers.hpp"

namespace inkling {

struct MlpAutoencoderConfig {
  Index pixels = 784;                 // 28x28: a digit of MNIST
  std::vector<Index> widths{256, 64}; // of the hidden layers, from the picture inwards
  Index latent = 2;
  bool variational = false;  // the encoder gives a mean and a variance for each number (Kingma & Welling 2014)
};

template <class T>
struct MlpAutoencoder {
  MlpAutoencoderConfig config;
  std::vector<Linear<T>> encoder, decoder;

  explicit MlpAutoencoder(const MlpAutoencoderConfig& c) : config(c) {
    Index width = c.pixels;
    for (Index next : c.widths) encoder.emplace_back(width, next), width = next;
    encoder.emplace_back(width, c.variational ? 2 * c.latent : c.latent);
    width = c.latent;
    for (auto next = c.widths.rbegin(); next != c.widths.rend(); ++next) decoder.emplace_back(width, *next), width = *next;
    decoder.emplace_back(width, c.pixels);
  }

  // x[N, pixels] in [0, 1] -> [N, latent], or [N, 2 latent]: means, then logarithms of variances
  Variable<T, 2> encode(const Variable<T, 2>& x) const { return through(encoder, x); }
  // The code alone: what decode() takes.
  Variable<T, 2> mean(const Variable<T, 2>& encoded) const {
    return config.variational ? slice(encoded, 1, 0, config.latent) : encoded;
  }
  // z[N, latent] -> logits [N, pixels]; the sigmoid of a logit is the pixel
  Variable<T, 2> decode(const Variable<T, 2>& z) const { return through(decoder, z); }

  template <class V>
  void visit(V&& v) {
    v("encoder", encoder);
    v("decoder", decoder);
  }

 private:
  static Variable<T, 2> through(const std::vector<Linear<T>>& layers, Variable<T, 2> h) {
    for (std::size_t i = 0; i + 1 < layers.size(); ++i) h = relu(layers[i].forward(h));
    return layers.back().forward(h);
  }
};

}  // namespace inkling
