// What a Stable Diffusion checkpoint is made of, as plain numbers: one struct a part, and the two public families.
//
// The names are those of diffusers' config.json files, so that a folder in that layout can be read next to this page.
// Reading and writing the json stands in io/config_files.hpp; finding the numbers in the shapes of a single-file
// checkpoint stands in io/detect_config.hpp. Nothing here parses anything: model headers include this one.
#pragma once
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "inkling/core/shape.hpp"

namespace inkling {

namespace detail {
inline void require_config(bool fits, std::string_view where, const std::string& expected, const std::string& got,
                           std::string_view hint = {}) {
  if (!fits) throw ConfigError(where, expected, got, hint);
}
inline void require_widths(const std::vector<Index>& widths, Index groups, std::string_view where) {
  require_config(!widths.empty(), where, "at least one level", "none");
  require_config(groups >= 1, where, "at least 1 normalisation group", std::to_string(groups));
  for (const Index width : widths)
    require_config(width >= 1 && width % groups == 0, where,
                   "widths that " + std::to_string(groups) + " normalisation groups divide", std::to_string(width));
}
inline void require_between(double low, double high, const std::string& what, double value, std::string_view where) {
  const auto text = [](double v) {
    char digits[32];
    return std::string(digits, std::to_chars(digits, digits + sizeof digits, v).ptr);
  };
  require_config(value >= low && value <= high, where, what + " from " + text(low) + " to " + text(high), text(value));
}
}  // namespace detail

// The noise predictor eps_theta(x_t, t, context). Latent Diffusion (Rombach et al. 2022), appendix E.
struct UNetConfig {
  Index in_channels = 4, out_channels = 4;                      // 9 in for inpainting, 5 for depth
  std::vector<Index> block_out_channels{320, 640, 1280, 1280};  // width of each level, finest first
  Index layers_per_block = 2;                                   // residual blocks a level on the way down; one more up
  std::vector<bool> attention_levels{true, true, true, false};  // down; up mirrors it; the middle always attends
  Index heads = 8;                                              // used when head_width is 0
  Index head_width = 0;                                         // SD 2: 64 at every level, heads = channels / 64
  Index transformer_depth = 1;                                  // transformer blocks in one spatial transformer
  Index cross_attention_dim = 768;                              // width of the context: the text encoder's hidden_size
  bool linear_projection = false;  // proj_in/proj_out: 1x1 convolution (SD 1), linear (SD 2)
  Index norm_groups = 32;
  double norm_eps = 1e-5;  // in residual blocks; the spatial transformer's norm always has 1e-6
  Index sample_size = 64;  // side of the latents in training: what to paint where no size is asked for; 64 is 512 pixels

  Index levels() const { return static_cast<Index>(block_out_channels.size()); }
  Index time_embed_dim() const { return 4 * block_out_channels.at(0); }  // DDPM: sinusoid -> 4x wide -> 4x wide
  // How many heads attention over `channels` channels has.
  Index heads_at(Index channels) const { return head_width > 0 ? channels / head_width : heads; }

  static UNetConfig sd15() { return {}; }
  static UNetConfig sd21() {
    UNetConfig config;
    config.head_width = 64;
    config.cross_attention_dim = 1024;
    config.linear_projection = true;
    return config;
  }
  // Throws ConfigError when the numbers do not fit together.
  void validate(std::string_view where) const {
    using detail::require_config;
    detail::require_widths(block_out_channels, norm_groups, where);
    detail::require_between(0, 1, "norm_eps", norm_eps, where);
    require_config(attention_levels.size() == block_out_channels.size(), where,
                   std::to_string(levels()) + " attention levels", std::to_string(attention_levels.size()));
    require_config(in_channels >= 1 && out_channels >= 1 && layers_per_block >= 1 && transformer_depth >= 1 &&
                       cross_attention_dim >= 1,
                   where, "channels, layers and widths of at least 1", "less");
    for (std::size_t i = 0; i < attention_levels.size(); ++i) {
      const Index width = block_out_channels[i], a = heads_at(width);
      if (attention_levels[i] || i + 1 == attention_levels.size())  // the middle block has the last width
        require_config(a >= 1 && width % a == 0 && (head_width <= 0 || width % head_width == 0), where,
                       "heads that divide the width " + std::to_string(width),
                       head_width > 0 ? "heads of width " + std::to_string(head_width) : std::to_string(a) + " heads",
                       "the shapes of a checkpoint do not show the heads: give their number or width");
    }
  }
  bool operator==(const UNetConfig&) const = default;
};

// Pictures <-> latents.
struct AutoencoderKLConfig {
  Index in_channels = 3, out_channels = 3;
  std::vector<Index> block_out_channels{128, 256, 512, 512};  // each level after the first halves the side: 8x in all
  Index layers_per_block = 2;
  Index latent_channels = 4;
  Index norm_groups = 32;
  // 1 / (standard deviation of the latents over the training pictures), so that the U-Net sees about unit variance;
  // z_unet = scaling_factor * z. Recompute it by encoding a data set (Rombach et al. 2022, appendix G).
  double scaling_factor = 0.18215;
  bool quantization_convs = true;  // the 1x1 convolutions quant_conv and post_quant_conv around the latent

