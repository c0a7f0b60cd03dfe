// From a picture with noise back to one without, by DDPM, from any level on.
#pragma once
#include <functional>

#include "inkling/core/random.hpp"
#include "inkling/diffusion/ddpm.hpp"

namespace inkling {

// The noise that a network, or whoever answers, sees in x_t[N, C, H, W] at level t; of the same shape.
using NoiseAnswer = std::function<Tensor<float, 4>(const Tensor<float, 4>& x_t, Index t)>;

// x[N, C, H, W] with the noise of level `start` -> clean pictures in [-1, 1], in `steps` steps. Each guesses the picture
// and then puts back as much noise as belongs to the next level (Ho et al. 2020, algorithm 2). One step: the guess itself.
inline Tensor<float, 4> denoise_from(const NoiseSchedule& schedule, Index start, Index steps, Tensor<float, 4> x,
                                     const NoiseAnswer& answer, Generator& generator) {
  if (start < 0 || start >= schedule.size())
    throw ConfigError("denoise_from: start", "a level from 0 to " + std::to_string(schedule.size() - 1),
                      std::to_string(start));
  NoiseScheduleOptions until_start;
  until_start.betas.assign(schedule.betas().begin(), schedule.betas().begin() + start + 1);
  SamplerOptions options;
  options.spacing = TimestepSpacing::trailing, options.x0_limits.clip = true;
  DdpmSampler<float> sampler(NoiseSchedule(until_start), options, steps);
  const NoiseSource<float> noise = [&](const Shape<4>& shape) { return generator.randn<float>(shape); };
  for (Index i = 0; i < steps; ++i) {
    const Index t = static_cast<Index>(sampler.timesteps()[static_cast<std::size_t>(i)]);
    x = sampler.step(answer(x, t), i, x, noise).x_prev;
  }
  return x;
}

}  // namespace inkling
