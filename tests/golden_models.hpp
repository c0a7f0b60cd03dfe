// The models of the reference values: configs from CompVis' settings, weights from the formula in the golden README.
#pragma once
#include <cmath>
#include <nlohmann/json.hpp>

#include "inkling/io/safetensors.hpp"
#include "inkling/io/weight_names.hpp"
#include "inkling/io/load_parameters.hpp"
#include "support.hpp"

namespace inkling_test {

using namespace inkling;
using Json = nlohmann::json;

// Uniform numbers in +-sqrt(3/fan_in) (gains around 1, biases small) from FNV-1a of the name and splitmix64.
inline void fill_tensor(const std::string& salt, const std::string& name, const std::vector<Index>& shape, float* w) {
  std::uint64_t seed = 0xCBF29CE484222325ull;
  for (const char c : salt + "/" + name) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001B3ull;
  Index count = 1, fan = 1;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    count *= shape[d];
    if (d) fan *= shape[d];
  }
  const bool gain = shape.size() == 1 && name.ends_with(".weight");
  const float b = shape.size() >= 2 ? static_cast<float>(std::sqrt(3.0 / static_cast<double>(fan))) : 0.1f;
  if (shape.empty()) {  // logit_scale
    w[0] = static_cast<float>(std::log(1 / 0.07));
    return;
  }
  parallel_for(count, 10, [&](Index i) {
    std::uint64_t z = seed + static_cast<std::uint64_t>(i + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    const float u = static_cast<float>(z >> 40) * 0x1p-23f - 1.0f;
    if (gain) {
      const volatile float scaled = 0.1f * u;  // rounded by itself, as in the formula: never a fused multiply-add
      w[i] = 1.0f + scaled;
    } else {
      w[i] = b * u;
    }
  });
}

// Fills a module whose parameters are called `prefix + map(path)` in the checkpoint.
template <class Module>
void fill_by_formula(Module& module, const NameMap& names, const std::string& salt, const std::string& prefix) {
  for_each_parameter(module, [&](const std::string& path, auto& p) {
    const auto stored = names.to_compvis(path);
    if (!stored) throw std::runtime_error("no checkpoint name for " + path);
    std::vector<Index> shape(p.shape().begin(), p.shape().end());
    if (stored->change == WeightChange::conv_to_linear) shape.insert(shape.end(), {1, 1});
    std::vector<float> values(static_cast<std::size_t>(p.size()));
    fill_tensor(salt, prefix + stored->name, shape, values.data());
    std::copy(values.begin(), values.end(), p.value().begin());
  });
}
// The same for modules whose paths are the checkpoint's names.
template <class Module>
void fill_by_formula(Module& module, const std::string& salt, const std::string& prefix) {
  for_each_parameter(module, [&](const std::string& path, auto& p) {
    std::vector<float> values(static_cast<std::size_t>(p.size()));
    std::vector<Index> shape;
    for (const Index d : p.shape()) shape.push_back(d);
    fill_tensor(salt, prefix + path, shape, values.data());
    std::copy(values.begin(), values.end(), p.value().begin());
  });
}

inline UNetConfig unet_config_from(const Json& j) {
  UNetConfig c;
  c.in_channels = j.at("in_channels"), c.out_channels = j.at("out_channels");
  c.layers_per_block = j.at("num_res_blocks");
  c.heads = j.at("num_heads");
  c.transformer_depth = j.at("transformer_depth");
  c.cross_attention_dim = j.at("context_dim");
  c.block_out_channels.clear();
  c.attention_levels.clear();
  const auto at = j.at("attention_resolutions").get<std::vector<Index>>();  // downsampling factors that attend
  Index factor = 1;
  for (const Index m : j.at("channel_mult").get<std::vector<Index>>()) {
    c.block_out_channels.push_back(m * j.at("model_channels").get<Index>());
    c.attention_levels.push_back(std::find(at.begin(), at.end(), factor) != at.end());
    factor *= 2;
  }
  return c;
}
inline AutoencoderKLConfig vae_config_from(const Json& j) {
  AutoencoderKLConfig c;
  c.in_channels = j.at("in_channels"), c.out_channels = j.at("out_ch"), c.latent_channels = j.at("z_channels");
  c.layers_per_block = j.at("num_res_blocks");
  c.block_out_channels.clear();
  for (const Index m : j.at("ch_mult").get<std::vector<Index>>())
    c.block_out_channels.push_back(m * j.at("ch").get<Index>());
  return c;
}
inline ClipTextConfig text_config_from(const Json& j) {
  ClipTextConfig c;
  c.vocab_size = j.at("vocab_size"), c.hidden_size = j.at("hidden_size");
  c.intermediate_size = j.at("intermediate_size"), c.layers = j.at("num_hidden_layers");
  c.heads = j.at("num_attention_heads"), c.max_positions = j.at("max_position_embeddings");
  c.activation = j.at("hidden_act");
  c.layer_norm_eps = j.value("layer_norm_eps", 1e-5);
  c.bos_token_id = j.at("bos_token_id"), c.eos_token_id = j.at("eos_token_id");
  return c;
}

inline Json metadata_json(const SafetensorsFile& file, const std::string& key) {
  return Json::parse(file.metadata(key));
}

// Relative to the largest magnitude; 1e-4 is what float arithmetic must keep through a whole model (the reference
// implementation, itself run in float, is at 2e-6 to 6e-6).
constexpr double model_tolerance = 1e-4;

}  // namespace inkling_test
