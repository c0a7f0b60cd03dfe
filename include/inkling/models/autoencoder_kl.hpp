// The autoencoder: pictures to latents and back (Esser et al. 2021; Rombach et al. 2022, section 3.1).
// 512 x 512 x 3 numbers become 64 x 64 x 4, 48 times fewer; the diffusion happens there.
#pragma once
#include <vector>

#include "inkling/autograd/loss_ops.hpp"
#include "inkling/models/blocks.hpp"
#include "inkling/models/config.hpp"
#include "inkling/nn/attention.hpp"

namespace inkling {

// Every pixel looks at every pixel, one head as wide as the channels, added to the input.
template <class T>
struct SpatialSelfAttention {
  GroupNorm<T> group_norm;
  Attention<T> attention;

  SpatialSelfAttention(Index channels, Index groups, double eps)
      : group_norm(channels, groups, eps), attention(channels, channels, 1, true) {}
  // [N, C, H, W] -> [N, C, H, W]
  Variable<T, 4> forward(const Variable<T, 4>& x) const {
    const Variable<T, 3> h = image_to_sequence(group_norm.forward(x));  // [N, H*W, C]
    return observed(*this, add(x, sequence_to_image(attention.forward(h, h), x.shape(2), x.shape(3))));
  }
  template <class V>
  void visit(V&& v) {
    v("group_norm", group_norm);
    v("", attention);
  }
};

template <class T>
struct AutoencoderMidBlock {
  std::vector<ResnetBlock2D<T>> resnets;            // two
  std::vector<SpatialSelfAttention<T>> attentions;  // one, between them

  AutoencoderMidBlock(Index channels, Index groups, double eps) {
    for (int j = 0; j < 2; ++j) resnets.emplace_back(channels, channels, 0, groups, eps);
    attentions.emplace_back(channels, groups, eps);
  }
  Variable<T, 4> forward(const Variable<T, 4>& x) const {
    return resnets[1].forward(attentions[0].forward(resnets[0].forward(x)));
  }
  template <class V>
  void visit(V&& v) {
    v("resnets", resnets);
    v("attentions", attentions);
  }
};

// One level: residual blocks, then half (encoder) or twice (decoder) the side, except at the last level.
template <class T, class Resampler>
struct AutoencoderLevel {
  std::vector<ResnetBlock2D<T>> resnets;
  std::vector<Resampler> resamplers;  // one or none
  const char* resamplers_name;        // "downsamplers" or "upsamplers"

  Variable<T, 4> forward(Variable<T, 4> h) const {
    for (const auto& resnet : resnets) h = resnet.forward(h);
    for (const auto& resampler : resamplers) h = resampler.forward(h);
    return h;
  }
  template <class V>
  void visit(V&& v) {
    v("resnets", resnets);
    v(resamplers_name, resamplers);
  }
};

inline constexpr double autoencoder_norm_eps = 1e-6;  // CompVis' Normalize(); the U-Net's residual blocks have 1e-5

// picture [N, 3, H, W] -> moments [N, 2*latent, H/8, W/8]
template <class T>
struct AutoencoderEncoder {
  Conv2d<T> conv_in;
  std::vector<AutoencoderLevel<T, Downsample2D<T>>> down_blocks;
  AutoencoderMidBlock<T> mid_block;
  GroupNorm<T> conv_norm_out;
  Conv2d<T> conv_out;

  explicit AutoencoderEncoder(const AutoencoderKLConfig& c)
      : conv_in(c.in_channels, c.block_out_channels.at(0), 3, same_padding(3)),
        mid_block(c.block_out_channels.back(), c.norm_groups, autoencoder_norm_eps),
        conv_norm_out(c.block_out_channels.back(), c.norm_groups, autoencoder_norm_eps),
        conv_out(c.block_out_channels.back(), 2 * c.latent_channels, 3, same_padding(3)) {
    Index in = c.block_out_channels[0];
    for (std::size_t i = 0; i < c.block_out_channels.size(); ++i) {
      auto& level = down_blocks.emplace_back();
      level.resamplers_name = "downsamplers";
      for (Index j = 0; j < c.layers_per_block; ++j, in = c.block_out_channels[i])
        level.resnets.emplace_back(in, c.block_out_channels[i], 0, c.norm_groups, autoencoder_norm_eps);
      if (i + 1 < c.block_out_channels.size()) level.resamplers.emplace_back(in, true);
    }
  }
  Variable<T, 4> forward(const Variable<T, 4>& image) const {
    Variable<T, 4> h = conv_in.forward(image);
    for (const auto& block : down_blocks) h = block.forward(h);
    h = mid_block.forward(h);
    return conv_out.forward(norm_silu(conv_norm_out, h));
  }
  template <class V>
  void visit(V&& v) {
    v("conv_in", conv_in);
    v("down_blocks", down_blocks);
    v("mid_block", mid_block);
    v("conv_norm_out", conv_norm_out);
    v("conv_out", conv_out);
  }
};

// latent [N, latent, H/8, W/8] -> picture [N, 3, H, W]
template <class T>
struct AutoencoderDecoder {
  Conv2d<T> conv_in;
  AutoencoderMidBlock<T> mid_block;
  std::vector<AutoencoderLevel<T, Upsample2D<T>>> up_blocks;  // coarsest first
  GroupNorm<T> conv_norm_out;
  Conv2d<T> conv_out;

