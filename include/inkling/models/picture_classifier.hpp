// What is in the picture? Convolutions down to a few numbers that describe it, and a line through them for each class.
// The numbers before the last layer are what pictures are compared by (Heusel et al. 2017 take those of Inception).
#pragma once
#include "inkling/models/conv_image_encoder.hpp"

namespace inkling {

struct PictureClassifierConfig {
  ConvImageEncoderConfig encoder;
  Index classes = 10;

  // For the 32 x 32 pixels of CIFAR-10: half a million parameters, 128 features.
  static PictureClassifierConfig cifar10() {
    PictureClassifierConfig c;
    c.encoder.channels = {32, 64, 128};
    c.encoder.hidden_size = 128;
    return c;
  }
};

template <class T>
struct PictureClassifier {
  PictureClassifierConfig config;
  ConvImageEncoder<T> encoder;
  Linear<T> fc;

  explicit PictureClassifier(const PictureClassifierConfig& c)
      : config(c), encoder(c.encoder), fc(c.encoder.hidden_size, c.classes) {}

  // pixels[N, C, S, S] in [-1, 1] -> [N, D]
  Variable<T, 2> features(const Variable<T, 4>& pixels) const { return encoder.pooled(encoder.forward(pixels)); }
  // -> logits[N, classes]
  Variable<T, 2> forward(const Variable<T, 4>& pixels) const { return fc.forward(features(pixels)); }
  template <class V>
  void visit(V&& v) {
    v("encoder", encoder);
    v("fc", fc);
  }
};

}  // namespace inkling
