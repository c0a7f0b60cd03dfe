// How many steps are enough: every sampler of the library at 5 to 100 steps, against 1,000.
// test: --out pictures/samplers
#include <inkling/diffusion/noise_path.hpp>
#include <inkling/diffusion/sampler.hpp>
#include <inkling/pipelines/denoise.hpp>
#include <inkling/pipelines/load.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/line_plot.hpp>
#include <inkling/train/image_measure.hpp>

#include "example.hpp"

using namespace inkling;

namespace {

// A sampler with its settings. All of them begin at pure noise and end at a clean picture, so that they can be
// compared.
struct Entry {
  std::string label, sampler;
  SamplerOptions options;
};
std::vector<Entry> entries(SamplerOptions options) {
  options.spacing = TimestepSpacing::trailing;
  options.set_alpha_to_one = true;
  std::vector<Entry> all;
  for (const std::string& name : sampler_names()) all.push_back({name, name, options});
  options.spacing = TimestepSpacing::linspace;   // the last level is that of t = 0, however few the steps
  options.sigma_spacing = SigmaSpacing::karras;  // and most levels lie where there is little noise
  all.push_back({"euler, Karras' levels", "euler", options});
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv, "samplers [--out FOLDER]: how many steps are enough");
  return example.run([&] {
    const std::filesystem::path out = example.folder("--out", "pictures/samplers");
    const StableDiffusion model = load_stable_diffusion(example.models() / "mini");
    const NoiseSchedule schedule(model.schedule);
    const std::vector<std::string> prompts{
        "a bold red seven on a yellow background", "a white three on a blue background",
        "a thin black eight on a pink background", "a green five on a white background"};
    const Index count = static_cast<Index>(prompts.size()), length = model.text_encoder.config().max_positions;
    Tensor<std::int64_t, 2> ids({2 * count, length}, uninitialized);
    for (Index n = 0; n < 2 * count; ++n) {
      const Encoded row =
          model.tokenizer.encode_padded(n < count ? "" : prompts[static_cast<std::size_t>(n - count)], length);
      std::copy(row.ids.begin(), row.ids.end(), &ids(n, 0));
    }
    const Tensor<float, 3> context = model.encode_text(ids);
    Generator generator(4);
    const Shape<4> shape{count, 4, 8, 8};
    const Tensor<float, 4> noise = generator.randn<float>(shape);
    const NoisePath<float> path(schedule, shape, generator), other_path(schedule, shape, generator);

    bool drew = false;  // whether the last run asked for noise
    const auto run = [&](const Entry& entry, Index steps, const NoisePath<float>& along) {
      const auto sampler = make_sampler<float>(entry.sampler, schedule, entry.options, steps);
      // The network sees the same start from every sampler. Those that count in sigma keep x sqrt(sigma^2 + 1) times as
      // large as the network sees it.
      const double size =
          sampler->sigmas().empty() ? sampler->init_noise_sigma() : std::hypot(sampler->sigmas()[0], 1.0);
      const auto drawn = along.source(*sampler);
      drew = false;
      return denoise(model.unet, *sampler, elementwise([=](float v) { return static_cast<float>(size) * v; }, noise),
                     context, 1, [&](const Shape<4>& s) { return drew = true, drawn(s); });
    };
    const auto distance = [](const Tensor<float, 4>& a, const Tensor<float, 4>& b) {
      return std::sqrt(mean_square_error(a, b));
    };

    // Without noise of its own a sampler follows a curve that x_T decides alone (Song et al. 2021, the probability
    // flow); with noise, that of the path as well. Each kind has its own end.
    const std::vector<Entry> all = entries(model.sampler);
    const Tensor<float, 4> flow = run({"", "ddim", all[0].options}, 1000, path),
                           ancestral = run({"", "ddpm", all[0].options}, 1000, path);
    std::printf("the ends of the two kinds differ by %.2f, of two noise paths by %.2f\n", distance(flow, ancestral),
                distance(run({"", "ddpm", all[0].options}, 100, other_path), ancestral));

    const std::vector<Index> counts{5, 10, 20, 50, 100};
    std::vector<plot::Series> curves;
    std::vector<Image> pictures;
    plot::GridOptions grid;
    std::map<std::string, Tensor<float, 4>> at_20;
    std::map<std::string, std::vector<double>> errors;
    for (const Entry& entry : all) {
      plot::Series& curve = curves.emplace_back();
      curve.pen = std::max(1.5, 8.0 - 2.0 * static_cast<double>(curves.size()));  // one curve may lie on another
      const Tensor<float, 4>* end = nullptr;
      std::printf("%-22s", entry.label.c_str());
      for (const Index steps : counts) {
        const Tensor<float, 4> x = run(entry, steps, path);
        end = drew ? &ancestral : &flow;
        curve.x.push_back(static_cast<double>(steps)), curve.y.push_back(distance(x, *end));
        std::printf(" %4td: %.4f", steps, curve.y.back());
        if (steps == 20) at_20[entry.label] = x;
        if (steps <= 50) pictures.push_back(tensor_to_image(model.decode(x)));
      }
      pictures.push_back(tensor_to_image(model.decode(*end)));
      curve.name = entry.label + (end == &ancestral ? " (draws noise)" : "");
      grid.row_headings.push_back(entry.label);
      const double order = std::log(curve.y[2] / curve.y[4]) / std::log(5.0);
      std::printf("  order %.2f\n", order);
      example.claim(std::is_sorted(curve.y.rbegin(), curve.y.rend()), entry.label + ": more steps, smaller error");
      // The last step goes from its level to the clean picture at once. With steps equal in time that level is as loud
      // as the root of the step, and so is the error, whatever the order of the sampler before it.
      const bool ends_low = entry.options.sigma_spacing == SigmaSpacing::karras;
      example.claim(order > (ends_low ? 0.8 : 0.4),
                    entry.label + ": the error falls at least " +
                        (ends_low ? "nearly like the step" : "like the root of the step"));
      errors[entry.label] = curve.y;
    }
    example.claim(distance(at_20["ddim"], at_20["euler"]) < 1e-3,
                  "ddim and euler are one method in two notations, as long as they stop at the same levels");
    example.claim(errors["euler, Karras' levels"].back() < errors["euler"].back(),
                  "a hundred steps of Euler go further where they end in short ones");
    plot::Series& first = curves.emplace_back();
    first.name = "order 1/2", first.pen = 1, first.color = plot::gray;
    for (const double steps : {5.0, 100.0}) first.x.push_back(steps), first.y.push_back(0.6 / std::sqrt(steps));
    plot::LinePlotOptions look;
    look.title = "distance to 1,000 steps", look.x_label = "steps", look.y_label = "root mean square, latents";
    look.log_x = look.log_y = true;
    write_png(out / "errors.png", plot::line_plot(curves, look));
    for (const char* heading : {"5 steps", "10", "20", "50", "1,000"}) grid.column_headings.push_back(heading);
    write_png(out / "pictures.png", plot::image_grid(pictures, 5, {}, grid));
  });
}
