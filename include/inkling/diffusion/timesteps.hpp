// At which of the training timesteps a sampler calls the network.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "inkling/core/shape.hpp"

namespace inkling {

// Lin et al. 2023, table 2.
enum class TimestepSpacing { leading, linspace, trailing };

inline void check_steps(std::string_view where, Index train_timesteps, Index steps) {
  if (steps < 1 || steps > train_timesteps)
    throw ConfigError(where, "from 1 to " + std::to_string(train_timesteps) + " steps", std::to_string(steps),
                      "the noise schedule has " + std::to_string(train_timesteps) + " timesteps");
}

// `steps` timesteps, falling. Few leading steps never see pure noise, and one single leading or linspace step is t = 0:
// for very few steps use trailing.
inline std::vector<double> spaced_timesteps(std::string_view where, TimestepSpacing spacing, Index train_timesteps,
                                            Index steps, Index offset) {
  check_steps(where, train_timesteps, steps);
  const double T = static_cast<double>(train_timesteps), S = static_cast<double>(steps);
  std::vector<double> t(static_cast<std::size_t>(steps));
  for (Index k = 0; k < steps; ++k) {  // k counts from the clean end
    const double i = static_cast<double>(k);
    double& out = t[static_cast<std::size_t>(steps - 1 - k)];
    switch (spacing) {
      case TimestepSpacing::leading:  // 0, T/S, 2 T/S, ... with T/S rounded down; Stable Diffusion adds offset 1
        out = static_cast<double>(k * (train_timesteps / steps) + offset);
        break;
      case TimestepSpacing::linspace:  // from 0 to T-1, both included
        out = steps == 1 ? 0 : i * (T - 1) / (S - 1);
        break;
      case TimestepSpacing::trailing:  // ..., T - 2 T/S - 1, T - T/S - 1, T - 1
        out = std::nearbyint(T - (S - 1 - i) * (T / S)) - 1;
        break;
    }
  }
  if (t.front() > T - 1 || t.back() < 0)
    throw ConfigError(where, "timesteps from 0 to " + std::to_string(train_timesteps - 1),
                      std::to_string(steps) + " steps from " + std::to_string(static_cast<Index>(t.back())) + " to " +
                          std::to_string(static_cast<Index>(t.front())),
                      "take fewer steps or another steps_offset than " + std::to_string(offset));
  return t;
}

// Samplers that look alpha_bar up in a table need whole timesteps.
inline std::vector<double> whole_timesteps(std::vector<double> timesteps) {
  for (double& t : timesteps) t = std::nearbyint(t);  // ties to even, as numpy rounds
  return timesteps;
}

}  // namespace inkling
