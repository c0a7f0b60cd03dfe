// The spatial transformer: where the words of the prompt enter the picture (Rombach et al. 2022, appendix E.2.1).
#pragma once
#include <optional>
#include <vector>

#include "inkling/models/config.hpp"
#include "inkling/nn/attention.hpp"

namespace inkling {

// Linear to 2 x 4D, then GEGLU: [..., D] -> [..., 4D]
template <class T>
struct GegluProjection {
  Linear<T> proj;

  GegluProjection(Index width, Index inner) : proj(width, 2 * inner, true, kernels::WeightUse::gated) {}
  Variable<T, 3> forward(const Variable<T, 3>& x) const { return observed(*this, proj.forward_geglu(x)); }
  template <class V>
  void visit(V&& v) {
    v("proj", proj);
  }
};

// [..., D] -> [..., 4D] -> [..., D], each token for itself
template <class T>
struct FeedForward {
  GegluProjection<T> net_0;
  Linear<T> net_2;

  explicit FeedForward(Index width) : net_0(width, 4 * width), net_2(4 * width, width) {}
  Variable<T, 3> forward(const Variable<T, 3>& x) const { return observed(*this, net_2.forward(net_0.forward(x))); }
  // residual + forward(x)
  Variable<T, 3> forward_add(const Variable<T, 3>& x, Variable<T, 3> residual) const {
    if (outputs_observed<T>()) return add(forward(x), std::move(residual));
    return net_2.forward_add(net_0.forward(x), std::move(residual));
  }
  template <class V>
  void visit(V&& v) {
    v("net.0", net_0);
    v("net.2", net_2);  // net.1 was a dropout, without weights
  }
};

// Pixels look at pixels, then at words, then each thinks for itself; every step is added to what was there.
template <class T>
struct BasicTransformerBlock {
  LayerNorm<T> norm1;
  Attention<T> attn1;  // self-attention
  LayerNorm<T> norm2;
  Attention<T> attn2;  // cross-attention to the context
  LayerNorm<T> norm3;
  FeedForward<T> ff;

  BasicTransformerBlock(Index width, Index heads, Index context_width)
      : norm1(width),
        attn1(width, width, heads),
        norm2(width),
        attn2(width, context_width, heads),
        norm3(width),
        ff(width) {}

  // x[N, L, D], context[N, S, D'] -> [N, L, D]
  Variable<T, 3> forward(Variable<T, 3> x, const Variable<T, 3>& context) const {
    Variable<T, 3> normed = norm1.forward(x);
    x = attn1.forward_add(normed, normed, std::move(x));  // x + attention(normed, normed)
    normed = norm2.forward(x);
    x = attn2.forward_add(normed, context, std::move(x));
    normed = norm3.forward(x);
    x = ff.forward_add(normed, std::move(x));
    return observed(*this, x);
  }
  template <class V>
  void visit(V&& v) {
    v("norm1", norm1);
    v("attn1", attn1);
    v("norm2", norm2);
    v("attn2", attn2);
    v("norm3", norm3);
    v("ff", ff);
  }
};

// A projection of the channels that SD 1.x stores as a 1x1 convolution [O, C, 1, 1] and SD 2.x as a matrix [O, C].
// The numbers and the result are the same; only the checkpoint's shape differs.
template <class T>
struct ChannelProjection {
  std::optional<Conv2d<T>> conv;
  std::optional<Linear<T>> linear;

  ChannelProjection(Index in, Index out, bool as_linear) {
    if (as_linear)
      linear.emplace(in, out);
    else
      conv.emplace(in, out, 1);
  }
  // [N, C, H, W] -> [N, H*W, O]
  Variable<T, 3> to_sequence(const Variable<T, 4>& x) const {
    return linear ? linear->forward(image_to_sequence(x)) : image_to_sequence(conv->forward(x));
  }
  // [N, H*W, C] -> residual[N, O, H, W] + the projection as an image
  Variable<T, 4> to_image_add(const Variable<T, 3>& x, const Variable<T, 4>& residual) const {
    const Index height = residual.shape(2), width = residual.shape(3);
    return linear ? add(sequence_to_image(linear->forward(x), height, width), residual)
                  : conv->forward_add(sequence_to_image(x, height, width), residual);
  }
  template <class V>
  void visit(V&& v) {
    if (conv) v("", *conv);
    if (linear) v("", *linear);
  }
};

// Image to tokens, transformer blocks, tokens to image, added to the input.
template <class T>
struct Transformer2D {
  GroupNorm<T> norm;
  ChannelProjection<T> proj_in;
  std::vector<BasicTransformerBlock<T>> transformer_blocks;
  ChannelProjection<T> proj_out;

  Transformer2D(Index channels, const UNetConfig& c)
      : norm(channels, c.norm_groups, 1e-6),  // 1e-6 in CompVis' SpatialTransformer, whatever the blocks use
        proj_in(channels, channels, c.linear_projection),
        proj_out(channels, channels, c.linear_projection) {
    for (Index i = 0; i < c.transformer_depth; ++i)
      transformer_blocks.emplace_back(channels, c.heads_at(channels), c.cross_attention_dim);
  }

  // x[N, C, H, W], context[N, S, D'] -> [N, C, H, W]
  Variable<T, 4> forward(const Variable<T, 4>& x, const Variable<T, 3>& context) const {
    Variable<T, 3> h = proj_in.to_sequence(norm.forward(x));  // [N, H*W, C]
    for (const auto& block : transformer_blocks) h = block.forward(std::move(h), context);
    return observed(*this, proj_out.to_image_add(h, x));
  }
  template <class V>
  void visit(V&& v) {
    v("norm", norm);
    v("proj_in", proj_in);
    v("transformer_blocks", transformer_blocks);
    v("proj_out", proj_out);
  }
};

}  // namespace inkling
