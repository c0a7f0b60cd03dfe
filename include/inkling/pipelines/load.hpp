// A whole Stable Diffusion model from disk:
//
//   StableDiffusion model = load_stable_diffusion("models/mini");
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "inkling/core/compiled.hpp"
#include "inkling/core/progress.hpp"
#include "inkling/io/model_files.hpp"
#include "inkling/io/load_parameters.hpp"
#include "inkling/pipelines/stable_diffusion.hpp"
#include "inkling/text/tokenizer_io.hpp"

namespace inkling {

struct LoadOptions {
  // A folder with vocab.json and merges.txt, one of these two files, or bpe_simple_vocab_16e6.txt.gz. A diffusers
  // folder brings its own; a single file never does.
  std::filesystem::path vocab = {};
  std::string vae = {};                     // "": the model's own; "taesd": decode with TAESD, and leave the model's out
  std::filesystem::path taesd_folder = {};  // where taesd_decoder.safetensors lies; empty: the model's folder
  ModelOverrides overrides = {};
  // How weights are kept; nothing: as the file has them, f16 in half the memory of f32. The arithmetic is in float
  // either way; bf16 and q8 are faster or smaller, and round.
  std::optional<kernels::WeightType> weights = {};
  ProgressCallback progress = {};
};

inline NoiseScheduleOptions noise_schedule_options(const SchedulerConfig& c) {
  NoiseScheduleOptions o;
  o.kind = c.beta_schedule == "linear"          ? BetaSchedule::linear
           : c.beta_schedule == "scaled_linear" ? BetaSchedule::scaled_linear
                                                : BetaSchedule::squared_cosine;
  o.beta_start = c.beta_start, o.beta_end = c.beta_end;
  o.train_timesteps = c.num_train_timesteps;
  return o;
}
inline SamplerOptions sampler_options(const SchedulerConfig& c) {
  SamplerOptions o;
  o.prediction = c.prediction_type == "v_prediction" ? PredictionType::v_prediction
                 : c.prediction_type == "sample"     ? PredictionType::sample
                                                     : PredictionType::epsilon;
  o.steps_offset = c.steps_offset;
  o.set_alpha_to_one = c.set_alpha_to_one;
  o.x0_limits.clip = c.clip_sample;
  return o;
}

// `vocab_size` is what the text encoder has: the merge list by itself could serve vocabularies of any size.
inline Tokenizer load_tokenizer(const std::filesystem::path& path, Index vocab_size = 49408) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return Tokenizer::from_folder(path);
  if (!std::filesystem::exists(path, error))
    throw LoadError(path.string(), "a vocabulary: a folder with vocab.json and merges.txt, or a merge list",
                    "nothing of that name");
  if (path.extension() == ".json" || path.extension() == ".txt")
    return Tokenizer::from_folder(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."));
  return Tokenizer::from_bpe_file(path, vocab_size);
}

// One part of a model: a module made from its config, filled from its weights. Pages of the file are given back.
template <class Module, class Config>
Module load_part(const ModelFiles& files, const std::string& part, const Config& config) {
  Module module(config);
  load_parameters(module, files.weights(part));
  files.file(part).release_pages();
  return module;
}

// One part after the other, so that beside the model only the pages of one tensor are in memory. What does not fit is
// found in configs, names and shapes before the first weight is read.
INKLING_FUNCTION StableDiffusion load_stable_diffusion(const std::filesystem::path& path,
                                                       const LoadOptions& options = {});

#if INKLING_BODIES

namespace detail {
inline Tokenizer tokenizer_of(const ModelFiles& files, const LoadOptions& options, const ClipTextConfig& text) {
  const auto own = files.tokenizer_folder();
  if (options.vocab.empty() && !own)
    throw LoadError(files.path().string(), "a vocabulary for the prompt (--vocab)", "none: the model holds no tokenizer",
                    "for Stable Diffusion name a folder with CLIP's vocab.json and merges.txt (tokenizer/ of any "
                    "diffusers copy of the model), or bpe_simple_vocab_16e6.txt.gz from OpenAI's CLIP");
  const std::filesystem::path path = options.vocab.empty() ? *own : options.vocab;
  Tokenizer tokenizer = load_tokenizer(path, text.vocab_size);
  if (tokenizer.vocab_size() != text.vocab_size)
    throw LoadError(path.string(), std::to_string(text.vocab_size) + " tokens, as the text encoder has",
                    std::to_string(tokenizer.vocab_size()), "the vocabulary belongs to another model");
  tokenizer.set_pad_id(text.pad_token_id);
  return tokenizer;
}

inline void check_parts_fit(const ModelFiles& files, const ClipTextConfig& text, const UNetConfig& unet,
                            Index latent_channels) {
  if (text.hidden_size != unet.cross_attention_dim)
    throw LoadError(files.path().string(),
                    "a text encoder of width " + std::to_string(unet.cross_attention_dim) + ", to which the U-Net listens",
                    std::to_string(text.hidden_size), "the parts come from different models");
  if (unet.in_channels != latent_channels || unet.out_channels != latent_channels)
    throw LoadError(files.path().string(),
                    "a U-Net with " + std::to_string(latent_channels) + " channels in and out, as the latents have",
                    std::to_string(unet.in_channels) + " in and " + std::to_string(unet.out_channels) + " out",
                    unet.in_channels == 9   ? "this is an inpainting model"
                    : unet.in_channels == 5 ? "this is a depth-to-image model"
                                            : "the parts come from different models");
}
}  // namespace detail

INKLING_FUNCTION StableDiffusion load_stable_diffusion(const std::filesystem::path& path, const LoadOptions& options) {
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    throw LoadError(path.string(), "a model: a diffusers folder, or a .safetensors checkpoint", "nothing of that name");
  if (!options.vae.empty() && options.vae != "taesd")
    throw ConfigError("vae", "\"taesd\", or nothing for the model's own", "\"" + printable(options.vae) + "\"");
  if (options.vae.empty() && !options.taesd_folder.empty())
    throw ConfigError("taesd_folder", "vae \"taesd\" with it", "the model's own autoencoder",
                      "on the command line --vae taesd decodes with the weights in --taesd-folder");
  const ModelFiles files(path, options.overrides);
  const bool tiny = options.vae == "taesd";

  const ClipTextConfig text = files.text_config();
  UNetConfig unet = files.unet_config();
  const AutoencoderKLConfig vae = tiny ? AutoencoderKLConfig::sd15() : files.vae_config();
  const SchedulerConfig scheduler = files.scheduler_config();
  detail::check_parts_fit(files, text, unet, tiny ? 4 : vae.latent_channels);
  // A single file does not tell the size. Of the known models, those that predict v were trained on 768 pixels.
  if (files.style() == ModelStyle::single_file && scheduler.prediction_type == "v_prediction") unet.sample_size = 96;

  StableDiffusion model{files.path().has_filename() ? files.path().stem().string()
                                                    : files.path().parent_path().filename().string(),
                        detail::tokenizer_of(files, options, text),
                        ClipTextModel<float>(text),
                        UNet<float>(unet),
                        AutoencoderKL<float>(vae),
                        {},
                        noise_schedule_options(scheduler),
                        sampler_options(scheduler),
                        0};
  check_parameters(model.text_encoder, files.weights("text_encoder"));
  check_parameters(model.unet, files.weights("unet"));
  if (!tiny) check_parameters(model.vae, files.weights("vae"));
  std::optional<WeightSource> tiny_weights;
  if (tiny) {
    const std::filesystem::path folder = options.taesd_folder.empty() ? path : options.taesd_folder;
    const std::filesystem::path file = folder / "taesd_decoder.safetensors";
    if (!std::filesystem::exists(file, error))
      throw LoadError(file.string(), "the decoder of TAESD", "nothing of that name",
                      "--taesd-folder names the folder; the weights are published as madebyollin/taesd");
    model.taesd.emplace();
    tiny_weights = plain_weights(file);
    check_parameters(*model.taesd, *tiny_weights);
  }

  const auto fill = [&](auto& module, const char* part, Index done) {
    load_packed_parameters(module, files.weights(part), options.weights);
    files.file(part).release_pages();
    MemoryPool::instance().release();  // the tensors' numbers, before they were packed
    report(options.progress, {"load", done, 3});
  };
  fill(model.text_encoder, "text_encoder", 1);
  fill(model.unet, "unet", 2);
  if (tiny) {
    load_packed_parameters(*model.taesd, *tiny_weights, options.weights);
    report(options.progress, {"load", 3, 3});
  } else {
    fill(model.vae, "vae", 3);
  }
  model.default_size = unet.sample_size * model.pixels_per_latent();
  return model;
}

#endif

}  // namespace inkling
