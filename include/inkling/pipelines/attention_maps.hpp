// Where each word looks: the cross-attention of a U-Net, averaged over layers, heads and steps (Hertz et al. 2022,
// "Prompt-to-Prompt", section 3.1; Tang et al. 2023, "What the DAAM").
#pragma once
#include <string>

#include "inkling/models/unet.hpp"
#include "inkling/text/tokenizer.hpp"

namespace inkling {

class AttentionMaps {
 public:
  // Latents of height x width, prompts of `tokens` tokens.
  AttentionMaps(UNet<float>& unet, Index tokens, Index height, Index width)
      : sum_({tokens, height, width}), levels_(unet.config.levels()) {
    observer_.watch(unet);
    observer_.on_attention = [this](const std::string& path, const Tensor<float, 3>& q, const Tensor<float, 3>& k,
                                    const kernels::AttentionOptions& options) {
      if (path.ends_with(".attn2")) add(q, k, options);
    };
  }
  AttentionMaps(const AttentionMaps&) = delete;  // the observer points here
  AttentionMaps& operator=(const AttentionMaps&) = delete;

  // For Observation: while that lives, U-Net calls on this thread are recorded.
  Observer<float>& observer() { return observer_; }

  // [tokens, height, width]: the share of each pixel's attention that goes to each token; sums to 1 over the tokens.
  // The mean of what was recorded since the beginning or the last reset().
  Tensor<float, 3> average() const {
    Tensor<float, 3> mean = sum_;
    for (float& v : mean) v /= static_cast<float>(recorded_ ? recorded_ : 1);
    return mean;
  }
  void reset() {
    sum_.fill(0);
    recorded_ = 0;
  }

 private:
  // q[N, L, A*d] of the picture, k[N, S, A*d] of the words. The last item of the batch is the one with the prompt.
  void add(const Tensor<float, 3>& q, const Tensor<float, 3>& k, const kernels::AttentionOptions& options) {
    const Index height = sum_.shape(1), width = sum_.shape(2), tokens = sum_.shape(0);
    if (k.shape(1) != tokens) throw ShapeError("AttentionMaps", std::to_string(tokens) + " tokens", to_string(k.shape()));
    const Index last = q.shape(0);
    const Tensor<float, 4> p = kernels::attention_probabilities(
        kernels::slice(q, 0, last - 1, last), kernels::slice(k, 0, last - 1, last), options);  // [1, A, L, S]
    Index level = 0, h = height, w = width;
    while (h * w != q.shape(1) && level++ < levels_) h = (h + 1) / 2, w = (w + 1) / 2;
    if (h * w != q.shape(1)) throw ShapeError("AttentionMaps", "a level of the U-Net", to_string(q.shape()));
    const float share = 1.0f / static_cast<float>(p.shape(1));
    parallel_for(tokens, height * width * p.shape(1), [&](Index s) {
      for (Index y = 0; y < height; ++y)
        for (Index x = 0; x < width; ++x) {
          const Index pixel = (y * h / height) * w + x * w / width;  // coarse levels count for all pixels below them
          for (Index head = 0; head < p.shape(1); ++head) sum_(s, y, x) += share * p(0, head, pixel, s);
        }
    });
    ++recorded_;
  }

  Observer<float> observer_;
  Tensor<float, 3> sum_;
  Index levels_, recorded_ = 0;
};

// The maps of a word's tokens together -> [height, width]. maps[tokens, height, width]
inline Tensor<float, 2> word_map(const Tensor<float, 3>& maps, const WordSpan& word) {
  if (word.first_token < 0 || word.last_token >= maps.shape(0))
    throw ShapeError("word_map", "the tokens of \"" + word.word + "\"", to_string(maps.shape()));
  Tensor<float, 2> map({maps.shape(1), maps.shape(2)});
  for (Index token = word.first_token; token <= word.last_token; ++token)
    for (Index i = 0; i < map.size(); ++i) map.data()[i] += maps.data()[token * map.size() + i];
  return map;
}

}  // namespace inkling
