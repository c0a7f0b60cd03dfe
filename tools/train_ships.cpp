// Trains the diffusion model of ships that stands under models/ships, with a log and sheets of samples on the way. It can
// be stopped at any time and goes on where it was; another number of steps only stretches the learning rate.
//
//   train_ships SHIPS.bin.gz WORK_FOLDER [STEPS [BATCH [RATE]]]
#include <cstdio>
#include <fstream>

#include "inkling/io/image.hpp"
#include "inkling/io/load_parameters.hpp"
#include "inkling/plot/image_grid.hpp"
#include "inkling/train/pixel_diffusion.hpp"

using namespace inkling;

int main(int argc, char** argv) try {
  if (argc < 3) return std::fprintf(stderr, "train_ships SHIPS.bin.gz WORK_FOLDER [STEPS [BATCH [RATE]]]\n"), 2;
  const std::filesystem::path work = argv[2];
  std::filesystem::create_directories(work);
  const auto number = [&](int i, double otherwise) { return argc > i ? std::stod(argv[i]) : otherwise; };
  TrainOptions options;
  options.name = "ships", options.folder = work;
  options.steps = static_cast<Index>(number(3, 12000)), options.warmup_steps = 300;
  options.learning_rate = number(5, 1e-3), options.weight_decay = 0.01, options.ema_decay = 0.9993;
  options.checkpoint_seconds = 120;
  const LabelledColorImages ships = only_class(read_cifar10(argv[1]), cifar10_ship);
  PixelDiffusion model(PixelDiffusionConfig::color32({64, 96, 128}, 1));
  std::printf("%td ships, %td parameters\n", ships.size(), count_parameters(model.unet));
  train_pixel_diffusion(
      model, ships, options, static_cast<Index>(number(4, 32)), 1,
      [&](const TrainStep& s) {
        if (s.step % 50 == 0)
          std::ofstream(work / "log.txt", std::ios::app)
              << s.step << " " << s.average_loss << " " << s.learning_rate << " " << s.gradient_norm << " "
              << s.seconds_per_step << std::endl;
        return true;
      },
      500,
      [&](Index step, const PixelDiffusion& average) {
        Generator g(7);
        const Tensor<float, 4> x = average.sample(32, 25, g);
        std::vector<Image> pictures;
        for (Index n = 0; n < x.shape(0); ++n) pictures.push_back(tensor_to_image(x, PixelRange::minus_one_to_one, n));
        plot::GridOptions look;
        look.scale = 3, look.gap = 2;
        write_png(work / ("sheet_" + std::to_string(step) + ".png"), plot::image_grid(pictures, 8, {}, look));
      });
  save_parameters(model.unet, work / "ships.safetensors", DType::f16);
} catch (const std::exception& e) {
  std::fprintf(stderr, "error: %s\n", e.what());
  return 1;
}
