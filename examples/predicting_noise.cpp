// Taking noise out of a photograph: with and without being told how much there is; in one big step and in many small.
// --train trains both networks again (about ten minutes of one core).
// test: --out pictures/predicting_noise
#include <inkling/diffusion/ddpm.hpp>
#include <inkling/diffusion/ideal_denoiser.hpp>
#include <inkling/io/load_parameters.hpp>
#include <inkling/io/model_files.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/line_plot.hpp>
#include <inkling/train/image_measure.hpp>
#include <inkling/train/photo_denoiser.hpp>
#include <inkling/train/photo_windows.hpp>

#include "example.hpp"

using namespace inkling;

namespace {

Tensor<float, 4> item(const Tensor<float, 4>& x, Index n) { return kernels::slice(x, 0, n, n + 1); }

// What the network or the best possible answer makes of x_t, as the predicted noise.
using Answer = std::function<Tensor<float, 4>(const Tensor<float, 4>& x_t, Index t)>;

// From level `start` to the picture in so many steps of DDPM, each of which guesses the picture and then puts back as
// much noise as belongs to the next level (Ho et al. 2020, algorithm 2). With one step: the guess itself.
Tensor<float, 4> restored(const NoiseSchedule& whole, Index start, Index steps, Tensor<float, 4> x,
                          const Answer& answer) {
  NoiseScheduleOptions until_start;
  until_start.betas.assign(whole.betas().begin(), whole.betas().begin() + start + 1);
  SamplerOptions options;
  options.spacing = TimestepSpacing::trailing, options.x0_limits.clip = true;
  DdpmSampler<float> sampler(NoiseSchedule(until_start), options, steps);
  Generator generator(7);
  const NoiseSource<float> noise = [&](const Shape<4>& shape) { return generator.randn<float>(shape); };
  for (Index i = 0; i < steps; ++i)
    x = sampler.step(answer(x, static_cast<Index>(sampler.timesteps()[static_cast<std::size_t>(i)])), i, x, noise)
            .x_prev;
  return x;
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv,
                        "predicting_noise [--train yes] [--steps N] [--photos FOLDER] [--start T] [--out FOLDER]: a "
                        "photograph and noise");
  return example.run([&] {
    const std::filesystem::path out = example.folder("--out", "pictures/predicting_noise");
    // The world: three photographs of 72x72 pixels, seen through a window of 64x64 at any of 9x9 places.
    const std::filesystem::path photos = example.file("--photos", "photos");
    Tensor<float, 4> world;
    for (const char* name : {"chelsea.png", "astronaut.png", "coffee.png"}) {
      const Tensor<float, 4> windows = all_windows(small_square(read_image(photos / name), 72), 64);
      world = world.empty() ? windows : kernels::concat(world, windows, 0);
    }

    std::vector<PhotoDenoiser> models;
    for (const bool told : {true, false}) {
      PhotoDenoiser& model = models.emplace_back(told);
      const std::string name = told ? "told" : "not_told";
      const std::filesystem::path weights = example.models() / "predicting_noise" / (name + ".safetensors");
      if (example.option("--train", "no") == "yes") {
        TrainOptions options;
        options.name = name, options.folder = out / "training";
        options.steps = std::stol(example.option("--steps", "2400")), options.learning_rate = 3e-3;
        std::filesystem::create_directories(options.folder);
        train_photo_denoiser(model, world, options, 16, 1, example.progress("train " + name));
        std::filesystem::create_directories(weights.parent_path());
        save_parameters(model.unet, weights, DType::f16);
      }
      load_parameters(model.unet, plain_weights(weights));
    }

    const NoiseSchedule& schedule = models[0].schedule;
    const auto network = [&](const PhotoDenoiser& model) -> Answer {
      return [&](const Tensor<float, 4>& x, Index t) {
        const std::vector<std::int64_t> levels(static_cast<std::size_t>(x.shape(0)), t);
        return predicted_eps(PredictionType::v_prediction, model.predict(x, levels), x, schedule.alpha_bar(t));
      };
    };
    const std::vector<std::pair<std::string, Answer>> answers{
        {"told the level", network(models[0])},
        {"not told", network(models[1])},
        {"best possible", [&](const Tensor<float, 4>& x, Index t) {
           const double alpha_bar = schedule.alpha_bar(t);
           return predicted_eps(PredictionType::sample, expected_x0(world, x, alpha_bar), x, alpha_bar);
         }}};
    Generator generator(3);
    const auto noised = [&](const Tensor<float, 4>& x0, Index t, const Tensor<float, 4>& eps) {
      return q_sample(schedule, x0, eps, std::vector<std::int64_t>(static_cast<std::size_t>(x0.shape(0)), t));
    };
    const auto picture_of = [](const Tensor<float, 4>& x, Index n = 0) {
      return tensor_to_image(x, PixelRange::minus_one_to_one, n);
    };

    // ---- One photograph at many levels, cleaned in one step ----
    const Tensor<float, 4> cat = item(world, 40), eps = generator.randn<float>(cat.shape());
    const std::vector<Index> shown{50, 200, 400, 700, 900};
    std::vector<Image> pictures;
    plot::GridOptions grid;
    grid.row_headings = {"with noise"};
    for (const Index t : shown) {
      pictures.push_back(picture_of(noised(cat, t, eps)));
      grid.column_headings.push_back("t = " + std::to_string(t));
    }
    for (const auto& [name, answer] : answers) {
      grid.row_headings.push_back(name);
      for (const Index t : shown) {
        const Tensor<float, 4> x = noised(cat, t, eps);
        pictures.push_back(picture_of(predicted_x0(PredictionType::epsilon, answer(x, t), x, schedule.alpha_bar(t))));
      }
    }
    write_png(out / "levels.png", plot::image_grid(pictures, static_cast<Index>(shown.size()), {}, grid));

    // ---- Told or not: the error of the predicted noise at each level ----
    Tensor<float, 4> some({24, 3, 64, 64}, uninitialized);
    for (Index n = 0; n < 24; ++n)
      std::copy_n(world.data() + generator.integer(world.shape(0)) * cat.size(), cat.size(), &some(n, 0, 0, 0));
    plot::Series ratio{"not told", {}, {}, {}, 2}, one{"told the level", {}, {}, {}, 2};
    double log_ratio = 0;
    const std::vector<Index> levels{10, 30, 60, 100, 200, 300, 400, 500, 600, 700, 800, 900, 990};
    std::printf("error of the noise:   told   not told   best\n");
    for (const Index t : levels) {
      const Tensor<float, 4> e = generator.randn<float>(some.shape()), x = noised(some, t, e);
      std::array<double, 3> error{};
      for (std::size_t k = 0; k < 3; ++k) error[k] = mean_square_error(answers[k].second(x, t), e);
      one.x.push_back(static_cast<double>(t)), one.y.push_back(1);
      ratio.x.push_back(static_cast<double>(t)), ratio.y.push_back(error[1] / error[0]);
      log_ratio += std::log(ratio.y.back()) / static_cast<double>(levels.size());
      std::printf("t = %3td %17.5f %10.5f %8.5f\n", t, error[0], error[1], error[2]);
    }
    std::printf("not told, the error is %.2f times as large (geometric mean over the levels)\n", std::exp(log_ratio));
    example.claim(log_ratio > 0, "told how much noise there is, the network sees it better");
    plot::LinePlotOptions look;
    look.title = "error of the predicted noise, told the level = 1", look.x_label = "t", look.y_label = "mean square";
    write_png(out / "told.png", plot::line_plot({ratio, one}, look));

    // ---- One big step against many small ones ----
    const Index start = std::stol(example.option("--start", "800"));
    Tensor<float, 4> originals({12, 3, 64, 64}, uninitialized);  // four times each of the photographs, in the middle
    for (Index n = 0; n < 12; ++n) std::copy_n(&world(81 * (n % 3) + 40, 0, 0, 0), cat.size(), &originals(n, 0, 0, 0));
    const Tensor<float, 4> begin = noised(originals, start, generator.randn<float>(originals.shape()));
    const std::vector<Index> counts{1, 2, 5, 20, 100};
    std::vector<plot::Series> likeness, sharp;
    std::vector<std::vector<Image>> results;  // [answer][3 * steps + photograph]
    for (const auto& [name, answer] : answers) {
      plot::Series& like = likeness.emplace_back(plot::Series{name});
      plot::Series& edges = sharp.emplace_back(plot::Series{name});
      std::vector<double> nearest;
      results.emplace_back();
      for (const Index steps : counts) {
        const Tensor<float, 4> x = restored(schedule, start, steps, begin, answer);
        double original = 0, any = 0;
        for (Index n = 0; n < 12; ++n) {
          double best = 0;  // 60 dB: no eye sees a difference
          for (Index i = 0; i < world.shape(0); ++i) best = std::max(best, psnr(item(x, n), item(world, i)));
          original += psnr(item(x, n), item(originals, n)) / 12, any += std::min(best, 60.0) / 12;
        }
        like.x.push_back(static_cast<double>(steps)), like.y.push_back(original);
        edges.x.push_back(static_cast<double>(steps)), edges.y.push_back(sharpness(x) / sharpness(originals));
        nearest.push_back(any);
        std::printf(
            "%-14s %3td steps: %4.1f dB to the photograph, %4.1f dB to the nearest of the world, sharpness %.2f\n",
            name.c_str(), steps, original, any, edges.y.back());
        for (Index n = 0; n < 3; ++n) results.back().push_back(picture_of(x, n));
      }
      if (name == "not told") continue;
      example.claim(like.y.front() > like.y.back() + 1, name + ": one step is nearer to the photograph than a hundred");
      example.claim(edges.y.back() > 3 * edges.y.front() && nearest.back() > nearest.front(),
                    name + ": a hundred steps end at a sharp picture, nearer to one of the world; one step at a blur");
    }
    grid = {};
    pictures.clear();
    grid.column_headings = {"photograph", "t = " + std::to_string(start)};
    for (const Index steps : counts)
      grid.column_headings.push_back(std::to_string(steps) + (steps == 1 ? " step" : " steps"));
    for (const auto& [answer, photo] : {std::pair<std::size_t, Index>{0, 1}, {2, 1}, {0, 2}}) {
      grid.row_headings.push_back(answer == 0 ? "network" : "best possible");
      pictures.push_back(picture_of(originals, photo)), pictures.push_back(picture_of(begin, photo));
      for (std::size_t c = 0; c < counts.size(); ++c)
        pictures.push_back(results[answer][3 * c + static_cast<std::size_t>(photo)]);
    }
    write_png(out / "steps.png", plot::image_grid(pictures, 7, {}, grid));
    look.x_label = "steps", look.y_label = "PSNR, dB", look.log_x = true;
    look.title = "likeness to the photograph, from t = " + std::to_string(start);
    write_png(out / "likeness.png", plot::line_plot(likeness, look));
    look.title = "sharpness, the photograph's is 1", look.y_label = "mean square difference of neighbours";
    look.y_low = 0, look.y_high = 1.5;
    write_png(out / "sharpness.png", plot::line_plot(sharp, look));
  });
}
