// A pair of encoders small enough to train on one core in minutes: captions of a few words, pictures of 32x32 pixels.
#pragma once
#include <utility>
#include <vector>

#include "inkling/models/conv_image_encoder.hpp"
#include "inkling/train/contrastive.hpp"

namespace inkling {

using SmallClip = ClipModel<float, ConvImageEncoder<float>>;

inline constexpr Index small_clip_length = 12;  // tokens of a caption, at most

// Random weights; both encoders end in 64 numbers. channels: of the image encoder, one level each.
inline SmallClip small_clip(const Tokenizer& tokenizer, std::vector<Index> channels, std::uint64_t seed) {
  if (channels.empty()) throw ConfigError("small_clip channels", "at least one level", "none");
  ClipTextConfig text;
  text.vocab_size = tokenizer.vocab_size(), text.max_positions = small_clip_length;
  text.hidden_size = 64, text.intermediate_size = 128, text.layers = 1, text.heads = 4, text.projection_dim = 64;
  text.bos_token_id = tokenizer.start_id(), text.eos_token_id = tokenizer.end_id(),
  text.pad_token_id = tokenizer.pad_id();
  ConvImageEncoderConfig vision;
  vision.hidden_size = channels.back(), vision.channels = std::move(channels);
  SmallClip pair(text, vision);
  Generator generator(seed);
  initialize(pair, generator);
  return pair;
}

}  // namespace inkling
