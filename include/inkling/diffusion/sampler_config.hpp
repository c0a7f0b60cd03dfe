// Sampler settings under the names that diffusers gives them (scheduler/scheduler_config.json of a checkpoint).
#pragma once
#include <cmath>
#include <utility>
#include <variant>

#include "inkling/diffusion/sampler.hpp"

namespace inkling {

// A setting's value; json files map onto it. monostate is json's null.
using OptionValue = std::variant<std::monostate, bool, double, std::string, std::vector<double>>;

struct SamplerConfig {
  std::string name;  // as make_sampler takes it
  NoiseScheduleOptions schedule;
  SamplerOptions options;
};

// The name here of one of diffusers' scheduler classes; empty when there is none of that kind yet.
inline std::string sampler_name_of_class(std::string_view diffusers_class) {
  for (const auto& entry : known_samplers<float>)
    if (diffusers_class == entry.diffusers_class) return entry.name;
  return {};
}

// What diffusers takes for every setting that is not given. (The defaults of SamplerOptions are Stable Diffusion's.)
inline SamplerConfig diffusers_defaults(std::string_view diffusers_class) {
  SamplerConfig config;
  config.name = sampler_name_of_class(diffusers_class);
  if (config.name.empty()) {
    std::vector<std::string> classes;
    std::string known;
    for (const auto& entry : known_samplers<float>) {
      classes.emplace_back(entry.diffusers_class);
      known += (known.empty() ? "" : ", ") + classes.back();
    }
    const std::string nearest = nearest_name(std::string(diffusers_class), classes);
    throw ConfigError("scheduler class", "one of " + known, "\"" + std::string(diffusers_class) + "\"",
                      nearest.empty() ? "" : "did you mean \"" + nearest + "\"?");
  }
  config.schedule.kind = BetaSchedule::linear;
  config.schedule.beta_start = 0.0001;
  config.schedule.beta_end = 0.02;
  config.options.steps_offset = 0;
  config.options.set_alpha_to_one = true;
  config.options.x0_limits.clip = config.name == "ddpm" || config.name == "ddim";
  return config;
}

// Sets one option. Returns false when this library has nothing of that name, or not the value asked for: whoever reads
// a file decides whether that is an error. A value of the wrong kind throws ConfigError.
inline bool set_diffusers_option(SamplerConfig& config, std::string_view key, const OptionValue& value) {
  const auto wrong = [&](const char* expected) -> ConfigError {
    return {"sampler option \"" + std::string(key) + "\"", expected, "another kind of value"};
  };
  const auto flag = [&](bool& into) {
    if (const bool* v = std::get_if<bool>(&value)) return into = *v, true;
    throw wrong("true or false");
  };
  const auto number = [&](double& into) {
    if (const double* v = std::get_if<double>(&value)) return into = *v, true;
    throw wrong("a number");
  };
  const auto whole = [&](Index& into) {
    const double* v = std::get_if<double>(&value);
    if (v == nullptr || !(std::abs(*v) < 1e9) || *v != std::nearbyint(*v)) throw wrong("a whole number");
    return into = static_cast<Index>(*v), true;
  };
  const auto word = [&](auto& into, auto... choices) {  // choices: pair(name, value)
    const std::string* v = std::get_if<std::string>(&value);
    if (v == nullptr) throw wrong("a word");
    return ((*v == choices.first ? (into = choices.second, true) : false) || ...);
  };
  // Settings whose one supported value leaves everything as it is.
  const auto only = [&](const OptionValue& supported) { return value == supported; };
  using std::pair;
  NoiseScheduleOptions& schedule = config.schedule;
  SamplerOptions& options = config.options;

  if (key == "num_train_timesteps") return whole(schedule.train_timesteps);
  if (key == "beta_start") return number(schedule.beta_start);
  if (key == "beta_end") return number(schedule.beta_end);
  if (key == "rescale_betas_zero_snr") return flag(schedule.zero_terminal_snr);
  if (key == "beta_schedule")
    return word(schedule.kind, pair("linear", BetaSchedule::linear), pair("scaled_linear", BetaSchedule::scaled_linear),
                pair("squaredcos_cap_v2", BetaSchedule::squared_cosine));
  if (key == "trained_betas") {
    if (std::holds_alternative<std::monostate>(value)) return schedule.betas.clear(), true;
    if (const auto* v = std::get_if<std::vector<double>>(&value)) return schedule.betas = *v, true;
    throw wrong("null or a list of numbers");
  }

  if (key == "prediction_type")
    return word(options.prediction, pair("epsilon", PredictionType::epsilon),
                pair("v_prediction", PredictionType::v_prediction), pair("sample", PredictionType::sample));
  if (key == "timestep_spacing")
    return word(options.spacing, pair("leading", TimestepSpacing::leading), pair("linspace", TimestepSpacing::linspace),
                pair("trailing", TimestepSpacing::trailing));
  if (key == "steps_offset") return whole(options.steps_offset);

  if (config.name == "ddpm" || config.name == "ddim") {
    if (key == "clip_sample") return flag(options.x0_limits.clip);
    if (key == "clip_sample_range") return number(options.x0_limits.clip_range);
    if (key == "thresholding") return flag(options.x0_limits.dynamic);
    if (key == "dynamic_thresholding_ratio") return number(options.x0_limits.dynamic_ratio);
    if (key == "sample_max_value") return number(options.x0_limits.dynamic_most);
  }
  if (config.name == "ddpm" && key == "variance_type")
    return word(options.variance, pair("fixed_small", VarianceType::fixed_small),
                pair("fixed_large", VarianceType::fixed_large));
  if (config.name == "ddim") {
    if (key == "set_alpha_to_one") return flag(options.set_alpha_to_one);
    if (key == "eta") return number(options.eta);
    if (key == "use_clipped_model_output") return flag(options.use_clipped_model_output);
  }
  if (config.name == "euler") {
    if (key == "use_karras_sigmas" || key == "use_exponential_sigmas") {
      bool on = false;
      flag(on);
      const SigmaSpacing spacing = key == "use_karras_sigmas" ? SigmaSpacing::karras : SigmaSpacing::exponential;
      if (on) options.sigma_spacing = spacing;
      if (!on && options.sigma_spacing == spacing) options.sigma_spacing = SigmaSpacing::by_timestep;
      return true;
    }
    if (key == "final_sigmas_type")
      return word(options.final_sigma, pair("zero", FinalSigma::zero), pair("sigma_min", FinalSigma::sigma_min));
    if (key == "s_churn") return number(options.churn);
    if (key == "s_tmin") return number(options.churn_min);
    if (key == "s_tmax") return number(options.churn_max);
    if (key == "s_noise") return number(options.churn_noise);
    if (key == "interpolation_type") return only(std::string("linear"));
    if (key == "use_beta_sigmas") return only(false);
    if (key == "timestep_type") return only(std::string("discrete"));
    if (key == "sigma_min" || key == "sigma_max") return only(std::monostate{});
  }
  return false;
}

}  // namespace inkling
