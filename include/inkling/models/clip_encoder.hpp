// The transformer encoder that CLIP's text and image towers share (Radford et al. 2021; Vaswani et al. 2017), with the
// names of Hugging Face's checkpoints.
#pragma once
#include <string>
#include <vector>

#include "inkling/nn/attention.hpp"

namespace inkling {

// The non-linearity that a config names. quick_gelu(x) = x * sigmoid(1.702 x), an approximation of gelu with the
// constant of Hendrycks & Gimpel 2016; OpenAI's CLIP was trained with it, OpenCLIP with the exact one.
inline Activation activation_from_name(const std::string& name, const char* where) {
  if (name == "quick_gelu") return Activation::quick_gelu;
  if (name == "gelu") return Activation::gelu;
  throw ConfigError(where, "quick_gelu or gelu", "'" + name + "'");
}

// Multi-head self-attention with biases everywhere; causal in the text tower: a word sees only what stands before it.
template <class T>
struct ClipAttention {
  Linear<T> q_proj, k_proj, v_proj, out_proj;
  kernels::AttentionOptions options;

  ClipAttention(Index width, Index heads, bool causal)
      : q_proj(width, width), k_proj(width, width), v_proj(width, width), out_proj(width, width) {
    if (heads < 1 || width % heads != 0)
      throw ConfigError("ClipAttention", "a width that the number of heads divides",
                        std::to_string(width) + " with " + std::to_string(heads) + " heads");
    options.heads = heads;
    options.causal = causal;
  }
  // x[N, L, D] -> [N, L, D]
  Variable<T, 3> forward(const Variable<T, 3>& x) const { return observed(*this, out_proj.forward(attend(x))); }
  // residual + forward(x)
  Variable<T, 3> forward_add(const Variable<T, 3>& x, Variable<T, 3> residual) const {
    if (outputs_observed<T>()) return add(forward(x), std::move(residual));
    return out_proj.forward_add(attend(x), std::move(residual));
  }
  // Before the heads' results are mixed
  Variable<T, 3> attend(const Variable<T, 3>& x) const {
    Variable<T, 3> q = q_proj.forward(x), k = k_proj.forward(x), v = v_proj.forward(x);
    observe_attention(*this, q, k, options);
    return attention_after(q_proj, q, k, v, options);
  }
  template <class V>
  void visit(V&& v) {
    v("q_proj", q_proj);
    v("k_proj", k_proj);
    v("v_proj", v_proj);
    v("out_proj", out_proj);
  }
};

template <class T>
struct ClipMlp {
  Linear<T> fc1, fc2;
  Activation kind;

  ClipMlp(Index width, Index inner, Activation activation_kind)
      : fc1(width, inner), fc2(inner, width), kind(activation_kind) {}
  Variable<T, 3> forward(const Variable<T, 3>& x) const {
    return observed(*this, fc2.forward(fc1.forward_activation(x, kind)));
  }
  // residual + forward(x)
  Variable<T, 3> forward_add(const Variable<T, 3>& x, Variable<T, 3> residual) const {
    if (outputs_observed<T>()) return add(forward(x), std::move(residual));
    return fc2.forward_add(fc1.forward_activation(x, kind), std::move(residual));
  }
  template <class V>
  void visit(V&& v) {
    v("fc1", fc1);
    v("fc2", fc2);
  }
};

// x += attention(norm(x));  x += mlp(norm(x))
template <class T>
struct ClipEncoderLayer {
  ClipAttention<T> self_attn;
  LayerNorm<T> layer_norm1;
  ClipMlp<T> mlp;
  LayerNorm<T> layer_norm2;

  ClipEncoderLayer(Index width, Index inner, Index heads, Activation kind, double eps, bool causal)
      : self_attn(width, heads, causal), layer_norm1(width, eps), mlp(width, inner, kind), layer_norm2(width, eps) {}
  Variable<T, 3> forward(Variable<T, 3> x) const {
    Variable<T, 3> normed = layer_norm1.forward(x);
    x = self_attn.forward_add(normed, std::move(x));  // x + self_attn(normed)
    normed = layer_norm2.forward(x);
    x = mlp.forward_add(normed, std::move(x));
    return observed(*this, x);
  }
  template <class V>
  void visit(V&& v) {
    v("self_attn", self_attn);
    v("layer_norm1", layer_norm1);
    v("mlp", mlp);
    v("layer_norm2", layer_norm2);
  }
};

template <class T>
struct ClipEncoder {
  std::vector<ClipEncoderLayer<T>> layers;

  ClipEncoder(Index count, Index width, Index inner, Index heads, Activation kind, double eps, bool causal) {
    for (Index i = 0; i < count; ++i) layers.emplace_back(width, inner, heads, kind, eps, causal);
  }
  // All layers but the last `skip`
  Variable<T, 3> forward(Variable<T, 3> x, Index skip = 0) const {
    const auto count = static_cast<Index>(layers.size());
    if (skip < 0 || skip >= count)
      throw ConfigError("CLIP skip_last_layers", "0 to " + std::to_string(count - 1), std::to_string(skip));
    for (Index i = 0; i < count - skip; ++i) x = layers[static_cast<std::size_t>(i)].forward(x);
    return x;
  }
  template <class V>
  void visit(V&& v) {
    v("layers", layers);
  }
};

}  // namespace inkling
