// The two sets of names: a bijection on every list of names of real checkpoints, configs found in them, and the
// models' own parameters compared with them.
#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "inkling/io/detect_config.hpp"
#include "inkling/io/weight_names.hpp"
#include "inkling/models/autoencoder_kl.hpp"
#include "inkling/models/clip_text.hpp"
#include "inkling/models/unet.hpp"
#include "support.hpp"

using namespace inkling;
using namespace inkling_test;

namespace {

// Lines "name [d0,d1]".
NamedShapes read_list(const std::filesystem::path& path) {
  std::ifstream in(path);
  NamedShapes shapes;
  for (std::string line; std::getline(in, line);) {
    if (line.empty()) continue;
    const std::size_t space = line.rfind(' ');
    std::vector<Index> shape;
    std::istringstream numbers(line.substr(space + 2, line.size() - space - 3));
    for (std::string d; std::getline(numbers, d, ',');) shape.push_back(std::stol(d));
    REQUIRE_MESSAGE(shapes.emplace(line.substr(0, space), shape).second, line);
  }
  REQUIRE_FALSE(shapes.empty());
  return shapes;
}

std::vector<Index> model_shape(std::vector<Index> shape, WeightChange change) {
  if (change == WeightChange::conv_to_linear) {
    REQUIRE(shape.size() == 4);
    CHECK(shape[2] == 1);
    CHECK(shape[3] == 1);
    shape.resize(2);
  }
  if (change == WeightChange::third) {
    CHECK(shape.at(0) % 3 == 0);
    shape[0] /= 3;
  }
  return shape;
}

// There and back again; returns the model's names with their shapes. `ignored` counts rows of the table.
NamedShapes check_bijection(const NamedShapes& stored, const NameMap& names, std::size_t ignored) {
  NamedShapes model;
  std::size_t not_read = 0;
  for (const auto& item : stored) {
    const auto& name = item.first;  // clang 14 captures no structured bindings
    const auto& shape = item.second;
    const std::vector<MappedName> to = names.to_diffusers(name);
    REQUIRE_MESSAGE(!to.empty(), name);
    std::set<Index> thirds;
    for (const MappedName& m : to) {
      if (m.change == WeightChange::ignored) {
        CHECK_FALSE(m.reason.empty());
        ++not_read;
        continue;
      }
      CHECK_MESSAGE(model.emplace(m.name, model_shape(shape, m.change)).second, "two tensors for ", m.name);
      const auto back = names.to_compvis(m.name);
      REQUIRE_MESSAGE(back.has_value(), m.name);
      CHECK(back->name == name);
      CHECK(back->change == m.change);
      CHECK(back->third == m.third);
      thirds.insert(m.third);
    }
    CHECK(thirds.size() == (to.front().change == WeightChange::ignored ? 0 : to.size()));
  }
  CHECK(not_read == ignored);
  return model;
}

template <class Module>
NamedShapes parameters(Module& module) {
  NamedShapes out;
  for_each_parameter(module, [&](const std::string& path, auto& p) {
    CHECK_MESSAGE(out.emplace(path, std::vector<Index>(p.shape().begin(), p.shape().end())).second, path);
  });
  return out;
}
void check_same(const NamedShapes& model, const NamedShapes& file) {
  for (const auto& item : model) {
    const auto& name = item.first;  // clang 14 captures no structured bindings
    const auto& shape = item.second;
    CAPTURE(name);
    REQUIRE(file.contains(name));
    CHECK(to_string(std::span<const Index>(shape)) == to_string(std::span<const Index>(file.at(name))));
  }
  CHECK(model.size() == file.size());
}

}  // namespace

TEST_CASE("data: U-Net names of real checkpoints map to the model and back, and show its config") {
  UNetConfig inpainting = UNetConfig::sd15();
  inpainting.in_channels = 9;
  const std::map<std::string, UNetConfig> lists{{"UNET-v1-SD.txt", UNetConfig::sd15()},
                                                {"UNET-v1-Inpainting.txt", inpainting},
                                                {"UNET-v2-SD.txt", UNetConfig::sd21()}};
  for (const auto& item : lists) {
    const auto& list = item.first;
    const auto& expected = item.second;
    CAPTURE(list);
    const NamedShapes stored = read_list(data_dir() / "sd_keys" / list);
    const UNetConfig config = detect_unet_config(stored);
    CHECK(config == expected);
    const NamedShapes mapped = check_bijection(stored, unet_names(config), 0);
    CHECK(mapped.size() == 686);
    UNet<float> model(config);
    check_same(parameters(model), mapped);
  }
}

TEST_CASE("data: the averaged copy's names without dots are those of the main copy") {
  const NamedShapes main = read_list(data_dir() / "sd_keys" / "UNET-v1-SD.txt");
  const NamedShapes ema = read_list(data_dir() / "sd_keys" / "UNET-v1-EMA.txt");
  NamedShapes made;
  for (const auto& [name, shape] : main) CHECK(made.emplace(ema_name(name), shape).second);
  CHECK(made == ema);
}

TEST_CASE("data: autoencoder names of a real checkpoint") {
  const NamedShapes stored = read_list(data_dir() / "sd_keys" / "VAE-v1-SD.txt");
  const AutoencoderKLConfig config = detect_vae_config(stored);
  CHECK(config == AutoencoderKLConfig::sd15());
  const NamedShapes mapped = check_bijection(stored, vae_names(config), 0);
  CHECK(mapped.at("decoder.mid_block.attentions.0.to_q.weight") == std::vector<Index>{512, 512});
  AutoencoderKL<float> model(config);
  check_same(parameters(model), mapped);
}

