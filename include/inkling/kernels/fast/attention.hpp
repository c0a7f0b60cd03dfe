// Attention at machine speed, without ever storing the [L, S] matrix of weights. The formula stands in
// kernels/reference/attention.hpp.
//
// A block of queries meets the keys one block after another. A softmax can be computed that way (Milakov & Gimelshein
// 2018, "Online normalizer calculation for softmax", algorithm 3; Dao et al. 2022, "FlashAttention", algorithm 1): with
// the maximum m and the sum l over the keys seen so far,
//   m' = max(m, max_j s_j),   l' = l e^(m - m') + sum_j e^(s_j - m'),   y' = y e^(m - m') + sum_j e^(s_j - m') v_j
// and y / l at the end. m need not be the maximum, only near enough to it that nothing overflows: so it is looked for
// in the first block of keys and afterwards only when a sum grows past 2^24. The scores of one pair of blocks stay in
// the first-level cache.
//
// One self-attention of Stable Diffusion 1.5, 8 heads x 4096 queries x 4096 keys x 40, on one thread (AMD Zen 4,
// AVX-512: at most 118 GFLOP/s; g++ 12 -O3 -march=native; the fastest of several runs by processor time; products
// counted, not the 134 million exponentials; the machine was busy, which costs versions that read more memory most):
//                                                                                       ms   GFLOP/s   of the peak
//   two GEMMs of 128 queries x 512 keys, xsimd's exp, maximum and sum row by row        371        58          49 %
//   lanes are queries: nothing packed, nothing summed across lanes; own exponential     294        73          62 %
//   4 blocks of queries share a block of keys copied side by side                       253        85          72 %
//   8 blocks share it                                                                   242        89          75 %
//   keys and values put side by side once per head instead                              227        94          80 %
// Tried and dropped: a longer or shorter block of keys, an unrolled loop over k, asking for the next keys ahead.
#pragma once
#include "inkling/kernels/fast/attention_tiles.hpp"  // first

#include "inkling/kernels/fast/attention_backward.hpp"

namespace inkling::kernels::fast {

namespace attention_detail {

inline constexpr Index key_block = 96;

// The running softmax of a block of queries over the keys seen so far. Scores and maximum count in base 2.
template <class T>
struct RunningSoftmax {
  T* q;       // [d, lanes]
  T* y;       // [dv, lanes]: sum over keys of  2^(s - m) v
  T *m, *l;   // [lanes]: maximum, and sum over keys of  2^(s - m)

  // s [columns, lanes] -> p = 2^(s - m) in place, and l += sum of p, with the maximum of the blocks before. A new
  // maximum does no harm as long as nothing overflows: false if a sum got too large, and then only s has changed.
  template <Index V>
  bool keep_maximum(Index columns, T* s) {
    const auto sum = exponentials<V>(columns, s, load_all<V>(m));
    for (const Vec<T>& x : sum)
      if (!below(x, T(1 << 24))) return false;
    add<V>(sum);
    return true;
  }

  // The same with a new maximum m' = max(m, max s):  l and y are multiplied by 2^(m - m').
  template <Index V>
  void new_maximum(Index columns, T* s, bool first, Index value_width) {
    const Vec<T> nothing(-std::numeric_limits<T>::infinity());
    std::array<Vec<T>, V> top, fade;
    top.fill(nothing);
    for (Index j = 0; j < columns; ++j)
      for (Index v = 0; v < V; ++v) at(top, v) = maximum<Vec<T>>(load(s + (j * V + v) * width<T>), at(top, v));
    for (Index v = 0; v < V; ++v) {
      const Vec<T> before = load(m + v * width<T>), now = maximum<Vec<T>>(at(top, v), before);
      store(m + v * width<T>, now);
      at(top, v) = select_if<Vec<T>>(now > nothing, now, Vec<T>(T(0)));  // 0 where no key has been visible yet
      at(fade, v) = power_of_two<T>(before - at(top, v));
      store(l + v * width<T>, load(l + v * width<T>) * at(fade, v));
    }
    if (!first)
      for (Index i = 0; i < value_width * V; ++i) store(y + i * width<T>, load(y + i * width<T>) * at(fade, i % V));
    add<V>(exponentials<V>(columns, s, top));
  }

