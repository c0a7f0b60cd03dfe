// DDPM: J. Ho, A. Jain, P. Abbeel, "Denoising Diffusion Probabilistic Models", 2020. Ancestral sampling: every step
// draws x_{t-1} from the Gaussian that the forward process leaves for it once x_0 is guessed.
//
// Options read: prediction, spacing (leading), steps_offset, x0_limits, variance.
#pragma once
#include "inkling/diffusion/sampler_base.hpp"

namespace inkling {

template <class T>
class DdpmSampler : public AlphaBarSampler<T> {
 public:
  DdpmSampler(const NoiseSchedule& schedule, const SamplerOptions& options, Index steps)
      : AlphaBarSampler<T>("ddpm", schedule, options, steps, TimestepSpacing::leading) {}

 protected:
  StepResult<T> advance(const Tensor<T, 4>& model_output, Index i, const Tensor<T, 4>& x_t,
                        const NoiseSource<T>& noise) override {
    // With fewer steps than the training had, one step covers several of them:
    //   alpha_t = alpha_bar_t / alpha_bar_prev,  beta_t = 1 - alpha_t           Nichol & Dhariwal 2021, equation (19)
    const bool last = i + 1 == this->calls();
    const double alpha_bar = this->alpha_bar_at(i), alpha_bar_prev = last ? 1.0 : this->alpha_bar_at(i + 1);
    const double alpha = alpha_bar / alpha_bar_prev, beta = 1 - alpha;

    Tensor<T, 4> x0 = this->x0_from(model_output, x_t, i);

    // mu_t = sqrt(alpha_bar_prev) beta_t / (1 - alpha_bar_t) x_0
    //      + sqrt(alpha_t) (1 - alpha_bar_prev) / (1 - alpha_bar_t) x_t                Ho et al. 2020, equation (7)
    const T from_x0 = static_cast<T>(std::sqrt(alpha_bar_prev) * beta / (1 - alpha_bar));
    const T from_x_t = static_cast<T>(std::sqrt(alpha) * (1 - alpha_bar_prev) / (1 - alpha_bar));
    Tensor<T, 4> x_prev = elementwise([=](T x, T picture) { return from_x0 * picture + from_x_t * x; }, x_t, x0);

    if (this->timestep(i) > 0) {
      // fixed_small: beta~_t = (1 - alpha_bar_prev) / (1 - alpha_bar_t) beta_t       Ho et al. 2020, equation (7)
      // fixed_large: beta_t                                                           Ho et al. 2020, section 3.2
      const double variance =
          this->options_.variance == VarianceType::fixed_small ? (1 - alpha_bar_prev) / (1 - alpha_bar) * beta : beta;
      // x_{t-1} = mu_t + sigma_t z                                                    Ho et al. 2020, algorithm 2
      const T sigma = static_cast<T>(std::sqrt(variance));
      x_prev = elementwise([=](T mu, T z) { return mu + sigma * z; }, x_prev, this->draw(noise, x_t.shape()));
    }
    return {std::move(x_prev), std::move(x0)};
  }
};

}  // namespace inkling
