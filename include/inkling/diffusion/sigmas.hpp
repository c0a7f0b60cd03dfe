// Noise levels for samplers that count in sigma instead of time: x = x_0 + sigma eps (Karras et al. 2022, section 2).
#pragma once
#include "inkling/diffusion/sampler_base.hpp"

namespace inkling {

// sigma at every training timestep, rising.
inline std::vector<double> sigma_table(const NoiseSchedule& schedule) {
  std::vector<double> sigmas;
  for (double alpha_bar : schedule.alphas_cumprod()) {
    // A schedule that ends in pure noise would have sigma infinite. As in diffusers, 2^-24 (the smallest number above 0
    // in half precision) stands for 0 there: sigma is then 4096.
    const double a = alpha_bar > 0 ? alpha_bar : 0x1p-24;
    sigmas.push_back(std::sqrt((1 - a) / a));
  }
  return sigmas;
}

// table[t] at a t between two whole numbers.
inline double interpolate_table(const std::vector<double>& table, double t) {
  const double position = std::clamp(t, 0.0, static_cast<double>(table.size() - 1));
  const auto below = static_cast<std::size_t>(position), above = std::min(below + 1, table.size() - 1);
  const double part = position - static_cast<double>(below);
  return (1 - part) * table[below] + part * table[above];
}

// The time at which a network was trained for this sigma: between two timesteps, on a straight line in log sigma.
inline double timestep_of_sigma(const std::vector<double>& table, double sigma) {
  if (table.size() < 2) return 0;
  const auto after = std::upper_bound(table.begin(), table.end(), sigma);
  const auto low = std::clamp<std::ptrdiff_t>(after - table.begin() - 1, 0, static_cast<Index>(table.size()) - 2);
  const double log_low = std::log(table[static_cast<std::size_t>(low)]);
  const double log_high = std::log(table[static_cast<std::size_t>(low) + 1]);
  return static_cast<double>(low) + std::clamp((std::log(sigma) - log_low) / (log_high - log_low), 0.0, 1.0);
}

struct SigmaPath {
  std::vector<double> timesteps;  // one per step
  std::vector<double> sigmas;     // before each step and after the last, falling
  double init_noise_sigma = 1;
};

inline SigmaPath make_sigma_path(std::string_view where, const NoiseSchedule& schedule, const SamplerOptions& options,
                                 Index steps, TimestepSpacing own_spacing) {
  const TimestepSpacing spacing = options.spacing.value_or(own_spacing);
  const std::vector<double> table = sigma_table(schedule);
  SigmaPath path;
  path.timesteps = spaced_timesteps(where, spacing, schedule.size(), steps, options.steps_offset);
  for (double t : path.timesteps) path.sigmas.push_back(interpolate_table(table, t));
  const double sigma_max = path.sigmas.front(), sigma_min = path.sigmas.back();
  const double last = static_cast<double>(steps - 1);

  if (options.sigma_spacing != SigmaSpacing::by_timestep) {
    for (Index i = 0; i < steps; ++i) {
      const double part = steps == 1 ? 0.0 : static_cast<double>(i) / last;
      double& sigma = path.sigmas[static_cast<std::size_t>(i)];
      if (options.sigma_spacing == SigmaSpacing::karras) {
        // sigma_i = (sigma_max^(1/rho) + i/(N-1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho
        //                                                                          Karras et al. 2022, equation (5)
        constexpr double rho = 7;  // the paper's choice: short steps where sigma is small, because details form there
        const double root_max = std::pow(sigma_max, 1 / rho), root_min = std::pow(sigma_min, 1 / rho);
        sigma = std::pow(root_max + part * (root_min - root_max), rho);
      } else {
        // log sigma_i on a straight line from log sigma_max to log sigma_min: the limit of rho -> infinity
        sigma = std::exp(std::log(sigma_max) + part * (std::log(sigma_min) - std::log(sigma_max)));
      }
      path.timesteps[static_cast<std::size_t>(i)] = timestep_of_sigma(table, sigma);
    }
  }
  path.sigmas.push_back(options.final_sigma == FinalSigma::zero ? 0.0 : table.front());

  // x = x_0 + sigma eps has variance sigma^2 + 1 where x_0 has 1. Paths that begin at the noisiest timestep are started
  // as k-diffusion does, with the noise alone.
  path.init_noise_sigma =
      spacing == TimestepSpacing::leading ? std::sqrt(path.sigmas[0] * path.sigmas[0] + 1) : path.sigmas[0];
  return path;
}

}  // namespace inkling
