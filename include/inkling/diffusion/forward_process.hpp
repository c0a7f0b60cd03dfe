// The forward process: noise into pictures, and what a network is trained to answer.
#pragma once
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "inkling/diffusion/noise_schedule.hpp"
#include "inkling/diffusion/prediction.hpp"

namespace inkling {

// a_n x + b_n y for the items n of a batch; [N, C, H, W]. coefficients(t) returns the pair (a, b) at timestep t.
template <class T, class Coefficients>
Tensor<T, 4> mix_at_timesteps(const Tensor<T, 4>& x, const Tensor<T, 4>& y, std::span<const std::int64_t> timesteps,
                              Coefficients coefficients) {
  require_shape(y.shape(), x.shape(), "forward process");
  if (static_cast<Index>(timesteps.size()) != x.shape(0))
    throw ShapeError("forward process", "one timestep for each of " + std::to_string(x.shape(0)) + " items",
                     std::to_string(timesteps.size()));
  Tensor<T, 4> out(x.shape(), uninitialized);
  const Index size = x.shape(1) * x.shape(2) * x.shape(3);
  for (Index n = 0; n < x.shape(0); ++n) {
    const auto [a64, b64] = coefficients(static_cast<Index>(timesteps[static_cast<std::size_t>(n)]));
    const T a = static_cast<T>(a64), b = static_cast<T>(b64);
    for (Index i = n * size; i < (n + 1) * size; ++i) out.data()[i] = a * x.data()[i] + b * y.data()[i];
  }
  return out;
}

// A sample of q(x_t | x_0): x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps       Ho et al. 2020, equation (4)
template <class T>
Tensor<T, 4> q_sample(const NoiseSchedule& schedule, const Tensor<T, 4>& x0, const Tensor<T, 4>& eps,
                      std::span<const std::int64_t> timesteps) {
  return mix_at_timesteps(x0, eps, timesteps, [&](Index t) {
    return std::pair(std::sqrt(schedule.alpha_bar(t)), std::sqrt(1 - schedule.alpha_bar(t)));
  });
}

// The whole batch at one level.
template <class T>
Tensor<T, 4> q_sample(const NoiseSchedule& schedule, const Tensor<T, 4>& x0, const Tensor<T, 4>& eps, Index t) {
  return q_sample(schedule, x0, eps, std::vector<std::int64_t>(static_cast<std::size_t>(x0.shape(0)), t));
}

// v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x_0                             Salimans & Ho 2022, section 4
template <class T>
Tensor<T, 4> velocity(const NoiseSchedule& schedule, const Tensor<T, 4>& x0, const Tensor<T, 4>& eps,
                      std::span<const std::int64_t> timesteps) {
  return mix_at_timesteps(eps, x0, timesteps, [&](Index t) {
    return std::pair(std::sqrt(schedule.alpha_bar(t)), -std::sqrt(1 - schedule.alpha_bar(t)));
  });
}

// What a network of this kind should have answered for x_t = q_sample(x_0, eps, t).
template <class T>
Tensor<T, 4> training_target(PredictionType type, const NoiseSchedule& schedule, const Tensor<T, 4>& x0,
                             const Tensor<T, 4>& eps, std::span<const std::int64_t> timesteps) {
  if (type == PredictionType::v_prediction) return velocity(schedule, x0, eps, timesteps);
  return type == PredictionType::epsilon ? eps : x0;
}

// The weight of each item's mean square error; [N]. Without weights the loss on eps is a loss on x_0 times SNR(t), and
// the nearly clean pictures drown the others; min(SNR, gamma) holds them down.
template <class T>
Tensor<T, 1> min_snr_weights(PredictionType type, const NoiseSchedule& schedule,
                             std::span<const std::int64_t> timesteps, double gamma = 5) {
  if (!(gamma > 0)) throw ConfigError("min_snr_weights", "gamma above 0", std::to_string(gamma));
  Tensor<T, 1> weights(Shape<1>{static_cast<Index>(timesteps.size())}, uninitialized);
  for (std::size_t n = 0; n < timesteps.size(); ++n) {
    const double snr = schedule.snr(static_cast<Index>(timesteps[n]));
    if (type == PredictionType::epsilon && snr == 0)
      throw ConfigError("min_snr_weights", "some of the picture left in x_t",
                        "SNR 0 at timestep " + std::to_string(timesteps[n]),
                        "train with v_prediction where the schedule ends at zero SNR");
    // w_t = min(SNR, gamma) for x_0, / SNR for eps, / (SNR + 1) for v      Hang et al. 2023, section 3.4
    const double clipped = std::min(snr, gamma);
    const double w = type == PredictionType::sample    ? clipped
                     : type == PredictionType::epsilon ? clipped / snr
                                                       : clipped / (snr + 1);
    weights.data()[n] = static_cast<T>(w);
  }
  return weights;
}

}  // namespace inkling
