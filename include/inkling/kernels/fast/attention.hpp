// Attention at machine speed, without ever storing the [L, S] matrix of weights. The formula stands in
// kernels/reference/attention.hpp.
//
// A block of queries meets the keys one block after another. A softmax can be computed that way (Milakov & Gimelshein
// 2018, "Online normalizer calculation for softmax", algorithm 3; Dao et al. 2022, FlashAttention): with the maximum m
// and the sum l over the keys seen so far,
//   m' = max(m, max_j s_j),   l' = l e^(m - m') + sum_j e^(s_j - m'),   y' = y e^(m - m') + sum_j e^(s_j - m') v_j
// and y / l at the end. The scores of one pair of blocks stay in the second-level cache; the two products are the GEMM.
#pragma once
#include "inkling/kernels/fast/gemm.hpp"  // first

#include <limits>

#include "inkling/kernels/fast/vector.hpp"
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::fast {

inline constexpr Index query_block = 128, key_block = 512;  // 256 KB of float scores

// x * factor
template <class T>
struct Scale {
  T factor;
  template <class V>
  V operator()(const V& x, Index, Index) const {
    return x * V(factor);
  }
};

template <class T>
AttentionSizes checked_attention(const Tensor<T, 3>& q, const Tensor<T, 3>& k, const Shape<3>& v,
                                 const AttentionOptions& o, const Tensor<T, 2>* mask, std::string_view where) {
  const Shape<2> mask_shape = mask ? mask->shape() : Shape<2>{};
  return attention_sizes(q.shape(), k.shape(), v, o, mask ? &mask_shape : nullptr, where);
}

// What belongs to one head of one batch element; rows are heads * width apart.
template <class T>
struct AttentionHead {
  const T *q, *k, *v;
  Index q_stride, v_stride, width, value_width;
  T scale;
  bool causal;
  const T* mask;  // [L, keys], or nullptr
  Index keys;

  AttentionHead(const AttentionSizes& z, const AttentionOptions& o, const Tensor<T, 3>& qs, const Tensor<T, 3>& ks,
                const Tensor<T, 3>& vs, const Tensor<T, 2>* m, Index n, Index a)
      : q(qs.data() + n * z.queries * z.heads * z.width + a * z.width),
        k(ks.data() + n * z.keys * z.heads * z.width + a * z.width),
        v(vs.data() + n * z.keys * z.heads * z.value_width + a * z.value_width),
        q_stride(z.heads * z.width),
        v_stride(z.heads * z.value_width),
        width(z.width),
        value_width(z.value_width),
        scale(static_cast<T>(z.scale)),
        causal(o.causal),
        mask(m ? m->data() : nullptr),
        keys(z.keys) {}

  // Keys that queries before `end` may see.
  Index visible_keys(Index end) const { return causal ? std::min(keys, end) : keys; }

  // s[i, j] = scale q_i . k_j + mask[i, j] for queries i0.. and keys j0..; minus infinity where i must not see j
  void scores(Index i0, Index rows, Index j0, Index columns, T* s) const {
    gemm<T>(rows, columns, width, LeftMatrix<T>{q + i0 * q_stride, q_stride},
            RightTransposed<T>{k + j0 * q_stride, q_stride}, MatrixOut<T>{s, columns}, false, Scale<T>{scale});
    for (Index i = 0; i < rows; ++i) {
      T* row = s + i * columns;
      if (mask)
        map(columns, row, [](const auto& x, const auto& m) { return x + m; }, row, mask + (i0 + i) * keys + j0);
      if (causal && i0 + i + 1 < j0 + columns)
        std::fill(row + std::max<Index>(0, i0 + i + 1 - j0), row + columns, -std::numeric_limits<T>::infinity());
    }
  }
};

// p_j = e^(s_j - shift) in place; returns the sum of p. A row of minus infinities (no key visible) becomes zeros.
template <class T>
T exponentials(Index n, T* s, T shift) {
  using std::exp;
  if (std::isinf(shift) && shift < 0) shift = 0;
  const Vec<T> shifts(shift);
  Vec<T> sum(T(0));
  Index j = 0;
  for (; j + width<T> <= n; j += width<T>) {
    const Vec<T> p = exp(load(s + j) - shifts);
    store(s + j, p);
    sum = sum + p;
  }
  T total = static_cast<T>(lane_sum<T>(sum));
  if (j < n) {
    store_part<T>(s + j, exp(load_part(s + j, n - j) - shifts), n - j);
    for (; j < n; ++j) total += s[j];
  }
  return total;
}

// body(i) for i < count, on several threads if a call's multiply-adds make it worth while
template <class Body>
void for_each_head(Index count, Index work, const Body& body) {
  if (static_cast<double>(count) * static_cast<double>(work) > 1e6)
    parallel_for_dynamic(count, body);
  else
    for (Index i = 0; i < count; ++i) body(i);
}

// q [N, L, A*d], k [N, S, A*d], v [N, S, A*dv], mask [L, S] or nullptr -> y [N, L, A*dv], lse [N, A, L]
template <class T>
AttentionResult<T> attention(const Tensor<T, 3>& q, const Tensor<T, 3>& k, const Tensor<T, 3>& v,
                             const AttentionOptions& o, const Tensor<std::type_identity_t<T>, 2>* mask = nullptr) {
  const AttentionSizes z = checked_attention(q, k, v.shape(), o, mask, "attention");
  AttentionResult<T> r{Tensor<T, 3>(Shape<3>{z.batch, z.queries, z.heads * z.value_width}),
                       Tensor<T, 3>(Shape<3>{z.batch, z.heads, z.queries}, uninitialized)};
  T *ys = r.y.data(), *lses = r.lse.data();
  const Index blocks = (z.queries + query_block - 1) / query_block;
  const Index work = std::min(query_block, z.queries) * z.keys * (z.width + z.value_width);
  for_each_head(z.batch * z.heads * blocks, work, [&](Index t) {
    const Index i0 = t % blocks * query_block, a = t / blocks % z.heads, n = t / blocks / z.heads;
    const Index rows = std::min(query_block, z.queries - i0);
    const AttentionHead<T> head(z, o, q, k, v, mask, n, a);
    T* y = ys + (n * z.queries + i0) * head.v_stride + a * z.value_width;
    T* lse = lses + (n * z.heads + a) * z.queries + i0;
    T* s = workspace<T, 3>(query_block * key_block);
    std::array<T, query_block> m, l;
    m.fill(-std::numeric_limits<T>::infinity());
    l.fill(T(0));
    const Index visible = head.visible_keys(i0 + rows);
    for (Index j0 = 0; j0 < visible; j0 += key_block) {
      const Index columns = std::min(key_block, visible - j0);
      head.scores(i0, rows, j0, columns, s);
      for (Index i = 0; i < rows; ++i) {
        const std::size_t e = static_cast<std::size_t>(i);
        const T before = m[e];
        m[e] = std::max(before, max_of(columns, s + i * columns));
        const T sum = exponentials(columns, s + i * columns, m[e]);
        const T fade = before == m[e] ? T(1) : std::exp(before - m[e]);  // also when both are minus infinity
        l[e] = l[e] * fade + sum;
        if (fade != T(1) && j0 > 0)
          map(z.value_width, y + i * head.v_stride, [fade](const auto& x) { return x * fade; }, y + i * head.v_stride);
      }
      gemm<T>(rows, z.value_width, columns, LeftMatrix<T>{s, columns},
              RightMatrix<T>{head.v + j0 * head.v_stride, head.v_stride}, MatrixOut<T>{y, head.v_stride}, true);
    }
    for (Index i = 0; i < rows; ++i) {
      const std::size_t e = static_cast<std::size_t>(i);
      lse[i] = m[e] + std::log(l[e]);
      if (l[e] == T(0)) continue;  // no key visible: y is zero
      const T r_l = 1 / l[e];
      map(z.value_width, y + i * head.v_stride, [r_l](const auto& x) { return x * r_l; }, y + i * head.v_stride);
    }
  });
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
  AttentionGradients<T> d{Tensor<T, 3>(q.shape()), Tensor<T, 3>(k.shape()), Tensor<T, 3>(v.shape())};
  const T *dys = dy.data(), *ys = result.y.data(), *lses = result.lse.data();
  T *dqs = d.dq.data(), *dks = d.dk.data(), *dvs = d.dv.data();
  // One head at a time, because all its queries add to dk and dv, always in the same order.
  for_each_head(z.batch * z.heads, z.queries * z.keys * (3 * z.width + 2 * z.value_width), [&](Index t) {
    const Index a = t % z.heads, n = t / z.heads;
    const AttentionHead<T> head(z, o, q, k, v, mask, n, a);
    const Index qs = head.q_stride, vs = head.v_stride;
    T* dk = dks + n * z.keys * qs + a * z.width;
    T* dv = dvs + n * z.keys * vs + a * z.value_width;
    T* p = workspace<T, 3>(query_block * key_block);
    T* ds = workspace<T, 4>(query_block * key_block);
    for (Index i0 = 0; i0 < z.queries; i0 += query_block) {
      const Index rows = std::min(query_block, z.queries - i0), visible = head.visible_keys(i0 + rows);
      const Index at = (n * z.queries + i0) * vs + a * z.value_width;
      const T *dy_i = dys + at, *y_i = ys + at, *lse = lses + (n * z.heads + a) * z.queries + i0;
      // softmax: ds_j = p_j (dp_j - sum_j' p_j' dp_j'), and that sum is dy_i . y_i
      std::array<T, query_block> dy_y;
      for (Index i = 0; i < rows; ++i)
        dy_y[static_cast<std::size_t>(i)] = static_cast<T>(sum_of<T>(
            z.value_width, [](const auto& g, const auto& x) { return g * x; }, dy_i + i * vs, y_i + i * vs));
      for (Index j0 = 0; j0 < visible; j0 += key_block) {
        const Index columns = std::min(key_block, visible - j0);
        // p_ij = e^(s_ij - lse_i): the forward's weights, computed again instead of kept
        head.scores(i0, rows, j0, columns, p);
        for (Index i = 0; i < rows; ++i) exponentials(columns, p + i * columns, lse[i]);
        // y_i = sum_j p_ij v_j   =>   dv_j += p_ij dy_i,  dp_ij = dy_i . v_j
        gemm<T>(columns, z.value_width, rows, p, columns, true, dy_i, vs, false, dv + j0 * vs, vs, true);
        gemm<T>(rows, columns, z.value_width, dy_i, vs, false, head.v + j0 * vs, vs, true, ds, columns);
        for (Index i = 0; i < rows; ++i) {
          const Vec<T> sum(dy_y[static_cast<std::size_t>(i)]), scale(head.scale);
          T* row = ds + i * columns;
          map(columns, row, [&](const Vec<T>& pv, const Vec<T>& dp) { return pv * (dp - sum) * scale; },
              p + i * columns, row);
        }
        // s_ij = scale q_i . k_j   =>   dq_i += scale ds_ij k_j,  dk_j += scale ds_ij q_i
        gemm<T>(rows, z.width, columns, ds, columns, false, head.k + j0 * qs, qs, false,
                dqs + (n * z.queries + i0) * qs + a * z.width, qs, true);
        gemm<T>(columns, z.width, rows, ds, columns, true, head.q + i0 * qs, qs, false, dk + j0 * qs, qs, true);
      }
    }
  });
  return d;
}

// The weights p themselves, which attention() never stores: for pictures of what a word looks at.
// q [N, L, A*d], k [N, S, A*d] -> p [N, A, L, S]
template <class T>
Tensor<T, 4> attention_probabilities(const Tensor<T, 3>& q, const Tensor<T, 3>& k, const AttentionOptions& o,
                                     const Tensor<std::type_identity_t<T>, 2>* mask = nullptr) {
  const AttentionSizes z = checked_attention(q, k, k.shape(), o, mask, "attention_probabilities");
  Tensor<T, 4> p(Shape<4>{z.batch, z.heads, z.queries, z.keys}, uninitialized);
  T* ps = p.data();
  for_each_head(z.batch * z.heads, z.queries * z.keys * z.width, [&](Index t) {
    const AttentionHead<T> head(z, o, q, k, k, mask, t / z.heads, t % z.heads);
    T* s = ps + t * z.queries * z.keys;
    head.scores(0, z.queries, 0, z.keys, s);
    for (Index i = 0; i < z.queries; ++i, s += z.keys) {
      const T sum = exponentials(z.keys, s, max_of(z.keys, s));
      if (sum == T(0)) continue;
      const T r_sum = 1 / sum;
      map(z.keys, s, [r_sum](const auto& x) { return x * r_sum; }, s);
    }
  });
  return p;
}

}  // namespace inkling::kernels::fast
