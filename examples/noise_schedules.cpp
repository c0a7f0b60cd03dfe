// How fast a picture is drowned in noise: linear, scaled-linear and cosine schedules, as curves and on a photograph.
// test: --out pictures/noise_schedules
#include <inkling/core/random.hpp>
#include <inkling/diffusion/forward_process.hpp>
#include <inkling/io/image.hpp>
#include <inkling/kernels/kernels.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/line_plot.hpp>

#include "example.hpp"

using namespace inkling;

namespace {

struct Named {
  std::string name;
  NoiseSchedule schedule;
};

NoiseSchedule schedule(BetaSchedule kind, double beta_start = 0, double beta_end = 0) {
  NoiseScheduleOptions o;
  o.kind = kind, o.beta_start = beta_start, o.beta_end = beta_end;
  return NoiseSchedule(o);
}

// The share of the steps at which the picture is louder than the noise: alpha_bar > 1/2.
double share_louder(const NoiseSchedule& s) {
  Index louder = 0;
  for (double a : s.alphas_cumprod()) louder += a > 0.5;
  return static_cast<double>(louder) / static_cast<double>(s.size());
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv, "noise_schedules [--photo FILE] [--out FOLDER]: three ways into the noise");
  return example.run([&] {
    const std::filesystem::path out = example.folder("--out", "pictures/noise_schedules");
    // Ho et al. 2020 (linear), Rombach et al. 2022 (scaled linear: Stable Diffusion), Nichol & Dhariwal 2021 (cosine)
    const std::vector<Named> all{{"linear", schedule(BetaSchedule::linear, 1e-4, 0.02)},
                                 {"scaled linear", schedule(BetaSchedule::scaled_linear, 0.00085, 0.012)},
                                 {"cosine", schedule(BetaSchedule::squared_cosine)}};

    std::vector<plot::Series> kept, noise;
    for (const Named& n : all) {
      kept.push_back(plot::series(n.name, n.schedule.alphas_cumprod()));
      noise.push_back(plot::series(n.name, {}));
      for (Index t = 0; t < n.schedule.size(); ++t) {
        noise.back().x.push_back(static_cast<double>(t));
        noise.back().y.push_back(n.schedule.snr(t));
      }
      const double last = n.schedule.alpha_bar(n.schedule.size() - 1);
      std::printf("%-14s %3.0f %% of the steps louder than the noise, %.5f of the power left at the end\n",
                  n.name.c_str(), 100 * share_louder(n.schedule), last);
      example.claim(std::is_sorted(kept.back().y.rbegin(), kept.back().y.rend()), n.name + ": the picture only fades");
      example.claim(last < 0.01, n.name + ": at the end less than 1 % of it is left");
    }
    example.claim(share_louder(all[2].schedule) > 1.5 * share_louder(all[0].schedule),
                  "the cosine keeps the picture audible half as long again as the linear schedule");
    plot::LinePlotOptions look;
    look.title = "what is left of the picture", look.x_label = "t", look.y_label = "alpha_bar";
    write_png(out / "alpha_bar.png", plot::line_plot(kept, look));
    look.title = "signal to noise", look.y_label = "alpha_bar / (1 - alpha_bar)", look.log_y = true;
    look.y_low = 1e-5, look.y_high = 1e4;
    write_png(out / "signal_to_noise.png", plot::line_plot(noise, look));

    // ---- On a photograph: x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps ----
    const Image photo = read_image(example.file("--photo", "photos/astronaut.png"));
    const Index factor = std::max<Index>(1, photo.width / 96);
    const Tensor<float, 4> x0 = kernels::avg_pool(image_to_tensor(photo), kernels::PoolOptions{factor, factor});
    Generator generator(1);
    const Tensor<float, 4> eps = generator.randn<float>(x0.shape());
    std::vector<Image> pictures;
    plot::GridOptions grid;
    for (const Named& n : all) {
      grid.row_headings.push_back(n.name);
      for (std::int64_t t : {0, 100, 200, 400, 600, 800, 999})
        pictures.push_back(tensor_to_image(q_sample(n.schedule, x0, eps, std::array{t})));
    }
    for (int t : {0, 100, 200, 400, 600, 800, 999}) grid.column_headings.push_back("t = " + std::to_string(t));
    write_png(out / "photograph.png", plot::image_grid(pictures, 7, {}, grid));
  });
}
