// Text to image: prompt -> tokens -> context -> denoising steps on latents -> picture.
#pragma once
#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inkling/core/compiled.hpp"
#include "inkling/core/progress.hpp"
#include "inkling/core/random.hpp"
#include "inkling/core/stopwatch.hpp"
#include "inkling/diffusion/sampler.hpp"
#include "inkling/pipelines/attention_maps.hpp"
#include "inkling/pipelines/denoise.hpp"
#include "inkling/pipelines/stable_diffusion.hpp"

namespace inkling {

struct TextToImageOptions {
  std::string prompt, negative_prompt;
  Index steps = 25;
  double guidance = 7.5;  // 1: none, and half the work
  std::string sampler = "ddim";
  std::uint64_t seed = 0;
  Index width = 0, height = 0;  // 0: the size that the model was trained on
  bool attention_maps = false;   // where each word looks, averaged over the steps
  bool attention_steps = false;  // the same of every step
  bool keep_latents = false;  // every x_t, in the result
  // Text encoder and U-Net give their weights back after their last use: one picture, in the memory of the larger of
  // denoising and decoding. Before the next picture the model must be loaded again.
  bool release_weights = false;
  // Called when "text", "denoise" and "decode" are done, and what only they needed has been given back.
  std::function<void(std::string_view stage)> after_stage = {};
};

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
  std::vector<Tensor<float, 3>> attention_steps;
  StageSeconds seconds;
};

// Width and height that a model can paint: `unit` is 8 for Stable Diffusion, where a latent pixel is 8 x 8 pixels.
// Models with a smaller autoencoder keep to 8, so that their latents can be halved by the levels of the U-Net, too.
inline void check_picture_side(const char* name, Index value, Index unit = 8) {
  constexpr Index most = 8192;  // 64 times the pixels of 1024: nothing beyond fits into any memory
  if (value < unit || value > most || value % unit != 0)
    throw ConfigError(name,
                      "a multiple of " + std::to_string(unit) + " from " + std::to_string(unit) + " to " +
                          std::to_string(most),
                      std::to_string(value),
                      "the nearest is " + std::to_string(value >= most ? most
                                                                       : std::max(unit, (value + unit / 2) / unit * unit)));
}

// `noise` [1, 4, h, w] takes the place of the seed's where it is given.
INKLING_FUNCTION TextToImageResult text_to_image(StableDiffusion& model, TextToImageOptions options,
                                                 const StepCallback& callback = {},
                                                 const Tensor<float, 4>* noise = nullptr);

struct PromptAndSeed {
  std::string prompt;
  std::uint64_t seed = 0;
};

// Many prompts at once, which takes less time for each. Every picture is the one that text_to_image paints for its
// prompt and seed, to rounding. Of the options, prompt, seed and the two extras are not read. -> [N, 3, H, W]
INKLING_FUNCTION Tensor<float, 4> text_to_image_batch(const StableDiffusion& model,
                                                      const std::vector<PromptAndSeed>& prompts,
                                                      TextToImageOptions options, const StepCallback& callback = {});

#if INKLING_BODIES

namespace detail {

inline void check(const StableDiffusion& model, TextToImageOptions& o) {
  const Index unit = std::max<Index>(8, model.pixels_per_latent());
  if (o.width == 0) o.width = model.default_size;
  if (o.height == 0) o.height = model.default_size;
  check_picture_side("width", o.width, unit);
  check_picture_side("height", o.height, unit);
  check_guidance_scale(o.guidance);
}

// ids [N, L]
inline Tensor<std::int64_t, 2> tokenize(const StableDiffusion& model, const std::vector<std::string>& texts,
                                        std::string& notice) {
  const Index length = model.text_encoder.config().max_positions;
  Tensor<std::int64_t, 2> ids({static_cast<Index>(texts.size()), length}, uninitialized);
  Index row = 0;
  for (const std::string& text : texts) {
    const Encoded encoded = model.tokenizer.encode_padded(text, length);
    std::copy(encoded.ids.begin(), encoded.ids.end(), &ids(row++, 0));
    if (encoded.truncated) notice += (notice.empty() ? "" : "\n") + truncation_notice(encoded);
  }
  return ids;
}

inline Shape<4> latent_shape(const StableDiffusion& model, const TextToImageOptions& o) {
  const Index unit = model.pixels_per_latent();
  return {1, model.unet.config.out_channels, o.height / unit, o.width / unit};
}

inline void scale_in_place(Tensor<float, 4>& x, double factor) {
  for (float& v : x) v *= static_cast<float>(factor);
}

}  // namespace detail

