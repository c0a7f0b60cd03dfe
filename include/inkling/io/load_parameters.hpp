// Weights into a model, all or nothing; and out of it again.
#pragma once
#include <set>

#include "inkling/io/nearest_name.hpp"
#include "inkling/io/safetensors_writer.hpp"
#include "inkling/io/weight_source.hpp"
#include "inkling/nn/module.hpp"

namespace inkling {

namespace detail {
inline constexpr std::size_t names_shown = 8;  // of each kind
inline std::string name_group(std::string_view title, const std::vector<std::string>& lines) {
  if (lines.empty()) return {};
  std::string text = "\n  " + std::string(title) + " (" + std::to_string(lines.size()) + "):";
  for (std::size_t i = 0; i < lines.size() && i < names_shown; ++i) text += "\n    " + lines[i];
  if (lines.size() > names_shown) text += "\n    ... and " + std::to_string(lines.size() - names_shown) + " more";
  return text;
}
}  // namespace detail

// Compares names and shapes without reading or allocating anything. Throws one LoadError that lists every missing,
// unexpected and wrongly shaped tensor, with the nearest name there is.
template <class Module>
void check_parameters(Module& module, const WeightSource& source) {
  std::set<std::string> wanted;
  std::vector<std::string> missing, wrong, unexpected, unexpected_names, missing_names;
  for_each_parameter(module, [&](const std::string& path, auto& p) {
    wanted.insert(path);
    const std::vector<Index> shape(p.shape().begin(), p.shape().end());
    if (const Weight* w = source.find(path); !w)
      missing_names.push_back(path);
    else if (w->shape != shape)
      wrong.push_back(path + ": model " + to_string(std::span<const Index>(shape)) + ", file " +
                      to_string(std::span<const Index>(w->shape)) + " (" + w->stored_as + ")");
  });
  for (const Weight& w : source.weights())
    if (!wanted.contains(w.name)) unexpected_names.push_back(w.name);
  if (missing_names.empty() && wrong.empty() && unexpected_names.empty()) return;

  const auto with_nearest = [](const std::vector<std::string>& names, const std::vector<std::string>& others) {
    std::vector<std::string> lines;
    for (const std::string& name : names) {
      lines.push_back(printable(name));
      if (lines.size() > detail::names_shown) continue;  // comparing names costs time
      if (const std::string near = nearest_name(name, others); !near.empty())
        lines.back() += " (near: " + printable(near) + ")";
    }
    return lines;
  };
  throw LoadError(
      source.where(), std::to_string(wanted.size()) + " tensors of the model",
      std::to_string(missing_names.size()) + " missing, " + std::to_string(unexpected_names.size()) + " unexpected, " +
          std::to_string(wrong.size()) + " of another shape" +
          detail::name_group("missing in the file", with_nearest(missing_names, unexpected_names)) +
          detail::name_group("in the file, not in the model", with_nearest(unexpected_names, missing_names)) +
          detail::name_group("of another shape", wrong));
}

// Fills every parameter of the module. Checks all names and shapes first, so nothing is half loaded; then goes tensor
// by tensor, so that beside the model's own memory only one tensor's pages are held.
template <class Module>
void load_parameters(Module& module, const WeightSource& source) {
  check_parameters(module, source);
  for_each_parameter(module, [&](const std::string& path, auto& p) {
    if (p.packed()) p.release();
    source.find(path)->read(p.value().span());
  });
}

// The type in which packed weights keep all that the file tells: half the memory for F16, and the arithmetic in float.
inline kernels::WeightType weight_type_of(DType in_file) {
  return in_file == DType::f16 ? kernels::WeightType::f16 : kernels::WeightType::f32;
}

// The same for a module that is only read: weights of linear layers and convolutions are packed for the kernels, as
// `type` or else as the file has them. Biases, norms and embeddings stay tensors of float. Each tensor is packed
// straight from the file's pages and those are given back, so the model never lies in memory twice.
template <class Module>
void load_packed_parameters(Module& module, const WeightSource& source, std::optional<kernels::WeightType> type = {}) {
  check_parameters(module, source);
  for_each_parameter(module, [&](const std::string& path, auto& p) {
    const Weight& weight = *source.find(path);
    const auto pack_from = [&]<class S>(S) {
      if constexpr (std::remove_reference_t<decltype(p)>::has_packed_form) {
        Tensor<S, 1> numbers(Shape<1>{p.size()}, uninitialized);
        weight.read(numbers.span());
        p.pack(numbers.data(), type.value_or(weight_type_of(weight.dtype)));
      }
    };
    if (p.packable()) p.release();
    if (!p.packable())
      weight.read(p.value().span());
    else if (weight.dtype == DType::f16)
      pack_from(half{});
    else if (weight.dtype == DType::bf16)
      pack_from(bfloat16{});
    else
      pack_from(float{});
  });
}

// The module's parameters under `path`, in safetensors format. Names are the paths, as in diffusers. Packed weights are
// written as the numbers that the module computes with.
template <class Module>
void save_parameters(Module& module, const std::filesystem::path& path, DType dtype = DType::f32,
                     const std::map<std::string, std::string>& metadata = {{"format", "pt"}}) {
  std::vector<TensorSpec> specs;
  for_each_parameter(module, [&](const std::string& name, auto& p) {
    if (!p.allocated())
      throw LoadError("saving parameter \"" + name + "\"", "weights", "none", "load or initialize the model first");
    specs.push_back({name, dtype, {p.shape().begin(), p.shape().end()}});
  });
  SafetensorsWriter writer(path, std::move(specs), metadata);
  for_each_parameter(module, [&](const std::string&, auto& p) {
    if (p.packed())
      writer.write(p.copy());
    else
      writer.write(std::as_const(p.value()));
  });
  writer.commit();
}

}  // namespace inkling
