// How strongly the prompt pulls: what a larger guidance scale buys (the prompt is obeyed) and what it costs (all seeds
// paint the same, and in the end the colours burn out), measured; and a negative prompt, which pushes away.
// test: --out pictures/guidance
#include <inkling/io/load_parameters.hpp>
#include <inkling/pipelines/load.hpp>
#include <inkling/pipelines/text_to_image.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/line_plot.hpp>
#include <inkling/train/image_measure.hpp>
#include <inkling/train/ink_captions.hpp>
#include <inkling/train/ink_judge.hpp>

#include "example.hpp"

using namespace inkling;

namespace {

// `count` seeds of one prompt -> [count, 3, H, W]
Tensor<float, 4> paint(StableDiffusion& model, const std::string& prompt, const std::string& negative, double scale,
                       std::uint64_t first_seed, int count) {
  std::vector<PromptAndSeed> prompts;
  for (int k = 0; k < count; ++k) prompts.push_back({prompt, first_seed + static_cast<std::uint64_t>(k)});
  TextToImageOptions o;
  o.steps = 15, o.guidance = scale, o.negative_prompt = negative;
  return text_to_image_batch(model, prompts, o);
}
void append(std::vector<Image>& images, const Tensor<float, 4>& batch, Index count) {
  for (Index n = 0; n < count; ++n) images.push_back(tensor_to_image(batch, PixelRange::minus_one_to_one, n));
}
std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv, "guidance [--out FOLDER]: what the guidance scale and a negative prompt do");
  return example.run([&] {
    StableDiffusion model = load_stable_diffusion(example.models() / "mini");
    DigitClassifier<float> judge;
    load_parameters(judge, plain_weights(example.models() / "mini" / "judge" / "model.safetensors"));
    const std::filesystem::path out = example.folder("--out", "pictures/guidance");

    // ---- eps = eps(empty) + scale (eps(prompt) - eps(empty)): ten prompts that leave the paper open, six seeds ----
    plot::Series right, apart;
    right.name = "digit and ink as asked", apart.name = "distance between two seeds (at scale 0: 1)";
    std::vector<Image> images;
    plot::GridOptions grid;
    std::map<double, double> obeyed, distance;
    for (const double scale : {0.0, 1.0, 1.5, 3.0, 5.0, 7.5, 12.0, 20.0}) {
      InkTally tally;
      for (int digit = 0; digit < 10; ++digit) {
        SampleRandom random(11, static_cast<std::uint64_t>(digit));
        const InkDigit a = random_attributes(digit, random);
        const std::string prompt = "a " + std::string(name(a.ink)) + " " + std::string(digit_word(digit));
        const Tensor<float, 4> batch = paint(model, prompt, "", scale, static_cast<std::uint64_t>(100 * digit), 6);
        for (InkJudgement j : judge_pictures(judge, batch)) {
          j.background = a.background;  // nobody asked for one
          tally.add(a, j);
        }
        distance[scale] += mean_pair_distance(batch) / 10;
        if (digit == 0) append(images, batch, 6), grid.title = "\"" + prompt + "\", six seeds";
      }
      obeyed[scale] = tally.percent(&InkTally::all) / 100;
      grid.row_headings.push_back("scale " + short_number(scale));
      right.x.push_back(scale), right.y.push_back(obeyed[scale]);
      apart.x.push_back(scale), apart.y.push_back(distance[scale] / distance[0]);
      std::printf("scale %4.1f: digit %5.1f %%, ink %5.1f %%, both %5.1f %%; two seeds differ by %.3f\n", scale,
                  tally.percent(&InkTally::digit), tally.percent(&InkTally::ink), 100 * obeyed[scale], distance[scale]);
    }
    write_png(out / "scales.png", plot::image_grid(images, 6, {}, grid));
    plot::LinePlotOptions look;
    look.title = "The prompt obeyed, and the seeds' freedom", look.x_label = "guidance scale";
    look.y_label = "share", look.y_low = 0, look.y_high = 1.05;
    write_png(out / "sweep.png", plot::line_plot({right, apart}, look));
    example.claim(obeyed[0] < 0.1, "at scale 0 the prompt is not heard");
    example.claim(obeyed[3] > obeyed[1] + 0.05, "at 3 it is obeyed more often than at 1, where nothing guides");
    example.claim(distance[20] < distance[5] && distance[5] < distance[1],
                  "the larger the scale, the more alike the seeds");
    example.claim(obeyed[20] < obeyed[5], "far too large a scale breaks pictures");

    // ---- A negative prompt takes the place of the empty one: eps(negative) + scale (eps(prompt) - eps(negative)) ----
    images.clear();
    plot::GridOptions rows;
    rows.title = "\"a red seven\": any paper may come, but for the one named";
    rows.row_headings = {"no negative prompt"};
    const Tensor<float, 4> free = paint(model, "a red seven", "", 3, 0, 60);
    append(images, free, 10);
    const auto share = [&](const Tensor<float, 4>& batch, Ink paper) {
      double count = 0, sevens = 0;
      for (const InkJudgement& j : judge_pictures(judge, batch)) count += j.background == paper, sevens += j.digit == 7;
      return std::pair(count / static_cast<double>(batch.shape(0)), sevens / static_cast<double>(batch.shape(0)));
    };
    double before = 0, after = 0;
    for (const Ink paper : {Ink::blue, Ink::cyan, Ink::white}) {
      const std::string negative = std::string(name(paper)) + " background";
      const Tensor<float, 4> pushed = paint(model, "a red seven", negative, 3, 0, 60);
      const auto [was, sevens_before] = share(free, paper);
      const auto [is, sevens] = share(pushed, paper);
      std::printf("\"%s\": %4.1f %% of papers without, %4.1f %% with it as negative prompt; sevens %.0f and %.0f %%\n",
                  negative.c_str(), 100 * was, 100 * is, 100 * sevens_before, 100 * sevens);
      before += was / 3, after += is / 3;
      rows.row_headings.push_back("negative: " + negative);
      append(images, pushed, 10);
    }
    write_png(out / "negative.png", plot::image_grid(images, 10, {}, rows));
    example.claim(after < 0.3 * before, "what the negative prompt names disappears");
  });
}
