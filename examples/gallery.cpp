// The pictures of the README, painted by the small model: a grid of prompts, the steps of denoising, the guidance
// scale, and where each word looks.
// test: --out pictures
#include <algorithm>

#include "example.hpp"
#include "inkling/io/image.hpp"
#include "inkling/pipelines/load.hpp"
#include "inkling/pipelines/text_to_image.hpp"
#include "inkling/plot/heat_map.hpp"
#include "inkling/plot/image_grid.hpp"

using namespace inkling;

namespace {

Image paint(StableDiffusion& model, const std::string& prompt, std::uint64_t seed, double guidance = 4) {
  TextToImageOptions options;
  options.prompt = prompt, options.seed = seed, options.guidance = guidance;
  return tensor_to_image(text_to_image(model, options).image);
}

// Ten digits, every attribute, several ways to say it; the last five combinations never occurred in training.
Image prompts(StableDiffusion& model) {
  const std::vector<std::string> texts{"a bold red seven on a blue background",
                                       "the digit 3, white on black",
                                       "a thin green eight on a pink page",
                                       "yellow paper, five in purple ink, slanted to the right",
                                       "an orange zero, leaning left, cyan background",
                                       "heavy black 2 on a white page",
                                       "number nine in cyan on red",
                                       "a pink four on a green background",
                                       "a thick yellow six on a black background",
                                       "fine blue one, orange paper"};
  std::vector<Image> images;
  for (std::size_t i = 0; i < texts.size(); ++i) images.push_back(paint(model, texts[i], i + 1));
  return plot::image_grid(images, 5, texts);
}

// What the network has on the canvas (x_t), and what it expects to end with (x_0), while the noise goes.
Image denoising(StableDiffusion& model) {
  TextToImageOptions options;
  options.prompt = "a bold red seven on a blue background", options.seed = 3, options.guidance = 4;
  std::vector<Image> noisy, expected;
  std::vector<std::string> captions;
  text_to_image(model, options, [&](const DenoisingStep& s) {
    if ((s.step - 1) % 4 == 0) {
      noisy.push_back(tensor_to_image(model.decode(s.x_t)));
      expected.push_back(tensor_to_image(model.decode(s.x0)));
      captions.push_back("step " + std::to_string(s.step));
    }
    return true;
  });
  plot::GridOptions look;
  look.title = options.prompt, look.row_headings = {"on the canvas", "expected"}, look.column_headings = captions;
  const auto columns = static_cast<Index>(noisy.size());
  noisy.insert(noisy.end(), expected.begin(), expected.end());
  return plot::image_grid(noisy, columns, {}, look);
}

// eps = eps(empty) + scale (eps(prompt) - eps(empty)): 0 paints anything, 1 the plain model, more insists.
Image guidance(StableDiffusion& model) {
  std::vector<Image> images;
  plot::GridOptions look;
  look.title = "a bold red seven on a blue background";
  for (const double scale : {0.0, 1.0, 3.0, 7.5}) {
    char text[32];
    std::snprintf(text, sizeof text, "scale %g", scale);
    look.row_headings.push_back(text);
    for (std::uint64_t seed = 1; seed <= 6; ++seed) images.push_back(paint(model, look.title, seed, scale));
  }
  for (int seed = 1; seed <= 6; ++seed) look.column_headings.push_back("seed " + std::to_string(seed));
  return plot::image_grid(images, 6, {}, look);
}

// For each word the share of every pixel's attention, averaged over layers, heads and steps, on its own scale.
Image words(StableDiffusion& model) {
  TextToImageOptions options;
  options.prompt = "red seven on a blue background", options.seed = 3, options.guidance = 4;
  options.attention_maps = true;
  const TextToImageResult result = text_to_image(model, options);
  const Image picture = plot::resize_nearest(tensor_to_image(result.image), 3);
  std::vector<Image> images{picture};
  std::vector<std::string> captions{"the picture"};
  for (const WordSpan& word : model.tokenizer.words(options.prompt, model.text_encoder.config().max_positions)) {
    images.push_back(plot::heat_overlay(picture, word_map(result.attention, word)));
    captions.push_back(word.word);
  }
  plot::GridOptions look;
  look.scale = 1;
  return plot::strip(images, captions, {}, look);
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv, "gallery [--out FOLDER]: the pictures of the README, painted by models/mini");
  return example.run([&] {
    StableDiffusion model = load_stable_diffusion(example.models() / "mini");
    const std::filesystem::path out = example.option("--out", "docs/pictures");
    std::filesystem::create_directories(out);
    write_png(out / "prompts.png", prompts(model));
    write_png(out / "denoising.png", denoising(model));
    write_png(out / "guidance.png", guidance(model));
    write_png(out / "words.png", words(model));
    std::printf("%s: prompts.png denoising.png guidance.png words.png\n", out.string().c_str());
  });
}
