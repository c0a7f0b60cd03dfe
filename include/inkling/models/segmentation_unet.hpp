// The U-Net that started it: a picture in, one number for every pixel out ("is this a cell?").
// Ronneberger, Fischer, Brox 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation", figure 1.
//
//   down    two 3x3 convolutions, then half the side and twice the channels, `depth` times
//   up      an up-convolution to twice the side and half the channels, beside it what the way down had at this size
//           (concatenated), two 3x3 convolutions; in the end one 1x1 convolution
//
// Two things differ from the paper. Its convolutions have no padding, so that 572x572 pixels become 388x388; here they
// are padded, and the output is as large as the input, as everybody does since. Each 3x3 convolution is followed by a
// group normalisation (Wu & He 2018), which the paper did not have: 23 layers deep it trains slowly without one. Group
// and not batch normalisation, since four crops a batch are too few for statistics over the batch, and since a picture's
// result shall not depend on its neighbours. norm_groups = 0 leaves it out: the paper's 31,031,685 numbers at width 64.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "inkling/nn/layers.hpp"

namespace inkling {

struct SegmentationUNetConfig {
  Index in_channels = 3, out_channels = 1;  // out: one logit for each kind of thing to be found
  Index width = 64;                         // channels at full size; doubled by each level
  Index depth = 4;                          // how often the side is halved: 64, 128, 256, 512, then 1024 at the bottom
  Index norm_groups = 4;                    // 0: no normalisation
  bool skip = true;                         // false: the way up sees the bottom alone, to show what is missing then

  // The side of a picture must be a multiple of it.
  Index multiple() const { return Index{1} << depth; }
  Index channels(Index level) const { return width << level; }
  void validate() const {
    const auto check = [](bool fits, const std::string& expected, const std::string& got) {
      if (!fits) throw ConfigError("SegmentationUNetConfig", expected, got);
    };
    check(in_channels >= 1 && out_channels >= 1 && in_channels <= 65536 && out_channels <= 65536,
          "1 to 65536 channels in and out", std::to_string(in_channels) + " and " + std::to_string(out_channels));
    check(depth >= 0 && depth <= 12, "a depth from 0 to 12", std::to_string(depth));
    check(width >= 1 && width <= 65536, "a width from 1 to 65536", std::to_string(width));
    check(norm_groups >= 0 && (norm_groups == 0 || width % norm_groups == 0),
          "a number of normalisation groups that divides the width " + std::to_string(width) + ", or 0 for none",
          std::to_string(norm_groups));
  }
};

// relu(norm(conv3x3(x))), twice
template <class T>
struct DoubleConv {
  Conv2d<T> conv1;
  std::optional<GroupNorm<T>> norm1;
  Conv2d<T> conv2;
  std::optional<GroupNorm<T>> norm2;

  DoubleConv(Index in, Index out, Index norm_groups)
      : conv1(in, out, 3, same_padding(3)), conv2(out, out, 3, same_padding(3)) {
    if (norm_groups > 0) norm1.emplace(out, norm_groups, 1e-5), norm2.emplace(out, norm_groups, 1e-5);
  }
  // x[N, In, H, W] -> [N, Out, H, W]
  Variable<T, 4> forward(const Variable<T, 4>& x) const {
    Variable<T, 4> h = conv1.forward(x);  // [N, Out, H, W]
    h = relu(norm1 ? norm1->forward(h) : h);
    h = conv2.forward(h);
    return observed(*this, relu(norm2 ? norm2->forward(h) : h));
  }
  template <class V>
  void visit(V&& v) {
    v("conv1", conv1);
    v("norm1", norm1);
    v("conv2", conv2);
    v("norm2", norm2);
  }
};

// One step of the way up.
template <class T>
struct UpLevel {
  ConvTranspose2d<T> up;  // [2C] -> [C], twice the side: 2x2 with stride 2, so that every pixel becomes four
  DoubleConv<T> block;

  UpLevel(Index channels, bool with_skip, Index norm_groups)
      : up(2 * channels, channels, 2, {.stride = 2}),
        block(with_skip ? 2 * channels : channels, channels, norm_groups) {}
  // x[N, 2C, H, W], skip[N, C, 2H, 2W] (undefined: none) -> [N, C, 2H, 2W]
  Variable<T, 4> forward(const Variable<T, 4>& x, const Variable<T, 4>& skip) const {
    const Variable<T, 4> h = up.forward(x);
    return observed(*this, block.forward(skip.defined() ? concat(skip, h, 1) : h));
  }
  template <class V>
  void visit(V&& v) {
    v("up", up);
    v("block", block);
  }
};

template <class T>
struct SegmentationUNet {
  SegmentationUNetConfig config;
  std::vector<DoubleConv<T>> down;  // finest first
  DoubleConv<T> bottom;
  std::vector<UpLevel<T>> up;  // coarsest first
  Conv2d<T> out;

  explicit SegmentationUNet(const SegmentationUNetConfig& c)
      : config((c.validate(), c)),
        bottom(c.depth ? c.channels(c.depth - 1) : c.in_channels, c.channels(c.depth), c.norm_groups),
        out(c.width, c.out_channels, 1) {
    for (Index level = 0; level < c.depth; ++level)
      down.emplace_back(level ? c.channels(level - 1) : c.in_channels, c.channels(level), c.norm_groups);
    for (Index level = c.depth; level-- > 0;) up.emplace_back(c.channels(level), c.skip, c.norm_groups);
  }

  // x[N, in_channels, H, W] in [0, 1] -> logits [N, out_channels, H, W]; above 0 means: more likely than not
  Variable<T, 4> forward(const Variable<T, 4>& x) const {
    const Index m = config.multiple();
    if (x.shape(1) != config.in_channels || x.shape(2) < 1 || x.shape(3) < 1 || x.shape(2) % m || x.shape(3) % m)
      throw ShapeError("SegmentationUNet",
                       std::to_string(config.in_channels) + " channels, height and width multiples of " +
                           std::to_string(m),
                       to_string(x.shape()), "segment() (train/segmentation.hpp) takes pictures of any size");
    std::vector<Variable<T, 4>> skips;
    Variable<T, 4> h = x;
    for (const DoubleConv<T>& level : down) {
      const Variable<T, 4> y = level.forward(h);
      skips.push_back(config.skip ? y : Variable<T, 4>());
      h = max_pool(y, {.kernel = 2, .stride = 2});
    }
    h = bottom.forward(h);
    for (const UpLevel<T>& level : up) {
      h = level.forward(h, skips.back());
      skips.pop_back();
    }
    return observed(*this, out.forward(h));
  }
  template <class V>
  void visit(V&& v) {
    v("down", down);
    v("bottom", bottom);
    v("up", up);
    v("out", out);
  }
};

}  // namespace inkling
