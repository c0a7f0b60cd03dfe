// Models on disk: configs as json, both layouts of weights, strict loading.
#include <doctest/doctest.h>

#include <fstream>

#include "inkling/core/random.hpp"
#include "inkling/io/inspect.hpp"
#include "inkling/models/autoencoder_kl.hpp"
#include "inkling/models/clip_text.hpp"
#include "inkling/models/unet.hpp"
#include "inkling/io/load_parameters.hpp"
#include "support.hpp"

using namespace inkling;
using namespace inkling_test;

namespace {

void write_all(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary);
  out << bytes;
  REQUIRE(out.good());
}
std::string read_all(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

UNetConfig small_unet() {
  UNetConfig c;
  c.block_out_channels = {32, 64};
  c.attention_levels = {true, false};
  c.layers_per_block = 1;
  c.cross_attention_dim = 16;
  return c;
}
AutoencoderKLConfig small_vae() {
  AutoencoderKLConfig c;
  c.block_out_channels = {32, 32};
  c.layers_per_block = 1;
  return c;
}
ClipTextConfig small_text() {
  ClipTextConfig c;
  c.vocab_size = 50;
  c.hidden_size = 16;
  c.intermediate_size = 64;
  c.layers = 2;
  c.heads = 4;
  c.max_positions = 12;
  c.bos_token_id = 48;
  c.eos_token_id = c.pad_token_id = 49;
  return c;
}

struct Parts {
  UNet<float> unet;
  AutoencoderKL<float> vae;
  ClipTextModel<float> text;
  explicit Parts(std::uint64_t seed) : unet(small_unet()), vae(small_vae()), text(small_text()) {
    Generator generator(seed);
    initialize(unet, generator);
    initialize(vae, generator);
    initialize(text, generator);
  }
};

template <class Module>
std::map<std::string, std::vector<float>> values(Module& module) {
  std::map<std::string, std::vector<float>> out;
  for_each_parameter(module, [&](const std::string& path, auto& p) {
    out.emplace(path, std::vector<float>(p.value().begin(), p.value().end()));
  });
  return out;
}

void save_folder(const std::filesystem::path& path, Parts& parts, DType dtype = DType::f32) {
  for (const char* part : {"unet", "vae", "text_encoder", "scheduler", "tokenizer"})
    std::filesystem::create_directories(path / part);
  save_parameters(parts.unet, path / "unet" / "diffusion_pytorch_model.safetensors", dtype);
  save_parameters(parts.vae, path / "vae" / "diffusion_pytorch_model.safetensors", dtype);
  save_parameters(parts.text, path / "text_encoder" / "model.safetensors", dtype);
  save_config(path / "unet" / "config.json", small_unet());
  save_config(path / "vae" / "config.json", small_vae());
  save_config(path / "text_encoder" / "config.json", small_text());
  save_config(path / "scheduler" / "scheduler_config.json", SchedulerConfig::sd15());
  save_model_index(path);
}

// The same weights under CompVis' names in one file. `open_clip`: the text part as SD 2 has it, three matrices in one.
void save_single_file(const std::filesystem::path& path, Parts& parts, bool open_clip, bool ema = false) {
  struct Stored {
    std::vector<Index> shape;
    std::vector<float> values;
  };
  std::map<std::string, Stored> tensors;
  const auto add = [&](auto& module, const NameMap& names, const std::string& prefix) {
    for_each_parameter(module, [&](const std::string& name, auto& p) {
      const auto to = names.to_compvis(name);
      REQUIRE_MESSAGE(to.has_value(), name);
      Stored s{{p.shape().begin(), p.shape().end()}, {p.value().begin(), p.value().end()}};
      if (to->change == WeightChange::conv_to_linear) s.shape.insert(s.shape.end(), {1, 1});
      Stored& place = tensors[prefix + to->name];
      if (to->change == WeightChange::third) {
        const std::size_t n = s.values.size();
        place.shape = s.shape;
        place.shape[0] *= 3;
        place.values.resize(3 * n);
        std::copy(s.values.begin(), s.values.end(), place.values.begin() + to->third * static_cast<Index>(n));
      } else {
        place = std::move(s);
      }
    });
  };
  add(parts.unet, unet_names(small_unet()), "model.diffusion_model.");
  add(parts.vae, vae_names(small_vae()), "first_stage_model.");
  if (open_clip)
    add(parts.text, open_clip_text_names(small_text()), "cond_stage_model.model.");
  else
    add(parts.text, clip_text_names(), "cond_stage_model.transformer.");
  if (ema)
    for (const auto& [name, stored] : std::map(tensors))
      if (name.starts_with("model.diffusion_model.")) {
        Stored& copy = tensors["model_ema.diffusion_model" + ema_name(name.substr(22))] = stored;
        for (float& v : copy.values) v += 1;
      }
  const Tensor<std::int64_t, 2> ids({1, 12});
  const Tensor<float, 1> betas({1000}, 0.01f);
  std::vector<TensorToWrite> list{{"betas", betas}};
  if (!open_clip) list.push_back({"cond_stage_model.transformer.text_model.embeddings.position_ids", ids});
  for (const auto& [name, s] : tensors) list.push_back({name, DType::f32, s.shape, std::span<const float>(s.values)});
  write_safetensors(path, list);
}

template <class F>
void throws_with(const F& f, const std::string& part) {
  try {
    f();
    FAIL_CHECK("nothing thrown; expected: ", part);
  } catch (const Error& e) {
    CHECK_MESSAGE(std::string(e.what()).find(part) != std::string::npos, std::string(e.what()));
  }
}

}  // namespace

