// What every sampler offers, whatever its order or history:
//
//   sampler.reset();
//   Tensor x = noise * sampler.init_noise_sigma();
//   for (Index i = 0; i < sampler.calls(); ++i) {
//     Tensor output = network(sampler.scale_model_input(x, i), sampler.timesteps()[i]);
//     x = sampler.step(output, i, x, draw_noise).x_prev;
//   }
#pragma once
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inkling/diffusion/noise_schedule.hpp"
#include "inkling/diffusion/prediction.hpp"
#include "inkling/diffusion/timesteps.hpp"

namespace inkling {

enum class VarianceType { fixed_small, fixed_large };  // Ho et al. 2020, section 3.2
enum class SigmaSpacing { by_timestep, karras, exponential };
enum class FinalSigma { zero, sigma_min };

// Everything that can be set on a sampler; each reads what concerns it and says so at its top. The defaults are what
// the Stable Diffusion 1.x and 2.x checkpoints ship in scheduler/scheduler_config.json.
struct SamplerOptions {
  PredictionType prediction = PredictionType::epsilon;
  std::optional<TimestepSpacing> spacing;  // empty: the sampler's own
  Index steps_offset = 1;                  // leading timesteps are moved up by this
  bool set_alpha_to_one = false;           // after the last step: alpha_bar = 1, or that of timestep 0
  X0Limits x0_limits;

  VarianceType variance = VarianceType::fixed_small;  // ddpm

  double eta = 0;                         // ddim: 0 is deterministic, 1 as noisy as ddpm
  bool use_clipped_model_output = false;  // ddim: eps again from the limited x_0

  SigmaSpacing sigma_spacing = SigmaSpacing::by_timestep;  // samplers that count in sigma
  FinalSigma final_sigma = FinalSigma::zero;
  double churn = 0, churn_min = 0, churn_max = std::numeric_limits<double>::infinity(), churn_noise = 1;  // euler
};

// Where a sampler gets fresh standard normal noise of this shape.
template <class T>
using NoiseSource = std::function<Tensor<T, 4>(const Shape<4>&)>;

template <class T>
struct StepResult {
  Tensor<T, 4> x_prev;  // what goes into the next call; [N, C, H, W]
  Tensor<T, 4> x0;      // the picture that the network sees at this point
};

template <class T>
class Sampler {
 public:
  virtual ~Sampler() = default;
  std::string_view name() const noexcept { return name_; }

  // The time given to the network, one per call, not always whole numbers. Samplers of higher order call the network
  // more often than the user asked for steps.
  const std::vector<double>& timesteps() const noexcept { return timesteps_; }
  Index calls() const noexcept { return static_cast<Index>(timesteps_.size()); }
  // For samplers that count in noise levels: the level before each call and after the last. Empty for others.
  virtual std::span<const double> sigmas() const { return {}; }
  // Standard deviation of the x that call 0 starts from.
  virtual double init_noise_sigma() const { return 1; }

  // What the network is to see at call i instead of x.
  Tensor<T, 4> scale_model_input(const Tensor<T, 4>& x, Index i) const {
    check_call(i);
    return scaled(x, i);
  }
  // One step from the network's answer at call i. `noise` may be empty for a sampler that asks for none.
  StepResult<T> step(const Tensor<T, 4>& model_output, Index i, const Tensor<T, 4>& x, const NoiseSource<T>& noise) {
    check_call(i);
    require_shape(model_output.shape(), x.shape(), where() + " step", "the model's output must have the shape of x");
    return advance(model_output, i, x, noise);
  }
  // A picture with as much noise as call i expects, to start there instead of at call 0.
  Tensor<T, 4> add_noise(const Tensor<T, 4>& x0, const Tensor<T, 4>& eps, Index i) const {
    check_call(i);
    return noised(x0, eps, i);
  }
  // Forgets the steps so far. To be called before another picture.
  virtual void reset() {}

