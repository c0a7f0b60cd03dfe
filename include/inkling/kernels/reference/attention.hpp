// Scaled dot-product attention with several heads (Vaswani et al. 2017, equation 1):
//   attention(Q, K, V) = softmax(scale Q K^T + mask) V,   scale = 1 / sqrt(d)
// Heads lie side by side in the last dimension: head a owns the columns a d .. a d + d - 1.
#pragma once
#include <limits>

#include "inkling/kernels/options.hpp"

namespace inkling::kernels::reference {

// s[i,j] = scale q_i . k_j + mask[i,j]; minus infinity where query i must not see key j
template <class T>
T attention_score(const Tensor<T, 3>& q, const Tensor<T, 3>& k, const AttentionSizes& z, bool causal,
                  const Tensor<T, 2>* mask, Index n, Index a, Index i, Index j) {
  if (causal && j > i) return -std::numeric_limits<T>::infinity();
  T dot = 0;
  for (Index c = a * z.width; c < (a + 1) * z.width; ++c) dot += q(n, i, c) * k(n, j, c);
  return static_cast<T>(z.scale) * dot + (mask ? (*mask)(i, j) : T{0});
}

// e^(s - lse); a query that may see no key at all (lse = -infinity) attends to nothing
template <class T>
T attention_weight(T score, T lse) {
  return std::isinf(lse) && lse < 0 ? T{0} : std::exp(score - lse);
}

template <class T>
AttentionSizes checked_attention(const Tensor<T, 3>& q, const Tensor<T, 3>& k, const Shape<3>& v,
                                 const AttentionOptions& o, const Tensor<T, 2>* mask, std::string_view where) {
  const Shape<2> mask_shape = mask ? mask->shape() : Shape<2>{};
  return attention_sizes(q.shape(), k.shape(), v, o, mask ? &mask_shape : nullptr, where);
}

// q [N, L, A*d], k [N, S, A*d], v [N, S, A*dv], mask [L, S] or nullptr -> y [N, L, A*dv], lse [N, A, L]
template <class T>
AttentionResult<T> attention(const Tensor<T, 3>& q, const Tensor<T, 3>& k, const Tensor<T, 3>& v,
                             const AttentionOptions& o, const Tensor<std::type_identity_t<T>, 2>* mask = nullptr) {
  const AttentionSizes z = checked_attention(q, k, v.shape(), o, mask, "attention");
  AttentionResult<T> r{Tensor<T, 3>(Shape<3>{z.batch, z.queries, z.heads * z.value_width}),
                       Tensor<T, 3>(Shape<3>{z.batch, z.heads, z.queries})};
  Tensor<T, 1> s(Shape<1>{z.keys});
  for (Index n = 0; n < z.batch; ++n)
    for (Index a = 0; a < z.heads; ++a)
      for (Index i = 0; i < z.queries; ++i) {
        T maximum = -std::numeric_limits<T>::infinity();
        for (Index j = 0; j < z.keys; ++j) {
          s(j) = attention_score(q, k, z, o.causal, mask, n, a, i, j);
          maximum = std::max(maximum, s(j));
        }
        // lse = log sum over j of  e^(s_j); the maximum is taken out so that e^ does not overflow
        T sum = 0;
        for (Index j = 0; j < z.keys; ++j) sum += attention_weight(s(j), maximum);
        r.lse(n, a, i) = maximum + std::log(sum);
        // y_i = sum over j of  p_ij v_j,   p_ij = e^(s_ij - lse_i)
        for (Index j = 0; j < z.keys; ++j)
          for (Index c = a * z.value_width; c < (a + 1) * z.value_width; ++c)
            r.y(n, i, c) += attention_weight(s(j), r.lse(n, a, i)) * v(n, j, c);
      }
  return r;
}

// dy [N, L, A*dv], and what the forward saw and returned -> dq [N, L, A*d], dk [N, S, A*d], dv [N, S, A*dv]
template <class T>
AttentionGradients<T> attention_backward(const Tensor<T, 3>& dy, const Tensor<T, 3>& q, const Tensor<T, 3>& k,
                                         const Tensor<T, 3>& v, const AttentionResult<T>& result,
                                         const AttentionOptions& o,
                                         const Tensor<std::type_identity_t<T>, 2>* mask = nullptr) {
  const AttentionSizes z = checked_attention(q, k, v.shape(), o, mask, "attention_backward");
  require_shape(dy.shape(), Shape<3>{z.batch, z.queries, z.heads * z.value_width}, "attention_backward dy");
  require_shape(result.y.shape(), dy.shape(), "attention_backward y");
  require_shape(result.lse.shape(), Shape<3>{z.batch, z.heads, z.queries}, "attention_backward lse");
  require_precise_lse(result.lse, "attention_backward lse");
  const T scale = static_cast<T>(z.scale);
  AttentionGradients<T> d{Tensor<T, 3>(q.shape()), Tensor<T, 3>(k.shape()), Tensor<T, 3>(v.shape())};
  for (Index n = 0; n < z.batch; ++n)
    for (Index a = 0; a < z.heads; ++a)
      for (Index i = 0; i < z.queries; ++i) {
        // softmax: ds_j = p_j (dp_j - sum over j' of  p_j' dp_j'), and that sum is dy_i . y_i
        T dy_y = 0;
        for (Index c = a * z.value_width; c < (a + 1) * z.value_width; ++c) dy_y += dy(n, i, c) * result.y(n, i, c);
        for (Index j = 0; j < z.keys; ++j) {
          const T p = attention_weight(attention_score(q, k, z, o.causal, mask, n, a, i, j), result.lse(n, a, i));
          // y_i += p_ij v_j   =>   dv_j += p_ij dy_i,  dp_ij = dy_i . v_j
          T dp = 0;
          for (Index c = a * z.value_width; c < (a + 1) * z.value_width; ++c) {
            d.dv(n, j, c) += p * dy(n, i, c);
            dp += dy(n, i, c) * v(n, j, c);
          }
          const T ds = p * (dp - dy_y);
          // s_ij = scale q_i . k_j   =>   dq_i += scale ds_ij k_j,  dk_j += scale ds_ij q_i
          for (Index c = a * z.width; c < (a + 1) * z.width; ++c) {
            d.dq(n, i, c) += scale * ds * k(n, j, c);
            d.dk(n, j, c) += scale * ds * q(n, i, c);
          }
        }
      }
  return d;
}

// The weights p themselves, which attention() never stores: for pictures of what a word looks at.
// q [N, L, A*d], k [N, S, A*d] -> p [N, A, L, S]
template <class T>
Tensor<T, 4> attention_probabilities(const Tensor<T, 3>& q, const Tensor<T, 3>& k, const AttentionOptions& o,
                                     const Tensor<std::type_identity_t<T>, 2>* mask = nullptr) {
  const AttentionSizes z = checked_attention(q, k, k.shape(), o, mask, "attention_probabilities");
  const Tensor<T, 3> lse = attention(q, k, k, o, mask).lse;
  Tensor<T, 4> p(Shape<4>{z.batch, z.heads, z.queries, z.keys});
  for (Index n = 0; n < z.batch; ++n)
    for (Index a = 0; a < z.heads; ++a)
      for (Index i = 0; i < z.queries; ++i)
        for (Index j = 0; j < z.keys; ++j)
          p(n, a, i, j) = attention_weight(attention_score(q, k, z, o.causal, mask, n, a, i, j), lse(n, a, i));
  return p;
}

}  // namespace inkling::kernels::reference
