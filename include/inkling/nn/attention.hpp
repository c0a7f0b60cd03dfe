// Multi-head attention as a module (Vaswani et al. 2017, section 3.2; cross-attention as in Rombach et al. 2022).
#pragma once
#include "inkling/nn/layers.hpp"

namespace inkling {

// Attention in the arithmetic of the layer that made its operands: where weights are stored in bfloat16 or 8 bits, its
// products are of bfloat16 too.
template <class T>
Variable<T, 3> attention_after(const Linear<T>& layer, const Variable<T, 3>& q, const Variable<T, 3>& k,
                               const Variable<T, 3>& v, const kernels::AttentionOptions& options) {
  if constexpr (Parameter<T, 2>::has_packed_form)
    if (const auto& w = layer.weight.packed_weight(); layer.weight.packed())
      if (w.type() == kernels::WeightType::bf16 || w.type() == kernels::WeightType::q8)
        return attention_bf16(q, k, v, options);
  return attention(q, k, v, options);
}

// Every token of x asks (query), every token of the context answers (key, value):
//   y = softmax(Q K^T / sqrt(d)) V,   Q = x W_q,  K = context W_k,  V = context W_v,   heads side by side in D
// With context = x it is self-attention; with the words of a prompt as context, cross-attention.
template <class T>
struct Attention {
  Linear<T> to_q, to_k, to_v, to_out;
  kernels::AttentionOptions options;

  // width of x, width of the context, number of heads; biases on q, k, v only in the autoencoder
  Attention(Index width, Index context_width, Index heads, bool qkv_bias = false)
      : to_q(width, width, qkv_bias),
        to_k(context_width, width, qkv_bias),
        to_v(context_width, width, qkv_bias),
        to_out(width, width) {
    options.heads = heads;
    if (heads < 1 || width % heads != 0)
      throw ConfigError("Attention", "a width that the number of heads divides",
                        std::to_string(width) + " with " + std::to_string(heads) + " heads");
  }

  // x[N, L, D], context[N, S, D'] -> [N, L, D]
  Variable<T, 3> forward(const Variable<T, 3>& x, const Variable<T, 3>& context) const {
    return observed(*this, to_out.forward(attend(x, context)));
  }
  // residual + forward(x, context)
  Variable<T, 3> forward_add(const Variable<T, 3>& x, const Variable<T, 3>& context, Variable<T, 3> residual) const {
    if (outputs_observed<T>()) return add(forward(x, context), std::move(residual));
    return to_out.forward_add(attend(x, context), std::move(residual));
  }
  // Before the heads' results are mixed
  Variable<T, 3> attend(const Variable<T, 3>& x, const Variable<T, 3>& context) const {
    Variable<T, 3> q = to_q.forward(x);              // [N, L, D]
    Variable<T, 3> k = to_k.forward(context);        // [N, S, D]
    const Variable<T, 3> v = to_v.forward(context);  // [N, S, D]
    observe_attention(*this, q, k, options);
    return attention_after(to_q, q, k, v, options);
  }
  template <class V>
  void visit(V&& v) {
    v("to_q", to_q);
    v("to_k", to_k);
    v("to_v", to_v);
    v("to_out.0", to_out);  // checkpoints number it: a dropout without weights came second
  }
};

}  // namespace inkling
