// Taking noise out of a photograph: with and without being told how much there is; in one big step and in many small.
// --train yes trains both networks again (about eight minutes of one core).
// test: --out pictures/predicting_noise
#include <inkling/diffusion/denoise_from.hpp>
#include <inkling/diffusion/ideal_denoiser.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/line_plot.hpp>
#include <inkling/train/image_measure.hpp>
#include <inkling/train/load_or_train.hpp>
#include <inkling/train/photo_denoiser.hpp>

#include "example.hpp"

using namespace inkling;

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
      TrainOptions options;
      options.name = name, options.folder = out / "training", options.learning_rate = 3e-3;
      options.steps = std::stol(example.option("--steps", "2400"));
      load_or_train(model.unet, example.models() / "predicting_noise" / (name + ".safetensors"),
                    example.option("--train", "no") == "yes", options.folder, [&] {
                      train_photo_denoiser(model, world, options, 16, 1, example.progress("train " + name));
                    });
    }

    const NoiseSchedule& schedule = models[0].schedule;
    const std::vector<std::pair<std::string, NoiseAnswer>> answers{
        {"told the level", [&](const Tensor<float, 4>& x, Index t) { return models[0].noise_in(x, t); }},
        {"not told", [&](const Tensor<float, 4>& x, Index t) { return models[1].noise_in(x, t); }},
        {"best possible", [&](const Tensor<float, 4>& x, Index t) {
           const double alpha_bar = schedule.alpha_bar(t);
           return predicted_eps(PredictionType::sample, expected_x0(world, x, alpha_bar), x, alpha_bar);
         }}};
    Generator generator(3);
    const auto noise_like = [&](const Tensor<float, 4>& x) { return generator.randn<float>(x.shape()); };

    // ---- One photograph at many levels, cleaned in one step ----
    const Tensor<float, 4> cat = kernels::slice(world, 0, 40, 41), eps = noise_like(cat);
    plot::ImageRows grid;
    const auto at_levels = [&](const std::string& heading, auto shown) {
      std::vector<Image> row;
      for (const Index t : {50, 200, 400, 700, 900})
        row.push_back(tensor_to_image(shown(q_sample(schedule, cat, eps, t), t)));
      grid.add(heading, std::move(row));
    };
    grid.look.column_headings = {"t = 50", "t = 200", "t = 400", "t = 700", "t = 900"};
    at_levels("with noise", [](const Tensor<float, 4>& x, Index) { return x; });
    for (const auto& answer : answers)
      at_levels(answer.first, [&](const Tensor<float, 4>& x, Index t) {
        return predicted_x0(PredictionType::epsilon, answer.second(x, t), x, schedule.alpha_bar(t));
      });
    write_png(out / "levels.png", grid.grid());

    // ---- Told or not: the error of the predicted noise at each level ----
    const Tensor<float, 4> some = draw_pictures(world, 24, generator);
    plot::Series ratio{"not told", {}, {}, {}, 2}, one{"told the level", {}, {}, {}, 2};
    double log_ratio = 0;
    const std::vector<Index> levels{10, 30, 60, 100, 200, 300, 400, 500, 600, 700, 800, 900, 990};
    std::printf("error of the noise:   told   not told   best\n");
    for (const Index t : levels) {
      const Tensor<float, 4> e = noise_like(some), x = q_sample(schedule, some, e, t);
      std::array<double, 3> error{};
      for (std::size_t k = 0; k < 3; ++k) error[k] = mean_square_error(answers[k].second(x, t), e);
      one.add(t, 1), ratio.add(t, error[1] / error[0]);
      log_ratio += std::log(ratio.y.back()) / static_cast<double>(levels.size());
      std::printf("t = %3td %17.5f %10.5f %8.5f\n", t, error[0], error[1], error[2]);
    }
    std::printf("not told, the error is %.2f times as large (geometric mean over the levels)\n", std::exp(log_ratio));
    example.claim(log_ratio > 0, "told how much noise there is, the network sees it better");
    plot::LinePlotOptions look;
    look.title = "error of the predicted noise, told the level = 1", look.x_label = "t", look.y_label = "mean square";
    write_png(out / "told.png", plot::line_plot({ratio, one}, look));

    // ---- One big step against many small ones, each of which guesses the picture and puts some noise back ----
    const Index start = std::stol(example.option("--start", "800"));
    Tensor<float, 4> originals({12, 3, 64, 64}, uninitialized);  // four times each of the photographs, in the middle
    for (Index n = 0; n < 12; ++n) std::copy_n(&world(81 * (n % 3) + 40, 0, 0, 0), cat.size(), &originals(n, 0, 0, 0));
    const Tensor<float, 4> begin = q_sample(schedule, originals, noise_like(originals), start);
    std::vector<plot::Series> likeness, sharp;
    std::vector<std::vector<Tensor<float, 4>>> results;  // of each answer: photograph, noise, after 1, 2, .. steps
    for (const auto& [name, answer] : answers) {
      plot::Series like{name}, edges{name};
      std::vector<double> nearest;
      results.push_back({originals, begin});
      for (const Index steps : {1, 2, 5, 20, 100}) {
        Generator steps_noise(7);
        const Tensor<float, 4> x = denoise_from(schedule, start, steps, begin, answer, steps_noise);
        double original = 0, any = 0;
        for (Index n = 0; n < 12; ++n)
          original += psnr(kernels::slice(x, 0, n, n + 1), kernels::slice(originals, 0, n, n + 1)) / 12;
        for (const double decibels : psnr_to_nearest(x, world)) any += decibels / 12;
        like.add(steps, original), edges.add(steps, sharpness(x) / sharpness(originals));
        nearest.push_back(any);
        std::printf("%-14s %3td steps: %4.1f dB to the photograph, %4.1f dB to the nearest of the world, ",
                    name.c_str(), steps, original, any);
        std::printf("sharpness %.2f\n", edges.y.back());
        results.back().push_back(x);
      }
      likeness.push_back(like), sharp.push_back(edges);
      if (name == "not told") continue;
      example.claim(like.y.front() > like.y.back() + 1, name + ": one step is nearer to the photograph than a hundred");
      example.claim(edges.y.back() > 3 * edges.y.front() && nearest.back() > nearest.front(),
                    name + ": a hundred steps end at a sharp picture, nearer to one of the world; one step at a blur");
    }
    grid = {};
    grid.look.column_headings = {"photograph", "t = " + std::to_string(start), "1 step", "2 steps",
                                 "5 steps",    "20 steps",                     "100 steps"};
    for (const auto& [answer, photo] : {std::pair<std::size_t, Index>{0, 1}, {2, 1}, {0, 2}}) {
      std::vector<Image> row;
      for (const auto& x : results[answer]) row.push_back(tensor_to_image(x, PixelRange::minus_one_to_one, photo));
      grid.add(answer == 0 ? "network" : "best possible", std::move(row));
    }
    write_png(out / "steps.png", grid.grid());
    look.x_label = "steps", look.y_label = "PSNR, dB", look.log_x = true;
    look.title = "likeness to the photograph, from t = " + std::to_string(start);
    write_png(out / "likeness.png", plot::line_plot(likeness, look));
    look.title = "sharpness, the photograph's is 1", look.y_label = "mean square difference of neighbours";
    look.y_low = 0, look.y_high = 1.5;
    write_png(out / "sharpness.png", plot::line_plot(sharp, look));
  });
}
