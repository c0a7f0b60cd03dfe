// In the small model every pixel asks the words. Where each word looks, step by step; one word swapped for another with
// the same seed: what moves and what stays, with attention of its own and with the first prompt's.
// test: --out pictures/cross_attention
#include <inkling/pipelines/load.hpp>
#include <inkling/pipelines/prompt_to_prompt.hpp>
#include <inkling/plot/heat_map.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/line_plot.hpp>
#include <inkling/train/ink_captions.hpp>
#include <inkling/train/ink_measure.hpp>

#include "example.hpp"

using namespace inkling;

namespace {

constexpr Index steps = 20;

TextToImageOptions options_for(const std::string& prompt, std::uint64_t seed) {
  TextToImageOptions o;
  o.prompt = prompt, o.seed = seed, o.steps = steps, o.guidance = 4, o.attention_steps = true;
  return o;
}
std::vector<WordSpan> words_of(const StableDiffusion& model, const std::string& prompt) {
  return model.tokenizer.words(prompt, model.text_encoder.config().max_positions);
}

// Rows: words; columns: steps. Each word on one scale from 0 to the most it ever gets.
Image maps_over_steps(StableDiffusion& model, const std::string& prompt) {
  std::vector<Image> images;
  plot::GridOptions look;
  look.title = "\"" + prompt + "\": where each word looks";
  look.row_headings = {"expected picture"};
  std::vector<Index> shown;
  const TextToImageResult painted = text_to_image(model, options_for(prompt, 3), [&](const DenoisingStep& s) {
    if ((s.step - 1) % 3 == 0 || s.step == steps) {
      shown.push_back(s.step - 1);
      look.column_headings.push_back("step " + std::to_string(s.step));
      images.push_back(plot::resize_nearest(tensor_to_image(model.decode(s.x0)), 2));
    }
    return true;
  });
  for (const WordSpan& word : words_of(model, prompt)) {
    if (word.word == "a") continue;
    look.row_headings.push_back(word.word);
    plot::OverlayOptions over;
    over.low = 0, over.high = 0;
    for (const auto& maps : painted.attention_steps)
      for (const float v : word_map(maps, word)) over.high = std::max(*over.high, static_cast<double>(v));
    for (std::size_t k = 0; k < shown.size(); ++k)
      images.push_back(plot::heat_overlay(
          images[k], word_map(painted.attention_steps[static_cast<std::size_t>(shown[k])], word), over));
  }
  look.scale = 1;
  return plot::image_grid(images, static_cast<Index>(shown.size()), {}, look);
}

// Prompt number i: digit i, colours at random, a bold stroke.
InkDigit subject(int i) {
  SampleRandom random(7, static_cast<std::uint64_t>(i));
  InkDigit a = random_attributes(i % 10, random);
  a.stroke = Stroke::bold, a.lean = Lean::upright;
  return a;
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv, "cross_attention [--out FOLDER]: where the words look, and one word swapped");
  return example.run([&] {
    StableDiffusion model = load_stable_diffusion(example.models() / "mini");
    const std::filesystem::path out = example.folder("--out", "pictures/cross_attention");

    // ---- Where each word looks, step by step ----
    write_png(out / "maps.png", maps_over_steps(model, "a bold red seven on a blue background"));

    // ---- The same as numbers, over 20 prompts: attention on the strokes against attention on the paper ----
    std::array<plot::Series, 4> curves;
    const char* names[] = {"word of the ink, on the strokes", "word of the ink, on the paper",
                           "word of the paper, on the strokes", "word of the paper, on the paper"};
    std::array<double, 4> mean{};
    for (std::size_t c = 0; c < 4; ++c) curves[c].name = names[c], curves[c].y.resize(steps);
    for (int i = 0; i < 20; ++i) {
      const InkDigit a = subject(i);
      const TextToImageResult painted =
          text_to_image(model, options_for(canonical_prompt(a), static_cast<std::uint64_t>(i + 1)));
      const Tensor<float, 3> image = picture(painted.image, 0);
      const Tensor<float, 2> coverage = ink_coverage(image, measure_colors(image));
      for (const WordSpan& word : words_of(model, canonical_prompt(a))) {
        if (word.word != name(a.ink) && word.word != name(a.background)) continue;
        const std::size_t first = word.word == name(a.ink) ? 0 : 2;
        for (std::size_t s = 0; s < steps; ++s) {
          const InkPaper m = mean_on_ink(word_map(painted.attention_steps[s], word), coverage);
          curves[first].y[s] += m.ink / 20, curves[first + 1].y[s] += m.paper / 20;
          mean[first] += m.ink / 20 / steps, mean[first + 1] += m.paper / 20 / steps;
        }
      }
    }
    for (auto& curve : curves)
      for (Index s = 1; s <= steps; ++s) curve.x.push_back(static_cast<double>(s));
    curves[1].color = curves[0].color = plot::Color{0xd5, 0x5e, 0x00},
    curves[3].color = curves[2].color = plot::Color{0x00, 0x72, 0xb2};
    curves[1].pen = curves[2].pen = 1;
    plot::LinePlotOptions look;
    look.title = "Share of the attention that two words get, 20 prompts", look.x_label = "step";
    look.y_label = "share of a pixel's attention", look.y_low = 0, look.y_high = 0.18;
    write_png(out / "curves.png", plot::line_plot({curves.begin(), curves.end()}, look));
    for (std::size_t c = 0; c < 4; ++c) std::printf("%-34s %4.1f %%\n", names[c], 100 * mean[c]);
    example.claim(mean[0] > 1.5 * mean[1], "the word of the ink is looked at from the strokes");
    example.claim(mean[3] > 1.3 * mean[2], "the word of the paper is looked at from the paper");

    // ---- One word swapped, same seed ----
    std::vector<Image> images;
    plot::GridOptions grid;
    grid.column_headings = {"the prompt",          "another ink",   "what changed",
                            "ink, attention kept", "another paper", "what changed"};
    const auto swapped = [&](const InkDigit& a, const InkDigit& b, int i, double share) {
      return swap_word(model, canonical_prompt(a), canonical_prompt(b),
                       options_for("", static_cast<std::uint64_t>(i + 1)), share);
    };
    InkPaper change_ink, change_paper;
    double moved = 0, moved_kept = 0;
    for (int i = 0; i < 10; ++i) {
      InkDigit a = subject(i), ink = a, paper = a;
      while (ink.ink == a.ink || ink.ink == a.background)
        ink.ink = all_inks[(static_cast<std::size_t>(ink.ink) + 3) % 10];
      while (paper.background == a.background || paper.background == a.ink)
        paper.background = all_inks[(static_cast<std::size_t>(paper.background) + 3) % 10];
      const Tensor<float, 4> own = swapped(a, ink, i, 0), kept = swapped(a, ink, i, 0.8),
                             page = swapped(a, paper, i, 0);
      const auto coverage = [&](const Tensor<float, 4>& pair, Index n) {
        return ink_coverage(picture(pair, n), measure_colors(picture(pair, n)));
      };
      const auto change = [&](const Tensor<float, 4>& pair) {
        return color_change(picture(pair, 0), picture(pair, 1));
      };
      // Strokes: wherever either picture has ink, so that a line that moved does not count as paper.
      const auto measure = [&](const Tensor<float, 4>& pair) {
        Tensor<float, 2> either = coverage(pair, 0);
        const Tensor<float, 2> second = coverage(pair, 1);
        for (Index k = 0; k < either.size(); ++k) either.data()[k] = std::max(either.data()[k], second.data()[k]);
        return mean_on_ink(change(pair), either);
      };
      const InkPaper by_ink = measure(own), by_paper = measure(page);
      change_ink.ink += by_ink.ink / 10, change_ink.paper += by_ink.paper / 10;
      change_paper.ink += by_paper.ink / 10, change_paper.paper += by_paper.paper / 10;
      const auto shift = [&](const Tensor<float, 4>& pair) {
        double sum = 0;
        const Tensor<float, 2> p = coverage(pair, 0), q = coverage(pair, 1);
        for (Index k = 0; k < p.size(); ++k)
          sum += std::abs(static_cast<double>(p.data()[k]) - static_cast<double>(q.data()[k]));
        return sum / static_cast<double>(p.size());
      };
      moved += shift(own) / 10, moved_kept += shift(kept) / 10;
      if (i >= 5) continue;
      const auto shown = [&](const Tensor<float, 4>& pair, Index n) {
        return tensor_to_image(pair, PixelRange::minus_one_to_one, n);
      };
      const auto heat = [&](const Tensor<float, 4>& pair) {
        plot::OverlayOptions over;
        over.low = 0, over.high = 0.6, over.strength = 1;
        return plot::heat_overlay(shown(pair, 0), change(pair), over);
      };
      grid.row_headings.push_back(std::string(name(a.ink)) + " on " + std::string(name(a.background)) + "; then " +
                                  std::string(name(ink.ink)) + " ink; " + std::string(name(paper.background)) +
                                  " paper");
      for (Image& image :
           std::vector<Image>{shown(own, 0), shown(own, 1), heat(own), shown(kept, 1), shown(page, 1), heat(page)})
        images.push_back(std::move(image));
    }
    write_png(out / "swap.png", plot::image_grid(images, 6, {}, grid));
    std::printf("another ink:   strokes change by %.3f, the paper by %.3f\n", change_ink.ink, change_ink.paper);
    std::printf("another paper: strokes change by %.3f, the paper by %.3f\n", change_paper.ink, change_paper.paper);
    std::printf("another ink: %.1f %% of the pixels' coverage moves, %.1f %% with the first prompt's attention\n",
                100 * moved, 100 * moved_kept);
    example.claim(change_ink.ink > 4 * change_ink.paper, "another ink changes the strokes and leaves the paper");
    example.claim(change_paper.paper > 2 * change_paper.ink, "another paper changes the paper and leaves the strokes");
    example.claim(moved_kept < 0.8 * moved, "with the first prompt's attention the digit keeps its shape better");
  });
}
