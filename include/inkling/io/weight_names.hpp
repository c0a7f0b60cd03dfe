// Two sets of names for the same weights.
//
// Single-file checkpoints name them as CompVis' code lays them out (input_blocks.4.0.in_layers.2.weight): one running
// number through all levels. diffusers names them as the architecture reads (down_blocks.1.resnets.0.conv1.weight).
// A table of rules, made from the config by counting along, ties them together; the models use the second set.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "inkling/models/config.hpp"

namespace inkling {

enum class WeightChange {
  none,
  conv_to_linear,  // [O, I, 1, 1] there, [O, I] here: a 1x1 convolution over pixels is a linear layer
  third,           // rows [k O, (k+1) O) of [3 O, ...] there, [O, ...] here: queries, keys, values in one matrix
  ignored          // not read; `reason` says why
};

// A name or the beginning of one, up to a dot.
struct NameRule {
  std::string compvis, diffusers;
  WeightChange change = WeightChange::none;
  Index third = 0;
  std::string_view reason{};  // of exceptions
  bool read_only = false;     // another spelling that is read, never written
};

// Where one weight of the model comes from, or goes to.
struct MappedName {
  std::string name;
  WeightChange change = WeightChange::none;
  Index third = 0;
  std::string_view reason{};
};

class NameMap {
 public:
  explicit NameMap(std::vector<NameRule> rules) : rules_(std::move(rules)) {
    for (std::size_t i = 0; i < rules_.size(); ++i) {
      by_compvis_.emplace(rules_[i].compvis, i);
      if (rules_[i].change != WeightChange::ignored && !rules_[i].read_only)
        by_diffusers_.emplace(rules_[i].diffusers, i);
    }
  }
  const std::vector<NameRule>& rules() const noexcept { return rules_; }

  // The model's weights that a checkpoint's tensor holds: usually one, three for a fused matrix; one with change
  // `ignored` and no name for a tensor that is known and not needed; none for a name that no rule knows.
  std::vector<MappedName> to_diffusers(std::string_view name) const { return map(name, by_compvis_, false); }
  // The checkpoint's tensor that holds a weight of the model; nothing for a name that no rule knows.
  std::optional<MappedName> to_compvis(std::string_view name) const {
    const std::vector<MappedName> found = map(name, by_diffusers_, true);
    if (found.empty()) return std::nullopt;
    return found.front();
  }

 private:
  using Table = std::unordered_multimap<std::string, std::size_t>;

  // The longest rule that is the whole name or ends before one of its dots decides.
  std::vector<MappedName> map(std::string_view name, const Table& table, bool back) const {
    for (std::size_t end = name.size(); end != 0 && end != std::string_view::npos; end = name.rfind('.', end - 1)) {
      const auto [first, last] = table.equal_range(std::string(name.substr(0, end)));
      std::vector<MappedName> out;
      for (auto it = first; it != last; ++it) {
        const NameRule& r = rules_[it->second];
        const bool bias = name.substr(end) == ".bias";  // a vector stays a vector
        const WeightChange change = r.change == WeightChange::conv_to_linear && bias ? WeightChange::none : r.change;
        std::string to = back ? r.compvis : r.diffusers;
        if (change != WeightChange::ignored) to += name.substr(end);
        out.push_back({std::move(to), change, r.third, r.reason});
      }
      if (!out.empty()) return out;
    }
    return {};
  }

