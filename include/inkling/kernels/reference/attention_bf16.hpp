// Attention as products of bfloat16 compute it: what is multiplied is rounded to bfloat16, everything else stays T.
// With x~ for x rounded, and scores in base 2, so that the scale takes up log2(e) before the queries are rounded:
//   s_ij = (scale log2(e) q_i)~ . k_j~ + log2(e) mask_ij,   m_i = ceil(max_j s_ij)
//   p_ij = 2^(s_ij - m_i),   l_i = sum_j p_ij,   y_i = 1 / l_i  sum_j p_ij~ v_j~
// m is a whole number: any other whole number multiplies every p by a power of two and changes no rounding.
#pragma once
#include <limits>

#include "inkling/core/half.hpp"
#include "inkling/kernels/reference/attention.hpp"

namespace inkling::kernels::reference {

template <class T>
T rounded_to_bfloat16(T x) {
  return static_cast<T>(static_cast<float>(static_cast<bfloat16>(static_cast<float>(x))));
}

// q [N, L, A*d], k [N, S, A*d], v [N, S, A*dv], mask [L, S] or nullptr -> y [N, L, A*dv], lse [N, A, L]
template <class T>
AttentionResult<T> attention_bf16(const Tensor<T, 3>& q, const Tensor<T, 3>& k, const Tensor<T, 3>& v,
                                  const AttentionOptions& o, const Tensor<std::type_identity_t<T>, 2>* mask = nullptr) {
  const AttentionSizes z = checked_attention(q, k, v.shape(), o, mask, "attention_bf16");
  const T ln_2 = static_cast<T>(0.6931471805599453), none = -std::numeric_limits<T>::infinity();
  const auto rounded = [](const Tensor<T, 3>& x, T factor) {
    Tensor<T, 3> y(x.shape());
    for (Index i = 0; i < x.size(); ++i) y.data()[i] = rounded_to_bfloat16(factor * x.data()[i]);
    return y;
  };
  const auto q_r = rounded(q, static_cast<T>(z.scale) / ln_2), k_r = rounded(k, T{1}), v_r = rounded(v, T{1});
  AttentionResult<T> r{Tensor<T, 3>(Shape<3>{z.batch, z.queries, z.heads * z.value_width}),
                       Tensor<T, 3>(Shape<3>{z.batch, z.heads, z.queries})};
  Tensor<T, 1> s(Shape<1>{z.keys});
  for (Index n = 0; n < z.batch; ++n)
    for (Index a = 0; a < z.heads; ++a)
      for (Index i = 0; i < z.queries; ++i) {
        T m = none;
        for (Index j = 0; j < z.keys; ++j) {
          T dot = 0;
          for (Index c = a * z.width; c < (a + 1) * z.width; ++c) dot += q_r(n, i, c) * k_r(n, j, c);
          const T added = mask ? (*mask)(i, j) : T{0};
          s(j) = o.causal && j > i ? none : dot + (added == none ? none : added / ln_2);
          m = std::max(m, std::ceil(s(j)));
        }
        T l = 0;
        for (Index j = 0; j < z.keys && m != none; ++j) {
          const T p = std::exp2(s(j) - m), p_r = rounded_to_bfloat16(p);
          l += p;
          for (Index c = a * z.value_width; c < (a + 1) * z.value_width; ++c) r.y(n, i, c) += p_r * v_r(n, j, c);
        }
        r.lse(n, a, i) = m * ln_2 + std::log(l);  // -infinity where no key is visible, and y stays zero
        for (Index c = a * z.value_width; c < (a + 1) * z.value_width && l != T{0}; ++c) r.y(n, i, c) /= l;
      }
  return r;
}

}  // namespace inkling::kernels::reference
