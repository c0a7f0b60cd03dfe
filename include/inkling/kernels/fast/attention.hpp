// Attention at machine speed, without ever storing the [L, S] matrix of weights. The formula stands in
// kernels/reference/attention.hpp.
//
// A block of queries meets the keys one block after another. A softmax can be computed that way (Milakov & Gimelshein
// 2018, "Online normalizer calculation for softmax", algorithm 3; Dao et al. 2022, "FlashAttention", algorithm 1): with
// the maximum m and the sum l over the keys seen so far,
//   m' = max(m, max_j s_j),   l' = l e^(m - m') + sum_j e^(s_j - m'),   y' = y e^(m - m') + sum_j e^(s_j - m') v_j
// and y / l at the end. m need not be the maximum, only near enough to it that nothing overflows: so it is looked for
// among the first 8 keys and afterwards only when a sum grows past 2^60. Then scores need not be seen twice: a tile of
// sums begins with -m, and becomes weights before it leaves its registers (attention_softmax.hpp).
//
// One self-attention of Stable Diffusion 1.5, 8 heads x 4096 queries x 4096 keys x 40, on one thread (AMD Zen 4,
// AVX-512: at most 118 GFLOP/s, 235 with products of bfloat16; g++ 12 -O3 -march=native; the fastest of several runs by
// processor time; products counted, not the 134 million exponentials; the machine was busy, which costs versions that
// read more memory most):
//                                                                                       ms   GFLOP/s   of the peak
//   two GEMMs of 128 queries x 512 keys, xsimd's exp, maximum and sum row by row        371        58          49 %
//   lanes are queries: nothing packed, nothing summed across lanes; own exponential     294        73          62 %
//   4 blocks of queries share a block of keys copied side by side                       253        85          72 %
//   8 blocks share it                                                                   242        89          75 %
//   keys and values put side by side once per head instead                              223        96          82 %
//   scores become weights in registers                                                  217        99          84 %
//   each weight stored as soon as it is there, no pointer waited for                    207       104          88 %
//   upper rows of a tile ahead of the lower ones, rows of heads asked for early         204       105          89 %
//   products of bfloat16 (attention_bf16.hpp)                                           120       179          76 %
//   exponentials of 13 bits for them                                                    116       185          79 %
//   twice as many keys in a block of them, which are half as large                      115       187          80 %
//   each weight stored as soon as it is there, no pointer waited for                    112       191          81 %
//   upper rows of a tile ahead of the lower ones, rows of heads asked for early         108       199          84 %
// With AVX2 (Zen 3: 103 GFLOP/s) fp32 takes 260 ms, 80 % of the peak; 4096 x 77 x 40 reaches 63 %, 4096^2 x 512 90 %.
// Other shapes with AVX-512, fp32 and bfloat16, of the peak: 1024^2 x 80 90 and 84 %, 256^2 x 160 90 and 83 %,
// 4096 x 77 x 40 77 and 61 %, 4096^2 x 512 with one head 96 and 91 %.
// What is left: the products alone would take 182 ms. With everything in the first-level cache a tile of 8 keys takes 960
// steps of multiply-adds and 140 for its exponentials and stores (120 of them multiply-adds; rounding, subtraction, the
// scaling by 2^n and the sum keep the adders busy for as long), a tile of 8 values 2304 and 30: 196 ms. Both miss that
// cache by 15 steps a tile, 3 ms; queries and results take 1 ms, and so do the copies of the heads.
// Tried and dropped: a longer or shorter block of keys, an unrolled loop over k, asking for the next keys ahead, values
// of a tile side by side (0.4 %), exponentials with a table or with the instruction for remainders, two or three of them
// at a time, or one after each step of the lower rows; stores of half a register; for few keys all heads of the same
// queries in a row, with and without asking for the next head's ahead.
#pragma once
#include "inkling/kernels/fast/attention_softmax.hpp"  // first

#include "inkling/kernels/fast/attention_backward.hpp"