  explicit AutoencoderDecoder(const AutoencoderKLConfig& c)
      : conv_in(c.latent_channels, c.block_out_channels.back(), 3, same_padding(3)),
        mid_block(c.block_out_channels.back(), c.norm_groups, autoencoder_norm_eps),
        conv_norm_out(c.block_out_channels.at(0), c.norm_groups, autoencoder_norm_eps),
        conv_out(c.block_out_channels[0], c.out_channels, 3, same_padding(3)) {
    Index in = c.block_out_channels.back();
    for (std::size_t i = c.block_out_channels.size(); i-- > 0;) {
      auto& level = up_blocks.emplace_back();
      level.resamplers_name = "upsamplers";
      for (Index j = 0; j <= c.layers_per_block; ++j, in = c.block_out_channels[i])  // one more than the encoder
        level.resnets.emplace_back(in, c.block_out_channels[i], 0, c.norm_groups, autoencoder_norm_eps);
      if (i > 0) level.resamplers.emplace_back(in);
    }
  }
  Variable<T, 4> forward(const Variable<T, 4>& latent) const {
    Variable<T, 4> h = mid_block.forward(conv_in.forward(latent));
    for (const auto& block : up_blocks) h = block.forward(h);
    return conv_out.forward(norm_silu(conv_norm_out, h));
  }
  template <class V>
  void visit(V&& v) {
    v("conv_in", conv_in);
    v("mid_block", mid_block);
    v("up_blocks", up_blocks);
    v("conv_norm_out", conv_norm_out);
    v("conv_out", conv_out);
  }
};

// A Gaussian with its own mean and variance for every latent number; moments[N, 2C, H, W] = (mean, log variance).
template <class T>
struct DiagonalGaussian {
  Variable<T, 4> moments;

  Variable<T, 4> mean() const { return slice(moments, 1, 0, moments.shape(1) / 2); }  // [N, C, H, W]
  // Clamped to [-30, 20], so that neither exp(logvar) nor 1/exp(logvar) leaves the range of float.
  Variable<T, 4> log_variance() const {
    Variable<T, 4> logvar = slice(moments, 1, moments.shape(1) / 2, moments.shape(1));
    Tensor<T, 4> y = logvar.value();
    for (T& v : y) v = std::min(T(20), std::max(T(-30), v));
    return record(
        std::move(y),
        [logvar](const Tensor<T, 4>& dy) {
          Tensor<T, 4> dx = dy;  // the clamp passes the gradient inside the range, and none outside
          for (Index i = 0; i < dx.size(); ++i)
            if (const T v = logvar.value().data()[i]; v < T(-30) || v > T(20)) dx.data()[i] = 0;
          logvar.accumulate(std::move(dx));
        },
        logvar);
  }
  Variable<T, 4> standard_deviation() const { return activation(Activation::exp, scale(log_variance(), T(0.5))); }
  // z = mean + std * eps: the randomness is an input, so gradients pass (Kingma & Welling 2014, section 2.4)
  Variable<T, 4> sample(const Tensor<T, 4>& eps) const {
    return add(mean(), mul(standard_deviation(), Variable<T, 4>(eps)));
  }
  // KL(N(mean, var) || N(0, 1)) of each item -> [N]
  Variable<T, 1> kl() const { return kl_diagonal_gaussian(moments); }
};

template <class T>
struct AutoencoderKL {
  AutoencoderKLConfig config;
  AutoencoderEncoder<T> encoder;
  AutoencoderDecoder<T> decoder;
  std::optional<Conv2d<T>> quant_conv, post_quant_conv;  // 1x1

  explicit AutoencoderKL(const AutoencoderKLConfig& c) : config(c), encoder(c), decoder(c) {
    if (!c.quantization_convs) return;
    quant_conv.emplace(2 * c.latent_channels, 2 * c.latent_channels, 1);
    post_quant_conv.emplace(c.latent_channels, c.latent_channels, 1);
  }

  // image[N, 3, H, W] in [-1, 1], sides divisible by config.downsampling()
  DiagonalGaussian<T> encode(const Variable<T, 4>& image) const {
    const Index f = config.downsampling();
    if (image.shape(1) != config.in_channels || image.shape(2) % f || image.shape(3) % f || image.value().empty())
      throw ShapeError("AutoencoderKL::encode",
                       "(N, " + std::to_string(config.in_channels) + ", H, W) with sides divisible by " +
                           std::to_string(f),
                       to_string(image.shape()));
    const Variable<T, 4> h = encoder.forward(image);
    return {quant_conv ? quant_conv->forward(h) : h};
  }
  // z[N, 4, h, w], not multiplied by the scaling factor -> [N, 3, 8h, 8w], about [-1, 1]
  Variable<T, 4> decode(const Variable<T, 4>& z) const {
    if (z.shape(1) != config.latent_channels)
      throw ShapeError("AutoencoderKL::decode", std::to_string(config.latent_channels) + " channels",
                       to_string(z.shape()));
    return decoder.forward(post_quant_conv ? post_quant_conv->forward(z) : z);
  }
  template <class V>
  void visit(V&& v) {
    v("encoder", encoder);
    v("decoder", decoder);
    v("quant_conv", quant_conv);
    v("post_quant_conv", post_quant_conv);
  }
};

}  // namespace inkling
