// The config of a single-file checkpoint, read off the names and shapes of its tensors.
//
// What no shape shows is decided by a rule that stands here with its reason, and can be overridden: how many heads
// share the width of an attention layer, which prediction the U-Net was trained for, how the latents are scaled.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "inkling/models/config.hpp"

namespace inkling {

// CompVis names without the part's prefix, with their shapes.
using NamedShapes = std::map<std::string, std::vector<Index>>;

// What the file does not tell, said by the user.
struct ModelOverrides {
  std::optional<Index> unet_heads, unet_head_width, text_heads;
  std::optional<std::string> prediction_type;
  std::optional<double> scaling_factor;
};

namespace detail {
class ShapeReader {
 public:
  ShapeReader(const NamedShapes& shapes, std::string where) : shapes_(shapes), where_(std::move(where)) {}
  bool has(const std::string& name) const { return shapes_.contains(name); }
  // Dimension d of a tensor that must be there with `rank` dimensions (0: any rank), all of them at least 1.
  Index dimension(const std::string& name, std::size_t d, std::size_t rank = 0) const {
    const auto found = shapes_.find(name);
    if (found == shapes_.end())
      throw LoadError(where_, "tensor \"" + name + "\"", "none of that name", "not a checkpoint of this family");
    const std::vector<Index>& shape = found->second;
    if ((rank != 0 && shape.size() != rank) || d >= shape.size() || shape[d] < 1)
      throw LoadError(where_ + ": tensor \"" + name + "\"",
                      rank ? std::to_string(rank) + " dimensions of at least 1" : "dimensions of at least 1",
                      to_string(std::span<const Index>(shape)));
    return shape[d];
  }
  [[noreturn]] void fail(std::string_view expected, std::string_view got) const {
    throw LoadError(where_, expected, got, "not a checkpoint of this family");
  }

