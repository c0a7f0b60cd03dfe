// inkling txt2img: a prompt becomes a picture, and the files that show how.
#pragma once
#include <iostream>
#include <map>
#include <set>

#include "../console.hpp"
#include "inkling/io/generation_parameters.hpp"
#include "inkling/io/image.hpp"
#include "inkling/pipelines/text_to_image.hpp"
#include "inkling/plot/heat_map.hpp"
#include "inkling/plot/image_grid.hpp"
#include "load_model.hpp"
#include "machine.hpp"
#include "settings.hpp"

namespace app {

using namespace inkling;

// What needs no model to be checked.
inline void check_before_loading(const Txt2Img& s) {
  if (!s.allow_empty && s.prompt.find_first_not_of(" \t\r\n") == std::string::npos)
    throw ConfigError("prompt", "some words", "none", "--allow-empty paints without a prompt");
  check_guidance_scale(s.guidance);
  weights_from(s.model);
  make_sampler<float>(s.sampler, NoiseSchedule(), {}, s.steps);
  if (s.width != 0) check_picture_side("width", s.width);
  if (s.height != 0) check_picture_side("height", s.height);
  if (s.scale < 1 || s.scale > 64) throw ConfigError("scale", "a factor from 1 to 64", std::to_string(s.scale));

  require_png_name("--out", s.out);
  require_writable_file(s.out);
  for (const std::string& place : {s.save_steps, s.attention_maps})
    if (!place.empty()) is_png(place) ? require_writable_file(place) : require_writable_folder(place);
  if (!s.dump.empty()) require_writable_file(s.dump);
  std::set<std::string> names;
  for (const std::string& place : {s.out, s.save_steps, s.attention_maps, s.dump})
    if (!place.empty() && !names.insert(fs::path(place).lexically_normal().string()).second)
      throw ConfigError("outputs", "different names", "\"" + printable(place) + "\" twice");
}

// At most `most` of the step numbers 1..steps, evenly spread, the first and the last among them.
inline std::vector<Index> spread_steps(Index steps, Index most) {
  std::vector<Index> out;
  const Index count = std::min(steps, most), gaps = std::max<Index>(count - 1, 1);
  for (Index k = 0; k < count; ++k) out.push_back(count == 1 ? steps : 1 + (k * (steps - 1) + gaps / 2) / gaps);
  return out;
}

struct PredictedPicture {
  Index step;
  double t;
  Tensor<float, 4> x0;
};

// Writes either one sheet, or a folder with the sheet and each picture alone. Returns what was written.
inline fs::path write_sheet(const fs::path& place, const std::string& sheet_name, const Image& sheet,
                            const std::vector<Image>& pictures, const std::vector<std::string>& names) {
  if (is_png(place)) {
    write_png(place, sheet);
    return place;
  }
  fs::create_directories(place);
  for (std::size_t i = 0; i < pictures.size(); ++i) write_png(place / (names[i] + ".png"), pictures[i]);
  write_png(place / (sheet_name + ".png"), sheet);
  return place;
}

inline std::string two_digits(Index n) { return (n < 10 ? "0" : "") + std::to_string(n); }

inline fs::path write_steps(const fs::path& place, const StableDiffusion& model,
                            const std::vector<PredictedPicture>& steps, const std::string& prompt) {
  std::vector<Image> pictures;
  std::vector<std::string> captions, names;
  for (const PredictedPicture& p : steps) {
    pictures.push_back(tensor_to_image(model.decode(p.x0)));
    captions.push_back("t = " + std::to_string(std::lround(p.t)));
    names.push_back("step_" + two_digits(p.step));
  }
  return write_sheet(place, "steps", plot::strip(pictures, captions, prompt), pictures, names);
}

// One picture a word: where its tokens were looked at, over the painting. The start token and the padding, which take
// most of the attention and belong to no word, are left out.
inline fs::path write_attention(const fs::path& place, const StableDiffusion& model, const std::string& prompt,
                                const Tensor<float, 3>& attention, const Image& image) {
  const Index height = attention.shape(1), width = attention.shape(2);
  const Image large = plot::resize_nearest(image, std::max<Index>(1, 128 / image.width));  // room for smooth maps
  std::vector<Image> pictures{large};
  std::vector<std::string> captions{"picture"}, names{"00_picture"};
  for (const WordSpan& word : model.tokenizer.words(prompt, attention.shape(0))) {
    Tensor<float, 2> map({height, width});
    for (Index s = word.first_token; s <= word.last_token; ++s)
      for (Index y = 0; y < height; ++y)
        for (Index x = 0; x < width; ++x) map(y, x) += attention(s, y, x);
    pictures.push_back(plot::heat_overlay(large, map));
    captions.push_back(word.word);
    std::string letters;
    for (const char c : word.word.substr(0, 40))
      if (std::isalnum(static_cast<unsigned char>(c))) letters += c;
    names.push_back(two_digits(static_cast<Index>(names.size())) + "_" + letters);
  }
  plot::GridOptions look;
  look.title = prompt;
  return write_sheet(place, "attention", plot::image_grid(pictures, 6, captions, look), pictures, names);
}

inline void write_dump(const fs::path& path, const TextToImageResult& r, const std::vector<double>& timesteps,
                       const Txt2Img& s, std::uint64_t seed) {
  std::vector<float> latents;  // [steps, 1, 4, h, w]
  for (const Tensor<float, 4>& x : r.latents) latents.insert(latents.end(), x.begin(), x.end());
  std::vector<Index> shape(r.noise.shape().begin(), r.noise.shape().end());
  shape.insert(shape.begin(), static_cast<Index>(r.latents.size()));
  const auto shortest = [](double v) { return inkling::detail::number_text(v); };
  write_safetensors(path,
                    {{"tokens", r.tokens},
                     {"context", r.context},
                     {"noise", r.noise},
                     {"timesteps", DType::f64, {static_cast<Index>(timesteps.size())}, std::span<const double>(timesteps)},
                     {"latents", DType::f32, shape, std::span<const float>(latents)},
                     {"image", r.image}},
                    {{"prompt", unicode::replace_invalid(s.prompt)},
                     {"negative_prompt", unicode::replace_invalid(s.negative)},
                     {"sampler", s.sampler},
                     {"guidance", shortest(s.guidance)},
                     {"seed", std::to_string(seed)},
                     {"rows of tokens and context", "negative prompt, prompt"}});
}

int txt2img(const Txt2Img& s) {
  const std::uint64_t seed = seed_from(s.seed);
  use_threads(s.threads);
  check_before_loading(s);
  if (!s.quiet) std::cout << machine_line() << std::endl;
  if (!s.quiet) warn_of_slow_build();

  inkling::Stopwatch watch;
  PeakMemory memory;
  StableDiffusion model = load_model(s.model, s.quiet);
  const double loaded = watch.lap(), load_mib = memory.lap();
  const auto mib = [](auto& module) { return static_cast<double>(parameter_bytes(module)) / (1 << 20); };
  const double weights_mib = mib(model.text_encoder) + mib(model.unet) + (model.taesd ? mib(*model.taesd) : mib(model.vae));

  TextToImageOptions options;
  options.prompt = s.prompt, options.negative_prompt = s.negative;
  options.steps = s.steps, options.guidance = s.guidance, options.sampler = s.sampler, options.seed = seed;
  options.width = s.width ? s.width : model.default_size;
  options.height = s.height ? s.height : model.default_size;
  options.attention_maps = !s.attention_maps.empty();
  options.keep_latents = !s.dump.empty();
  options.release_weights = true;  // one picture, and the program ends
  const Encoded words = model.tokenizer.encode_padded(s.prompt, model.text_encoder.config().max_positions);
  for (const Encoded& row : {words, model.tokenizer.encode_padded(s.negative, static_cast<Index>(words.ids.size()))})
    if (row.truncated) console::line("notice: " + truncation_notice(row));

  console::ProgressBar bar("denoise");
  std::map<std::string, double, std::less<>> stage_mib;
  options.after_stage = [&](std::string_view stage) { stage_mib.emplace(stage, memory.lap()); };
  std::vector<double> timesteps;
  std::vector<PredictedPicture> predicted;
  const TextToImageResult result = text_to_image(model, options, [&](const DenoisingStep& step) {
    if (!s.quiet) bar.update(step.step, step.steps);
    timesteps.push_back(step.t);
    if (!s.save_steps.empty()) {
      const std::vector<Index> wanted = spread_steps(step.steps, 8);
      if (std::find(wanted.begin(), wanted.end(), step.step) != wanted.end())
        predicted.push_back({step.step, step.t, step.x0});
    }
    return !console::interrupted();
  });
  bar.finish();
  watch.lap();

  const Image image = tensor_to_image(result.image);
  GenerationParameters parameters;
  parameters.prompt = s.prompt, parameters.negative_prompt = s.negative;
  parameters.steps = s.steps, parameters.guidance = s.guidance, parameters.seed = seed;
  parameters.sampler = s.sampler == "ddim" ? "DDIM" : s.sampler == "ddpm" ? "DDPM" : s.sampler == "euler" ? "Euler" : s.sampler;
  parameters.width = options.width, parameters.height = options.height;
  parameters.model = model.name;
  if (!s.model.vae.empty()) parameters.others.emplace_back("VAE", s.model.vae);
  std::vector<fs::path> written{s.out};
  write_png(s.out, s.scale > 1 ? plot::resize_nearest(image, s.scale) : image, {{"parameters", to_text(parameters)}});
  if (!s.save_steps.empty()) written.push_back(write_steps(s.save_steps, model, predicted, s.prompt));
  if (!s.attention_maps.empty())
    written.push_back(write_attention(s.attention_maps, model, s.prompt, result.attention, image));
  if (!s.dump.empty()) {
    write_dump(s.dump, result, timesteps, s, seed);
    written.push_back(s.dump);
  }
  if (s.quiet) return 0;
  for (const fs::path& path : written) std::cout << path.string() << "\n";
  std::printf("seconds: load %.2f, text %.2f, denoise %.2f (%.3f a step), decode %.2f, write %.2f\n", loaded,
              result.seconds.text, result.seconds.denoise,
              result.seconds.denoise / static_cast<double>(timesteps.size()), result.seconds.decode, watch.lap());
  std::printf("weights %s, %.0f MiB; peak memory %.0f MiB: load %.0f, text %.0f, denoise %.0f, decode %.0f\n",
              s.model.weights.c_str(), weights_mib, memory.most(), load_mib, stage_mib["text"], stage_mib["denoise"],
              stage_mib["decode"]);
  return 0;
}

}  // namespace app