  Index levels() const { return static_cast<Index>(block_out_channels.size()); }
  Index downsampling() const { return Index{1} << (levels() - 1); }  // picture side / latent side

  static AutoencoderKLConfig sd15() { return {}; }
  static AutoencoderKLConfig sd21() { return {}; }
  void validate(std::string_view where) const {
    detail::require_widths(block_out_channels, norm_groups, where);
    detail::require_config(in_channels >= 1 && out_channels >= 1 && layers_per_block >= 1 && latent_channels >= 1,
                           where, "channels and layers of at least 1", "less");
    detail::require_between(1e-6, 1e6, "a scaling factor", scaling_factor, where);
  }
  bool operator==(const AutoencoderKLConfig&) const = default;
};

// CLIP's text transformer (Radford et al. 2021).
struct ClipTextConfig {
  Index vocab_size = 49408;  // 2 * 256 bytes + 48894 merges + 2 special tokens
  Index hidden_size = 768;
  Index intermediate_size = 3072;
  Index layers = 12;
  Index heads = 12;
  Index max_positions = 77;               // CLIP's context length
  std::string activation = "quick_gelu";  // x * sigmoid(1.702 x) in OpenAI's weights; "gelu" in OpenCLIP's
  double layer_norm_eps = 1e-5;
  Index bos_token_id = 49406, eos_token_id = 49407;
  Index pad_token_id = 49407;  // SD 1 pads with the end token; SD 2 with 0, the token "!"
  Index projection_dim = 0;    // width of the text_projection of a contrastive model; 0: there is none
  Index skip_last_layers = 0;  // leave out that many last layers (SD 2: 1, the "penultimate" state)

  static ClipTextConfig sd15() { return {}; }
  static ClipTextConfig sd21() {
    ClipTextConfig config;
    config.hidden_size = 1024;
    config.intermediate_size = 4096;
    config.layers = 24;  // of which the last is not used
    config.heads = 16;
    config.activation = "gelu";
    config.pad_token_id = 0;
    config.skip_last_layers = 1;
    return config;
  }
  void validate(std::string_view where) const {
    using detail::require_config;
    require_config(vocab_size >= 1 && hidden_size >= 1 && intermediate_size >= 1 && layers >= 1 && max_positions >= 1,
                   where, "sizes of at least 1", "less");
    require_config(heads >= 1 && hidden_size % heads == 0, where,
                   "a number of heads that divides the width " + std::to_string(hidden_size), std::to_string(heads),
                   "the shapes of a checkpoint do not show the heads: give their number");
    detail::require_between(0, 1, "layer_norm_eps", layer_norm_eps, where);
    require_config(activation == "quick_gelu" || activation == "gelu", where, "quick_gelu or gelu", activation);
    require_config(skip_last_layers >= 0 && skip_last_layers < layers, where,
                   "0 to " + std::to_string(layers - 1) + " last layers left out", std::to_string(skip_last_layers));
    for (const Index id : {bos_token_id, eos_token_id, pad_token_id})
      require_config(id >= 0 && id < vocab_size, where, "token ids from 0 to " + std::to_string(vocab_size - 1),
                     std::to_string(id));
  }
  bool operator==(const ClipTextConfig&) const = default;
};

// The noise schedule, as in diffusers' scheduler_config.json.
struct SchedulerConfig {
  Index num_train_timesteps = 1000;
  double beta_start = 0.00085, beta_end = 0.012;  // Latent Diffusion's noise; DDPM: 1e-4, 0.02
  std::string beta_schedule = "scaled_linear";    // "linear", "scaled_linear", "squaredcos_cap_v2" (cosine)
  std::string prediction_type = "epsilon";        // "epsilon", "v_prediction", "sample"
  Index steps_offset = 1;                         // added to every timestep of the sampler: 1 as in LDM's ddim.py
  bool set_alpha_to_one = false;                  // alpha_bar before the first timestep: 1, or alpha_bar[0] as in LDM
  bool clip_sample = false;                       // clip the predicted x_0 to [-1, 1]: for pixels, not for latents

  static SchedulerConfig sd15() { return {}; }
  static SchedulerConfig sd21() {
    SchedulerConfig config;
    config.prediction_type = "v_prediction";  // the 768-pixel model; the 512-pixel base predicts epsilon
    return config;
  }
  bool operator==(const SchedulerConfig&) const = default;
};

}  // namespace inkling
