// The same noise for few steps and for many, so that a sampler that draws noise has one picture to converge to.
//
// In the letters of Karras et al. 2022, x = x_0 + sigma eps. Ancestral sampling (Ho et al. 2020, equations (6) and (7))
// goes from sigma to sigma' < sigma with the picture x_0 that the network sees by
//   x' = x_0 + (sigma'^2 / sigma^2) (x - x_0) + sigma' sqrt(1 - sigma'^2 / sigma^2) z
// Divided by sigma'^2, and with r = 1 / sigma^2, the signal-to-noise ratio:
//   r' x' = r x + (r' - r) x_0 + sqrt(r' - r) z
// So r x is a Brownian motion whose time is r and whose drift is the picture (Montanari 2023, "Sampling, Diffusions,
// and Stochastic Localization", equation (1.2)). Draw W(r) once, and every step, long or short, takes from it
//   z = (W(r') - W(r)) / sqrt(r' - r)
// which is standard normal, and independent of the z of other steps.
#pragma once
#include "inkling/core/random.hpp"
#include "inkling/diffusion/sampler_base.hpp"

namespace inkling {

template <class T>
class NoisePath {
 public:
  // W at the signal-to-noise ratio of every timestep of the schedule; keeps as many tensors of this shape.
  NoisePath(const NoiseSchedule& schedule, const Shape<4>& shape, Generator& generator) : schedule_(schedule) {
    double before = 0;
    Tensor<T, 4> sum(shape);
    walk_.resize(static_cast<std::size_t>(schedule.size()));
    for (Index t = schedule.size() - 1; t >= 0; --t) {
      const double r = schedule.snr(t);
      const T spread = static_cast<T>(std::sqrt(r - before));
      sum = elementwise([=](T w, T z) { return w + spread * z; }, sum, generator.randn<T>(shape));
      walk_[static_cast<std::size_t>(t)] = sum;
      before = r;
    }
  }

  // The noise of a step from timestep t down to t_next; both are rounded to whole ones.
  Tensor<T, 4> between(double t, double t_next) const {
    const Index from = at(t), to = at(t_next);
    if (to >= from)
      throw ConfigError("NoisePath", "a step to a smaller timestep",
                        "from " + std::to_string(from) + " to " + std::to_string(to));
    const T scale = static_cast<T>(1 / std::sqrt(schedule_.snr(to) - schedule_.snr(from)));
    return elementwise([=](T before, T after) { return scale * (after - before); },
                       walk_[static_cast<std::size_t>(from)], walk_[static_cast<std::size_t>(to)]);
  }

  // For one run of a sampler that draws once a step. The last step ends without noise: what it draws counts nothing.
  // The path and the sampler must outlive the run.
  NoiseSource<T> source(const Sampler<T>& sampler) const {
    return [this, &sampler, call = std::size_t{0}](const Shape<4>& shape) mutable {
      const std::vector<double>& t = sampler.timesteps();
      const std::size_t i = call++;
      if (i + 1 >= t.size()) return Tensor<T, 4>(shape);
      return between(t[i], t[i + 1]);
    };
  }

 private:
  Index at(double t) const {
    const Index whole = static_cast<Index>(std::nearbyint(t));
    if (!(whole >= 0 && whole < schedule_.size()))
      throw ConfigError("NoisePath", "a timestep from 0 to " + std::to_string(schedule_.size() - 1), std::to_string(t));
    return whole;
  }
  NoiseSchedule schedule_;
  std::vector<Tensor<T, 4>> walk_;
};

}  // namespace inkling
