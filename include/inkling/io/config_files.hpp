// config.json files as diffusers and transformers write them, one a part, to and from the structs of
// models/config.hpp. A key that is needed and missing, or that asks for something these models do not have, is an
// error: a guess would paint noise.
#pragma once
#include <filesystem>
#include <string>

#include "inkling/core/compiled.hpp"
#include "inkling/io/atomic_file.hpp"
#include "inkling/models/config.hpp"
#if INKLING_BODIES
#include "inkling/io/json_file.hpp"
#endif

namespace inkling {

INKLING_FUNCTION UNetConfig load_unet_config(const std::filesystem::path& path);
INKLING_FUNCTION AutoencoderKLConfig load_vae_config(const std::filesystem::path& path);
INKLING_FUNCTION ClipTextConfig load_text_config(const std::filesystem::path& path);
INKLING_FUNCTION SchedulerConfig load_scheduler_config(const std::filesystem::path& path);

INKLING_FUNCTION void save_config(const std::filesystem::path& path, const UNetConfig& c);
INKLING_FUNCTION void save_config(const std::filesystem::path& path, const AutoencoderKLConfig& c);
INKLING_FUNCTION void save_config(const std::filesystem::path& path, const ClipTextConfig& c);
INKLING_FUNCTION void save_config(const std::filesystem::path& path, const SchedulerConfig& c);
// What makes a folder a diffusers pipeline.
INKLING_FUNCTION void save_model_index(const std::filesystem::path& folder);

#if INKLING_BODIES

INKLING_FUNCTION UNetConfig load_unet_config(const std::filesystem::path& path) {
  const JsonFile file(path);
  UNetConfig c;
  c.in_channels = file.size("in_channels");
  c.out_channels = file.size("out_channels");
  c.block_out_channels = file.sizes("block_out_channels");
  c.layers_per_block = file.layers("layers_per_block");
  c.cross_attention_dim = file.size("cross_attention_dim");
  c.linear_projection = file.get("use_linear_projection", false);
  c.norm_groups = file.get<Index>("norm_num_groups", 32);
  c.norm_eps = file.get("norm_eps", 1e-5);
  if (file.has("sample_size")) c.sample_size = file.size("sample_size");
  if (file.has("transformer_layers_per_block")) c.transformer_depth = file.layers("transformer_layers_per_block");

  c.attention_levels.clear();
  const auto down = file.get<std::vector<std::string>>("down_block_types");
  for (const std::string& type : down) {
    if (type != "CrossAttnDownBlock2D" && type != "DownBlock2D")
      file.fail("down_block_types", "CrossAttnDownBlock2D or DownBlock2D", printable(type), "not supported");
    c.attention_levels.push_back(type == "CrossAttnDownBlock2D");
  }
  if (down.size() != c.block_out_channels.size())
    file.fail("down_block_types", std::to_string(c.levels()) + " levels as in block_out_channels",
              std::to_string(down.size()));
  std::vector<std::string> up;
  for (std::size_t i = down.size(); i-- > 0;) up.push_back(c.attention_levels[i] ? "CrossAttnUpBlock2D" : "UpBlock2D");
  file.only("up_block_types", up);
  file.only("mid_block_type", "UNetMidBlock2DCrossAttn");
  file.only("act_fn", "silu");
  file.only("center_input_sample", false);
  file.only("flip_sin_to_cos", true);
  file.only("freq_shift", 0);
  file.only("resnet_time_scale_shift", "default");
  for (const char* key : {"class_embed_type", "addition_embed_type", "num_class_embeds", "encoder_hid_dim",
                          "time_cond_proj_dim", "timestep_post_act"})
    file.only(key, nullptr);
  for (const char* key : {"dual_cross_attention", "only_cross_attention", "class_embeddings_concat"})
    file.only(key, false);

  // diffusers calls the number of heads attention_head_dim, by an old mistake that its files must keep.
  const std::string key = file.has("num_attention_heads") ? "num_attention_heads" : "attention_head_dim";
  if (file.has(key) && file.json()[key].is_array()) {
    const std::vector<Index> heads = file.sizes(key);
    if (heads.size() != c.block_out_channels.size()) file.fail(key, "one number for each level", "another count");
    bool same_heads = true, same_width = true;
    for (std::size_t i = 0; i < heads.size(); ++i) {
      same_heads &= heads[i] == heads[0];
      same_width &= c.block_out_channels[i] * heads[0] == c.block_out_channels[0] * heads[i];
    }
    if (!same_heads && !same_width) file.fail(key, "heads of one number or of one width at all levels", "neither");
    if (c.block_out_channels[0] % heads[0] != 0)
      file.fail(key, "a divisor of the width " + std::to_string(c.block_out_channels[0]), std::to_string(heads[0]));
    if (same_heads)
      c.heads = heads[0];
    else
      c.head_width = c.block_out_channels[0] / heads[0];
  } else {
    c.heads = file.size(key);
  }
  c.validate(file.where());
  return c;
}

INKLING_FUNCTION AutoencoderKLConfig load_vae_config(const std::filesystem::path& path) {
  const JsonFile file(path);
  AutoencoderKLConfig c;
  c.in_channels = file.size("in_channels");
  c.out_channels = file.size("out_channels");
  c.block_out_channels = file.sizes("block_out_channels");
  c.layers_per_block = file.layers("layers_per_block");
  c.latent_channels = file.size("latent_channels");
  c.norm_groups = file.get<Index>("norm_num_groups", 32);
  c.scaling_factor = file.get("scaling_factor", 0.18215);  // files older than the key are all SD 1's
  c.quantization_convs = file.get("use_quant_conv", true);
  file.only("use_post_quant_conv", c.quantization_convs);
  file.only("down_block_types", std::vector<std::string>(c.block_out_channels.size(), "DownEncoderBlock2D"));
  file.only("up_block_types", std::vector<std::string>(c.block_out_channels.size(), "UpDecoderBlock2D"));
  file.only("act_fn", "silu");
  file.only("mid_block_add_attention", true);
  file.only("shift_factor", nullptr);
  c.validate(file.where());
  return c;
}

INKLING_FUNCTION ClipTextConfig load_text_config(const std::filesystem::path& path) {
  const JsonFile file(path);
  ClipTextConfig c;
  c.vocab_size = file.size("vocab_size");
  c.hidden_size = file.size("hidden_size");
  c.intermediate_size = file.size("intermediate_size");
  c.layers = file.layers("num_hidden_layers");
  c.heads = file.size("num_attention_heads");
  c.max_positions = file.size("max_position_embeddings");
  c.activation = file.get<std::string>("hidden_act");
  if (c.activation != "quick_gelu" && c.activation != "gelu")
    file.fail("hidden_act", "quick_gelu or gelu", printable(c.activation));
  c.layer_norm_eps = file.get("layer_norm_eps", 1e-5);
  c.bos_token_id = c.vocab_size - 2;
  c.eos_token_id = c.pad_token_id = c.vocab_size - 1;
  // Many files carry the numbers of another model's default (0, 2, 1), which no CLIP tokenizer ever produced.
  const auto token = [&](const std::string& key, Index wrong, Index right) {
    const Index id = file.get<Index>(key, wrong);
    return id == wrong ? right : id;
  };
  c.bos_token_id = token("bos_token_id", 0, c.bos_token_id);
  c.eos_token_id = token("eos_token_id", 2, c.eos_token_id);
  c.pad_token_id = token("pad_token_id", 1, c.eos_token_id);
  // Every CLIP config states projection_dim; only this class has the matrix.
  for (const std::string& architecture : file.get<std::vector<std::string>>("architectures", {}))
    if (architecture == "CLIPTextModelWithProjection") c.projection_dim = file.size("projection_dim");
  c.skip_last_layers = file.get<Index>("skip_last_layers", 0);
  c.validate(file.where());
  return c;
}

INKLING_FUNCTION SchedulerConfig load_scheduler_config(const std::filesystem::path& path) {
  const JsonFile file(path);
  SchedulerConfig c;
  c.num_train_timesteps = file.size("num_train_timesteps");
  c.beta_start = file.get<double>("beta_start");
  c.beta_end = file.get<double>("beta_end");
  c.beta_schedule = file.get<std::string>("beta_schedule");
  c.prediction_type = file.get<std::string>("prediction_type", "epsilon");  // older files know no other
  c.steps_offset = file.get<Index>("steps_offset", 0);
  c.set_alpha_to_one = file.get("set_alpha_to_one", true);
  c.clip_sample = file.get("clip_sample", false);
  if (!(c.beta_start > 0 && c.beta_start <= c.beta_end && c.beta_end < 1))
    file.fail("beta_start", "0 < beta_start <= beta_end < 1",
              std::to_string(c.beta_start) + " and " + std::to_string(c.beta_end));
  if (c.steps_offset < 0 || c.steps_offset >= c.num_train_timesteps)
    file.fail("steps_offset", "0 or more, below num_train_timesteps", std::to_string(c.steps_offset));
  const auto one_of = [&](const std::string& key, const std::string& value, const std::vector<std::string>& known) {
    for (const std::string& k : known)
      if (k == value) return;
    file.fail(key, "one of " + nlohmann::json(known).dump(), printable(value));
  };
  one_of("beta_schedule", c.beta_schedule, {"linear", "scaled_linear", "squaredcos_cap_v2"});
  one_of("prediction_type", c.prediction_type, {"epsilon", "v_prediction", "sample"});
  file.only("trained_betas", nullptr);
  file.only("rescale_betas_zero_snr", false);
  return c;
}

namespace detail {
inline void save_json(const std::filesystem::path& path, const nlohmann::json& json) {
  write_file(path, json.dump(2) + "\n");
}
}  // namespace detail

INKLING_FUNCTION void save_config(const std::filesystem::path& path, const UNetConfig& c) {
  std::vector<std::string> down, up;
  std::vector<Index> heads;
  for (std::size_t i = 0; i < c.block_out_channels.size(); ++i) {
    const bool attends = c.attention_levels.at(i);
    down.push_back(attends ? "CrossAttnDownBlock2D" : "DownBlock2D");
    up.insert(up.begin(), attends ? "CrossAttnUpBlock2D" : "UpBlock2D");
    heads.push_back(c.heads_at(c.block_out_channels[i]));
  }
  nlohmann::json j{{"_class_name", "UNet2DConditionModel"},
                           {"act_fn", "silu"},
                           {"block_out_channels", c.block_out_channels},
                           {"cross_attention_dim", c.cross_attention_dim},
                           {"down_block_types", down},
                           {"flip_sin_to_cos", true},
                           {"freq_shift", 0},
                           {"in_channels", c.in_channels},
                           {"layers_per_block", c.layers_per_block},
                           {"mid_block_type", "UNetMidBlock2DCrossAttn"},
                           {"norm_eps", c.norm_eps},
                           {"norm_num_groups", c.norm_groups},
                           {"out_channels", c.out_channels},
                           {"sample_size", c.sample_size},
                           {"transformer_layers_per_block", c.transformer_depth},
                           {"up_block_types", up},
                           {"use_linear_projection", c.linear_projection}};
  if (c.head_width > 0)
    j["attention_head_dim"] = heads;  // numbers of heads, see load_unet_config
  else
    j["attention_head_dim"] = c.heads;
  detail::save_json(path, j);
}

INKLING_FUNCTION void save_config(const std::filesystem::path& path, const AutoencoderKLConfig& c) {
  const std::size_t levels = c.block_out_channels.size();
  detail::save_json(path, {{"_class_name", "AutoencoderKL"},
                           {"act_fn", "silu"},
                           {"block_out_channels", c.block_out_channels},
                           {"down_block_types", std::vector<std::string>(levels, "DownEncoderBlock2D")},
                           {"in_channels", c.in_channels},
                           {"latent_channels", c.latent_channels},
                           {"layers_per_block", c.layers_per_block},
                           {"norm_num_groups", c.norm_groups},
                           {"out_channels", c.out_channels},
                           {"scaling_factor", c.scaling_factor},
                           {"up_block_types", std::vector<std::string>(levels, "UpDecoderBlock2D")},
                           {"use_post_quant_conv", c.quantization_convs},
                           {"use_quant_conv", c.quantization_convs}});
}

INKLING_FUNCTION void save_config(const std::filesystem::path& path, const ClipTextConfig& c) {
  nlohmann::json j{{"architectures", {c.projection_dim > 0 ? "CLIPTextModelWithProjection" : "CLIPTextModel"}},
                           {"model_type", "clip_text_model"},
                           {"bos_token_id", c.bos_token_id},
                           {"eos_token_id", c.eos_token_id},
                           {"hidden_act", c.activation},
                           {"hidden_size", c.hidden_size},
                           {"intermediate_size", c.intermediate_size},
                           {"layer_norm_eps", c.layer_norm_eps},
                           {"max_position_embeddings", c.max_positions},
                           {"num_attention_heads", c.heads},
                           {"num_hidden_layers", c.layers},
                           {"pad_token_id", c.pad_token_id},
                           {"vocab_size", c.vocab_size}};
  if (c.projection_dim > 0) j["projection_dim"] = c.projection_dim;
  if (c.skip_last_layers > 0) j["skip_last_layers"] = c.skip_last_layers;  // ours: other readers drop the layers
  detail::save_json(path, j);
}

INKLING_FUNCTION void save_config(const std::filesystem::path& path, const SchedulerConfig& c) {
  detail::save_json(path, {{"_class_name", "DDIMScheduler"},
                           {"beta_end", c.beta_end},
                           {"beta_schedule", c.beta_schedule},
                           {"beta_start", c.beta_start},
                           {"clip_sample", c.clip_sample},
                           {"num_train_timesteps", c.num_train_timesteps},
                           {"prediction_type", c.prediction_type},
                           {"set_alpha_to_one", c.set_alpha_to_one},
                           {"steps_offset", c.steps_offset}});
}

INKLING_FUNCTION void save_model_index(const std::filesystem::path& folder) {
  detail::save_json(folder / "model_index.json", {{"_class_name", "StableDiffusionPipeline"},
                                                  {"scheduler", {"diffusers", "DDIMScheduler"}},
                                                  {"text_encoder", {"transformers", "CLIPTextModel"}},
                                                  {"tokenizer", {"transformers", "CLIPTokenizer"}},
                                                  {"unet", {"diffusers", "UNet2DConditionModel"}},
                                                  {"vae", {"diffusers", "AutoencoderKL"}}});
}

#endif

}  // namespace inkling