TEST_CASE("configs as json come back") {
  const TempDir folder;
  const auto path = folder / "config.json";
  UNetConfig odd = small_unet();
  odd.head_width = 16;
  odd.linear_projection = true;
  odd.transformer_depth = 2;
  odd.norm_eps = 1e-6;
  odd.in_channels = 9;
  for (const UNetConfig& c : {UNetConfig::sd15(), UNetConfig::sd21(), small_unet(), odd}) {
    save_config(path, c);
    CHECK(load_unet_config(path) == c);
  }
  AutoencoderKLConfig no_quant = small_vae();
  no_quant.quantization_convs = false;
  no_quant.scaling_factor = 0.9;
  for (const AutoencoderKLConfig& c : {AutoencoderKLConfig::sd15(), small_vae(), no_quant}) {
    save_config(path, c);
    CHECK(load_vae_config(path) == c);
  }
  for (const ClipTextConfig& c : {ClipTextConfig::sd15(), ClipTextConfig::sd21(), small_text()}) {
    save_config(path, c);
    CHECK(load_text_config(path) == c);
  }
  for (const SchedulerConfig& c : {SchedulerConfig::sd15(), SchedulerConfig::sd21()}) {
    save_config(path, c);
    CHECK(load_scheduler_config(path) == c);
  }
}

