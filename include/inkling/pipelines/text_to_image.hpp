// Text to image: prompt -> tokens -> context -> denoising steps on latents -> picture.
#pragma once
#include <chrono>
#include <cmath>
#include <functional>
#include <vector>

#include "inkling/core/random.hpp"
#include "inkling/diffusion/guidance.hpp"
#include "inkling/diffusion/sampler.hpp"
#include "inkling/pipelines/attention_maps.hpp"
#include "inkling/pipelines/stable_diffusion.hpp"

namespace inkling {

struct TextToImageOptions {
  std::string prompt, negative_prompt;
  Index steps = 25;
  double guidance = 7.5;  // 1: none, and half the work
  std::string sampler = "ddim";
  std::uint64_t seed = 0;
  Index width = 0, height = 0;  // 0: the size that the model was trained on
  bool attention_maps = false;
  bool keep_latents = false;  // every x_t, in the result
};

// What a callback sees after each step. The tensors live until it returns.
struct DenoisingStep {
  Index step, steps;              // 1..steps
  double t;                       // the timestep just left
  const Tensor<float, 4>& x_t;    // latents now
  const Tensor<float, 4>& x0;     // the clean latents that the network expects in the end
};
// Returning false stops the work, which then throws Stopped.
using StepCallback = std::function<bool(const DenoisingStep&)>;

struct StageSeconds {
  double text = 0, denoise = 0, decode = 0;
};

struct TextToImageResult {
  Tensor<std::int64_t, 2> tokens;         // [2, L]: negative prompt, prompt
  std::string notice;                     // what was cut off a prompt that is too long; usually empty
  Tensor<float, 3> context;               // [2, L, D]
  Tensor<float, 4> noise;                 // [1, 4, h, w], the start, standard normal
  std::vector<Tensor<float, 4>> latents;  // after every step, if asked for; else only the last
  Tensor<float, 4> image;                 // [1, 3, H, W], about [-1, 1]
  Tensor<float, 3> attention;             // [L, h, w], if asked for
  StageSeconds seconds;
};

namespace detail {

inline void check(const StableDiffusion& model, TextToImageOptions& o) {
  const auto side = [&](Index& value, const char* name) {
    if (value == 0) value = model.default_size;
    const Index unit = model.pixels_per_latent();
    constexpr Index most = 8192;  // 64 times the pixels of 1024: nothing beyond fits into any memory
    if (value < unit || value > most || value % unit != 0)
      throw ConfigError(name, "a multiple of " + std::to_string(unit) + " from " + std::to_string(unit) + " to " +
                                  std::to_string(most),
                        std::to_string(value),
                        "the nearest is " + std::to_string(std::clamp((value + unit / 2) / unit * unit, unit, most)));
  };
  side(o.width, "width");
  side(o.height, "height");
  check_guidance_scale(o.guidance);
}

// Two prompts to one batch of ids [2, L]: what to move away from, and what to move to.
inline Tensor<std::int64_t, 2> tokenize_pair(const StableDiffusion& model, const TextToImageOptions& o,
                                             std::string& notice) {
  const Index length = model.text_encoder.config().max_positions;
  Tensor<std::int64_t, 2> ids({2, length}, uninitialized);
  Index row = 0;
  for (const std::string* text : {&o.negative_prompt, &o.prompt}) {
    const Encoded encoded = model.tokenizer.encode_padded(*text, length);
    std::copy(encoded.ids.begin(), encoded.ids.end(), &ids(row++, 0));
    if (encoded.truncated) notice += (notice.empty() ? "" : "\n") + truncation_notice(encoded);
  }
  return ids;
}

class Stopwatch {
 public:
  // Seconds since the last call.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    return std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace detail

// `noise` [1, 4, h, w] takes the place of the seed's where it is given.
inline TextToImageResult text_to_image(StableDiffusion& model, TextToImageOptions options,
                                       const StepCallback& callback = {}, const Tensor<float, 4>* noise = nullptr) {
  detail::check(model, options);
  NoGrad no_grad;
  TextToImageResult result;
  detail::Stopwatch watch;

  // Everything that can be wrong is found before the long work starts.
  const NoiseSchedule schedule(model.schedule);
  const auto sampler = make_sampler<float>(options.sampler, schedule, model.sampler, options.steps);
  const Index unit = model.pixels_per_latent();
  const Shape<4> latent_shape{1, model.vae.config.latent_channels, options.height / unit, options.width / unit};
  Generator generator(options.seed);
  result.noise = noise ? *noise : generator.randn<float>(latent_shape);
  require_shape(result.noise.shape(), latent_shape, "text_to_image noise");

  result.tokens = detail::tokenize_pair(model, options, result.notice);
  result.context = model.encode_text(result.tokens);  // [2, L, D]
  result.seconds.text = watch.lap();

  const bool guided = options.guidance != 1.0;
  const Variable<float, 3> context(guided ? result.context : kernels::slice(result.context, 0, 1, 2));
  std::optional<AttentionMaps> maps;
  std::optional<Observation<float>> observation;
  if (options.attention_maps) {
    maps.emplace(model.unet, result.context.shape(1), latent_shape[2], latent_shape[3]);
    observation.emplace(maps->observer());
  }
  const NoiseSource<float> more_noise = [&](const Shape<4>& shape) { return generator.randn<float>(shape); };

  Tensor<float, 4> x = result.noise;
  for (float& v : x) v *= static_cast<float>(sampler->init_noise_sigma());
  for (Index i = 0; i < sampler->calls(); ++i) {
    const double t = sampler->timesteps()[static_cast<std::size_t>(i)];
    const Tensor<float, 4> input = sampler->scale_model_input(x, i);
    // The same latents twice, once for each prompt: [2, 4, h, w]
    const Variable<float, 4> batch(guided ? kernels::concat(input, input, 0) : input);
    const Tensor<float, 1> times({batch.shape(0)}, static_cast<float>(t));
    Tensor<float, 4> prediction = model.unet.forward(batch, times, context).value();
    if (guided) prediction = classifier_free_guidance(prediction, options.guidance);
    StepResult<float> step = sampler->step(prediction, i, x, more_noise);
    x = std::move(step.x_prev);
    for (float v : x)
      if (!std::isfinite(v))
        throw Error("denoising step " + std::to_string(i + 1), "finite latents", "infinities or NaN",
                    "broken weights, or a guidance scale far too large");
    if (options.keep_latents) result.latents.push_back(x);
    if (callback && !callback({i + 1, sampler->calls(), t, x, step.x0})) throw Stopped("text_to_image");
  }
  if (!options.keep_latents) result.latents.push_back(x);
  observation.reset();
  if (maps) result.attention = maps->average();
  result.seconds.denoise = watch.lap();

  result.image = model.decode(x);
  result.seconds.decode = watch.lap();
  return result;
}

}  // namespace inkling
