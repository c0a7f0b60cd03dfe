// A Stable Diffusion model on disk: one file with CompVis' names, or a folder in diffusers' layout. Both are offered
// part by part ("unet", "vae", "text_encoder") as a config and a source of weights under diffusers' names.
//
//   single file   model.diffusion_model.*, first_stage_model.*, cond_stage_model.*
//   folder        model_index.json, unet/ vae/ text_encoder/ each with config.json and weights, tokenizer/, scheduler/
#pragma once
#include <memory>
#include <numeric>

#include "inkling/io/config_files.hpp"
#include "inkling/io/detect_config.hpp"
#include "inkling/io/safetensors.hpp"
#include "inkling/io/weight_names.hpp"
#include "inkling/io/weight_source.hpp"

namespace inkling {

enum class ModelStyle { single_file, diffusers_folder };
enum class WeightSet { main, ema };  // ema: the averaged copy that some training checkpoints carry

namespace detail {
// A way to read rows [begin, end) out of a tensor of the file, or all of it.
inline Weight file_weight(const std::shared_ptr<const SafetensorsFile>& file, const TensorEntry& e, std::string name,
                          WeightChange change = WeightChange::none, Index third = 0) {
  std::vector<Index> shape = e.shape;
  const auto bad = [&](const std::string& expected) {
    throw LoadError(file->path().string() + ": tensor \"" + printable(e.name) + "\"", expected, to_string(e.shape));
  };
  if (change == WeightChange::conv_to_linear && shape.size() == 4) {  // rank 2 already: saved by a later release
    if (shape[2] != 1 || shape[3] != 1) bad("a 1x1 convolution");
    shape.resize(2);
  }
  if (change == WeightChange::third) {
    if (shape.empty() || shape[0] % 3 != 0) bad("a first dimension of three equal parts");
    shape[0] /= 3;
  }
  const std::string entry = e.name;
  return {std::move(name), std::move(shape), to_string(e.dtype) + " " + printable(entry),
          [file, entry, change, third](WeightDestination out) {
            std::visit(
                [&](auto span) {
                  if (change == WeightChange::third)
                    file->read_part(entry, third * static_cast<Index>(span.size()), span);
                  else
                    file->read(entry, span);
                },
                out);
          },
          e.dtype};
}
}  // namespace detail

// Weights of a file that has the model's own names.
inline WeightSource plain_weights(const std::filesystem::path& path) {
  const auto file = std::make_shared<const SafetensorsFile>(path);
  WeightSource source(path.string());
  for (const TensorEntry& e : file->entries()) source.add(detail::file_weight(file, e, e.name));
  return source;
}

class ModelFiles {
 public:
  explicit ModelFiles(const std::filesystem::path& path, ModelOverrides overrides = {})
      : path_(path), overrides_(std::move(overrides)) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error))
      open_folder();
    else
      open_file();
  }

  const std::filesystem::path& path() const noexcept { return path_; }
  ModelStyle style() const noexcept { return style_; }
  // "unet", "vae", "text_encoder"
  bool has(const std::string& part) const { return parts_.contains(part); }
  std::vector<std::string> parts() const {
    std::vector<std::string> names;
    for (const auto& [name, part] : parts_) names.push_back(name);
    return names;
  }

  UNetConfig unet_config() const {
    const Part& part = require("unet");
    UNetConfig c = folder_config(part) ? load_unet_config(part.config)
                                       : detect_unet_config(part.shapes(), overrides_, where(part));
    if (folder_config(part) && overrides_.unet_heads) c.heads = *overrides_.unet_heads, c.head_width = 0;
    if (folder_config(part) && overrides_.unet_head_width) c.head_width = *overrides_.unet_head_width;
    c.validate(where(part));
    return c;
  }
  AutoencoderKLConfig vae_config() const {
    const Part& part = require("vae");
    AutoencoderKLConfig c =
        folder_config(part) ? load_vae_config(part.config) : detect_vae_config(part.shapes(), overrides_, where(part));
    if (overrides_.scaling_factor) c.scaling_factor = *overrides_.scaling_factor;
    c.validate(where(part));
    return c;
  }
  ClipTextConfig text_config() const {
    const Part& part = require("text_encoder");
    if (!folder_config(part)) return detect_text_config(part.shapes(), overrides_, where(part));
    ClipTextConfig c = load_text_config(part.config);
    if (overrides_.text_heads) c.heads = *overrides_.text_heads;
    if (const auto pad = tokenizer_pad_token(c)) c.pad_token_id = *pad;
    c.validate(where(part));
    return c;
  }
  SchedulerConfig scheduler_config() const {
    SchedulerConfig c;
    const std::filesystem::path file = path_ / "scheduler" / "scheduler_config.json";
    if (style_ == ModelStyle::diffusers_folder)
      c = load_scheduler_config(file);
    else if (has("unet") && predicts_velocity())
      c.prediction_type = "v_prediction";
    if (overrides_.prediction_type) c.prediction_type = *overrides_.prediction_type;
    return c;
  }
  // The folder with vocab.json and merges.txt; nothing for a single file, which holds no vocabulary.
  std::optional<std::filesystem::path> tokenizer_folder() const {
    std::error_code error;
    if (style_ == ModelStyle::diffusers_folder && std::filesystem::is_directory(path_ / "tokenizer", error))
      return path_ / "tokenizer";
    return std::nullopt;
  }

  // Every weight of a part; only the U-Net has an averaged copy. A tensor that no rule knows keeps its name, so that
  // loading reports it as unexpected.
  WeightSource weights(const std::string& name, WeightSet set = WeightSet::main) const {
    const Part& part = require(name);
    WeightSource source(where(part));
    if (style_ == ModelStyle::diffusers_folder && !part.compvis) {
      if (set == WeightSet::ema) throw LoadError(source.where(), "averaged weights (model_ema)", "none in a folder");
      for (const TensorEntry& e : part.file->entries())
        if (std::string now = current_diffusers_name(e.name); !now.empty())
          source.add(detail::file_weight(part.file, e, now,
                                         now == e.name ? WeightChange::none : WeightChange::conv_to_linear));
      return source;
    }
    const NameMap names = name_map(name, part);
    for (const auto& [short_name, shape] : part.shapes()) {
      std::string entry = part.prefix + short_name;
      if (set == WeightSet::ema && name == "unet") entry = "model_ema.diffusion_model" + ema_name(short_name);
      const TensorEntry& e = part.file->entry(entry);
      const std::vector<MappedName> mapped = names.to_diffusers(short_name);
      if (mapped.empty()) source.add(detail::file_weight(part.file, e, entry));
      for (const MappedName& m : mapped)
        if (m.change != WeightChange::ignored) source.add(detail::file_weight(part.file, e, m.name, m.change, m.third));
    }
    return source;
  }
  // What is known and not read, with the reason: name -> reason.
  std::map<std::string, std::string> ignored(const std::string& name) const {
    const Part& part = require(name);
    std::map<std::string, std::string> out;
    if (!part.compvis) return out;
    const NameMap names = name_map(name, part);
    for (const auto& [short_name, shape] : part.shapes())
      for (const MappedName& m : names.to_diffusers(short_name))
        if (m.change == WeightChange::ignored) out.emplace(part.prefix + short_name, m.reason);
    return out;
  }
  // Tensors of a single file that belong to no part.
  std::vector<std::string> other_tensors() const {
    std::vector<std::string> out;
    if (style_ != ModelStyle::single_file) return out;
    for (const TensorEntry& e : file_->entries()) {
      bool owned = false;
      for (const auto& [name, part] : parts_) owned |= e.name.starts_with(part.prefix);
      if (!owned) out.push_back(e.name);
    }
    return out;
  }
  const SafetensorsFile& file(const std::string& part) const { return *require(part).file; }

 private:
  struct Part {
    std::shared_ptr<const SafetensorsFile> file;
    bool compvis = false;          // names as CompVis' code has them
    std::string prefix;            // in front of them
    std::filesystem::path config;  // of a folder
    // Names without the prefix.
    NamedShapes shapes() const {
      NamedShapes out;
      for (const TensorEntry& e : file->entries())
        if (e.name.starts_with(prefix)) out.emplace(e.name.substr(prefix.size()), e.shape);
      return out;
    }
  };

  static bool folder_config(const Part& part) { return !part.config.empty(); }
  std::string where(const Part& part) const {
    return part.file->path().string() + (part.prefix.empty() ? "" : " (" + part.prefix + "*)");
  }
  const Part& require(const std::string& name) const {
    const auto found = parts_.find(name);
    if (found != parts_.end()) return found->second;
    std::string has;
    for (const std::string& p : parts()) has += (has.empty() ? "" : ", ") + p;
    throw LoadError(path_.string(), "a " + name, "a model with " + (has.empty() ? "no known part" : has));
  }

  void open_file() {
    if (path_.extension() == ".ckpt" || path_.extension() == ".pt" || path_.extension() == ".bin")
      throw FormatError(path_.string(), "a safetensors file", "a \"" + path_.extension().string() + "\" file",
                        "convert it to safetensors");
    style_ = ModelStyle::single_file;
    file_ = std::make_shared<const SafetensorsFile>(path_);
    // The first tensor of a part that is there under one of these prefixes tells the part and its layout.
    struct Sign {
      const char *part, *prefix, *tensor;
    };
    constexpr Sign signs[] = {{"unet", "model.diffusion_model.", "input_blocks.0.0.weight"},
                              {"vae", "first_stage_model.", "decoder.conv_in.weight"},
                              {"text_encoder", "cond_stage_model.transformer.", "text_model.final_layer_norm.weight"},
                              {"text_encoder", "cond_stage_model.transformer.", "final_layer_norm.weight"},
                              {"text_encoder", "cond_stage_model.model.", "ln_final.weight"},
                              {"unet", "", "input_blocks.0.0.weight"},  // files of one part
                              {"vae", "", "decoder.conv_in.weight"},
                              {"text_encoder", "", "text_model.final_layer_norm.weight"}};
    for (const Sign& s : signs)
      if (!has(s.part) && file_->contains(std::string(s.prefix) + s.tensor) && (*s.prefix || parts_.empty()))
        parts_.emplace(s.part, Part{file_, true, s.prefix, {}});
    if (parts_.empty())
      throw LoadError(path_.string(),
                      "a Stable Diffusion checkpoint (model.diffusion_model.*, first_stage_model.*, "
                      "cond_stage_model.*)",
                      std::to_string(file_->entries().size()) + " tensors with other names",
                      "a diffusers model is opened by its folder");
  }

  void open_folder() {
    style_ = ModelStyle::diffusers_folder;
    for (const std::string part : {"unet", "vae", "text_encoder"}) {
      const std::filesystem::path folder = path_ / part;
      std::error_code error;
      if (!std::filesystem::is_directory(folder, error)) continue;
      const std::string stem = part == "text_encoder" ? "model" : "diffusion_pytorch_model";
      std::filesystem::path weights;
      for (const char* ending : {".safetensors", ".fp16.safetensors", ".bf16.safetensors"})
        if (weights.empty() && std::filesystem::exists(folder / (stem + ending), error))
          weights = folder / (stem + ending);
      if (weights.empty())
        throw LoadError(folder.string(), stem + ".safetensors", "none there",
                        std::filesystem::exists(folder / (stem + ".safetensors.index.json"), error)
                            ? "join the pieces into one file"
                            : "convert the weights to safetensors");
      parts_.emplace(part, Part{std::make_shared<const SafetensorsFile>(weights), false, "", folder / "config.json"});
    }
    if (parts_.empty())
      throw LoadError(path_.string(), "a folder with unet/, vae/ or text_encoder/", "none of them",
                      "a single-file checkpoint is opened by the file's name");
  }

  NameMap name_map(const std::string& name, const Part& part) const {
    if (name == "unet") return unet_names(unet_config());
    if (name == "vae") return vae_names(vae_config());
    return part.file->contains(part.prefix + "ln_final.weight") ? open_clip_text_names(text_config())
                                                                : clip_text_names();
  }

  // The 768-pixel SD 2 predicts v, the 512-pixel base epsilon, and no shape tells them apart. The spread of one bias
  // in the last level does: above 0.09 in the released v models, below in the others (ComfyUI's rule). The
  // inpainting and depth models of SD 2 predict epsilon.
  bool predicts_velocity() const {
    const UNetConfig c = unet_config();
    const Part& part = require("unet");
    const std::string name = part.prefix + "output_blocks.11.1.transformer_blocks.0.norm1.bias";
    if (!c.linear_projection || c.in_channels != 4 || !part.file->contains(name)) return false;
    const Tensor<double, 1> bias = part.file->read<double, 1>(name);
    const double n = static_cast<double>(bias.size());
    const double mean = std::accumulate(bias.begin(), bias.end(), 0.0) / n;
    double square = 0;
    for (const double v : bias) square += (v - mean) * (v - mean);
    return std::sqrt(square / n) > 0.09;
  }

  // SD 2 pads with "!" (0) and SD 1 with the end token. Only the tokenizer's files say so.
  std::optional<Index> tokenizer_pad_token(const ClipTextConfig& c) const;

  std::filesystem::path path_;
  ModelOverrides overrides_;
  ModelStyle style_ = ModelStyle::single_file;
  std::shared_ptr<const SafetensorsFile> file_;  // of a single file
  std::map<std::string, Part> parts_;
};

#if INKLING_BODIES
INKLING_FUNCTION std::optional<Index> ModelFiles::tokenizer_pad_token(const ClipTextConfig& c) const {
  std::error_code error;
  const std::filesystem::path folder = path_ / "tokenizer", map = folder / "special_tokens_map.json";
  if (!std::filesystem::exists(map, error)) return std::nullopt;
  const JsonFile file(map);
  if (!file.has("pad_token")) return std::nullopt;
  const nlohmann::json& pad = file.json()["pad_token"];
  const std::string text = pad.is_object() && pad.contains("content") && pad["content"].is_string()
                               ? pad["content"].get<std::string>()
                               : file.get<std::string>("pad_token");
  if (text == "<|endoftext|>") return c.eos_token_id;
  return JsonFile(folder / "vocab.json").get<Index>(text);
}
#endif

}  // namespace inkling
