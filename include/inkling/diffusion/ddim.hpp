// DDIM: J. Song, C. Meng, S. Ermon, "Denoising Diffusion Implicit Models", 2020. The same network as for DDPM, but the
// noise that the network sees is kept as the direction to go on in, so that far fewer steps do.
//
// Options read: prediction, spacing (leading), steps_offset, set_alpha_to_one, x0_limits, eta,
// use_clipped_model_output. The defaults give the timesteps of CompVis/latent-diffusion, range(0, T, T / steps) + 1,
// and its end at alpha_bar_0.
#pragma once
#include "inkling/diffusion/sampler_base.hpp"

namespace inkling {

template <class T>
class DdimSampler : public AlphaBarSampler<T> {
 public:
  DdimSampler(const NoiseSchedule& schedule, const SamplerOptions& options, Index steps)
      : AlphaBarSampler<T>("ddim", schedule, options, steps, TimestepSpacing::leading) {
    if (!(options.eta >= 0 && options.eta <= 1))
      throw ConfigError(this->where(), "eta from 0 to 1", std::to_string(options.eta));
  }

  // sigma_t of call i: how much fresh noise its step adds.
  double sigma(Index i) const {
    const double alpha_bar = this->alpha_bar_at(i), alpha_bar_prev = alpha_bar_after(i);
    // sigma_t = eta sqrt((1 - alpha_bar_prev) / (1 - alpha_bar_t)) sqrt(1 - alpha_bar_t / alpha_bar_prev)
    //                                                                              Song et al. 2020, equation (16)
    return this->options_.eta * std::sqrt((1 - alpha_bar_prev) / (1 - alpha_bar)) *
           std::sqrt(1 - alpha_bar / alpha_bar_prev);
  }

 protected:
  StepResult<T> advance(const Tensor<T, 4>& model_output, Index i, const Tensor<T, 4>& x_t,
                        const NoiseSource<T>& noise) override {
    const double alpha_bar = this->alpha_bar_at(i), alpha_bar_prev = alpha_bar_after(i), sigma_t = sigma(i);

    Tensor<T, 4> x0 = this->x0_from(model_output, x_t, i);
    const Tensor<T, 4> eps = this->options_.use_clipped_model_output
                                 ? predicted_eps(PredictionType::sample, x0, x_t, alpha_bar)
                                 : predicted_eps(this->options_.prediction, model_output, x_t, alpha_bar);

    // x_{t-1} = sqrt(alpha_bar_prev) x_0 + sqrt(1 - alpha_bar_prev - sigma_t^2) eps + sigma_t z
    //                                                                              Song et al. 2020, equation (12)
    const T to_x0 = static_cast<T>(std::sqrt(alpha_bar_prev));
    const T to_x_t = static_cast<T>(std::sqrt(std::max(1 - alpha_bar_prev - sigma_t * sigma_t, 0.0)));
    Tensor<T, 4> x_prev = elementwise([=](T picture, T e) { return to_x0 * picture + to_x_t * e; }, x0, eps);
    if (this->options_.eta > 0) {
      const T s = static_cast<T>(sigma_t);
      x_prev = elementwise([=](T x, T z) { return x + s * z; }, x_prev, this->draw(noise, x_t.shape()));
    }
    return {std::move(x_prev), std::move(x0)};
  }

 private:
  // Where the step of call i ends: where the next call begins. (diffusers goes T / steps down, rounded. That is the
  // same for leading timesteps, and wherever steps divides T; elsewhere the next call would expect another noise
  // level.)
  double alpha_bar_after(Index i) const {
    if (i + 1 < this->calls()) return this->alpha_bar_at(i + 1);
    return this->options_.set_alpha_to_one ? 1.0 : this->schedule_.alpha_bar(0);
  }
};

}  // namespace inkling