TEST_CASE("data: text encoder names of real checkpoints") {
  SUBCASE("SD 1") {
    NamedShapes stored;  // in a checkpoint with "text_model." in front
    for (const auto& [name, shape] : read_list(data_dir() / "sd_keys" / "CLIP-v1-SD.txt"))
      stored.emplace("text_model." + name, shape);
    const ClipTextConfig config = detect_text_config(stored);
    CHECK(config == ClipTextConfig::sd15());
    const NamedShapes mapped = check_bijection(stored, clip_text_names(), 1);
    ClipTextModel<float> model(config);
    check_same(parameters(model), mapped);
  }
  SUBCASE("SD 1, saved from inside text_model") {
    const NamedShapes stored = read_list(data_dir() / "sd_keys" / "CLIP-v1-SD.txt");
    CHECK(detect_text_config(stored) == ClipTextConfig::sd15());
    const NameMap names = clip_text_names();
    for (const auto& [name, shape] : stored) {
      const MappedName to = names.to_diffusers(name).at(0);
      if (name.ends_with("position_ids"))
        CHECK(to.change == WeightChange::ignored);
      else
        CHECK(to.name == "text_model." + name);
    }
  }
  SUBCASE("SD 2") {
    const NamedShapes stored = read_list(data_dir() / "sd_keys" / "CLIP-v2-SD.txt");
    const ClipTextConfig config = detect_text_config(stored);
    CHECK(config == ClipTextConfig::sd21());
    const NamedShapes mapped =
        check_bijection(stored, open_clip_text_names(config), 2);  // text_projection, logit_scale
    CHECK(mapped.at("text_model.encoder.layers.5.self_attn.v_proj.bias") == std::vector<Index>{1024});
    ClipTextModel<float> model(config);
    check_same(parameters(model), mapped);
  }
}

TEST_CASE("data: every list of names is tested or left out by name") {
  const std::set<std::string> known{"UNET-v1-SD.txt", "UNET-v1-EMA.txt", "UNET-v1-Inpainting.txt", "UNET-v2-SD.txt",
                                    "VAE-v1-SD.txt",  "CLIP-v1-SD.txt",  "CLIP-v2-SD.txt"};
  const std::set<std::string> without_a_model{"ControlNet-v1-SD.txt", "LoRA-v1-CLIP.txt", "LoRA-v1-UNET.txt"};
  for (const auto& file : std::filesystem::directory_iterator(data_dir() / "sd_keys")) {
    const std::string name = file.path().filename().string();
    if (without_a_model.contains(name))
      MESSAGE("skipped: ", name);
    else
      CHECK_MESSAGE(known.contains(name), name);
  }
}

TEST_CASE("name rules follow any config") {
  UNetConfig config;
  config.block_out_channels = {32, 64, 96};
  config.attention_levels = {false, true, false};
  config.layers_per_block = 1;
  config.cross_attention_dim = 48;
  config.head_width = 16;
  config.transformer_depth = 2;
  UNet<float> model(config);
  const NamedShapes ours = parameters(model);
  const NameMap names = unet_names(config);
  NamedShapes stored;
  for (const auto& item : ours) {
    const auto& name = item.first;
    const auto& shape = item.second;
    const auto to = names.to_compvis(name);
    REQUIRE_MESSAGE(to.has_value(), name);
    CHECK(stored.emplace(to->name, shape).second);
  }
  check_same(ours, check_bijection(stored, names, 0));
  // up_blocks.1 attends and enlarges: the attention pushes the upsampler to place 2; up_blocks.0 does not attend.
  CHECK(names.to_compvis("up_blocks.1.upsamplers.0.conv.weight")->name == "output_blocks.3.2.conv.weight");
  CHECK(names.to_compvis("up_blocks.0.upsamplers.0.conv.weight")->name == "output_blocks.1.1.conv.weight");
  ModelOverrides overrides;
  overrides.unet_head_width = 16;
  config.heads = 8;
  CHECK(detect_unet_config(stored, overrides) == config);
}

TEST_CASE("names that no rule knows") {
  const NameMap names = unet_names(UNetConfig::sd15());
  CHECK(names.to_diffusers("input_blocks.12.0.in_layers.0.weight").empty());
  CHECK(names.to_diffusers("input_blocks.1.0.in_layers.1.weight").empty());
  CHECK(names.to_diffusers("").empty());
  CHECK(names.to_diffusers("...").empty());
  CHECK(names.to_diffusers(".weight").empty());
  CHECK_FALSE(names.to_compvis("down_blocks.4.resnets.0.norm1.weight").has_value());
  CHECK_FALSE(names.to_compvis("down_blocks.3.attentions.0.norm.weight").has_value());
}

TEST_CASE("earlier spellings of diffusers") {
  const std::string attention = "decoder.mid_block.attentions.0.";
  CHECK(current_diffusers_name(attention + "query.weight") == attention + "to_q.weight");
  CHECK(current_diffusers_name(attention + "proj_attn.bias") == attention + "to_out.0.bias");
  CHECK(current_diffusers_name(attention + "to_k.bias") == attention + "to_k.bias");
  CHECK(current_diffusers_name("text_model.embeddings.position_ids").empty());
}

TEST_CASE("a config cannot be found in the wrong tensors") {
  CHECK_THROWS_AS(detect_unet_config({}), LoadError);
  CHECK_THROWS_AS(detect_vae_config({}), LoadError);
  CHECK_THROWS_AS(detect_text_config({}), LoadError);
  CHECK_THROWS_AS(detect_unet_config({{"input_blocks.0.0.weight", {320}}}), LoadError);
  CHECK_THROWS_AS(detect_unet_config({{"input_blocks.0.0.weight", {320, 4, 3, 3}}, {"out.2.weight", {4, 320, 3, 3}}}),
                  LoadError);
}