 private:
  template <class A>
  static auto& at(A& array, Index i) {
    return array[static_cast<std::size_t>(i)];
  }
  template <Index V>
  static std::array<Vec<T>, V> load_all(const T* x) {
    std::array<Vec<T>, V> all;
    for (Index v = 0; v < V; ++v) at(all, v) = load(x + v * width<T>);
    return all;
  }
  template <Index V>
  void add(const std::array<Vec<T>, V>& sum) {
    for (Index v = 0; v < V; ++v) store(l + v * width<T>, load(l + v * width<T>) + at(sum, v));
  }
  static bool below(const Vec<T>& x, T limit) {
    std::array<T, static_cast<std::size_t>(width<T>)> lane;
    store(lane.data(), x);
    return std::all_of(lane.begin(), lane.end(), [=](T e) { return e < limit; });  // false for NaN
  }
  // The sums are an array of this function, and the loop over v is a fold: so they stay in registers.
  template <std::size_t... v>
  static std::array<Vec<T>, sizeof...(v)> exponentials(Index columns, T* s, std::array<Vec<T>, sizeof...(v)> shift,
                                                       std::index_sequence<v...>) {
    constexpr Index step = static_cast<Index>(sizeof...(v)) * width<T>;
    Vec<T> sum[] = {(void(v), Vec<T>(T(0)))...};
    for (Index j = 0; j < columns; ++j, s += step) {
      const Vec<T> p[] = {power_of_two<T>(load(s + static_cast<Index>(v) * width<T>) - shift[v])...};
      (store(s + static_cast<Index>(v) * width<T>, p[v]), ...);
      ((sum[v] = sum[v] + p[v]), ...);
    }
    return {sum[v]...};
  }
  template <Index V>
  static std::array<Vec<T>, V> exponentials(Index columns, T* s, const std::array<Vec<T>, V>& shift) {
    return exponentials(columns, s, shift, std::make_index_sequence<static_cast<std::size_t>(V)>{});
  }
};

// Blocks of queries `begin`.. of one head, so many that they share a block of keys while it is in the cache.
// y [L, dv] with rows y_stride apart, lse [L]
template <class T>
void attend(const Head<T>& head, Index first_block, Index blocks, T* y, Index y_stride, T* lse) {
  constexpr Index most_lanes = most_vectors * width<T>;
  const Index d = head.width, dv = head.value_width, state_size = (d + dv + 2) * most_lanes;
  T* s = workspace<T, 3>(2 * key_block * most_lanes + blocks * state_size);
  T *mask = s + key_block * most_lanes, *states = mask + key_block * most_lanes;
  const auto block = [&](Index b) { return query_block<T>(head.queries, first_block + b); };
  const auto softmax = [&](Index b) {
    T* q = states + b * state_size;
    T* m = q + (d + dv) * most_lanes;
    return RunningSoftmax<T>{q, q + d * most_lanes, m, m + most_lanes};
  };
  for (Index b = 0; b < blocks; ++b) {
    const QueryBlock i = block(b);
    const RunningSoftmax<T> state = softmax(b);
    std::fill_n(state.m, i.lanes, -std::numeric_limits<T>::infinity());
    std::fill_n(state.l, i.lanes, T(0));
    // log2(e) goes into the scale, so that e^ becomes 2^.
    to_lanes(i, head.q + i.begin * head.q_stride, head.q_stride, d, static_cast<T>(head.scale * log2_e), state.q);
  }
  const QueryBlock last = block(blocks - 1);
  const Index visible = head.visible_keys(last.begin + last.rows);
  for (Index j0 = 0; j0 < visible; j0 += key_block) {
    const T *k = head.k + j0 * head.k_stride, *v = head.v + j0 * head.v_stride;
    for (Index b = 0; b < blocks; ++b) {
      const QueryBlock i = block(b);
      const Index columns = std::min(key_block, head.visible_keys(i.begin + i.rows) - j0), lanes = i.lanes;
      if (columns <= 0) continue;
      RunningSoftmax<T> state = softmax(b);
      const auto scores = [&] {
        multiply<T>(columns, i.vectors, d, {k, head.k_stride, 1}, state.q, lanes, s, lanes, false);
      };
      scores();
      with_vectors(i.vectors, [&]<Index V>(std::integral_constant<Index, V>) {
        const bool masked = head.mask || (head.causal && j0 + columns > i.begin + 1);
        if (j0 > 0 && !masked) {
          if (state.template keep_maximum<V>(columns, s)) return;
          scores();
        }
        if (masked) apply_masks(head, i, j0, columns, s, mask);
        state.template new_maximum<V>(columns, s, j0 == 0, dv);
      });
      multiply<T>(dv, i.vectors, columns, {v, 1, head.v_stride}, s, lanes, state.y, lanes, j0 > 0);
    }
  }
  for (Index b = 0; b < blocks; ++b) {
    const QueryBlock i = block(b);
    const RunningSoftmax<T> state = softmax(b);
    for (Index e = 0; e < i.rows; ++e) lse[i.begin + e] = state.m[e] * static_cast<T>(ln_2) + std::log(state.l[e]);
    for (Index e = 0; e < i.lanes; ++e) state.l[e] = state.l[e] == T(0) ? T(0) : 1 / state.l[e];  // 0: no key visible
    for (Index c = 0; c < dv; ++c) {
      T* row = state.y + c * i.lanes;
      map(i.lanes, row, [](const Vec<T>& x, const Vec<T>& r) { return x * r; }, row, state.l);
    }
    transpose(state.y, i.lanes, dv, i.rows, y + i.begin * y_stride, y_stride);
  }
}

}  // namespace attention_detail

// q [N, L, A*d], k [N, S, A*d], v [N, S, A*dv], mask [L, S] or nullptr -> y [N, L, A*dv], lse [N, A, L]
template <class T>
AttentionResult<T> attention(const Tensor<T, 3>& q, const Tensor<T, 3>& k, const Tensor<T, 3>& v,
                             const AttentionOptions& o, const Tensor<std::type_identity_t<T>, 2>* mask = nullptr) {
  using namespace attention_detail;
  const AttentionSizes z = checked_attention(q, k, v.shape(), o, mask, "attention");
  AttentionResult<T> r{Tensor<T, 3>(Shape<3>{z.batch, z.queries, z.heads * z.value_width}, uninitialized),
                       Tensor<T, 3>(Shape<3>{z.batch, z.heads, z.queries}, uninitialized)};
  T *ys = r.y.data(), *lses = r.lse.data();
  // Up to 8 blocks of queries share the keys, but not so many that threads run out of work, nor that their q and y
  // take more than the second-level cache. A block's own arithmetic is the same in any company.
  const Index heads = z.batch * z.heads, blocks = query_blocks<T>(z.queries);
  const Index state_bytes = (z.width + z.value_width) * most_vectors * width<T> * static_cast<Index>(sizeof(T));
  const Index most = std::clamp<Index>(1024 * 1024 / std::max<Index>(1, state_bytes), 1, 8);
  const Index together = std::clamp<Index>(heads * blocks / (4 * num_threads()), 1, most);
  const Index groups = (blocks + together - 1) / together;
  // Keys and values are put in order once for all who come by.
  const bool split = groups > 1 && z.heads > 1;
  const Tensor<T, 4> split_k = split ? split_heads(k, z.heads) : Tensor<T, 4>();
  const Tensor<T, 4> split_v = split ? split_heads(v, z.heads) : Tensor<T, 4>();
  const Index work = heads * groups == 0 ? 0 : z.queries * z.keys * (z.width + z.value_width) / groups;
  for_each_task(heads * groups, work, [&](Index t) {
    const Index a = t / groups % z.heads, n = t / groups / z.heads;
    const Index begin = t % groups * blocks / groups, end = (t % groups + 1) * blocks / groups;
    const Head<T> head(z, o, q, k, v, split_k, split_v, mask, n, a);
    const Index y_stride = z.heads * z.value_width;
    attend(head, begin, end - begin, ys + n * z.queries * y_stride + a * z.value_width, y_stride,
           lses + (n * z.heads + a) * z.queries);
  });
  return r;
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
    RunningSoftmax<T> state{queries, nullptr, m, m + lanes};
    std::fill_n(state.m, i.lanes, -std::numeric_limits<T>::infinity());
    std::fill_n(state.l, i.lanes, T(0));
    const T factor = static_cast<T>(head.scale * log2_e);
    to_lanes(i, head.q + i.begin * head.q_stride, head.q_stride, z.width, factor, queries);
    multiply<T>(z.keys, i.vectors, z.width, {head.k, head.k_stride, 1}, queries, i.lanes, s, i.lanes, false);
    apply_masks(head, i, 0, z.keys, s, scratch);
    with_vectors(i.vectors, [&]<Index V>(std::integral_constant<Index, V>) {
      state.template new_maximum<V>(z.keys, s, true, 0);
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
