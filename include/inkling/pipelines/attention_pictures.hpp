// Where the words look, as pictures.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "inkling/io/image.hpp"
#include "inkling/pipelines/text_to_image.hpp"
#include "inkling/plot/heat_map.hpp"
#include "inkling/plot/image_grid.hpp"

namespace inkling {

// The words of a prompt, each with its tokens.
inline std::vector<WordSpan> words_of(const StableDiffusion& model, const std::string& prompt) {
  return model.tokenizer.words(prompt, model.text_encoder.config().max_positions);
}

// Columns: the first step, every `every`-th after it, the last. Rows: the picture that is expected then; below it, for
// each word of the prompt but those in `without`, its map over that picture, on one scale from 0 to the most that the
// word ever gets. enlarged: small pictures by this factor, before the maps are laid over them.
inline Image attention_over_steps(StableDiffusion& model, TextToImageOptions options, Index every = 1,
                                  const std::vector<std::string>& without = {"a", "an", "the", "of", "on"},
                                  Index enlarged = 1) {
  if (every < 1) throw ConfigError("attention_over_steps: every", "at least 1", std::to_string(every));
  options.attention_steps = true;
  plot::ImageRows rows;
  rows.look.title = "\"" + options.prompt + "\": where each word looks", rows.look.scale = 1;
  std::vector<Image> expected;
  std::vector<std::size_t> shown;
  const TextToImageResult painted = text_to_image(model, options, [&](const DenoisingStep& s) {
    if ((s.step - 1) % every == 0 || s.step == s.steps) {
      shown.push_back(static_cast<std::size_t>(s.step - 1));
      rows.look.column_headings.push_back("step " + std::to_string(s.step));
      expected.push_back(plot::resize_nearest(tensor_to_image(model.decode(s.x0)), enlarged));
    }
    return true;
  });
  rows.add("expected picture", expected);
  for (const WordSpan& word : words_of(model, options.prompt)) {
    if (std::find(without.begin(), without.end(), word.word) != without.end()) continue;
    plot::OverlayOptions over;
    over.low = 0, over.high = 0;
    for (const auto& maps : painted.attention_steps)
      for (const float v : word_map(maps, word)) over.high = std::max(*over.high, static_cast<double>(v));
    std::vector<Image> row;
    for (std::size_t k = 0; k < shown.size(); ++k)
      row.push_back(plot::heat_overlay(expected[k], word_map(painted.attention_steps[shown[k]], word), over));
    rows.add(word.word, std::move(row));
  }
  return rows.grid();
}

}  // namespace inkling
