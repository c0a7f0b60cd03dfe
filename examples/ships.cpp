// New ships out of noise: a diffusion model of the 5,000 ships of CIFAR-10. Are they copies? How far are they from real
// ones? --train yes trains it again, and the classifier in whose features pictures are compared: 50 minutes of a core.
// It can be stopped (Ctrl-C) and goes on where it was; --train yes --train-steps 20000 goes on after the end.
// test: --out pictures/ships --samples 128 --steps 20
#include <inkling/io/cifar_pictures.hpp>
#include <inkling/io/load_parameters.hpp>
#include <inkling/io/model_files.hpp>
#include <inkling/plot/animation.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/line_plot.hpp>
#include <inkling/train/frechet.hpp>
#include <inkling/train/nearest.hpp>
#include <inkling/train/picture_classification.hpp>
#include <inkling/train/pixel_diffusion.hpp>

#include "example.hpp"

using namespace inkling;
namespace fs = std::filesystem;

namespace {

Tensor<float, 2> rows(const Tensor<float, 4>& x) { return x.reshaped(Shape<2>{x.shape(0), x.size() / x.shape(0)}); }
plot::GridOptions close_together(Index scale) {
  plot::GridOptions look;
  look.scale = scale, look.gap = 2;
  return look;
}

void train(const Example& example, const fs::path& data, const fs::path& models, const fs::path& work) {
  fs::create_directories(work), fs::create_directories(models);
  TrainOptions options;
  options.folder = work, options.compute = ComputeType::bf16;
  options.name = "classifier", options.steps = std::stol(example.option("--classifier-steps", "4200"));
  options.learning_rate = 2e-3, options.weight_decay = 0.05;
  options.warmup_steps = 200;
  const LabelledColorImages all = read_cifar10_training(data);
  PictureClassifier<float> classifier(PictureClassifierConfig::cifar10());
  train_picture_classifier(classifier, all, options, 64, 1, example.progress("classifier"));
  save_parameters(classifier, models / "classifier.safetensors", DType::f16);

  options.name = "ships", options.steps = std::stol(example.option("--train-steps", "10000"));
  options.learning_rate = 1e-3, options.weight_decay = 0.01, options.ema_decay = 0.9993, options.warmup_steps = 300;
  PixelDiffusion denoiser(PixelDiffusionConfig::ships());
  const auto sheet = [&](Index step, const PixelDiffusion& average) {
    Generator g(7);
    write_png(work / ("sheet_" + std::to_string(step) + ".png"),
              plot::image_grid(tensor_to_images(average.sample(32, 25, g)), 8, {}, close_together(3)));
  };
  train_pixel_diffusion(denoiser, read_cifar10(data / "ships_train.bin.gz"), options, 32, 1, example.progress("ships"),
                        500, sheet);
  save_parameters(denoiser.unet, models / "denoiser.safetensors", DType::f16);
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv,
                        "ships [--samples N] [--steps N] [--seed N] [--train yes] [--train-steps N] "
                        "[--classifier-steps N] [--cifar10 FOLDER] [--out FOLDER]: new ships out of noise");
  return example.run([&] {
    const fs::path out = example.folder("--out", "pictures/ships"), models = example.models() / "ships";
    const fs::path data = example.file("--cifar10", "cifar10");
    if (example.option("--train", "no") == "yes") train(example, data, models, out / "training");
    PictureClassifier<float> classifier(PictureClassifierConfig::cifar10());
    load_parameters(classifier, plain_weights(models / "classifier.safetensors"));
    PixelDiffusion denoiser(PixelDiffusionConfig::ships());
    load_parameters(denoiser.unet, plain_weights(models / "denoiser.safetensors"));

    // ---- Pictures of every kind, as many of each: [N, 3, 32, 32] in [-1, 1] ----
    const Index N = std::max<Index>(64, std::stol(example.option("--samples", "256")));
    const Index steps = std::stol(example.option("--steps", "25"));
    const LabelledColorImages test = read_cifar10(data / "test_batch.bin.gz");
    const LabelledColorImages held_out = only_class(test, cifar10_ship);
    const LabelledColorImages ships = read_cifar10(data / "ships_train.bin.gz");
    const Tensor<float, 4> known = signed_pixels(ships, 0, ships.size()), unseen = signed_pixels(held_out, 0, 1000);
    Generator g(static_cast<std::uint64_t>(std::stol(example.option("--seed", "1"))));
    const Tensor<float, 4> made = denoiser.sample(N, steps, g);
    const Tensor<float, 4> others = signed_pixels(without_class(test, cifar10_ship), 0, N);
    Tensor<float, 4> noise = g.randn<float>(made.shape());
    for (float& v : noise) v = std::clamp(v, -1.0f, 1.0f);
    const std::vector<Image> shown = tensor_to_images(made, PixelRange::minus_one_to_one, 0, 64);
    write_png(out / "ships.png", plot::image_grid(shown, 8, {}, close_together(3)));

    // ---- New, not copied: the nearest training picture, or its mirror image, by pixels and by features ----
    const Tensor<float, 4> both = kernels::concat(known, mirrored(known), 0);
    const auto features = [&](const Tensor<float, 4>& x) { return picture_features(classifier, x); };
    const std::vector<Nearest> by_pixels = nearest_rows(rows(made), rows(both));
    const std::vector<Nearest> by_features = nearest_rows(features(made), features(both));
    for (const Index half : {0, 1}) {
      plot::ImageRows beside{close_together(2)};
      beside.look.gap = 4;
      for (const Index from : {32 * half, 32 * half + 16}) {
        beside.add("new", tensor_to_images(made, PixelRange::minus_one_to_one, from, 16));
        for (const auto& [heading, found] :
             {std::pair("nearest by pixels", &by_pixels), {"by features", &by_features}}) {
          std::vector<Image> row;
          for (auto f = found->begin() + from; f != found->begin() + from + 16; ++f)
            row.push_back(tensor_to_image(both, PixelRange::minus_one_to_one, f->index));
          beside.add(heading, std::move(row));
        }
      }
      write_png(out / ("nearest_" + std::to_string(half + 1) + ".png"), beside.grid());
    }
    std::vector<plot::Series> curves;
    const auto compare = [&](const std::string& how, const std::vector<Nearest>& of_new,
                             const std::vector<Nearest>& of_unseen) {
      const std::vector<double> a = sorted_distances(of_new), b = sorted_distances(of_unseen);
      const double middle_a = a[a.size() / 2], middle_b = b[b.size() / 2];
      curves.push_back(plot::cumulative("new, by " + how, a, middle_b));
      curves.push_back(plot::cumulative("held out, by " + how, b, middle_b));
      std::printf("by %-8s new ships: smallest %.3f, median %.3f; held out: smallest %.3f, median %.3f\n", how.c_str(),
                  a[0], middle_a, b[0], middle_b);
      example.claim(middle_a > 0.9 * middle_b,
                    "by " + how + ", new ships are as far from the training ships as unseen real ones are");
    };
    std::printf("Distance to the nearest training ship, root mean square (pixels from -1 to 1)\n");
    compare("pixels", by_pixels, nearest_rows(rows(unseen), rows(both)));
    compare("features", by_features, nearest_rows(features(unseen), features(both)));
    plot::LinePlotOptions axes;
    axes.title = "distance to the nearest training ship", axes.x_low = 0, axes.x_high = 2;
    axes.x_label = "distance (1: the median of ships held out)", axes.y_label = "pictures at most so far, %";
    write_png(out / "distances.png", plot::line_plot(curves, axes));

    // ---- How far from real ships ----
    const FeatureStatistics real = FeatureStatistics::of(features(unseen));
    const auto distance = [&](const char* name, const Tensor<float, 4>& x) {
      const double d = frechet_distance(FeatureStatistics::of(features(x)), real);
      std::printf("%-22s %8.3f\n", name, d);
      return d;
    };
    std::printf("Frechet distance of %td pictures to 1,000 ships held out:\n", N);
    const double d_noise = distance("noise", noise), d_others = distance("other classes", others);
    const double d_made = distance("new ships", made);
    const double d_real = distance("training ships", kernels::slice(known, 0, 0, N));

    // ---- The way back, as a film: what is left of the noise, and what the network takes it for ----
    std::vector<Image> film;
    denoiser.sample(8, 40, g, 0, [&](Index, const Tensor<float, 4>& x_t, const Tensor<float, 4>& x0) {
      plot::ImageRows screen{close_together(2)};
      screen.look.gap = 4;
      screen.add("so far", tensor_to_images(x_t)), screen.add("what it sees", tensor_to_images(x0));
      film.push_back(screen.grid());
    });
    plot::AnimationOptions timing;
    timing.last_delay = 300, timing.colors = 64;
    plot::write_gif(out / "denoising.gif", film, timing);

    example.claim(d_real < d_made && d_made < d_others && d_others < d_noise,
                  "new ships lie nearer to real ones than other pictures do, though not as near as ships do");
  });
}
