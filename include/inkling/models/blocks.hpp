// The blocks that the U-Net and the autoencoder share: residual block, downsampling, upsampling.
#pragma once
#include <optional>

#include "inkling/nn/layers.hpp"

namespace inkling {

// silu(norm(x + shift)) in one operation; in its parts while somebody looks at what the norm puts out.
// x[N, C, H, W], shift[N, C] (undefined: none) -> [N, C, H, W]
template <class T>
Variable<T, 4> norm_silu(const GroupNorm<T>& norm, const Variable<T, 4>& x, const Variable<T, 2>& shift = {}) {
  if (outputs_observed<T>())
    return silu(norm.forward(shift.defined() ? add_per_channel(x, shift) : x));
  return group_norm_silu(x, shift, norm.weight.variable(), norm.bias.variable(), norm.groups, norm.eps);
}

// y = skip(x) + conv2(silu(norm2( conv1(silu(norm1(x))) + time )))
// The residual block of DDPM (Ho et al. 2020, appendix B); the autoencoder uses it without the time.
template <class T>
struct ResnetBlock2D {
  GroupNorm<T> norm1;
  Conv2d<T> conv1;
  std::optional<Linear<T>> time_emb_proj;
  GroupNorm<T> norm2;
  Conv2d<T> conv2;
  std::optional<Conv2d<T>> conv_shortcut;  // 1x1, only where the number of channels changes

  // time_width 0: no time
  ResnetBlock2D(Index in, Index out, Index time_width, Index groups, double eps)
      : norm1(in, groups, eps),
        conv1(in, out, 3, same_padding(3)),
        norm2(out, groups, eps),
        conv2(out, out, 3, same_padding(3)) {
    if (time_width > 0) time_emb_proj.emplace(time_width, out);
    if (in != out) conv_shortcut.emplace(in, out, 1);
  }

  // x[N, In, H, W], time[N, time_width] -> [N, Out, H, W]
  Variable<T, 4> forward(const Variable<T, 4>& x, const Variable<T, 2>& time = {}) const {
    Variable<T, 4> h = conv1.forward(norm_silu(norm1, x));  // [N, Out, H, W]
    h = norm_silu(norm2, h, time_emb_proj ? time_emb_proj->forward(silu(time)) : Variable<T, 2>());
    return observed(*this, conv2.forward_add(h, conv_shortcut ? conv_shortcut->forward(x) : x));
  }
  template <class V>
  void visit(V&& v) {
    v("norm1", norm1);
    v("conv1", conv1);
    v("time_emb_proj", time_emb_proj);
    v("norm2", norm2);
    v("conv2", conv2);
    v("conv_shortcut", conv_shortcut);
  }
};

// Half the side: a 3x3 convolution with stride 2. The U-Net pads every side by 1; the autoencoder pads only right and
// bottom (CompVis pads with (0, 1, 0, 1) and then convolves without padding).
template <class T>
struct Downsample2D {
  Conv2d<T> conv;

  Downsample2D(Index channels, bool pad_right_and_bottom_only) : conv(channels, channels, 3, same_padding(3, 2)) {
    if (pad_right_and_bottom_only) conv.options.padding = {/*top*/ 0, /*bottom*/ 1, /*left*/ 0, /*right*/ 1};
  }
  // [N, C, H, W] -> [N, C, ceil(H/2), ceil(W/2)] in the U-Net, floor in the autoencoder
  Variable<T, 4> forward(const Variable<T, 4>& x) const { return observed(*this, conv.forward(x)); }
  template <class V>
  void visit(V&& v) {
    v("conv", conv);
  }
};

// Twice the side: every pixel becomes 2x2, then a 3x3 convolution smooths the blocks.
template <class T>
struct Upsample2D {
  Conv2d<T> conv;

  explicit Upsample2D(Index channels) : conv(channels, channels, 3, same_padding(3)) {}
  // [N, C, H, W] -> [N, C, 2H, 2W], or cut to height x width where the way down rounded up
  Variable<T, 4> forward(const Variable<T, 4>& x, Index height = 0, Index width = 0) const {
    Variable<T, 4> y = upsample_nearest(x, 2);
    if (height && height != y.shape(2)) y = slice(y, 2, 0, height);
    if (width && width != y.shape(3)) y = slice(y, 3, 0, width);
    return observed(*this, conv.forward(y));
  }
  template <class V>
  void visit(V&& v) {
    v("conv", conv);
  }
};

}  // namespace inkling
