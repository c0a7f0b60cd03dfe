// Training a small U-Net to paint ink digits from words, on pixels or on the latents of an autoencoder: the same
// network, the same words, the same pictures, so that what differs is the space it works in.
#pragma once
#include <unordered_map>

#include "inkling/models/autoencoder_kl.hpp"
#include "inkling/models/clip_text.hpp"
#include "inkling/text/tokenizer.hpp"
#include "inkling/train/ink_digits.hpp"
#include "inkling/train/objectives.hpp"
#include "inkling/train/trainer.hpp"

namespace inkling {

// A network small enough to train in minutes: for pictures or latents of so many channels, side x side.
inline UNetConfig ink_denoiser_config(Index channels, Index side) {
  UNetConfig c;
  c.in_channels = c.out_channels = channels;
  c.block_out_channels = {24, 32, 32};
  c.layers_per_block = 1, c.heads = 4, c.cross_attention_dim = 128, c.norm_groups = 8;
  c.attention_levels = {false, true, true};
  c.sample_size = side;
  return c;
}

// What the network learns to make, at half precision: a function of (seed, count) and of the autoencoder.
struct InkSamples {
  Tensor<half, 4> x;  // [count, C, H, W]: pixels in [-1, 1], or latents times the scaling factor
  std::vector<InkDigit> attributes;
};

// vae: nothing for pixels
inline InkSamples ink_samples(const InkDigits& digits, const AutoencoderKL<float>* vae, std::uint64_t seed, Index count,
                              const ProgressCallback& progress = {}) {
  NoGrad no_grad;
  InkSamples out;
  constexpr Index block = 100;
  for (Index first = 0; first < count; first += block) {
    const Index size = std::min(block, count - first);
    InkBatch batch = digits.batch(seed, first, size);
    Tensor<float, 4> x = std::move(batch.images);
    float factor = 1;
    if (vae) {
      x = vae->encode(Variable<float, 4>(std::move(x))).mean().value();
      factor = static_cast<float>(vae->config.scaling_factor);
    }
    if (out.x.empty()) out.x = Tensor<half, 4>({count, x.shape(1), x.shape(2), x.shape(3)}, uninitialized);
    std::transform(x.begin(), x.end(), out.x.data() + first * (x.size() / size),
                   [factor](float v) { return static_cast<half>(v * factor); });
    out.attributes.insert(out.attributes.end(), batch.attributes.begin(), batch.attributes.end());
    report(progress, {vae ? "encode pictures" : "make pictures", first + size, count});
  }
  return out;
}

// Reads the plain form of the captions ("a bold red seven on a blue background"), each once: what the text encoder made
// of it is kept.
class InkWords {
 public:
  static constexpr Index length =
      12;  // the longest, "a bold red seven leaning left on a blue background", has ten words

  InkWords(const Tokenizer& tokenizer, const ClipTextModel<float>& text_encoder)
      : tokenizer_(tokenizer), text_encoder_(text_encoder) {}

  // -> [N, length, D]
  Tensor<float, 3> operator()(const std::vector<std::string>& texts) {
    const NoGrad no_grad;
    const Index size = length * text_encoder_.config().hidden_size;
    Tensor<float, 3> out({static_cast<Index>(texts.size()), length, size / length}, uninitialized);
    for (std::size_t n = 0; n < texts.size(); ++n) {
      std::vector<float>& row = known_[texts[n]];
      if (row.empty()) {
        const std::vector<std::int64_t> ids = tokenizer_.encode_padded(texts[n], length).ids;
        const Tensor<float, 3> read =
            text_encoder_.forward(Tensor<std::int64_t, 2>({1, length}, std::span(ids))).value();
        row.assign(read.begin(), read.end());
      }
      std::copy(row.begin(), row.end(), out.data() + static_cast<Index>(n) * size);
    }
    return out;
  }

 private:
  const Tokenizer& tokenizer_;
  const ClipTextModel<float>& text_encoder_;
  std::unordered_map<std::string, std::vector<float>> known_;
};

// Trains in place and leaves the moving average in the network; checkpoints lie in options.folder.
inline void train_ink_denoiser(UNet<float>& unet, const InkSamples& samples, InkWords& words,
                               const NoiseSchedule& schedule, TrainOptions options, Index batch, std::uint64_t seed = 1,
                               const std::function<bool(const TrainStep&)>& after = {}) {
  Generator generator(seed);
  initialize(unet, generator);
  start_as_identity(unet);
  Trainer<UNet<float>> trainer(unet, std::move(options));
  NoisePredictionLoss objective{schedule};
  objective.min_snr_gamma = 5;  // the nearly clean pictures must not drown the noisy ones, where the digit is decided
  const Index count = samples.x.shape(0), size = count == 0 ? 0 : samples.x.size() / count;
  if (count == 0) throw ConfigError("train_ink_denoiser", "at least one sample", "none");
  trainer.run(
      [&](Index step) {
        Generator g = Generator(seed + 500).child(static_cast<std::uint64_t>(step));
        Tensor<float, 4> x0({batch, samples.x.shape(1), samples.x.shape(2), samples.x.shape(3)}, uninitialized);
        std::vector<std::string> texts;
        for (Index n = 0; n < batch; ++n) {
          const Index i = g.integer(count);
          std::transform(samples.x.data() + i * size, samples.x.data() + (i + 1) * size, x0.data() + n * size,
                         [](half v) { return static_cast<float>(v); });
          // One caption in ten is left empty, for guidance (Ho & Salimans 2022, algorithm 1)
          texts.push_back(
              g.uniform<double>() < 0.1 ? "" : canonical_prompt(samples.attributes[static_cast<std::size_t>(i)]));
        }
        const Variable<float, 3> context(words(texts));
        const auto timesteps = spread_timesteps(batch, schedule.size(), g);
        return objective(unet, x0, context, g.randn<float>(x0.shape()), timesteps);
      },
      after);
  trainer.use_average();
}

}  // namespace inkling
