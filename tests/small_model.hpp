// A whole model folder with random weights, small enough to write and run in a moment: 8 x 8 latents, 16 x 16 pixels.
// Its vocabulary is the 256 bytes, so any prompt is a prompt, and what it paints is noise.
#pragma once
#include "inkling/io/config_files.hpp"
#include "inkling/models/autoencoder_kl.hpp"
#include "inkling/models/clip_text.hpp"
#include "inkling/models/unet.hpp"
#include "inkling/io/load_parameters.hpp"
#include "inkling/text/tokenizer_io.hpp"

namespace inkling_test {

inline void save_small_model(const std::filesystem::path& folder, std::uint64_t seed = 7) {
  using namespace inkling;
  const SpecialTokens special;
  const Tokenizer tokenizer(clip_vocabulary({}, special.start, special.end), special);

  ClipTextConfig text;
  text.vocab_size = tokenizer.vocab_size();
  text.hidden_size = 32, text.intermediate_size = 64, text.layers = 2, text.heads = 4, text.max_positions = 40;
  text.bos_token_id = tokenizer.start_id(), text.eos_token_id = text.pad_token_id = tokenizer.end_id();
  UNetConfig unet;
  unet.block_out_channels = {16, 32}, unet.attention_levels = {true, true};
  unet.layers_per_block = 1, unet.heads = 4, unet.cross_attention_dim = 32, unet.norm_groups = 8, unet.sample_size = 8;
  AutoencoderKLConfig vae;
  vae.block_out_channels = {16, 16}, vae.layers_per_block = 1, vae.norm_groups = 8, vae.scaling_factor = 1;

  Generator generator(seed);
  const auto save = [&](auto module, const char* part, const char* weights, const auto& config) {
    std::filesystem::create_directories(folder / part);
    initialize(module, generator);
    save_parameters(module, folder / part / weights);
    save_config(folder / part / "config.json", config);
  };
  save(ClipTextModel<float>(text), "text_encoder", "model.safetensors", text);
  save(UNet<float>(unet), "unet", "diffusion_pytorch_model.safetensors", unet);
  save(AutoencoderKL<float>(vae), "vae", "diffusion_pytorch_model.safetensors", vae);
  std::filesystem::create_directories(folder / "scheduler");
  save_config(folder / "scheduler" / "scheduler_config.json", SchedulerConfig{});
  save_tokenizer(tokenizer, folder / "tokenizer", text.max_positions);
  save_model_index(folder);
}

}  // namespace inkling_test
