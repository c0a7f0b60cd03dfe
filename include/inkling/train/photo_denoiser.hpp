// A network that takes noise out of a few photographs, told how much noise there is or not.
#pragma once
#include "inkling/train/photo_windows.hpp"
#include "inkling/train/pixel_diffusion.hpp"

namespace inkling {

// Answers v, from which noise and picture both follow (diffusion/prediction.hpp): asked for the noise itself where that
// is 12 times as loud as the picture, every error of the answer would count 12 times in the picture.
struct PhotoDenoiser {
  static constexpr Index patch = 2;
  UNet<float> unet;
  NoiseSchedule schedule;
  bool told;  // else it hears "level 0" always and has to see for itself

  explicit PhotoDenoiser(bool knows_level) : unet(config()), schedule(ddpm()), told(knows_level) {}

  // pictures with noise [N, 3, H, W], one level for each -> v as pictures
  Tensor<float, 4> predict(const Tensor<float, 4>& x_t, std::span<const std::int64_t> timesteps) const {
    const NoGrad no_grad;
    return from_patches(
        unet.forward(Variable<float, 4>(to_patches(x_t, patch)), heard(timesteps), silence(x_t.shape(0))).value(),
        patch);
  }
  // The noise it sees in pictures that are all at level t; both [N, 3, H, W]
  Tensor<float, 4> noise_in(const Tensor<float, 4>& x_t, Index t) const {
    const std::vector<std::int64_t> levels(static_cast<std::size_t>(x_t.shape(0)), t);
    return predicted_eps(PredictionType::v_prediction, predict(x_t, levels), x_t, schedule.alpha_bar(t));
  }
  // L = E || v - v_theta(x_t, t) ||^2                                           Salimans & Ho 2022, section 4
  Variable<float, 0> loss(const Tensor<float, 4>& pictures, Generator& g) const {
    const Tensor<float, 4> x0 = to_patches(pictures, patch), eps = g.randn<float>(x0.shape());
    const auto t = spread_timesteps(x0.shape(0), schedule.size(), g);
    return mse_loss(unet.forward(Variable<float, 4>(q_sample(schedule, x0, eps, t)), heard(t), silence(x0.shape(0))),
                    velocity(schedule, x0, eps, t));
  }

 private:
  Tensor<float, 1> heard(std::span<const std::int64_t> timesteps) const {
    Tensor<float, 1> t({static_cast<Index>(timesteps.size())});
    if (told)
      std::transform(timesteps.begin(), timesteps.end(), t.begin(), [](auto v) { return static_cast<float>(v); });
    return t;
  }
  Variable<float, 3> silence(Index count) const {  // no words
    return Variable<float, 3>(Tensor<float, 3>({count, 1, unet.config.cross_attention_dim}));
  }
  static UNetConfig config() {
    UNetConfig c;
    c.in_channels = c.out_channels = 3 * patch * patch;
    c.block_out_channels = {24, 24, 28, 28};
    c.layers_per_block = 1, c.heads = 4, c.cross_attention_dim = 8, c.norm_groups = 4;
    c.attention_levels = {false, false, false, false};
    c.sample_size = 32;
    return c;
  }
  static NoiseScheduleOptions ddpm() {
    NoiseScheduleOptions o;  // Ho et al. 2020, section 4
    o.kind = BetaSchedule::linear, o.beta_start = 1e-4, o.beta_end = 0.02;
    return o;
  }
};

// Trains on pictures drawn from world[M, 3, H, W]; leaves the moving average in the network.
inline void train_photo_denoiser(PhotoDenoiser& model, const Tensor<float, 4>& world, TrainOptions options, Index batch,
                                 std::uint64_t seed = 1, const std::function<bool(const TrainStep&)>& after = {}) {
  Generator generator(seed);
  initialize(model.unet, generator);
  start_as_identity(model.unet);
  Trainer<UNet<float>> trainer(model.unet, std::move(options));
  trainer.run(
      [&](Index step) {
        Generator g = Generator(seed + 1).child(static_cast<std::uint64_t>(step));
        return model.loss(draw_pictures(world, batch, g), g);
      },
      after);
  trainer.use_average();
}

}  // namespace inkling
