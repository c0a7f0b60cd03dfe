// How much of the picture is left after t steps of noise: alpha_bar_t, falling from nearly 1 to nearly 0.
#pragma once
#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "inkling/core/shape.hpp"

namespace inkling {

enum class BetaSchedule { linear, scaled_linear, squared_cosine };

// The values of Stable Diffusion 1.x and 2.x: v1-inference.yaml of CompVis/stable-diffusion (linear_start, linear_end).
struct NoiseScheduleOptions {
  BetaSchedule kind = BetaSchedule::scaled_linear;
  double beta_start = 0.00085, beta_end = 0.012;  // not used by the cosine
  Index train_timesteps = 1000;
  bool zero_terminal_snr = false;
  std::vector<double> betas;  // given one by one: then nothing above but zero_terminal_snr is used
};

// Time runs over t = 0 .. size()-1 as in the code of the papers, where x_t has seen t + 1 steps of noise; the papers
// themselves count from 1.
class NoiseSchedule {
 public:
  explicit NoiseSchedule(const NoiseScheduleOptions& options = {}) : options_(options) {
    betas_ = options.betas.empty() ? make_betas(options) : options.betas;
    check_betas();
    // alpha_bar_t = prod_{s <= t} alpha_s,  alpha_s = 1 - beta_s                    Ho et al. 2020, below equation (3)
    double product = 1;
    for (double beta : betas_) alphas_cumprod_.push_back(product *= 1 - beta);
    if (options.zero_terminal_snr) rescale_to_zero_terminal_snr();
  }

  Index size() const noexcept { return static_cast<Index>(betas_.size()); }
  const NoiseScheduleOptions& options() const noexcept { return options_; }
  const std::vector<double>& betas() const noexcept { return betas_; }
  const std::vector<double>& alphas_cumprod() const noexcept { return alphas_cumprod_; }

  double alpha_bar(Index t) const {
    if (t < 0 || t >= size())
      throw ConfigError("NoiseSchedule", "a timestep from 0 to " + std::to_string(size() - 1), std::to_string(t));
    return alphas_cumprod_[static_cast<std::size_t>(t)];
  }
  // The noise relative to a picture that keeps its size, where Karras et al. 2022 count it:
  //   x_t / sqrt(alpha_bar_t) = x_0 + sigma_t eps   =>   sigma_t = sqrt((1 - alpha_bar_t) / alpha_bar_t)
  double sigma(Index t) const { return std::sqrt((1 - alpha_bar(t)) / alpha_bar(t)); }
  // SNR(t) = alpha_bar_t / (1 - alpha_bar_t), signal to noise                    Hang et al. 2023, section 3
  double snr(Index t) const { return alpha_bar(t) / (1 - alpha_bar(t)); }

 private:
  static std::vector<double> make_betas(const NoiseScheduleOptions& o) {
    constexpr Index most = 1'000'000;  // far beyond any use; an absurd number from a file must not take the memory
    if (o.train_timesteps < 1 || o.train_timesteps > most)
      throw ConfigError("NoiseSchedule", "from 1 to " + std::to_string(most) + " training timesteps",
                        std::to_string(o.train_timesteps));
    const auto count = static_cast<std::size_t>(o.train_timesteps);
    const double T = static_cast<double>(o.train_timesteps);
    const auto spread = [&](double from, double to, std::size_t i) {
      return count == 1 ? from : from + (to - from) * static_cast<double>(i) / (T - 1);
    };
    std::vector<double> betas(count);
    for (std::size_t i = 0; i < count; ++i) {
      switch (o.kind) {
        case BetaSchedule::linear:
          // beta_t grows by equal steps                                           Ho et al. 2020, section 4
          betas[i] = spread(o.beta_start, o.beta_end, i);
          break;
        case BetaSchedule::scaled_linear: {
          // sqrt(beta_t) grows by equal steps            Rombach et al. 2022 (make_beta_schedule in their code)
          const double root = spread(std::sqrt(o.beta_start), std::sqrt(o.beta_end), i);
          betas[i] = root * root;
          break;
        }
        case BetaSchedule::squared_cosine: {
          // alpha_bar_t = f(t) / f(0),  f(t) = cos^2((t/T + s) / (1 + s) * pi/2)
          // beta_t = min(1 - alpha_bar_t / alpha_bar_{t-1}, 0.999)        Nichol & Dhariwal 2021, equation (17)
          constexpr double s = 0.008;  // the paper's: sqrt(beta_0) is then just below one of 256 grey levels, 1/127.5
          const auto f = [&](double t) {
            const double c = std::cos((t / T + s) / (1 + s) * std::numbers::pi / 2);
            return c * c;
          };
          betas[i] = std::min(1 - f(static_cast<double>(i) + 1) / f(static_cast<double>(i)), 0.999);
          break;
        }
      }
    }
    return betas;
  }

  void check_betas() const {
    for (std::size_t i = 0; i < betas_.size(); ++i) {
      const bool last = i + 1 == betas_.size();  // nothing of the picture may be left at the very end, not before
      if (!(betas_[i] > 0 && (betas_[i] < 1 || (last && i > 0 && betas_[i] == 1))))
        throw ConfigError("NoiseSchedule", "0 < beta < 1",
                          "beta " + std::to_string(betas_[i]) + " at timestep " + std::to_string(i),
                          "look at beta_start and beta_end");
    }
  }

  // Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed", algorithm 1: the last step holds
  // nothing of the picture, and the first stays as it was.
  void rescale_to_zero_terminal_snr() {
    if (size() < 2) throw ConfigError("NoiseSchedule", "at least 2 timesteps for zero terminal SNR", "1");
    const double root_0 = std::sqrt(alphas_cumprod_.front()), root_T = std::sqrt(alphas_cumprod_.back());
    for (double& alpha_bar : alphas_cumprod_) {
      // root_t <- (root_t - root_T) root_0 / (root_0 - root_T),  root_t = sqrt(alpha_bar_t)
      const double root = (std::sqrt(alpha_bar) - root_T) * root_0 / (root_0 - root_T);
      alpha_bar = root * root;
    }
    for (std::size_t t = 0; t < betas_.size(); ++t)
      betas_[t] = 1 - alphas_cumprod_[t] / (t == 0 ? 1.0 : alphas_cumprod_[t - 1]);
  }

  NoiseScheduleOptions options_;
  std::vector<double> betas_, alphas_cumprod_;
};

}  // namespace inkling