  std::vector<NameRule> rules_;
  Table by_compvis_, by_diffusers_;
};

namespace detail {
template <class... P>
std::string join(const P&... parts) {
  std::string s;
  const auto add = [&](const auto& p) {
    if constexpr (std::is_integral_v<std::remove_cvref_t<decltype(p)>>)
      s += std::to_string(p);
    else
      s += p;
  };
  (add(parts), ...);
  return s;
}
// ResBlock's Sequentials, by position <-> ResnetBlock2D's members
inline void add_unet_resnet(std::vector<NameRule>& rules, const std::string& compvis, const std::string& diffusers) {
  constexpr std::array<std::array<std::string_view, 2>, 6> members{{{"in_layers.0", "norm1"},
                                                                    {"in_layers.2", "conv1"},
                                                                    {"emb_layers.1", "time_emb_proj"},
                                                                    {"out_layers.0", "norm2"},
                                                                    {"out_layers.3", "conv2"},
                                                                    {"skip_connection", "conv_shortcut"}}};
  for (const auto& [c, d] : members) rules.push_back({join(compvis, ".", c), join(diffusers, ".", d)});
}
}  // namespace detail

// model.diffusion_model.* (without that prefix) <-> unet
inline NameMap unet_names(const UNetConfig& config) {
  using detail::join;
  std::vector<NameRule> rules{{"time_embed.0", "time_embedding.linear_1"},
                              {"time_embed.2", "time_embedding.linear_2"},
                              {"input_blocks.0.0", "conv_in"},
                              {"middle_block.1", "mid_block.attentions.0"},  // inside, a transformer's names agree
                              {"out.0", "conv_norm_out"},
                              {"out.2", "conv_out"}};
  const Index levels = config.levels();
  const auto attends = [&](Index level) { return bool{config.attention_levels.at(static_cast<std::size_t>(level))}; };

  Index block = 1;  // input_blocks.0 is conv_in
  for (Index level = 0; level < levels; ++level) {
    const std::string down = join("down_blocks.", level);
    for (Index j = 0; j < config.layers_per_block; ++j, ++block) {
      detail::add_unet_resnet(rules, join("input_blocks.", block, ".0"), join(down, ".resnets.", j));
      if (attends(level)) rules.push_back({join("input_blocks.", block, ".1"), join(down, ".attentions.", j)});
    }
    if (level + 1 < levels)
      rules.push_back({join("input_blocks.", block++, ".0.op"), join(down, ".downsamplers.0.conv")});
  }
  detail::add_unet_resnet(rules, "middle_block.0", "mid_block.resnets.0");
  detail::add_unet_resnet(rules, "middle_block.2", "mid_block.resnets.1");

  block = 0;
  for (Index u = 0; u < levels; ++u) {  // up_blocks.0 is the coarsest level
    const Index level = levels - 1 - u;
    const std::string up = join("up_blocks.", u);
    for (Index j = 0; j <= config.layers_per_block; ++j, ++block) {
      detail::add_unet_resnet(rules, join("output_blocks.", block, ".0"), join(up, ".resnets.", j));
      if (attends(level)) rules.push_back({join("output_blocks.", block, ".1"), join(up, ".attentions.", j)});
      if (level > 0 && j == config.layers_per_block)
        rules.push_back(
            {join("output_blocks.", block, attends(level) ? ".2.conv" : ".1.conv"), join(up, ".upsamplers.0.conv")});
    }
  }
  return NameMap(std::move(rules));
}

// model_ema.*: the averaged copy of the same weights. Its names have lost their dots (a dot cannot stand in the name of
// a PyTorch buffer), so they can only be recognised from the other copy's.
inline std::string ema_name(std::string_view name) {
  std::string out;
  for (const char c : name)
    if (c != '.') out += c;
  return out;
}

// first_stage_model.* (without that prefix) <-> vae
inline NameMap vae_names(const AutoencoderKLConfig& config) {
  using detail::join;
  std::vector<NameRule> rules;
  const Index levels = config.levels();
  const auto add_resnet = [&](const std::string& compvis, const std::string& diffusers) {
    for (std::string_view member : {"norm1", "conv1", "norm2", "conv2"})
      rules.push_back({join(compvis, ".", member), join(diffusers, ".", member)});
    rules.push_back({compvis + ".nin_shortcut", diffusers + ".conv_shortcut"});
  };
  for (const std::string part : {"encoder", "decoder"}) {
    rules.push_back({part + ".conv_in", part + ".conv_in"});
    rules.push_back({part + ".norm_out", part + ".conv_norm_out"});
    rules.push_back({part + ".conv_out", part + ".conv_out"});
    add_resnet(part + ".mid.block_1", part + ".mid_block.resnets.0");
    add_resnet(part + ".mid.block_2", part + ".mid_block.resnets.1");
    const std::string from = part + ".mid.attn_1.", to = part + ".mid_block.attentions.0.";
    rules.push_back({from + "norm", to + "group_norm"});
    constexpr std::array<std::array<std::string_view, 2>, 4> projections{
        {{"q", "to_q"}, {"k", "to_k"}, {"v", "to_v"}, {"proj_out", "to_out.0"}}};
    for (const auto& [c, d] : projections)
      rules.push_back({join(from, c), join(to, d), WeightChange::conv_to_linear, 0, "1x1 convolutions over pixels"});
  }
  for (Index i = 0; i < levels; ++i) {
    for (Index j = 0; j < config.layers_per_block; ++j)
      add_resnet(join("encoder.down.", i, ".block.", j), join("encoder.down_blocks.", i, ".resnets.", j));
    if (i + 1 < levels)
      rules.push_back(
          {join("encoder.down.", i, ".downsample.conv"), join("encoder.down_blocks.", i, ".downsamplers.0.conv")});
    const Index u = levels - 1 - i;  // decoder.up counts from the finest level, up_blocks from the coarsest
    for (Index j = 0; j <= config.layers_per_block; ++j)
      add_resnet(join("decoder.up.", i, ".block.", j), join("decoder.up_blocks.", u, ".resnets.", j));
    if (i > 0)
      rules.push_back({join("decoder.up.", i, ".upsample.conv"), join("decoder.up_blocks.", u, ".upsamplers.0.conv")});
  }
  if (config.quantization_convs) {
    rules.push_back({"quant_conv", "quant_conv"});
    rules.push_back({"post_quant_conv", "post_quant_conv"});
  }
  rules.push_back({"loss", "", WeightChange::ignored, 0, "the critic and LPIPS network of the autoencoder's training"});
  rules.push_back({"model_ema", "", WeightChange::ignored, 0, "an averaged copy; the main weights are used"});
  return NameMap(std::move(rules));
}

// cond_stage_model.transformer.* (without that prefix) <-> text_encoder: OpenAI's CLIP in SD 1
inline NameMap clip_text_names() {
  std::vector<NameRule> rules{
      {"text_model", "text_model"},
      {"text_projection", "text_projection"},
      {"text_model.embeddings.position_ids", "", WeightChange::ignored, 0,
       "the numbers 0 to 76, a buffer of an early transformers release; positions are counted, not stored"}};
  for (const std::string part : {"embeddings", "encoder", "final_layer_norm"})
    rules.push_back({part, "text_model." + part, WeightChange::none, 0,
                     "some files were saved from inside text_model, without its name", true});
  rules.push_back({"embeddings.position_ids", "", WeightChange::ignored, 0, "as text_model.embeddings.position_ids"});
  return NameMap(std::move(rules));
}

// cond_stage_model.model.* (without that prefix) <-> text_encoder: OpenCLIP in SD 2
inline NameMap open_clip_text_names(const ClipTextConfig& config) {
  using detail::join;
  std::vector<NameRule> rules{
      {"token_embedding", "text_model.embeddings.token_embedding"},
      {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
      {"ln_final", "text_model.final_layer_norm"},
      {"text_projection", "", WeightChange::ignored, 0, "into the space shared with pictures; the U-Net reads states"},
      {"logit_scale", "", WeightChange::ignored, 0, "the temperature of the contrastive loss"},
      {"attn_mask", "", WeightChange::ignored, 0, "the causal mask, which is known"},
      {"visual", "", WeightChange::ignored, 0, "the picture half of CLIP"}};
  constexpr std::array<std::array<std::string_view, 2>, 5> members{{{"ln_1", "layer_norm1"},
                                                                    {"ln_2", "layer_norm2"},
                                                                    {"mlp.c_fc", "mlp.fc1"},
                                                                    {"mlp.c_proj", "mlp.fc2"},
                                                                    {"attn.out_proj", "self_attn.out_proj"}}};
  constexpr std::array<std::string_view, 3> thirds{"q_proj", "k_proj", "v_proj"};
  for (Index i = 0; i < config.layers; ++i) {
    const std::string from = join("transformer.resblocks.", i, "."), to = join("text_model.encoder.layers.", i, ".");
    for (const auto& [c, d] : members) rules.push_back({join(from, c), join(to, d)});
    for (const std::string kind : {"weight", "bias"})
      for (Index k = 0; k < 3; ++k)
        rules.push_back({join(from, "attn.in_proj_", kind),
                         join(to, "self_attn.", thirds[static_cast<std::size_t>(k)], ".", kind), WeightChange::third, k,
                         "torch.nn.MultiheadAttention keeps queries, keys and values in one matrix"});
  }
  return NameMap(std::move(rules));
}

// Spellings of diffusers itself that have changed. `name` as in a file -> as in the models; empty: not needed.
inline std::string current_diffusers_name(std::string name) {
  if (name.ends_with("embeddings.position_ids")) return {};  // a buffer of the numbers 0 to 76
  constexpr std::array<std::array<std::string_view, 2>, 4> old{
      // the autoencoder's attention, before diffusers 0.17
      {{".query.", ".to_q."}, {".key.", ".to_k."}, {".value.", ".to_v."}, {".proj_attn.", ".to_out.0."}}};
  for (const auto& [before, now] : old)
    if (const std::size_t at = name.find(before); at != std::string::npos && name.find("attentions") < at)
      name.replace(at, before.size(), now);
  return name;
}

}  // namespace inkling
