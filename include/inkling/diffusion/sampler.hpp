// Samplers by name.
#pragma once
#include <array>
#include <memory>

#include "inkling/diffusion/ddim.hpp"
#include "inkling/diffusion/ddpm.hpp"
#include "inkling/diffusion/euler.hpp"
#include "inkling/io/nearest_name.hpp"

namespace inkling {

// A new sampler is a header of its own and one line here.
template <class T>
struct SamplerEntry {
  const char* name;
  const char* diffusers_class;
  std::unique_ptr<Sampler<T>> (*make)(const NoiseSchedule&, const SamplerOptions&, Index steps);
};
template <class T, template <class> class S>
std::unique_ptr<Sampler<T>> make_one(const NoiseSchedule& schedule, const SamplerOptions& options, Index steps) {
  return std::make_unique<S<T>>(schedule, options, steps);
}
template <class T>
inline constexpr std::array known_samplers{
    SamplerEntry<T>{"ddpm", "DDPMScheduler", make_one<T, DdpmSampler>},
    SamplerEntry<T>{"ddim", "DDIMScheduler", make_one<T, DdimSampler>},
    SamplerEntry<T>{"euler", "EulerDiscreteScheduler", make_one<T, EulerSampler>},
};

inline std::vector<std::string> sampler_names() {
  std::vector<std::string> names;
  for (const auto& entry : known_samplers<float>) names.emplace_back(entry.name);
  return names;
}

template <class T>
std::unique_ptr<Sampler<T>> make_sampler(std::string_view name, const NoiseSchedule& schedule,
                                         const SamplerOptions& options, Index steps) {
  std::string known;
  for (const SamplerEntry<T>& entry : known_samplers<T>) {
    if (name == entry.name) return entry.make(schedule, options, steps);
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  const std::string nearest = nearest_name(std::string(name), sampler_names());
  throw ConfigError("sampler", "one of " + known, "\"" + std::string(name) + "\"",
                    nearest.empty() ? "" : "did you mean \"" + nearest + "\"?");
}

}  // namespace inkling
