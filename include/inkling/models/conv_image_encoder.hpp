// An image encoder for small pictures: convolutions on the way down, then the mean over the picture. CLIP had both
// kinds, ResNets and transformers (Radford et al. 2021, section 2.4); with few pictures to learn from, convolutions
// learn faster.
#pragma once
#include "inkling/models/blocks.hpp"

namespace inkling {

struct ConvImageEncoderConfig {
  Index image_size = 32, in_channels = 3;
  std::vector<Index> channels = {32, 64,
                                 96};  // one level each, half the side of the one before; the first at half of all
  Index hidden_size = 96;              // what comes out: the channels of the last level
  Index norm_groups = 8;
};

template <class T>
struct ConvImageEncoder {
  using Config = ConvImageEncoderConfig;
  Config config;
  std::vector<Conv2d<T>> down;  // to each level, stride 2
  std::vector<ResnetBlock2D<T>> blocks;
  GroupNorm<T> norm;

  explicit ConvImageEncoder(const Config& c) : config(c), norm(c.hidden_size, c.norm_groups, 1e-5) {
    if (c.channels.empty() || c.channels.back() != c.hidden_size)
      throw ConfigError("ConvImageEncoderConfig.channels", "levels, the last as wide as hidden_size",
                        std::to_string(c.channels.size()) + " levels");
    Index in = c.in_channels;
    for (std::size_t level = 0; level < c.channels.size(); ++level) {
      const Index kernel = level == 0 ? 5 : 3;
      down.emplace_back(in, c.channels[level], kernel, same_padding(kernel, 2));
      in = c.channels[level];
      blocks.emplace_back(in, in, /*time_width*/ 0, c.norm_groups, 1e-5);
    }
  }

  // pixels[N, 3, S, S] -> [N, C, s, s]
  Variable<T, 4> forward(const Variable<T, 4>& pixels) const {
    require_shape(pixels.shape(), Shape<4>{pixels.shape(0), config.in_channels, config.image_size, config.image_size},
                  "ConvImageEncoder");
    Variable<T, 4> h = pixels;
    for (std::size_t level = 0; level < blocks.size(); ++level) h = blocks[level].forward(down[level].forward(h));
    return norm_silu(norm, h);
  }
  // The mean over the picture -> [N, C]
  Variable<T, 2> pooled(const Variable<T, 4>& features) const {
    const Index side = features.shape(2);
    return reshape(avg_pool(features, {side, side, 0}), Shape<2>{features.shape(0), features.shape(1)});
  }
  template <class V>
  void visit(V&& v) {
    v("down", down);
    v("blocks", blocks);
    v("norm", norm);
  }
};

}  // namespace inkling