 private:
  const NamedShapes& shapes_;
  std::string where_;
};
}  // namespace detail

// From model.diffusion_model.* (without that prefix).
inline UNetConfig detect_unet_config(const NamedShapes& shapes, const ModelOverrides& overrides = {},
                                     const std::string& where = "U-Net") {
  const detail::ShapeReader file(shapes, where);
  UNetConfig config;
  config.in_channels = file.dimension("input_blocks.0.0.weight", 1, 4);
  config.out_channels = file.dimension("out.2.weight", 0, 4);
  config.block_out_channels.clear();
  config.attention_levels.clear();

  Index count = 0;  // residual blocks in the current level so far
  bool attends = false;
  const auto close_level = [&] {
    if (count == 0) file.fail("residual blocks at every level", "a level without one");
    if (config.attention_levels.empty()) config.layers_per_block = count;
    if (config.layers_per_block != count)
      file.fail("the same number of residual blocks at every level",
                std::to_string(config.layers_per_block) + " and " + std::to_string(count));
    config.attention_levels.push_back(attends);
    count = 0;
  };
  for (Index i = 1;; ++i) {
    const std::string block = "input_blocks." + std::to_string(i);
    if (file.has(block + ".0.op.weight")) {  // downsampling ends a level
      close_level();
      continue;
    }
    if (!file.has(block + ".0.out_layers.3.weight")) break;
    const Index channels = file.dimension(block + ".0.out_layers.3.weight", 0, 4);
    const bool attention = file.has(block + ".1.norm.weight");
    if (count == 0) {
      config.block_out_channels.push_back(channels);
      attends = attention;
    } else if (channels != config.block_out_channels.back() || attention != attends)
      file.fail("residual blocks of one width and kind at every level", block + " to differ");
    ++count;
  }
  close_level();

  // The middle block always attends, so it shows what every spatial transformer is like.
  const std::string transformer = "middle_block.1.";
  config.cross_attention_dim = file.dimension(transformer + "transformer_blocks.0.attn2.to_k.weight", 1, 2);
  config.linear_projection =
      !file.has(transformer + "proj_in.weight") || shapes.at(transformer + "proj_in.weight").size() == 2;
  config.transformer_depth = 1;
  while (file.has(transformer + "transformer_blocks." + std::to_string(config.transformer_depth) + ".norm1.weight"))
    ++config.transformer_depth;

  // SD 1 has 8 heads at every width. SD 2, which brought the linear projections, has heads of width 64 at every width.
  if (config.linear_projection)
    config.head_width = 64;
  else
    config.heads = 8;
  if (overrides.unet_heads) config.heads = *overrides.unet_heads, config.head_width = 0;
  if (overrides.unet_head_width) config.head_width = *overrides.unet_head_width;
  config.validate(where);
  return config;
}

// From first_stage_model.* (without that prefix).
inline AutoencoderKLConfig detect_vae_config(const NamedShapes& shapes, const ModelOverrides& overrides = {},
                                             const std::string& where = "autoencoder") {
  const detail::ShapeReader file(shapes, where);
  AutoencoderKLConfig config;
  config.in_channels = file.dimension("encoder.conv_in.weight", 1, 4);
  config.out_channels = file.dimension("decoder.conv_out.weight", 0, 4);
  config.latent_channels = file.dimension("decoder.conv_in.weight", 1, 4);
  config.quantization_convs = file.has("quant_conv.weight");
  config.block_out_channels.clear();
  for (Index level = 0;; ++level) {
    const std::string blocks = "encoder.down." + std::to_string(level) + ".block.";
    if (!file.has(blocks + "0.conv2.weight")) break;
    config.block_out_channels.push_back(file.dimension(blocks + "0.conv2.weight", 0, 4));
    Index count = 1;
    while (file.has(blocks + std::to_string(count) + ".conv2.weight")) ++count;
    if (level == 0) config.layers_per_block = count;
    if (count != config.layers_per_block)
      file.fail("the same number of residual blocks at every level", std::to_string(count));
  }
  if (config.block_out_channels.empty()) file.fail("encoder.down.0.block.0", "none");
  if (overrides.scaling_factor) config.scaling_factor = *overrides.scaling_factor;
  config.validate(where);
  return config;
}

// From cond_stage_model.transformer.* (SD 1) or cond_stage_model.model.* (SD 2, OpenCLIP's names).
inline ClipTextConfig detect_text_config(const NamedShapes& shapes, const ModelOverrides& overrides = {},
                                         const std::string& where = "text encoder") {
  const detail::ShapeReader file(shapes, where);
  const bool open_clip = file.has("token_embedding.weight");
  const std::string inside = !open_clip && file.has("text_model.final_layer_norm.weight") ? "text_model." : "";
  const std::string tokens = open_clip ? "token_embedding.weight" : inside + "embeddings.token_embedding.weight";
  const std::string places = open_clip ? "positional_embedding" : inside + "embeddings.position_embedding.weight";
  const std::string layers = open_clip ? "transformer.resblocks." : inside + "encoder.layers.";

  // OpenCLIP's model computes with the exact GELU, is padded with token 0, and is used without its last layer.
  ClipTextConfig config = open_clip ? ClipTextConfig::sd21() : ClipTextConfig::sd15();
  config.vocab_size = file.dimension(tokens, 0, 2);
  config.hidden_size = file.dimension(tokens, 1, 2);
  config.max_positions = file.dimension(places, 0, 2);
  config.intermediate_size = file.dimension(layers + (open_clip ? "0.mlp.c_fc.weight" : "0.mlp.fc1.weight"), 0, 2);
  config.layers = 1;
  while (file.has(layers + std::to_string(config.layers) + (open_clip ? ".ln_1.weight" : ".layer_norm1.weight")))
    ++config.layers;
  config.bos_token_id = config.vocab_size - 2;  // CLIP's tokenizer gives its two special tokens the last numbers
  config.eos_token_id = config.vocab_size - 1;
  if (!open_clip) config.pad_token_id = config.eos_token_id;
  if (!open_clip && file.has("text_projection.weight"))
    config.projection_dim = file.dimension("text_projection.weight", 0, 2);

  constexpr Index clip_head_width = 64;  // in every released CLIP text model
  config.heads = overrides.text_heads.value_or(config.hidden_size / clip_head_width);
  config.validate(where);
  return config;
}

}  // namespace inkling
