// Loading the model that the command line names.
#pragma once
#include "../console.hpp"
#include "inkling/pipelines/load.hpp"
#include "settings.hpp"

namespace app {

// Nothing for "auto": as the file has them.
inline std::optional<inkling::kernels::WeightType> weights_from(const ModelChoice& m) {
  using inkling::kernels::WeightType;
  for (const WeightType type : {WeightType::f32, WeightType::f16, WeightType::bf16, WeightType::q8})
    if (m.weights == to_string(type)) return type;
  if (m.weights == "auto") return std::nullopt;
  throw inkling::ConfigError("weights", "auto, f32, f16, bf16 or q8", "\"" + inkling::printable(m.weights) + "\"");
}

inline inkling::StableDiffusion load_model(const ModelChoice& m, bool quiet = false) {
  inkling::LoadOptions options;
  options.vocab = m.vocab;
  options.vae = m.vae;
  options.taesd_folder = m.taesd_folder;
  options.overrides = overrides_from(m);
  options.weights = weights_from(m);
  options.progress = console::progress("load");
  if (quiet) options.progress = [](const inkling::Progress&) { return !console::interrupted(); };
  return load_stable_diffusion(m.path, options);
}

}  // namespace app
