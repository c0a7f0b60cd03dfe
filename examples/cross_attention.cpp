// In the small model every pixel asks the words. Where each word looks, step by step; one word swapped for another with
// the same seed: what moves and what stays, with attention of its own and with the first prompt's.
// test: --out pictures/cross_attention
#include <inkling/pipelines/attention_pictures.hpp>
#include <inkling/pipelines/load.hpp>
#include <inkling/pipelines/prompt_to_prompt.hpp>
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
// Digit i in colours at random, a bold stroke; one for each prompt.
std::vector<InkDigit> subjects(Index count) {
  std::vector<InkDigit> all = digits_to_ask(count, 7);
  for (InkDigit& a : all) a.stroke = Stroke::bold, a.lean = Lean::upright;
  return all;
}
// Another colour, but for the one that is not to be met.
Ink another(Ink color, Ink taken) {
  const Ink next = all_inks[(static_cast<std::size_t>(color) + 3) % 10];
  return next == taken ? another(next, taken) : next;
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv, "cross_attention [--out FOLDER]: where the words look, and one word swapped");
  return example.run([&] {
    StableDiffusion model = load_stable_diffusion(example.models() / "mini");
    const std::filesystem::path out = example.folder("--out", "pictures/cross_attention");

    // ---- Where each word looks, step by step ----
    write_png(out / "maps.png",
              attention_over_steps(model, options_for("a bold red seven on a blue background", 3), 3, {"a"}, 2));

    // ---- The same as numbers, over 20 prompts: attention on the strokes against attention on the paper ----
    std::array<plot::Series, 4> curves;
    const char* names[] = {"word of the ink, on the strokes", "word of the ink, on the paper",
                           "word of the paper, on the strokes", "word of the paper, on the paper"};
    std::array<double, 4> mean{};
    for (std::size_t c = 0; c < 4; ++c) curves[c].name = names[c], curves[c].y.resize(steps);
    std::uint64_t seed = 0;
    for (const InkDigit& a : subjects(20)) {
      const TextToImageResult painted = text_to_image(model, options_for(canonical_prompt(a), ++seed));
      const Tensor<float, 2> coverage = ink_coverage(picture(painted.image, 0));
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
    plot::ImageRows grid;
    grid.look.column_headings = {"the prompt",          "another ink",   "what changed",
                                 "ink, attention kept", "another paper", "what changed"};
    InkChange change_ink, change_kept, change_paper;
    seed = 0;
    for (const InkDigit& a : subjects(10)) {
      InkDigit ink = a, paper = a;
      ink.ink = another(a.ink, a.background), paper.background = another(a.background, a.ink);
      ++seed;
      const auto swapped = [&](const InkDigit& b, double share) {
        return swap_word(model, canonical_prompt(a), canonical_prompt(b), options_for("", seed), share);
      };
      const Tensor<float, 4> own = swapped(ink, 0), kept = swapped(ink, 0.8), page = swapped(paper, 0);
      const auto add = [](InkChange& sum, const Tensor<float, 4>& pair) {
        const InkChange one = ink_change(picture(pair, 0), picture(pair, 1));
        sum.ink += one.ink / 10, sum.paper += one.paper / 10, sum.shape += one.shape / 10;
      };
      add(change_ink, own), add(change_kept, kept), add(change_paper, page);
      if (grid.look.row_headings.size() == 5) continue;
      const auto heat = [&](const Tensor<float, 4>& pair) {
        plot::OverlayOptions over;
        over.low = 0, over.high = 0.6, over.strength = 1;
        return plot::heat_overlay(tensor_to_image(pair), color_change(picture(pair, 0), picture(pair, 1)), over);
      };
      const auto second = [](const Tensor<float, 4>& pair) { return tensor_to_images(pair)[1]; };
      grid.add(std::string(name(a.ink)) + " on " + std::string(name(a.background)) + "; then " +
                   std::string(name(ink.ink)) + " ink; " + std::string(name(paper.background)) + " paper",
               {tensor_to_image(own), second(own), heat(own), second(kept), second(page), heat(page)});
    }
    write_png(out / "swap.png", grid.grid());
    std::printf("another ink:   strokes change by %.3f, the paper by %.3f\n", change_ink.ink, change_ink.paper);
    std::printf("another paper: strokes change by %.3f, the paper by %.3f\n", change_paper.ink, change_paper.paper);
    std::printf("another ink: %.1f %% of the pixels' coverage moves, %.1f %% with the first prompt's attention\n",
                100 * change_ink.shape, 100 * change_kept.shape);
    example.claim(change_ink.ink > 4 * change_ink.paper, "another ink changes the strokes and leaves the paper");
    example.claim(change_paper.paper > 2 * change_paper.ink, "another paper changes the paper and leaves the strokes");
    example.claim(change_kept.shape < 0.8 * change_ink.shape,
                  "with the first prompt's attention the digit keeps its shape better");
  });
}
