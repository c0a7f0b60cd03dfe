// What the networks are trained to do, each as a loss for one batch.
#pragma once
#include "inkling/core/random.hpp"
#include "inkling/diffusion/forward_process.hpp"
#include "inkling/models/autoencoder_kl.hpp"
#include "inkling/models/unet.hpp"

namespace inkling {

// Zeros at the end of every residual path, so that each block begins as the identity and the network with the answer 0
// (Dhariwal & Nichol 2021, appendix B). After initialize().
template <class T>
void start_as_identity(UNet<T>& unet) {
  for_each_parameter(unet, [](const std::string& path, auto& p) {
    if (path.find("conv2.") != path.npos || path.find("proj_out.") != path.npos || path.starts_with("conv_out."))
      p.value().fill(0);
  });
}

struct NoisePredictionLoss {
  NoiseSchedule schedule;
  PredictionType prediction = PredictionType::epsilon;
  double min_snr_gamma = 0;  // 0: every timestep counts the same, as in DDPM

  // L = E_{x_0, eps, t} || eps - eps_theta(x_t, t, c) ||^2       Ho et al. 2020, equation (14); Rombach et al. 2022, (3)
  // x0[N, C, H, W], context[N, S, D], eps as x0, timesteps one an item
  template <class T>
  Variable<T, 0> operator()(const UNet<T>& unet, const Tensor<T, 4>& x0, const Variable<T, 3>& context,
                            const Tensor<T, 4>& eps, std::span<const std::int64_t> timesteps) const {
    Tensor<T, 1> t({static_cast<Index>(timesteps.size())}, uninitialized);
    std::transform(timesteps.begin(), timesteps.end(), t.begin(), [](std::int64_t v) { return static_cast<T>(v); });
    const Variable<T, 4> x_t(q_sample(schedule, x0, eps, timesteps));
    const Variable<T, 4> output = unet.forward(x_t, t, context);
    const Tensor<T, 4> target = training_target(prediction, schedule, x0, eps, timesteps);
    if (min_snr_gamma == 0) return mse_loss(output, target);
    return weighted_mse_loss(output, target, min_snr_weights<T>(prediction, schedule, timesteps, min_snr_gamma));
  }
};

// A timestep for each item of a batch. One random offset and equal distances: every batch covers the whole range, which
// makes the loss less noisy than independent draws and keeps each item uniform (Kingma et al. 2021, appendix I.1).
inline std::vector<std::int64_t> spread_timesteps(Index batch, Index train_timesteps, Generator& generator) {
  const double offset = generator.uniform<double>();
  std::vector<std::int64_t> timesteps;
  for (Index n = 0; n < batch; ++n) {
    const double u = (static_cast<double>(n) + offset) / static_cast<double>(batch);  // in [0, 1)
    timesteps.push_back(static_cast<std::int64_t>(u * static_cast<double>(train_timesteps)));
  }
  generator.shuffle(std::span(timesteps));
  return timesteps;
}

// L = |x - decode(z)|^2 (mean) + kl_weight * KL(q(z|x) || N(0, 1)) (per item, summed over the latent),  z ~ q(z|x)
// (Kingma & Welling 2014, equation (10); the small weight is Rombach et al. 2022's: a slight pull, not a full VAE)
// image[N, 3, H, W], eps[N, latent, h, w]
template <class T>
Variable<T, 0> autoencoder_loss(const AutoencoderKL<T>& vae, const Tensor<T, 4>& image, const Tensor<T, 4>& eps,
                                T kl_weight) {
  const DiagonalGaussian<T> posterior = vae.encode(Variable<T, 4>(image));
  const Variable<T, 4> reconstruction = vae.decode(posterior.sample(eps));
  return add(mse_loss(reconstruction, image), scale(mean(posterior.kl()), kl_weight));
}

}  // namespace inkling
