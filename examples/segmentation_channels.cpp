// What do the channels of a U-Net know? Nobody named them, yet some have found the cells and others the background: at
// the bottom, eight times coarser than the picture, and at full size, in the first block and in the last. The network is
// the one of segmentation.cpp.
// test: --out pictures/segmentation_channels
#include <inkling/io/load_parameters.hpp>
#include <inkling/io/model_files.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/masks.hpp>
#include <inkling/train/segmentation_features.hpp>

#include "example.hpp"

using namespace inkling;

namespace {

std::string correlation(double r) {
  char text[32];
  std::snprintf(text, sizeof text, "r = %.2f", r);
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv, "segmentation_channels [--out FOLDER]: what the channels of a U-Net have found");
  return example.run([&] {
    const std::filesystem::path out = example.folder("--out", "pictures/segmentation_channels");
    const std::filesystem::path nuclei = example.data("nuclei_dsb2018");
    const SegmentationSet known = read_nuclei(nuclei, 0, 20), unseen = read_nuclei(nuclei, 300, 34);
    const SegmentationSample& shown = unseen[1];
    SegmentationUNetConfig config;
    config.in_channels = 1, config.width = 16, config.depth = 3;
    SegmentationUNet<float> model(config);
    load_parameters(model, plain_weights(example.models() / "segmentation" / "nuclei.safetensors"));
    std::vector<std::string> captions{"the picture", "the truth"};

    // ---- The bottom: 128 channels of 32x32, before the ReLU cuts what is negative. Chosen on pictures of the training
    // set, measured on those held out ----
    const std::string block = "bottom.norm1";
    const std::vector<std::size_t> order = channels_by_correlation(feature_correlations(model, block, known));
    const std::vector<double> r = feature_correlations(model, block, unseen);
    std::printf("the bottom: channel %zu goes with the cells (r = %.2f), channel %zu with the background (r = %.2f)\n",
                order.front(), r[order.front()], order.back(), r[order.back()]);
    example.claim(r[order.front()] > 0.5 && r[order.back()] < -0.4,
                  "a channel at the bottom has found the cells, another one the background");
    const std::vector<Image> deep =
        plot::channel_images(segmentation_features(model, block, shown.image), plot::ColorMap::viridis);
    std::vector<Image> channels{plot::map_image(shown.image, 0), plot::mask_image(shown.mask)};
    for (const std::size_t c : {order[0], order[1], order[order.size() - 2], order.back()}) {
      channels.push_back(plot::resize_nearest(deep[c], 8));
      captions.push_back("channel " + std::to_string(c) + ": " + correlation(r[c]) +
                         (r[c] > 0 ? ", cells" : ", background"));
    }
    write_png(out / "bottom.png", plot::image_grid(channels, 3, captions, {.scale = 1}));

    // ---- At full size: the first block against the last ----
    plot::ImageRows features{{.scale = 1}};
    captions.clear();
    for (const auto& [end, heading] : {std::pair("down.0", "first block"), {"up.2", "last block"}}) {
      std::vector<double> goes = feature_correlations(model, end, unseen);
      std::printf("%-6s: of 16 channels the one that goes best with the mask has |r| = %.2f\n", end,
                  strongest_correlation(goes));
      goes.resize(8);  // half of them are enough to see
      std::vector<Image> row;
      for (const Image& image :
           plot::channel_images(segmentation_features(model, end, shown.image), plot::ColorMap::viridis))
        if (row.size() < goes.size()) row.push_back(plot::cropped(image, 0, 0, 128, 128));
      features.add(heading, std::move(row));
      for (const double one : goes) captions.push_back(correlation(one));
    }
    write_png(out / "features.png", features.grid(captions));
  });
}
