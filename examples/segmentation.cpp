// Which pixels are a cell? The U-Net of 2015 on photographs from the microscope: how its output forms as it learns, and
// what it loses without its skip connections; then thin membranes instead of cells. --train yes trains the four
// networks again and keeps them; a run that was stopped goes on. What their channels found: segmentation_channels.cpp
// test: --out pictures/segmentation
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/masks.hpp>
#include <inkling/train/load_or_train.hpp>
#include <inkling/train/segmentation.hpp>

#include "example.hpp"

using namespace inkling;

namespace {

SegmentationUNet<float> network(Index width, Index depth, bool skip = true) {
  SegmentationUNetConfig config;
  config.in_channels = 1, config.width = width, config.depth = depth, config.skip = skip;
  return SegmentationUNet<float>(config);
}
std::string number(const char* format, double v) {
  char text[64];
  std::snprintf(text, sizeof text, format, v);
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv,
                        "segmentation [--train yes] [--steps N] [--out FOLDER]: cells found, pixel by pixel");
  return example.run([&] {
    const std::filesystem::path out = example.folder("--out", "pictures/segmentation");
    const std::filesystem::path nuclei = example.data("nuclei_dsb2018"), brain = example.data("isbi2012");
    const SegmentationSet train = read_nuclei(nuclei, 0, 300), unseen = read_nuclei(nuclei, 300, 34);

    // ---- The networks: shipped, or trained here ----
    const auto trained = [&](const std::string& name, SegmentationUNet<float> model, const SegmentationSet& pictures,
                             Index steps, double rate, double elastic = 0) {
      CropOptions crops;  // four of 128x128 pixels
      crops.elastic = elastic;
      TrainOptions options;
      options.name = name, options.folder = out / "training", options.learning_rate = rate, options.ema_decay = 0.99;
      options.steps = std::stol(example.option("--steps", std::to_string(steps)));
      load_or_train(model, example.models() / "segmentation" / (name + ".safetensors"),
                    example.option("--train", "no") == "yes", options.folder, [&] {
                      train_segmentation(model, pictures, crops, options, 1, example.progress("train " + name));
                    });
      return model;
    };
    SegmentationUNet<float> model = trained("nuclei", network(16, 3), train, 2000, 2e-3),
                            membrane_model =
                                trained("membranes", network(16, 3), read_membranes(brain, 0, 25), 700, 2e-3, 4),
                            small = trained("small", network(4, 4), train, 1500, 4e-3),
                            blunt = trained("small_noskip", network(4, 4, false), train, 1500, 4e-3);

    // ---- 34 held-out pictures, whole and within two pixels of an outline; and without skip connections ----
    std::vector<SegmentationScore> scores;
    for (auto* m : {&model, &small, &blunt}) {
      const SegmentationScore s = evaluate_segmentation(*m, unseen);
      scores.push_back(s);
      std::printf("width %2td, depth %td, %-13s %6td parameters: Dice %.4f a picture, %.4f of all pixels; ",
                  m->config.width, m->config.depth, m->config.skip ? "skips," : "without them,", count_parameters(*m),
                  s.mean_dice, s.all.dice());
      std::printf("at outlines %.4f, %.4f\n", s.mean_band_dice, s.band.dice());
    }
    example.claim(scores[0].mean_dice >= 0.90, "Dice of at least 0.90 on pictures never seen");
    example.claim(scores[2].mean_dice < scores[1].mean_dice - 0.02 &&
                      scores[2].band.dice() < scores[1].band.dice() - 0.01,
                  "without skip connections the outline is lost");
    std::vector<Image> cells;
    std::vector<std::string> captions;
    for (const auto& [n, x, y] : {std::tuple(1, 0, 0), {17, 100, 100}, {24, 60, 60}}) {
      const SegmentationSample& s = unseen[static_cast<std::size_t>(n)];
      cells.push_back(plot::cropped(plot::map_image(s.image, 0), x, y, 96, 96));
      captions.push_back("picture " + s.name);
      for (const auto* m : {&small, &blunt}) {
        const Tensor<std::uint8_t, 2> found = mask_of(segment(*m, s.image)), band = outline_band(s.mask, 2);
        cells.push_back(plot::cropped(plot::mask_comparison(found, s.mask), x, y, 96, 96));
        captions.push_back(number("Dice %.2f, ", mask_overlap(found, s.mask).dice()) +
                           number("at outlines %.2f", mask_overlap(found, s.mask, &band).dice()));
      }
    }
    plot::GridOptions look{.title = "White: cell; orange: wrongly found; blue: missed", .scale = 2};
    look.column_headings = {"the picture", "with skips", "without skips"};
    write_png(out / "skips.png", plot::image_grid(cells, 3, captions, look));

    // ---- How the output forms: a network of half the width learns while we look ----
    const SegmentationSample& shown = unseen[1];
    const auto part = [](const Image& image) { return plot::cropped(image, 0, 0, 128, 128); };
    std::vector<Image> raw{part(plot::map_image(shown.image, 0))}, clamped{part(plot::mask_image(shown.mask))};
    plot::ImageRows forming{{.column_headings = {"picture, truth"}, .scale = 1}};
    SegmentationUNet<float> young = network(8, 3);
    TrainOptions options;
    options.name = "young", options.folder = out / "young", options.steps = 150, options.warmup_steps = 10;
    options.learning_rate = 5e-3;
    std::filesystem::remove_all(options.folder), std::filesystem::create_directories(options.folder);
    std::vector<double> dice;
    train_segmentation(young, train, {.size = 96}, options, 1, [&](const TrainStep& s) {
      for (const Index step : {1, 10, 30, 70, 150}) {
        if (s.step != step) continue;
        const Tensor<float, 3> y = segment(young, shown.image);
        dice.push_back(mask_overlap(mask_of(y), shown.mask).dice());
        raw.push_back(part(plot::map_image(y, 0, plot::ColorMap::viridis, -4, 4)));
        clamped.push_back(part(plot::map_image(y, 0, plot::ColorMap::grays, 0, 1)));
        forming.look.column_headings.push_back("step " + std::to_string(step) + number(": Dice %.2f", dice.back()));
      }
      return true;
    });
    forming.add("raw output, -4 to 4", raw), forming.add("clamped to 0..1", clamped);
    write_png(out / "training.png", forming.grid());
    example.claim(dice.back() > 0.8 && dice.back() > dice.front(),
                  number("150 steps bring a Dice of %.2f", dice.back()));

    // ---- Membranes: thin lines between the cells of a brain; 25 slices to learn from, 5 held out ----
    const SegmentationSet slices = read_membranes(brain, 25, 5);
    const SegmentationScore m = evaluate_segmentation(membrane_model, slices);
    std::printf("membranes: Dice %.4f, pixel error %.4f\n", m.all.dice(), m.all.pixel_error());
    example.claim(m.all.dice() > 0.7 && m.all.pixel_error() < 0.14, "membranes are found on slices never seen");
    const Image found = plot::mask_comparison(mask_of(segment(membrane_model, slices[0].image)), slices[0].mask);
    std::vector<Image> pair;
    for (const Image& image : {plot::map_image(slices[0].image, 0), found})
      pair.push_back(plot::cropped(image, 0, 0, 256, 256));
    look = {.column_headings = {"a slice", "membranes; orange: wrongly found, blue: missed"}, .scale = 1};
    write_png(out / "membranes.png", plot::image_grid(pair, 2, {}, look));
  });
}