TEST_CASE("configs: missing keys, wrong types and foreign architectures are named") {
  const TempDir folder;
  const auto path = folder / "config.json";
  save_config(path, UNetConfig::sd15());
  const std::string good = read_all(path);
  const auto changed = [&](const std::string& from, const std::string& to, const std::string& says) {
    std::string text = good;
    const std::size_t at = text.find(from);
    REQUIRE_MESSAGE(at != std::string::npos, from);
    write_all(path, text.replace(at, from.size(), to));
    CAPTURE(to);
    throws_with([&] { load_unet_config(path); }, says);
    throws_with([&] { load_unet_config(path); }, path.string());
  };
  changed("\"in_channels\"", "\"in_chanels\"", "\"in_channels\"");
  changed("\"in_channels\"", "\"in_chanels\"", "there is \"in_chanels\"");
  changed("\"in_channels\": 4", "\"in_channels\": -4", "-4");
  changed("\"in_channels\": 4", "\"in_channels\": 4.5", "an integer");
  changed("\"in_channels\": 4", "\"in_channels\": \"4\"", "an integer");
  changed("\"in_channels\": 4", "\"in_channels\": true", "an integer");
  changed("\"in_channels\": 4", "\"in_channels\": 1e99", "an integer");
  changed("\"in_channels\": 4", "\"in_channels\": 9223372036854775808", "an integer");
  changed("\"layers_per_block\": 2", "\"layers_per_block\": 1000000000", "1 to 1000");
  changed("\"layers_per_block\": 2", "\"layers_per_block\": null", "got none");
  changed("\"attention_head_dim\": 8", "\"attention_head_dim\": 7", "heads that divide");
  changed("\"attention_head_dim\": 8", "\"attention_head_dim\": [1, 3, 8, 8]", "neither");
  changed("\"attention_head_dim\": 8", "\"attention_head_dim\": [999, 1998, 3996, 3996]", "divisor");
  changed("\"norm_num_groups\": 32", "\"norm_num_groups\": 0", "normalisation group");
  changed("\"norm_num_groups\": 32", "\"norm_num_groups\": 33", "normalisation groups");
  changed("\"norm_eps\": 1e-05", "\"norm_eps\": -1e-05", "norm_eps from 0 to 1, got -1e-05");
  changed("\"norm_eps\": 1e-05", "\"norm_eps\": 1e300", "norm_eps from 0 to 1, got 1e+300");
  changed("\"DownBlock2D\"", "\"AttnDownBlock2D\"", "AttnDownBlock2D");
  changed("\"UpBlock2D\"", "\"CrossAttnUpBlock2D\"", "up_block_types");
  changed("\"act_fn\": \"silu\"", "\"act_fn\": \"relu\"", "relu");
  changed("\"act_fn\"", "\"class_embed_type\": \"timestep\", \"act_fn\"", "class_embed_type");
  changed("{", "", "a json object");
  changed("{", "[{", "a json object");
  std::string nested;
  for (int k = 0; k < 200'000; ++k) nested += "{\"a\":";
  write_all(path, nested);
  throws_with([&] { load_unet_config(path); }, "json object");
  write_all(path, "");
  throws_with([&] { load_unet_config(path); }, "json object");
  throws_with([&] { load_unet_config(folder / "none.json"); }, "none there");
  throws_with([&] { load_unet_config(folder.path()); }, "none there");

  AutoencoderKLConfig dim;
  dim.scaling_factor = 1e300;
  save_config(path, dim);
  throws_with([&] { load_vae_config(path); }, "a scaling factor from 1e-06 to 1e+06, got 1e+300");
  ClipTextConfig negative;
  negative.layer_norm_eps = -1;
  save_config(path, negative);
  throws_with([&] { load_text_config(path); }, "layer_norm_eps from 0 to 1, got -1");

  SchedulerConfig bad;
  bad.beta_schedule = "wavy";
  save_config(path, bad);
  throws_with([&] { load_scheduler_config(path); }, "wavy");
  bad = {};
  bad.beta_end = 2;
  save_config(path, bad);
  throws_with([&] { load_scheduler_config(path); }, "beta_start");
}

TEST_CASE("data: a text encoder config with another model's default token ids") {
  const ClipTextConfig c = load_text_config(data_dir() / "clip_tokenizer" / "text_encoder_config.json");
  CHECK(c == ClipTextConfig::sd15());  // the file says bos 0, pad 1
}

TEST_CASE("a diffusers folder and a single file with the same weights load the same model") {
  const TempDir folder;
  Parts original(1), loaded(2);
  const auto check_loaded = [&](const ModelFiles& files) {
    for_each_parameter(loaded.unet, [](const std::string&, auto& p) { p.value().fill(-1); });
    load_parameters(loaded.unet, files.weights("unet"));
    load_parameters(loaded.vae, files.weights("vae"));
    load_parameters(loaded.text, files.weights("text_encoder"));
    CHECK(values(loaded.unet) == values(original.unet));
    CHECK(values(loaded.vae) == values(original.vae));
    CHECK(values(loaded.text) == values(original.text));
  };
  ModelOverrides overrides;
  overrides.text_heads = 4;

  SUBCASE("folder") {
    save_folder(folder / "model", original);
    const ModelFiles files(folder / "model");
    CHECK(files.style() == ModelStyle::diffusers_folder);
    CHECK(files.unet_config() == small_unet());
    CHECK(files.vae_config() == small_vae());
    CHECK(files.text_config() == small_text());
    CHECK(files.scheduler_config() == SchedulerConfig::sd15());
    CHECK(files.tokenizer_folder() == folder / "model" / "tokenizer");
    check_loaded(files);
  }
  SUBCASE("folder, pad token from the tokenizer's files") {
    save_folder(folder / "model", original);
    write_all(folder / "model" / "tokenizer" / "special_tokens_map.json", R"({"pad_token": {"content": "!"}})");
    write_all(folder / "model" / "tokenizer" / "vocab.json", R"({"!": 7, "x": 8})");
    CHECK(ModelFiles(folder / "model").text_config().pad_token_id == 7);
    write_all(folder / "model" / "tokenizer" / "special_tokens_map.json", R"({"pad_token": "<|endoftext|>"})");
    CHECK(ModelFiles(folder / "model").text_config().pad_token_id == 49);
  }
  SUBCASE("single file, SD 1's text names") {
    save_single_file(folder / "model.safetensors", original, false);
    const ModelFiles files(folder / "model.safetensors", overrides);
    CHECK(files.style() == ModelStyle::single_file);
    CHECK(files.unet_config() == small_unet());
    CHECK(files.vae_config() == small_vae());
    CHECK(files.text_config() == small_text());
    CHECK(files.scheduler_config().prediction_type == "epsilon");
    CHECK_FALSE(files.tokenizer_folder().has_value());
    CHECK(files.other_tensors() == std::vector<std::string>{"betas"});
    CHECK(files.ignored("text_encoder").size() == 1);
    check_loaded(files);
  }
  SUBCASE("single file, OpenCLIP's text names") {
    save_single_file(folder / "model.safetensors", original, true);
    const ModelFiles files(folder / "model.safetensors", overrides);
    CHECK(files.text_config().activation == "gelu");
    CHECK(files.text_config().skip_last_layers == 1);
    check_loaded(files);
  }
  SUBCASE("the averaged copy") {
    save_single_file(folder / "model.safetensors", original, false, true);
    const ModelFiles files(folder / "model.safetensors", overrides);
    check_loaded(files);
    load_parameters(loaded.unet, files.weights("unet", WeightSet::ema));
    CHECK(loaded.unet.conv_in.weight.value()(0, 0, 0, 0) == original.unet.conv_in.weight.value()(0, 0, 0, 0) + 1);
    save_single_file(folder / "without.safetensors", original, false);
    throws_with([&] { ModelFiles(folder / "without.safetensors").weights("unet", WeightSet::ema); }, "model_ema");
  }
  SUBCASE("folder in half precision") {
    save_folder(folder / "model", original, DType::f16);
    const ModelFiles files(folder / "model");
    load_parameters(loaded.unet, files.weights("unet"));
    const auto expected = values(original.unet), got = values(loaded.unet);
    for (const auto& [name, v] : expected)
      for (std::size_t k = 0; k < v.size(); ++k)
        if (got.at(name)[k] != static_cast<float>(half(v[k]))) FAIL("differs: ", name);
    UNet<double> in_double(small_unet());
    load_parameters(in_double, files.weights("unet"));
    CHECK(in_double.conv_in.weight.value()(1, 2, 0, 1) ==
          static_cast<double>(loaded.unet.conv_in.weight.value()(1, 2, 0, 1)));
  }
  SUBCASE("earlier names of the autoencoder's attention") {
    save_folder(folder / "model", original);
    const auto path = folder / "model" / "vae" / "diffusion_pytorch_model.safetensors";
    std::vector<TensorToWrite> list;
    const auto all = values(original.vae);
    for_each_parameter(original.vae, [&](const std::string& name, auto& p) {
      std::string old = name;
      if (name.find("attentions") != std::string::npos)
        for (const auto& [now, before] : std::map<std::string, std::string>{
                 {".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}})
          if (const std::size_t at = old.find(now); at != std::string::npos) old.replace(at, now.size(), before);
      list.push_back({old, DType::f32, {p.shape().begin(), p.shape().end()}, std::span<const float>(all.at(name))});
    });
    write_safetensors(path, list);
    CHECK(SafetensorsFile(path).contains("encoder.mid_block.attentions.0.query.weight"));
    check_loaded(ModelFiles(folder / "model"));
  }
}

TEST_CASE("loading is strict: everything that does not fit is reported at once, and nothing is written") {
  const TempDir folder;
  const auto path = folder / "unet.safetensors";
  Parts original(1);
  const auto all = values(original.unet);
  std::vector<TensorToWrite> list;
  for_each_parameter(original.unet, [&](const std::string& name, auto& p) {
    if (name == "conv_out.bias") return;
    std::vector<Index> shape(p.shape().begin(), p.shape().end());
    if (name == "conv_in.weight") shape = {32, 36};
    list.push_back({name == "time_embedding.linear_1.weight" ? "time_embedding.linear1.weight" : name, DType::f32,
                    shape, std::span<const float>(all.at(name))});
  });
  const Tensor<std::int64_t, 1> steps({1});
  list.push_back({"global_step", steps});
  write_safetensors(path, list);

  WeightSource source("the file");
  const auto file = std::make_shared<const SafetensorsFile>(path);
  for (const TensorEntry& e : file->entries()) source.add(detail::file_weight(file, e, e.name));
  UNet<float> model(small_unet());
  try {
    load_parameters(model, source);
    FAIL("loaded");
  } catch (const LoadError& e) {
    const std::string text = e.what();
    INFO(text);
    CHECK(text.find("2 missing, 2 unexpected, 1 of another shape") != std::string::npos);
    CHECK(text.find("conv_out.bias") != std::string::npos);
    CHECK(text.find("time_embedding.linear_1.weight (near: time_embedding.linear1.weight)") != std::string::npos);
    CHECK(text.find("global_step") != std::string::npos);
    CHECK(text.find("conv_in.weight: model (32, 4, 3, 3), file (32, 36)") != std::string::npos);
  }
  for_each_parameter(model, [](const std::string& name, auto& p) { CHECK_MESSAGE(!p.allocated(), name); });

  throws_with([&] { source.add(detail::file_weight(file, file->entries()[0], "global_step")); }, "twice");
  throws_with([&] { save_parameters(model, folder / "x.safetensors"); }, "load or initialize");
  CHECK_FALSE(std::filesystem::exists(folder / "x.safetensors"));
}

TEST_CASE("files that are no model") {
  const TempDir folder;
  std::filesystem::create_directories(folder / "empty");
  throws_with([&] { ModelFiles f(folder / "empty"); }, "unet/");
  throws_with([&] { ModelFiles f(folder / "none"); }, "No such file");
  write_all(folder / "x.ckpt", "PK");
  throws_with([&] { ModelFiles f(folder / "x.ckpt"); }, "convert it to safetensors");
  const Tensor<float, 1> x({1});
  write_safetensors(folder / "x.safetensors", {{"some.weight", x}});
  throws_with([&] { ModelFiles f(folder / "x.safetensors"); }, "1 tensors with other names");
  std::filesystem::create_directories(folder / "model" / "unet");
  throws_with([&] { ModelFiles f(folder / "model"); }, "diffusion_pytorch_model.safetensors");
  write_safetensors(folder / "model" / "unet" / "diffusion_pytorch_model.safetensors", {{"x", x}});
  const ModelFiles files(folder / "model");
  throws_with([&] { files.unet_config(); }, "config.json");
  throws_with([&] { files.vae_config(); }, "unet");
  throws_with([&] { files.scheduler_config(); }, "scheduler_config.json");

  // The signs of a part, and nothing behind them.
  const Tensor<float, 4> conv({32, 4, 3, 3});
  write_safetensors(folder / "y.safetensors", {{"model.diffusion_model.input_blocks.0.0.weight", conv}});
  throws_with([&] { ModelFiles(folder / "y.safetensors").weights("unet"); }, "out.2.weight");
}

TEST_CASE("an unknown tensor inside a part is reported, not lost") {
  const TempDir folder;
  Parts original(1);
  save_single_file(folder / "model.safetensors", original, false);
  const auto file = std::make_shared<const SafetensorsFile>(folder / "model.safetensors");
  std::map<std::string, std::vector<float>> data;
  std::vector<TensorToWrite> list;
  for (const TensorEntry& e : file->entries()) {
    if (!info(e.dtype).floating) continue;
    std::vector<float>& v = data[e.name];
    v.resize(static_cast<std::size_t>(e.size()));
    file->read(e.name, std::span<float>(v));
    list.push_back({e.name, DType::f32, e.shape, std::span<const float>(v)});
  }
  const Tensor<float, 1> x({1});
  list.push_back({"model.diffusion_model.extra.weight", x});
  write_safetensors(folder / "extra.safetensors", list);
  throws_with([&] { load_parameters(original.unet, ModelFiles(folder / "extra.safetensors").weights("unet")); },
              "model.diffusion_model.extra.weight");
}

TEST_CASE("inspect tells what a file holds") {
  const TempDir folder;
  Parts original(1);
  const auto contains = [](const std::string& text, const std::string& part) {
    CHECK_MESSAGE(text.find(part) != std::string::npos, text);
  };
  save_single_file(folder / "model.safetensors", original, false);
  ModelOverrides overrides;
  overrides.text_heads = 4;
  const std::string single = inspect(folder / "model.safetensors", overrides);
  contains(single, "single file");
  contains(single, "position_ids");
  contains(single, "widths of the levels 32 64");
  contains(single, "tensors of no known part: betas");
  std::string total = std::to_string(count_parameters(original.unet));
  total.insert(total.size() - 3, ",");
  if (total.size() > 7) total.insert(total.size() - 7, ",");
  contains(single, total + " values (F32");
  save_folder(folder / "model", original, DType::bf16);
  contains(inspect(folder / "model"), "diffusers folder");
  contains(inspect(folder / "model"), "BF16");
  const Tensor<float, 1> x({3});
  write_safetensors(folder / "x.safetensors", {{"x", x}}, {{"format", "pt"}});
  contains(inspect(folder / "x.safetensors"), "x F32 (3)");
  CHECK_THROWS_AS(inspect(folder / "none"), FormatError);
}

TEST_CASE("golden: configs and weights of the small checkpoint") {
  ModelOverrides overrides;  // heads are not visible in shapes
  overrides.unet_heads = 4;
  overrides.text_heads = 4;
  std::size_t found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(golden_dir())) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(".safetensors") || name.find("checkpoint") == std::string::npos) continue;
    CAPTURE(name);
    ++found;
    const ModelFiles files(entry.path(), overrides);
    UNet<float> unet(files.unet_config());
    AutoencoderKL<float> vae(files.vae_config());
    ClipTextModel<float> text(files.text_config());
    load_parameters(unet, files.weights("unet"));
    load_parameters(vae, files.weights("vae"));
    load_parameters(text, files.weights("text_encoder"));
    // Everything in the file is accounted for.
    Index total = count_parameters(unet) + count_parameters(vae) + count_parameters(text), stored = 0, ignored = 0;
    for (const TensorEntry& e : files.file("unet").entries()) stored += e.size();
    for (const auto& [tensor, reason] : files.ignored("text_encoder"))
      ignored += files.file("unet").entry(tensor).size();
    CHECK(total + ignored == stored);
    CHECK(files.other_tensors().empty());
  }
  CHECK(found > 0);
}
