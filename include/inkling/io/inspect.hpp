// What a weight file holds, as text for people.
#pragma once
#include <sstream>

#include "inkling/io/model_files.hpp"

namespace inkling {

namespace detail {
// 859520964 -> "859,520,964"
inline std::string grouped(Index n) {
  std::string digits = std::to_string(n);
  for (std::size_t i = digits.size(); i > 3;) digits.insert(i -= 3, ",");
  return digits;
}
template <class Container>
std::string list_text(const Container& items) {
  std::ostringstream out;
  for (std::size_t i = 0; i < items.size(); ++i) out << (i ? " " : "") << items[i];
  return out.str();
}
// "12 tensors, 1,234 values (F16: 11, I64: 1)"
template <class Entries>
std::string totals(const Entries& entries) {
  Index values = 0;
  std::map<std::string, Index> types;
  for (const TensorEntry& e : entries) {
    values += e.size();
    ++types[to_string(e.dtype)];
  }
  std::string text = grouped(static_cast<Index>(entries.size())) + " tensors, " + grouped(values) + " values (";
  for (const auto& [type, count] : types)
    text += (text.back() == '(' ? "" : ", ") + type + ": " + std::to_string(count);
  return text + ")";
}
inline void describe(std::ostream& out, const UNetConfig& c) {
  out << "    channels in/out      " << c.in_channels << " / " << c.out_channels << "\n    widths of the levels "
      << list_text(c.block_out_channels) << "\n    attention at levels  " << list_text(c.attention_levels)
      << "\n    blocks per level     " << c.layers_per_block << "\n    transformer depth    " << c.transformer_depth
      << "\n    context width        " << c.cross_attention_dim << "\n    heads                "
      << (c.head_width > 0 ? "of width " + std::to_string(c.head_width) : std::to_string(c.heads))
      << "\n    projections          " << (c.linear_projection ? "linear" : "1x1 convolutions") << "\n";
}
inline void describe(std::ostream& out, const AutoencoderKLConfig& c) {
  out << "    channels in/out      " << c.in_channels << " / " << c.out_channels << "\n    widths of the levels "
      << list_text(c.block_out_channels) << "\n    blocks per level     " << c.layers_per_block
      << "\n    latent channels      " << c.latent_channels << ", side / " << c.downsampling()
      << "\n    scaling factor       " << c.scaling_factor << "\n";
}
inline void describe(std::ostream& out, const ClipTextConfig& c) {
  out << "    vocabulary           " << c.vocab_size << "\n    width, inner width   " << c.hidden_size << ", "
      << c.intermediate_size << "\n    layers               " << c.layers
      << (c.skip_last_layers > 0 ? ", the last " + std::to_string(c.skip_last_layers) + " left out" : "")
      << "\n    heads                " << c.heads << "\n    positions            " << c.max_positions
      << "\n    activation           " << c.activation << "\n";
}
inline void describe(std::ostream& out, const SchedulerConfig& c) {
  out << "    predicts             " << c.prediction_type << "\n    betas                " << c.beta_schedule << " "
      << c.beta_start << " to " << c.beta_end << " in " << c.num_train_timesteps << " steps\n";
}
}  // namespace detail

// A report on a single-file checkpoint, a diffusers folder, or any safetensors file. Reads names and shapes only.
// What the shapes do not show (heads, prediction) is a rule's guess and marked so.
inline std::string inspect(const std::filesystem::path& path, const ModelOverrides& overrides = {}) {
  std::ostringstream out;
  std::optional<ModelFiles> model;
  std::string why_not;
  try {
    model.emplace(path, overrides);
  } catch (const LoadError& e) {  // readable, but no model of this family
    if (std::error_code error; std::filesystem::is_directory(path, error)) throw;
    why_not = e.what();
  }
  if (!model) {
    const SafetensorsFile file(path);
    out << path.string() << "\n  style: safetensors file, not a whole checkpoint\n  " << detail::totals(file.entries())
        << "\n";
    for (const auto& [key, value] : file.metadata()) out << "  " << printable(key) << ": " << printable(value) << "\n";
    for (const TensorEntry& e : file.entries())
      out << "  " << printable(e.name) << " " << to_string(e.dtype) << " " << to_string(e.shape) << "\n";
    return out.str();
  }

  const bool single = model->style() == ModelStyle::single_file;
  out << path.string() << "\n  style: " << (single ? "single file (CompVis names)" : "diffusers folder") << "\n";
  if (single) out << "  whole file: " << detail::totals(model->file(model->parts().front()).entries()) << "\n";
  for (const std::string& part : model->parts()) {
    out << "  " << part << ": ";
    try {
      const WeightSource weights = model->weights(part);
      std::map<std::string, Index> types;
      for (const Weight& w : weights.weights()) ++types[w.stored_as.substr(0, w.stored_as.find(' '))];
      out << detail::grouped(static_cast<Index>(weights.weights().size())) << " tensors, "
          << detail::grouped(weights.total()) << " values (";
      for (bool first = true; const auto& [type, count] : types) {
        out << (first ? "" : ", ") << type << ": " << count;
        first = false;
      }
      out << ")\n";
      if (part == "unet") detail::describe(out, model->unet_config());
      if (part == "vae") detail::describe(out, model->vae_config());
      if (part == "text_encoder") detail::describe(out, model->text_config());
      for (const auto& [name, reason] : model->ignored(part))
        out << "    not read: " << printable(name) << " (" << reason << ")\n";
    } catch (const Error& e) {  // one part that does not fit should not hide the others
      out << e.what() << "\n";
    }
  }
  if (single)
    out << "  heads are not visible in shapes: 8 for SD 1, width 64 for SD 2 and for text, unless told otherwise\n";
  try {
    const SchedulerConfig scheduler = model->scheduler_config();
    out << "  scheduler" << (single ? " (assumed)" : "") << ":\n";
    detail::describe(out, scheduler);
  } catch (const Error& e) {
    out << "  scheduler: " << e.what() << "\n";
  }
  if (const std::vector<std::string> others = model->other_tensors(); !others.empty()) {
    out << "  " << others.size() << " tensors of no known part:";
    for (std::size_t i = 0; i < others.size() && i < 5; ++i) out << " " << printable(others[i]);
    out << (others.size() > 5 ? " ...\n" : "\n");
  }
  return out.str();
}

}  // namespace inkling
