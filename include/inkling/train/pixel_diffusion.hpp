// A diffusion model of pictures themselves, without words (Ho et al. 2020): the same U-Net as everywhere, on pixels.
//
// The U-Net sees the picture as patches: each p x p pixels become one place with p*p times the channels (Shi et al. 2016,
// section 3.2, backwards). That only moves numbers, so noise stays noise and the loss is the same sum; but at p = 2 every
// layer at full size works on a quarter of the places, and a processor trains four times as many pictures.
#pragma once
#include <span>

#include "inkling/diffusion/ddim.hpp"
#include "inkling/io/cifar.hpp"
#include "inkling/train/objectives.hpp"
#include "inkling/train/trainer.hpp"

namespace inkling {

// [N, C, H, W] -> [N, C p p, H/p, W/p]: channel c p p + i p + j holds the pixels at (p y + i, p x + j)
inline Tensor<float, 4> to_patches(const Tensor<float, 4>& x, Index p) {
  const Index N = x.shape(0), C = x.shape(1), H = x.shape(2), W = x.shape(3);
  if (p < 1 || H % p != 0 || W % p != 0)
    throw ShapeError("to_patches", "sides that " + std::to_string(p) + " divides", to_string(x.shape()));
  Tensor<float, 4> out({N, C * p * p, H / p, W / p}, uninitialized);
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index h = 0; h < H; ++h)
        for (Index w = 0; w < W; ++w) out(n, (c * p + h % p) * p + w % p, h / p, w / p) = x(n, c, h, w);
  return out;
}
// The way back: [N, C p p, H, W] -> [N, C, p H, p W]
inline Tensor<float, 4> from_patches(const Tensor<float, 4>& x, Index p) {
  if (p < 1 || x.shape(1) % (p * p) != 0)
    throw ShapeError("from_patches", "a multiple of " + std::to_string(p * p) + " channels", to_string(x.shape()));
  const Index N = x.shape(0), C = x.shape(1) / (p * p), H = x.shape(2) * p, W = x.shape(3) * p;
  Tensor<float, 4> out({N, C, H, W}, uninitialized);
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index h = 0; h < H; ++h)
        for (Index w = 0; w < W; ++w) out(n, c, h, w) = x(n, (c * p + h % p) * p + w % p, h / p, w / p);
  return out;
}

// Left to right.
inline Tensor<float, 4> mirrored(const Tensor<float, 4>& x) {
  const Index W = x.shape(3), rows = W ? x.size() / W : 0;
  Tensor<float, 4> out(x.shape(), uninitialized);
  for (Index r = 0; r < rows; ++r)
    for (Index w = 0; w < W; ++w) out.data()[r * W + w] = x.data()[r * W + (W - 1 - w)];
  return out;
}

struct PixelDiffusionConfig {
  Index patch = 2;
  UNetConfig unet;
  // The cosine keeps something of a small picture for longer than the linear schedule (Nichol & Dhariwal 2021, section
  // 3.2); at its end x_t is noise alone, where only v says anything of the picture (Salimans & Ho 2022, section 4).
  NoiseScheduleOptions schedule = cosine();
  PredictionType prediction = PredictionType::v_prediction;

  // Colour pictures of 32 x 32 pixels: `widths` at 16 x 16, 8 x 8, ... places.
  static PixelDiffusionConfig color32(std::vector<Index> widths, Index layers) {
    PixelDiffusionConfig c;
    c.unet.in_channels = c.unet.out_channels = 3 * c.patch * c.patch;
    c.unet.sample_size = 32 / c.patch;
    c.unet.layers_per_block = layers;
    c.unet.attention_levels.clear();
    c.unet.attention_levels.assign(widths.size(), false);  // that in the middle is enough at this size
    c.unet.block_out_channels = std::move(widths);
    c.unet.head_width = 32;
    c.unet.cross_attention_dim = 8;  // nobody says anything: the context is one token of zeros
    c.unet.norm_groups = 16;
    return c;
  }
  // What stands under models/ships: 3.9 million parameters, 7.7 MB in half precision, about 100 training pictures a
  // second on one core.
  static PixelDiffusionConfig ships() { return color32({64, 96, 128}, 1); }

 private:
  static NoiseScheduleOptions cosine() {
    NoiseScheduleOptions o;
    o.kind = BetaSchedule::squared_cosine;
    return o;
  }
};

struct PixelDiffusion {
  PixelDiffusionConfig config;
  UNet<float> unet;
  NoiseSchedule schedule;

  explicit PixelDiffusion(const PixelDiffusionConfig& c) : config(c), unet(c.unet), schedule(c.schedule) {}

  Tensor<float, 3> no_words(Index count) const { return Tensor<float, 3>({count, 1, config.unet.cross_attention_dim}); }

