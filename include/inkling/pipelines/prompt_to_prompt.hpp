// Another word, the same picture: each pixel looks at the places in the new prompt where it looked in the old one, and
// finds another word there (Hertz et al. 2022, "Prompt-to-Prompt", section 3.2, word swap).
#pragma once
#include <string>

#include "inkling/pipelines/text_to_image.hpp"

namespace inkling {

// Both pictures from one seed, side by side in one batch. In the first `share` of the steps the attention of the new
// prompt's pixels is the old one's,
//   y = softmax(Q K^T / sqrt(d)) V*,   Q and K of the old prompt, V* of the new                 (Algorithm 1)
// so that what stands where is decided by the old prompt; 0 paints the new prompt as if there were no other.
// self_attention: the pixels' attention among themselves as well, which ties the shapes closer.
// The prompts must have as many tokens: a swap for a word, not more. -> [2, 3, H, W]: the old picture, the new one
inline Tensor<float, 4> swap_word(StableDiffusion& model, const std::string& before, const std::string& after,
                                  const TextToImageOptions& options, double share = 0.8, bool self_attention = true) {
  if (!(share >= 0 && share <= 1)) throw ConfigError("swap_word: share", "0 to 1", std::to_string(share));
  const std::size_t tokens[] = {model.tokenizer.encode(before).size(), model.tokenizer.encode(after).size()};
  if (tokens[0] != tokens[1])
    throw ConfigError("swap_word", "a prompt of " + std::to_string(tokens[0]) + " tokens, as the other",
                      std::to_string(tokens[1]), "swap one word for another");
  Index step = 0;
  Observer<float> observer;
  observer.watch(model.unet);
  // The last two of the batch are the prompts; before them stand the negative ones, where there is guidance.
  const auto give = [](Variable<float, 3>& x) {
    Tensor<float, 3> y = x.value();
    const Index size = y.shape(1) * y.shape(2), last = y.shape(0) - 1;
    std::copy_n(y.data() + (last - 1) * size, size, y.data() + last * size);
    x = Variable<float, 3>(std::move(y));
  };
  observer.edit_attention = [&](const std::string& path, Variable<float, 3>& q, Variable<float, 3>& k) {
    if (static_cast<double>(step) >= share * static_cast<double>(options.steps)) return;
    if (path.ends_with(".attn2") || (self_attention && path.ends_with(".attn1"))) give(q), give(k);
  };
  const Observation<float> observation(observer);
  return text_to_image_batch(model, {{before, options.seed}, {after, options.seed}}, options,
                             [&](const DenoisingStep& s) {
                               step = s.step;
                               return true;
                             });
}

}  // namespace inkling