namespace inkling::kernels::fast {

namespace attention_detail {

// So many keys at a time that their weights, 3 registers each, fill half of the first-level cache.
template <class Unit>
inline constexpr Index key_block = 96 * Arithmetic<Unit>::numbers;

// Up to 8 blocks of queries share the keys, but not so many that threads run out of work, nor that their q and y take
// more than the second-level cache. A block's own arithmetic is the same in any company.
struct QueryGroups {
  Index blocks, groups;
};
template <class T>
QueryGroups query_groups(const AttentionSizes& z) {
  const Index heads = z.batch * z.heads, blocks = query_blocks<T>(z.queries);
  const Index state_bytes = (z.width + z.value_width) * most_vectors * width<T> * static_cast<Index>(sizeof(T));
  const Index most = std::clamp<Index>(1024 * 1024 / std::max<Index>(1, state_bytes), 1, 8);
  const Index together = std::clamp<Index>(heads * blocks / (4 * num_threads()), 1, most);
  return {blocks, (blocks + together - 1) / together};
}

// Blocks of queries `begin`.. of one head, so many that they share a block of keys while it is in the cache.
// y [L, dv] with rows y_stride apart, lse [L]
template <class T, class Unit>
void attend(const Head<T, Unit>& head, Index first_block, Index blocks, T* y, Index y_stride, T* lse) {
  constexpr Index most_lanes = most_vectors * width<T>, numbers = Arithmetic<Unit>::numbers;
  constexpr Index most_keys = key_block<Unit>;
  const Index d = head.width, dv = head.value_width, units = (d + numbers - 1) / numbers;
  T* s = workspace<T, 3>((2 * most_keys + d) * most_lanes + blocks * (dv + 2) * most_lanes);
  T *scratch = s + most_keys * most_lanes, *states = scratch + std::max(most_keys, d) * most_lanes;
  Unit* p = workspace<Unit, 8>((most_keys / numbers + blocks * units) * most_lanes);
  Unit* queries = p + most_keys / numbers * most_lanes;
  const auto block = [&](Index b) { return query_block<T>(head.queries, first_block + b); };
  const auto softmax = [&](Index b) {
    T* m = states + b * (dv + 2) * most_lanes;
    return RunningSoftmax<Unit>{m, m + most_lanes, m + 2 * most_lanes};
  };
  const QueryBlock last = block(blocks - 1);
  const Index visible = head.visible_keys(last.begin + last.rows);
  for (Index j0 = 0; j0 < visible; j0 += most_keys) {
    const LeftRows<Unit> k{head.k + j0 * head.k_stride, head.k_stride};
    const LeftColumns<Unit> v{head.v + j0 / numbers * head.v_stride, head.v_stride};
    for (Index b = 0; b < blocks; ++b) {
      const QueryBlock i = block(b);
      const Index columns = std::min(most_keys, head.visible_keys(i.begin + i.rows) - j0), lanes = i.lanes;
      if (columns <= 0) continue;
      Unit* q = queries + b * units * most_lanes;
      if (j0 == 0) {
        // log2(e) goes into the scale, so that e^ becomes 2^.
        to_lanes(i, head.q + i.begin * head.q_stride, head.q_stride, d, static_cast<T>(head.scale * log2_e), scratch);
        units_of_rows(d, lanes, scratch, q);
        if (b + 1 < blocks) fetch_rows(block(b + 1), head.q, head.q_stride, d);
      }
      if (j0 + most_keys >= visible) fetch_rows(i, y, y_stride, dv);
      RunningSoftmax<Unit> state = softmax(b);
      const auto scores = [&](Index rows) {
        multiply(rows, i.vectors, units, k, q, lanes, s, rows, false);
        if (head.mask || head.causal) apply_masks(head, i, j0, rows, s, scratch);
      };
      with_vectors(i.vectors, [&]<Index V>(std::integral_constant<Index, V>) {
        Index done = 0;
        if (!head.mask && j0 == 0) {
          done = std::min(columns, most_rows);
          scores(done);
          state.template new_maximum<V>(done, s, p, true, dv);
          if (done == columns) return;
        }
        if (!head.mask && state.template keep_maximum<V>(head, i, j0, done, columns, k, q, units, p, scratch)) return;
        scores(columns);
        state.template new_maximum<V>(columns, s, p, j0 == 0, dv);
      });
      multiply(dv, i.vectors, (columns + numbers - 1) / numbers, v, p, lanes, state.y, dv, j0 > 0);
    }
  }
  for (Index b = 0; b < blocks; ++b) {
    const QueryBlock i = block(b);
    const RunningSoftmax<Unit> state = softmax(b);
    map(i.rows, lse + i.begin, [](const Vec<T>& m, const Vec<T>& l) {
      return m * Vec<T>(static_cast<T>(ln_2)) + log_of(l);
    }, state.m, state.l);
    map(i.lanes, state.l, [](const Vec<T>& l) {
      const Vec<T> zero(T(0));
      return select_if<Vec<T>>(l == zero, zero, Vec<T>(T(1)) / l);  // 0: no key visible
    }, state.l);
    for (Index c = 0; c < dv; ++c) {
      T* row = state.y + c * i.lanes;
      map(i.lanes, row, [](const Vec<T>& x, const Vec<T>& r) { return x * r; }, row, state.l);
    }
    transpose(state.y, i.lanes, dv, i.rows, y + i.begin * y_stride, y_stride);
  }
}

// All heads; head_of(n, a) tells where one lies.
template <class T, class HeadOf>
AttentionResult<T> attend_all(const AttentionSizes& z, const HeadOf& head_of) {
  AttentionResult<T> r{Tensor<T, 3>(Shape<3>{z.batch, z.queries, z.heads * z.value_width}, uninitialized),
                       Tensor<T, 3>(Shape<3>{z.batch, z.heads, z.queries}, uninitialized)};
  T *ys = r.y.data(), *lses = r.lse.data();
  const QueryGroups g = query_groups<T>(z);
  const Index groups = g.groups, heads = z.batch * z.heads, blocks = g.blocks;
  const Index work = heads * groups == 0 ? 0 : z.queries * z.keys * (z.width + z.value_width) / groups;
  for_each_task(heads * groups, work, [&](Index t) {
    const Index a = t / groups % z.heads, n = t / groups / z.heads;
    const Index begin = t % groups * blocks / groups, end = (t % groups + 1) * blocks / groups;
    const Index y_stride = z.heads * z.value_width;
    attend(head_of(n, a), begin, end - begin, ys + n * z.queries * y_stride + a * z.value_width, y_stride,
           lses + (n * z.heads + a) * z.queries);
  });
  return r;
}

}  // namespace attention_detail

// q [N, L, A*d], k [N, S, A*d], v [N, S, A*dv], mask [L, S] or nullptr -> y [N, L, A*dv], lse [N, A, L]
template <class T>
AttentionResult<T> attention(const Tensor<T, 3>& q, const Tensor<T, 3>& k, const Tensor<T, 3>& v,
                             const AttentionOptions& o, const Tensor<std::type_identity_t<T>, 2>* mask = nullptr) {
  using namespace attention_detail;
  const AttentionSizes z = checked_attention(q, k, v.shape(), o, mask, "attention");
  // Keys and values are put in order once for all who come by.
  const bool split = query_groups<T>(z).groups > 1 && z.heads > 1;
  const Tensor<T, 4> split_k = split ? split_heads(k, z.heads) : Tensor<T, 4>();
  const Tensor<T, 4> split_v = split ? split_heads(v, z.heads) : Tensor<T, 4>();
  return attend_all<T>(z, [&](Index n, Index a) { return Head<T>(z, o, q, k, v, split_k, split_v, mask, n, a); });
}

// The weights p themselves, which attention() never stores: for pictures of what a word looks at.
// q [N, L, A*d], k [N, S, A*d] -> p [N, A, L, S]
template <class T>
Tensor<T, 4> attention_probabilities(const Tensor<T, 3>& q, const Tensor<T, 3>& k, const AttentionOptions& o,
                                     const Tensor<std::type_identity_t<T>, 2>* mask = nullptr) {
  using namespace attention_detail;
  const AttentionSizes z = checked_attention(q, k, k.shape(), o, mask, "attention_probabilities");
  Tensor<T, 4> p(Shape<4>{z.batch, z.heads, z.queries, z.keys}, uninitialized);
  T* ps = p.data();
  const Index blocks = query_blocks<T>(z.queries), lanes = most_vectors * width<T>;
  for_each_task(z.batch * z.heads * blocks, lanes * z.keys * z.width, [&](Index t) {
    const Index head_index = t / blocks;
    const Head<T> head(z, o, q, k, k, {}, {}, mask, head_index / z.heads, head_index % z.heads);
    const QueryBlock i = query_block<T>(z.queries, t % blocks);
    T* s = workspace<T, 3>((2 * z.keys + z.width + 2) * lanes);
    T *scratch = s + z.keys * lanes, *queries = scratch + z.keys * lanes, *m = queries + z.width * lanes;
    RunningSoftmax<T> state{m, m + lanes, nullptr};
    const T factor = static_cast<T>(head.scale * log2_e);
    to_lanes(i, head.q + i.begin * head.q_stride, head.q_stride, z.width, factor, queries);
    multiply(z.keys, i.vectors, z.width, LeftRows<T>{head.k, head.k_stride}, queries, i.lanes, s, z.keys, false);
    apply_masks(head, i, 0, z.keys, s, scratch);
    with_vectors(i.vectors, [&]<Index V>(std::integral_constant<Index, V>) {
      state.template new_maximum<V>(z.keys, s, s, true, 0);
    });
    T* to = ps + (head_index * z.queries + i.begin) * z.keys;
    transpose(s, i.lanes, z.keys, i.rows, to, z.keys);
    for (Index e = 0; e < i.rows; ++e, to += z.keys) {
      if (state.l[e] == T(0)) continue;  // no key visible: zeros
      const T r = 1 / state.l[e];
      map(z.keys, to, [r](const Vec<T>& x) { return x * Vec<T>(r); }, to);
    }
  });
  return p;
}

}  // namespace inkling::kernels::fast
