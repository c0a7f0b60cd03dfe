// Attention with products of bfloat16: queries (times their scale), keys, values and the weights of the softmax are
// rounded before they are multiplied; sums, maximum and exponentials stay fp32. The formula, so rounded, stands in
// kernels/reference/attention_bf16.hpp.
#pragma once
#include "inkling/kernels/fast/attention.hpp"  // first

#include <concepts>

namespace inkling::kernels::fast {

// q [N, L, A*d], k [N, S, A*d], v [N, S, A*dv], mask [L, S] or nullptr -> y [N, L, A*dv], lse [N, A, L]
template <std::same_as<float> T>
AttentionResult<T> attention_bf16(const Tensor<T, 3>& q, const Tensor<T, 3>& k, const Tensor<T, 3>& v,
                                  const AttentionOptions& o, const Tensor<std::type_identity_t<T>, 2>* mask = nullptr) {
  using namespace attention_detail;
  const AttentionSizes z = checked_attention(q, k, v.shape(), o, mask, "attention_bf16");
  const RoundedHeads heads(z, k.data(), v.data());
  return attend_all<T>(z, [&](Index n, Index a) {
    return Head<T, Bf16Unit>(z, o, q, heads.keys(n, a), heads.key_row(), heads.values(n, a), z.value_width, mask, n,
                                 a);
  });
}

}  // namespace inkling::kernels::fast
