// Euler: T. Karras, M. Aittala, T. Aila, S. Laine, "Elucidating the Design Space of Diffusion-Based Generative Models",
// 2022. Taking noise away is an ordinary differential equation in sigma, followed along its tangent.
//
// Options read: prediction, spacing (linspace), steps_offset, sigma_spacing, final_sigma, churn*.
#pragma once
#include "inkling/diffusion/sigmas.hpp"

namespace inkling {

template <class T>
class EulerSampler : public Sampler<T> {
 public:
  EulerSampler(const NoiseSchedule& schedule, const SamplerOptions& options, Index steps)
      : EulerSampler(options, make_sigma_path("sampler euler", schedule, options, steps, TimestepSpacing::linspace)) {}

  std::span<const double> sigmas() const override { return path_.sigmas; }
  double init_noise_sigma() const override { return path_.init_noise_sigma; }

 protected:
  Tensor<T, 4> scaled(const Tensor<T, 4>& x, Index i) const override {
    // The network was trained on x_t = sqrt(alpha_bar_t) (x_0 + sigma eps), and alpha_bar_t = 1 / (sigma^2 + 1):
    //   c_in = 1 / sqrt(sigma^2 + 1)                                               Karras et al. 2022, table 1
    const double sigma = path_.sigmas[static_cast<std::size_t>(i)];
    const T c_in = static_cast<T>(1 / std::sqrt(sigma * sigma + 1));
    return elementwise([=](T v) { return c_in * v; }, x);
  }
  Tensor<T, 4> noised(const Tensor<T, 4>& x0, const Tensor<T, 4>& eps, Index i) const override {
    const T sigma = static_cast<T>(path_.sigmas[static_cast<std::size_t>(i)]);
    return elementwise([=](T x, T e) { return x + sigma * e; }, x0, eps);
  }

  StepResult<T> advance(const Tensor<T, 4>& model_output, Index i, const Tensor<T, 4>& x_in,
                        const NoiseSource<T>& noise) override {
    const double sigma = path_.sigmas[static_cast<std::size_t>(i)];
    const double sigma_next = path_.sigmas[static_cast<std::size_t>(i) + 1];

    // gamma_i = min(S_churn / N, sqrt(2) - 1) if S_tmin <= sigma_i <= S_tmax, else 0;  sigma^ = (1 + gamma_i) sigma_i
    // x^ = x + sqrt(sigma^^2 - sigma^2) S_noise z               Karras et al. 2022, algorithm 2, lines 4 to 6
    const bool churned = options_.churn > 0 && options_.churn_min <= sigma && sigma <= options_.churn_max;
    const double gamma =
        churned ? std::min(options_.churn / static_cast<double>(this->calls()), std::sqrt(2.0) - 1) : 0.0;
    const double sigma_hat = (1 + gamma) * sigma;
    Tensor<T, 4> x = x_in;
    if (churned) {
      const T added = static_cast<T>(std::sqrt(sigma_hat * sigma_hat - sigma * sigma) * options_.churn_noise);
      x = elementwise([=](T v, T z) { return v + added * z; }, x, this->draw(noise, x.shape()));
    }

    Tensor<T, 4> x0 = x0_from(model_output, x, sigma, sigma_hat);
    // dx/dsigma = (x^ - x_0) / sigma^                            Karras et al. 2022, equation (3) and algorithm 2, line
    // 7 x_{i+1} = x^ + (sigma_{i+1} - sigma^) dx/dsigma            Karras et al. 2022, algorithm 2, line 8
    const T s = static_cast<T>(sigma_hat), d_sigma = static_cast<T>(sigma_next - sigma_hat);
    Tensor<T, 4> x_prev = elementwise([=](T v, T picture) { return v + d_sigma * ((v - picture) / s); }, x, x0);
    return {std::move(x_prev), std::move(x0)};
  }

 private:
  EulerSampler(const SamplerOptions& options, SigmaPath path)
      : Sampler<T>("euler", path.timesteps), options_(options), path_(std::move(path)) {
    if (!(options.churn >= 0) || !std::isfinite(options.churn) || !(options.churn_noise >= 0) ||
        !std::isfinite(options.churn_noise) || !(options.churn_min <= options.churn_max))
      throw ConfigError(this->where(), "churn and its noise of at least 0, its range not empty",
                        std::to_string(options.churn) + ", " + std::to_string(options.churn_noise));
  }

  // The prediction types in terms of x = x_0 + sigma eps. eps is told at sigma^, v still at the sigma that the network
  // was asked for.
  Tensor<T, 4> x0_from(const Tensor<T, 4>& output, const Tensor<T, 4>& x, double sigma, double sigma_hat) const {
    if (options_.prediction == PredictionType::epsilon) {
      const T s = static_cast<T>(sigma_hat);
      return elementwise([=](T v, T eps) { return v - s * eps; }, x, output);
    }
    if (options_.prediction == PredictionType::v_prediction) {
      // x_0 = c_skip x + c_out v,  c_skip = 1 / (sigma^2 + 1),  c_out = -sigma / sqrt(sigma^2 + 1)
      //   (x_0 = alpha x_t - sigma_t v of Salimans & Ho 2022 with alpha = 1 / sqrt(sigma^2 + 1), x_t = alpha x)
      const T c_skip = static_cast<T>(1 / (sigma * sigma + 1));
      const T c_out = static_cast<T>(-sigma / std::sqrt(sigma * sigma + 1));
      return elementwise([=](T v, T velocity) { return c_skip * v + c_out * velocity; }, x, output);
    }
    return output;
  }

  SamplerOptions options_;
  SigmaPath path_;
};

}  // namespace inkling
