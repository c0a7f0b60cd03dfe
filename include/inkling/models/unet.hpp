// The U-Net that predicts the noise: eps_theta(x_t, t, context) (Ronneberger et al. 2015; Ho et al. 2020; Rombach et
// al. 2022). One class for every Stable Diffusion 1.x and 2.x model and for the small one trained here: the config
// says how wide and how deep. Member names are those of diffusers' checkpoints.
#pragma once
#include <optional>
#include <vector>

#include "inkling/models/blocks.hpp"
#include "inkling/models/config.hpp"
#include "inkling/models/transformer_2d.hpp"

namespace inkling {

// Timestep -> vector: sinusoids, then two linear layers.
template <class T>
struct TimestepEmbeddingMlp {
  Linear<T> linear_1, linear_2;

  TimestepEmbeddingMlp(Index in, Index width) : linear_1(in, width), linear_2(width, width) {}
  // [N, C] -> [N, 4C]
  Variable<T, 2> forward(const Variable<T, 2>& sinusoids) const {
    return observed(*this, linear_2.forward(silu(linear_1.forward(sinusoids))));
  }
  template <class V>
  void visit(V&& v) {
    v("linear_1", linear_1);
    v("linear_2", linear_2);
  }
};

// One level on the way down: residual blocks, each followed by a transformer where the level attends, then half the
// side (except at the last level).
template <class T>
struct UNetDownBlock {
  std::vector<ResnetBlock2D<T>> resnets;
  std::vector<Transformer2D<T>> attentions;
  std::vector<Downsample2D<T>> downsamplers;  // one or none

  UNetDownBlock(Index in, Index out, bool attends, bool last, const UNetConfig& c) {
    for (Index j = 0; j < c.layers_per_block; ++j) {
      resnets.emplace_back(j == 0 ? in : out, out, c.time_embed_dim(), c.norm_groups, c.norm_eps);
      if (attends) attentions.emplace_back(out, c);
    }
    if (!last) downsamplers.emplace_back(out, false);
  }
  // Appends every intermediate result to `skips`: the way up will want it.
  Variable<T, 4> forward(Variable<T, 4> h, const Variable<T, 2>& time, const Variable<T, 3>& context,
                         std::vector<Variable<T, 4>>& skips) const {
    for (std::size_t j = 0; j < resnets.size(); ++j) {
      h = resnets[j].forward(h, time);
      if (!attentions.empty()) h = attentions[j].forward(h, context);
      skips.push_back(h);
    }
    for (const auto& downsampler : downsamplers) skips.push_back(h = downsampler.forward(h));
    return h;
  }
  template <class V>
  void visit(V&& v) {
    v("resnets", resnets);
    v("attentions", attentions);
    v("downsamplers", downsamplers);
  }
};

template <class T>
struct UNetMidBlock {
  std::vector<ResnetBlock2D<T>> resnets;     // two
  std::vector<Transformer2D<T>> attentions;  // one, between them

  UNetMidBlock(Index channels, const UNetConfig& c) {
    for (int j = 0; j < 2; ++j) resnets.emplace_back(channels, channels, c.time_embed_dim(), c.norm_groups, c.norm_eps);
    attentions.emplace_back(channels, c);
  }
  Variable<T, 4> forward(const Variable<T, 4>& x, const Variable<T, 2>& time, const Variable<T, 3>& context) const {
    return resnets[1].forward(attentions[0].forward(resnets[0].forward(x, time), context), time);
  }
  template <class V>
  void visit(V&& v) {
    v("resnets", resnets);
    v("attentions", attentions);
  }
};

// One level on the way up: each residual block reads the result so far *and* the skip of the same size.
template <class T>
struct UNetUpBlock {
  std::vector<ResnetBlock2D<T>> resnets;
  std::vector<Transformer2D<T>> attentions;
  std::vector<Upsample2D<T>> upsamplers;  // one or none

  // `skip_widths`: channels of the skips in the order in which they are taken
  UNetUpBlock(Index in, Index out, const std::vector<Index>& skip_widths, bool attends, bool last, const UNetConfig& c) {
    for (std::size_t j = 0; j < skip_widths.size(); ++j) {
      resnets.emplace_back((j == 0 ? in : out) + skip_widths[j], out, c.time_embed_dim(), c.norm_groups, c.norm_eps);
      if (attends) attentions.emplace_back(out, c);
    }
    if (!last) upsamplers.emplace_back(out);
  }
  Variable<T, 4> forward(Variable<T, 4> h, const Variable<T, 2>& time, const Variable<T, 3>& context,
                         std::vector<Variable<T, 4>>& skips) const {
    for (std::size_t j = 0; j < resnets.size(); ++j) {
      h = concat(h, skips.back(), 1);  // [N, C + C_skip, H, W]
      skips.pop_back();
      h = resnets[j].forward(h, time);
      if (!attentions.empty()) h = attentions[j].forward(h, context);
    }
    for (const auto& upsampler : upsamplers) h = upsampler.forward(h, skips.back().shape(2), skips.back().shape(3));
    return h;
  }
  template <class V>
  void visit(V&& v) {
    v("resnets", resnets);
    v("attentions", attentions);
    v("upsamplers", upsamplers);
  }
};

template <class T>
struct UNet {
  UNetConfig config;
  Conv2d<T> conv_in;
  TimestepEmbeddingMlp<T> time_embedding;
  std::vector<UNetDownBlock<T>> down_blocks;
  UNetMidBlock<T> mid_block;
  std::vector<UNetUpBlock<T>> up_blocks;
  GroupNorm<T> conv_norm_out;
  Conv2d<T> conv_out;