 protected:
  Sampler(std::string_view name, std::vector<double> timesteps) : name_(name), timesteps_(std::move(timesteps)) {}
  Sampler(const Sampler&) = default;
  Sampler& operator=(const Sampler&) = default;

  virtual Tensor<T, 4> scaled(const Tensor<T, 4>& x, Index i) const = 0;
  virtual StepResult<T> advance(const Tensor<T, 4>& model_output, Index i, const Tensor<T, 4>& x,
                                const NoiseSource<T>& noise) = 0;
  virtual Tensor<T, 4> noised(const Tensor<T, 4>& x0, const Tensor<T, 4>& eps, Index i) const = 0;

  std::string where() const { return "sampler " + name_; }
  Tensor<T, 4> draw(const NoiseSource<T>& noise, const Shape<4>& shape) const {
    if (!noise)
      throw ConfigError(where(), "a source of noise", "none", "this sampler is stochastic with these options");
    Tensor<T, 4> z = noise(shape);
    require_shape(z.shape(), shape, where() + " noise");
    return z;
  }

 private:
  void check_call(Index i) const {
    if (i < 0 || i >= calls())
      throw ConfigError(where(), "a call from 0 to " + std::to_string(calls() - 1), std::to_string(i));
  }

  std::string name_;
  std::vector<double> timesteps_;
};

// Samplers that look up alpha_bar at whole timesteps, with x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps.
template <class T>
class AlphaBarSampler : public Sampler<T> {
 protected:
  AlphaBarSampler(std::string_view name, const NoiseSchedule& schedule, const SamplerOptions& options, Index steps,
                  TimestepSpacing own_spacing)
      : Sampler<T>(name, whole_timesteps(spaced_timesteps("sampler " + std::string(name),
                                                          options.spacing.value_or(own_spacing), schedule.size(), steps,
                                                          options.steps_offset))),
        schedule_(schedule),
        options_(options) {
    const X0Limits& limits = options.x0_limits;
    if (!(limits.clip_range > 0) || !(limits.dynamic_ratio >= 0 && limits.dynamic_ratio <= 1) ||
        !(limits.dynamic_most >= 1))
      throw ConfigError(this->where(), "clip range above 0, dynamic ratio in [0, 1], dynamic limit of at least 1",
                        std::to_string(limits.clip_range) + ", " + std::to_string(limits.dynamic_ratio) + ", " +
                            std::to_string(limits.dynamic_most));
    for (Index i = 0; i < this->calls(); ++i)
      if (options.prediction == PredictionType::epsilon && alpha_bar_at(i) <= 0)
        throw ConfigError(this->where(), "some of the picture left in x_t", "a schedule with zero terminal SNR",
                          "where x_t is noise alone, predicted noise says nothing of the picture: use v_prediction");
  }

  Index timestep(Index i) const { return static_cast<Index>(this->timesteps()[static_cast<std::size_t>(i)]); }
  double alpha_bar_at(Index i) const { return schedule_.alpha_bar(timestep(i)); }

  Tensor<T, 4> scaled(const Tensor<T, 4>& x, Index) const override { return x; }
  Tensor<T, 4> noised(const Tensor<T, 4>& x0, const Tensor<T, 4>& eps, Index i) const override {
    // x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps                      Ho et al. 2020, equation (4)
    const T alpha = static_cast<T>(std::sqrt(alpha_bar_at(i))), sigma = static_cast<T>(std::sqrt(1 - alpha_bar_at(i)));
    return elementwise([=](T x, T e) { return alpha * x + sigma * e; }, x0, eps);
  }
  Tensor<T, 4> x0_from(const Tensor<T, 4>& model_output, const Tensor<T, 4>& x_t, Index i) const {
    return limited_x0(predicted_x0(options_.prediction, model_output, x_t, alpha_bar_at(i)), options_.x0_limits);
  }

  NoiseSchedule schedule_;
  SamplerOptions options_;
};

}  // namespace inkling