  // Random weights, zero at the end of each residual path: at first every block is the identity (Dhariwal & Nichol 2021,
  // appendix B).
  void reset_parameters(Generator& generator) {
    initialize(unet, generator);
    for_each_parameter(unet, [](const std::string& path, auto& p) {
      if (path.find("conv2.") != path.npos || path.find("proj_out.") != path.npos || path.starts_with("conv_out."))
        p.value().fill(0);
    });
  }

  // `batch` pictures drawn at random, each as it is or mirrored left to right; a function of (seed, step) alone.
  static Tensor<float, 4> random_pictures(const LabelledColorImages& set, Generator& g, Index batch) {
    Tensor<float, 4> x({batch, set.images.shape(1), set.images.shape(2), set.images.shape(3)}, uninitialized);
    const Index rows = x.shape(1) * x.shape(2), W = x.shape(3);
    for (Index n = 0; n < batch; ++n) {
      const std::uint8_t* from = set.images.data() + g.integer(set.size()) * rows * W;
      const bool mirrored = g.integer(2) == 1;
      for (Index r = 0; r < rows; ++r)
        for (Index w = 0; w < W; ++w)
          x.data()[(n * rows + r) * W + w] =
              static_cast<float>(from[r * W + (mirrored ? W - 1 - w : w)]) / 127.5f - 1.0f;
    }
    return x;
  }
  // The loss of one batch at random noise levels. gamma 5: the nearly clean pictures must not drown the noisy ones,
  // where it is decided what is painted.
  Variable<float, 0> loss(const Tensor<float, 4>& pictures, Generator& g) const {
    const NoisePredictionLoss objective{schedule, config.prediction, 5};
    const Tensor<float, 4> x0 = to_patches(pictures, config.patch);
    const Tensor<float, 4> eps = g.randn<float>(x0.shape());
    return objective(unet, x0, Variable<float, 3>(no_words(x0.shape(0))), eps,
                     spread_timesteps(x0.shape(0), schedule.size(), g));
  }

  // New pictures [count, C, H, W] from noise by DDIM. after(step, x_t, x0) sees both as pictures after each step.
  Tensor<float, 4> sample(Index count, Index steps, Generator& g, double eta = 0,
                          const std::function<void(Index, const Tensor<float, 4>&, const Tensor<float, 4>&)>& after =
                              {}) const {
    SamplerOptions options;
    options.prediction = config.prediction;
    options.spacing = TimestepSpacing::trailing;  // the first call must be where training saw noise alone
    options.set_alpha_to_one = true;
    options.x0_limits.clip = true;
    options.eta = eta;
    DdimSampler<float> sampler(schedule, options, steps);
    const NoGrad no_grad;
    const Index side = config.unet.sample_size;
    Tensor<float, 4> x = g.randn<float>(Shape<4>{count, config.unet.in_channels, side, side});
    const Variable<float, 3> context(no_words(count));
    for (Index i = 0; i < sampler.calls(); ++i) {
      const Tensor<float, 1> t({count}, static_cast<float>(sampler.timesteps()[static_cast<std::size_t>(i)]));
      const Tensor<float, 4> output = unet.forward(Variable<float, 4>(x), t, context).value();
      StepResult<float> step =
          sampler.step(output, i, x, [&](const Shape<4>& shape) { return g.randn<float>(shape); });
      x = std::move(step.x_prev);
      if (after) after(i, from_patches(x, config.patch), from_patches(step.x0, config.patch));
    }
    return from_patches(x, config.patch);
  }
};

// Trains in place and leaves the moving average in the model; checkpoints lie in options.folder. Every `look_steps`
// steps look(step, model) gets a copy with the average so far.
inline void train_pixel_diffusion(PixelDiffusion& model, const LabelledColorImages& set, TrainOptions options,
                                  Index batch, std::uint64_t seed,
                                  const std::function<bool(const TrainStep&)>& after = {}, Index look_steps = 0,
                                  const std::function<void(Index, const PixelDiffusion&)>& look = {}) {
  if (set.size() == 0) throw ConfigError("train_pixel_diffusion", "pictures", "none");
  Generator generator(seed);
  model.reset_parameters(generator);
  Trainer<UNet<float>> trainer(model.unet, std::move(options));
  trainer.run(
      [&](Index step) {
        Generator g = Generator(seed + 1).child(static_cast<std::uint64_t>(step));
        const Tensor<float, 4> pictures = PixelDiffusion::random_pictures(set, g, batch);
        return model.loss(pictures, g);
      },
      [&](const TrainStep& step) {
        if (look && look_steps > 0 && (step.step % look_steps == 0 || step.step == step.steps)) {
          PixelDiffusion average(model.config);
          trainer.copy_average(average.unet);
          look(step.step, average);
        }
        return !after || after(step);
      });
  trainer.use_average();
}

}  // namespace inkling