  explicit UNet(const UNetConfig& c)
      : config(checked(c)),
        conv_in(c.in_channels, c.block_out_channels[0], 3, same_padding(3)),
        time_embedding(c.block_out_channels[0], c.time_embed_dim()),
        mid_block(c.block_out_channels.back(), c),
        conv_norm_out(c.block_out_channels[0], c.norm_groups, c.norm_eps),
        conv_out(c.block_out_channels[0], c.out_channels, 3, same_padding(3)) {
    const std::size_t levels = c.block_out_channels.size();
    std::vector<Index> skips{c.block_out_channels[0]};  // channels of every skip, in the order in which they appear
    for (std::size_t i = 0; i < levels; ++i) {
      const Index in = c.block_out_channels[i == 0 ? 0 : i - 1], out = c.block_out_channels[i];
      const bool last = i + 1 == levels;
      down_blocks.emplace_back(in, out, c.attention_levels[i], last, c);
      for (Index j = 0; j < c.layers_per_block + (last ? 0 : 1); ++j) skips.push_back(out);
    }
    Index in = c.block_out_channels.back();
    for (std::size_t i = levels; i-- > 0;) {
      std::vector<Index> widths;  // one residual block more than on the way down takes the level's own input, too
      for (Index j = 0; j <= c.layers_per_block; ++j, skips.pop_back()) widths.push_back(skips.back());
      up_blocks.emplace_back(in, c.block_out_channels[i], widths, c.attention_levels[i], i == 0, c);
      in = c.block_out_channels[i];
    }
  }

  // x_t[N, C, H, W] noisy latents, t[N] timesteps (0..999, may be fractional), context[N, S, D'] -> [N, C, H, W]
  Variable<T, 4> forward(const Variable<T, 4>& x_t, const Tensor<T, 1>& t, const Variable<T, 3>& context) const {
    check_inputs(x_t, t, context);
    const Variable<T, 2> time = time_embedding.forward(Variable<T, 2>(sinusoids(t)));  // [N, 4C]
    Variable<T, 4> h = conv_in.forward(x_t);
    std::vector<Variable<T, 4>> skips{h};
    for (const auto& block : down_blocks) h = block.forward(h, time, context, skips);
    h = mid_block.forward(h, time, context);
    for (const auto& block : up_blocks) h = block.forward(h, time, context, skips);
    return observed(*this, conv_out.forward(norm_silu(conv_norm_out, h)));
  }

  // The timestep as waves of many lengths (Vaswani et al. 2017, section 3.5): [N] -> [N, C]. In float whatever T is:
  // the weights in the world were trained with it, and cos(t * w) at t = 999 shows the rounding of w.
  Tensor<T, 2> sinusoids(const Tensor<T, 1>& t) const {
    return kernels::timestep_embedding<float>(t.template cast<float>(), config.block_out_channels[0],
                                              kernels::TimestepEmbedding::ldm)
        .template cast<T>();
  }

  template <class V>
  void visit(V&& v) {
    v("conv_in", conv_in);
    v("time_embedding", time_embedding);
    v("down_blocks", down_blocks);
    v("mid_block", mid_block);
    v("up_blocks", up_blocks);
    v("conv_norm_out", conv_norm_out);
    v("conv_out", conv_out);
  }

 private:
  static const UNetConfig& checked(const UNetConfig& c) {
    if (c.block_out_channels.empty() || c.attention_levels.size() != c.block_out_channels.size())
      throw ConfigError("UNetConfig", "one attention flag for each of at least one level",
                        std::to_string(c.attention_levels.size()) + " flags for " +
                            std::to_string(c.block_out_channels.size()) + " levels");
    if (c.layers_per_block < 1) throw ConfigError("UNetConfig.layers_per_block", "at least 1", "less");
    for (Index width : c.block_out_channels)
      if (width < 1 || c.norm_groups < 1 || width % c.norm_groups != 0)
        throw ConfigError("UNetConfig.block_out_channels", "multiples of norm_groups", std::to_string(width));
    return c;
  }
  void check_inputs(const Variable<T, 4>& x_t, const Tensor<T, 1>& t, const Variable<T, 3>& context) const {
    if (x_t.shape(1) != config.in_channels)
      throw ShapeError("UNet x_t", std::to_string(config.in_channels) + " channels", to_string(x_t.shape()),
                       "an inpainting model has 9, a depth model 5");
    require_shape(t.shape(), Shape<1>{x_t.shape(0)}, "UNet t", "one timestep for each item of the batch");
    if (context.shape(0) != x_t.shape(0) || context.shape(2) != config.cross_attention_dim)
      throw ShapeError("UNet context",
                       to_string(Shape<3>{x_t.shape(0), context.shape(1), config.cross_attention_dim}),
                       to_string(context.shape()), "does the text encoder belong to this U-Net?");
  }
};

}  // namespace inkling