INKLING_FUNCTION TextToImageResult text_to_image(StableDiffusion& model, TextToImageOptions options,
                                                 const StepCallback& callback, const Tensor<float, 4>* noise) {
  detail::check(model, options);
  NoGrad no_grad;
  TextToImageResult result;
  Stopwatch watch;
  const auto done = [&](std::string_view stage, double& seconds) {
    MemoryPool::instance().release();  // the next stage's tensors have other sizes
    if (options.after_stage) options.after_stage(stage);
    seconds = watch.lap();
  };

  // Everything that can be wrong is found before the long work starts.
  const auto sampler =
      make_sampler<float>(options.sampler, NoiseSchedule(model.schedule), model.sampler, options.steps);
  const Shape<4> latent_shape = detail::latent_shape(model, options);
  Generator generator(options.seed);
  result.noise = noise ? *noise : generator.randn<float>(latent_shape);
  require_shape(result.noise.shape(), latent_shape, "text_to_image noise");

  result.tokens = detail::tokenize(model, {options.negative_prompt, options.prompt}, result.notice);
  result.context = model.encode_text(result.tokens);  // [2, L, D]
  if (options.release_weights) release_parameters(model.text_encoder);
  done("text", result.seconds.text);

  std::optional<AttentionMaps> maps;
  std::optional<Observation<float>> observation;
  if (options.attention_maps || options.attention_steps) {
    maps.emplace(model.unet, result.context.shape(1), latent_shape[2], latent_shape[3]);
    observation.emplace(maps->observer());
  }
  Tensor<float, 4> x = result.noise;
  detail::scale_in_place(x, sampler->init_noise_sigma());
  x = denoise(
      model.unet, *sampler, std::move(x), result.context, options.guidance,
      [&](const Shape<4>& shape) { return generator.randn<float>(shape); },
      [&](const DenoisingStep& step) {
        if (options.keep_latents) result.latents.push_back(step.x_t);
        if (options.attention_steps) {
          result.attention_steps.push_back(maps->average());
          maps->reset();
        }
        return !callback || callback(step);
      });
  observation.reset();
  if (options.attention_steps) {  // every step has called the same layers: the mean of the means is the mean
    result.attention = Tensor<float, 3>(result.attention_steps.front().shape());
    for (const Tensor<float, 3>& one : result.attention_steps)
      for (Index i = 0; i < one.size(); ++i)
        result.attention.data()[i] += one.data()[i] / static_cast<float>(result.attention_steps.size());
  } else if (maps) {
    result.attention = maps->average();
  }
  if (options.release_weights) release_parameters(model.unet);
  done("denoise", result.seconds.denoise);

  result.image = model.decode(x);
  done("decode", result.seconds.decode);
  if (!options.keep_latents) result.latents.push_back(std::move(x));
  return result;
}

INKLING_FUNCTION Tensor<float, 4> text_to_image_batch(const StableDiffusion& model,
                                                      const std::vector<PromptAndSeed>& prompts,
                                                      TextToImageOptions options, const StepCallback& callback) {
  if (prompts.empty()) throw ConfigError("text_to_image_batch", "at least one prompt", "none");
  detail::check(model, options);
  const auto sampler =
      make_sampler<float>(options.sampler, NoiseSchedule(model.schedule), model.sampler, options.steps);
  std::vector<std::string> texts(prompts.size(), options.negative_prompt);
  std::vector<Generator> generators;  // one a picture, as if each were painted alone
  for (const PromptAndSeed& p : prompts) {
    texts.push_back(p.prompt);
    generators.emplace_back(p.seed);
  }
  const NoiseSource<float> noise = [&](const Shape<4>& shape) {
    Tensor<float, 4> all(shape, uninitialized);
    float* out = all.data();
    for (Generator& g : generators) {
      const Tensor<float, 4> one = g.randn<float>(Shape<4>{1, shape[1], shape[2], shape[3]});
      out = std::copy(one.begin(), one.end(), out);
    }
    return all;
  };
  std::string notice;
  const Tensor<float, 3> context = model.encode_text(detail::tokenize(model, texts, notice));  // [2N, L, D]
  Shape<4> shape = detail::latent_shape(model, options);
  shape[0] = static_cast<Index>(prompts.size());
  Tensor<float, 4> x = noise(shape);
  detail::scale_in_place(x, sampler->init_noise_sigma());
  return model.decode(denoise(model.unet, *sampler, std::move(x), context, options.guidance, noise, callback));
}

#endif

}  // namespace inkling
