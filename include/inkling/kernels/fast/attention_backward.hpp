// The backward of attention, without the [L, S] matrices of weights and of their gradients: from the logarithm of the
// sum that the forward kept, the weights of one pair of blocks are computed again (Dao 2023, "FlashAttention-2",
// algorithm 2). Five products instead of the forward's two.
//
// GFLOP/s and share of the peak, one thread, measured as in attention.hpp:
//                                     5 GEMMs on blocks   tiles with queries in lanes   no pointer waited for
//                                          of 128 x 512                                 (attention_tiles.hpp)
//   8 heads x 4096^2 x 40                     60   51 %                  91   77 %              97   82 %
//   batch 32, 4 heads x 256^2 x 64            81   69 %                  93   79 %              95   81 %
//   batch 32, 8 heads x 256^2 x 16            61   51 %                  82   70 %              87   74 %
//   batch 128, 4 heads x 64^2 x 32            54   46 %                  60   51 %              60   51 %
#pragma once
#include "inkling/kernels/fast/attention_tiles.hpp"  // first

namespace inkling::kernels::fast {

namespace attention_detail {

inline constexpr Index backward_key_block = 64;

// The backward of one head and of the keys begin..end-1, over all queries. With
//   P_ij = e^(s_ij - lse_i),   dP_ij = dy_i . v_j,   dS_ij = P_ij (dP_ij - dy_i . y_i)
//   dv_j = sum_i P_ij dy_i,   dq_i = scale sum_j dS_ij k_j,   dk_j = scale sum_i dS_ij q_i
// Two blocks of P and dS live in the first-level cache at a time; lanes are queries, but in dv and dk, where they are
// columns, because there the sum runs over queries.
template <class T>
struct HeadBackward {
  const Head<T>& head;
  const T *dy, *y, *lse;  // [L, dv] with rows v_stride apart, [L]
  T *dq, *dk, *dv;        // rows dq_stride, k_stride, v_stride apart
  Index dq_stride, k_stride, v_stride, begin, end;

  void run() const {
    constexpr Index W = width<T>, lanes_max = most_vectors * W, block = backward_key_block;
    const Index d = head.width, e = head.value_width, count = end - begin;
    const Index d_vectors = (d + W - 1) / W, e_vectors = (e + W - 1) / W;
    const Index d_wide = d_vectors * W, e_wide = e_vectors * W;
    // For each block of keys what multiply() adds up: groups of vectors, each [keys of the block, width of the group].
    T* dk_sum = workspace<T, 3>(count * (d_wide + e_wide));
    T* dv_sum = dk_sum + count * d_wide;
    std::fill_n(dk_sum, count * (d_wide + e_wide), T(0));
    T* p = workspace<T, 4>((3 * block + 2 * d + e + d_wide + e_wide + 2) * lanes_max);
    T *ds = p + block * lanes_max, *scratch = ds + block * lanes_max, *q_lanes = scratch + block * lanes_max;
    T *dq_lanes = q_lanes + d * lanes_max, *dy_lanes = dq_lanes + d * lanes_max, *q_rows = dy_lanes + e * lanes_max;
    T *dy_rows = q_rows + d_wide * lanes_max, *shift = dy_rows + e_wide * lanes_max, *dy_y = shift + lanes_max;
    for (Index b = 0; b < query_blocks<T>(head.queries); ++b) {
      const QueryBlock i = query_block<T>(head.queries, b);
      const Index visible = std::min(end, head.visible_keys(i.begin + i.rows)), lanes = i.lanes;
      const T *q_i = head.q + i.begin * head.q_stride, *dy_i = dy + i.begin * v_stride;
      const T* y_i = y + i.begin * v_stride;
      to_lanes(i, q_i, head.q_stride, d, static_cast<T>(head.scale * log2_e), q_lanes);
      to_lanes(i, dy_i, v_stride, e, T(1), dy_lanes);
      copy_rows(i.rows, q_i, head.q_stride, d, q_rows, d_wide);
      copy_rows(i.rows, dy_i, v_stride, e, dy_rows, e_wide);
      for (Index r = 0; r < lanes; ++r) {
        const bool sees_something = r < i.rows && lse[i.begin + r] > -std::numeric_limits<T>::infinity();
        shift[r] = sees_something ? lse[i.begin + r] * static_cast<T>(log2_e) : T(0);
        dy_y[r] = r < i.rows ? dot(e, dy_i + r * v_stride, y_i + r * v_stride) : T(0);
      }
      for (Index j0 = begin; j0 < visible; j0 += block) {
        const Index here = std::min(block, end - j0), columns = std::min(here, visible - j0), at = j0 - begin;
        const T *k = head.k + j0 * head.k_stride, *v = head.v + j0 * head.v_stride;
        multiply(columns, i.vectors, d, LeftRows<T>{k, head.k_stride}, q_lanes, lanes, p, columns, false);
        if (head.mask || (head.causal && j0 + columns > i.begin + 1)) apply_masks(head, i, j0, columns, p, scratch);
        multiply(columns, i.vectors, e, LeftRows<T>{v, head.v_stride}, dy_lanes, lanes, ds, columns, false);
        with_vectors(i.vectors, [&]<Index V>(std::integral_constant<Index, V>) {
          weights(columns, p, ds, shift, dy_y, std::make_index_sequence<static_cast<std::size_t>(V)>{});
        });
        multiply(d, i.vectors, columns, LeftColumns<T>{k, head.k_stride}, ds, lanes, dq_lanes, d, j0 > begin);
        multiply(columns, e_vectors, i.rows, LeftRows<T>{p, lanes}, dy_rows, e_wide, dv_sum + at * e_wide, here, true);
        multiply(columns, d_vectors, i.rows, LeftRows<T>{ds, lanes}, q_rows, d_wide, dk_sum + at * d_wide, here, true);
      }
      T* dq_i = dq + i.begin * dq_stride;
      if (visible <= begin) {
        for (Index r = 0; r < i.rows; ++r) std::fill_n(dq_i + r * dq_stride, d, T(0));
        continue;
      }
      scale_all(d * lanes, dq_lanes);
      transpose(dq_lanes, lanes, d, i.rows, dq_i, dq_stride);
    }
    scale_all(count * d_wide, dk_sum);
    for (Index j0 = begin; j0 < end; j0 += block) {
      const Index here = std::min(block, end - j0), at = j0 - begin;
      copy_groups(here, dk_sum + at * d_wide, d_vectors, d, dk + j0 * k_stride, k_stride);
      copy_groups(here, dv_sum + at * e_wide, e_vectors, e, dv + j0 * v_stride, v_stride);
    }
  }

 private:
  // s, dP -> P, dS in place
  template <std::size_t... v>
  static void weights(Index columns, T* p, T* ds, const T* shift, const T* dy_y, std::index_sequence<v...>) {
    constexpr Index W = width<T>, step = static_cast<Index>(sizeof...(v)) * W;
    const Vec<T> shifts[] = {load(shift + static_cast<Index>(v) * W)...};
    const Vec<T> dots[] = {load(dy_y + static_cast<Index>(v) * W)...};
    for (Index j = 0; j < columns; ++j, p += step, ds += step) {
      const Vec<T> weight[] = {power_of_two<T>(load(p + static_cast<Index>(v) * W) - shifts[v])...};
      (store(p + static_cast<Index>(v) * W, weight[v]), ...);
      (store(ds + static_cast<Index>(v) * W, weight[v] * (load(ds + static_cast<Index>(v) * W) - dots[v])), ...);
    }
  }
  // Rows of a tensor side by side, filled up to whole registers with zeros.
  static void copy_rows(Index rows, const T* from, Index stride, Index columns, T* to, Index wide) {
    for (Index r = 0; r < rows; ++r, from += stride, to += wide) {
      copy_row(from, columns, to);
      std::fill(to + columns, to + wide, T(0));
    }
  }
  // What multiply() made, to rows of a tensor.
  static void copy_groups(Index rows, const T* from, Index vectors, Index columns, T* to, Index stride) {
    for_groups(vectors, [&](Index first, Index group) {
      const Index at = first * width<T>, wide = group * width<T>;
      for (Index r = 0; r < rows; ++r, from += wide) copy_row(from, std::min(wide, columns - at), to + r * stride + at);
    });
  }
  static T dot(Index n, const T* x, const T* y) {
    Vec<T> sum(T(0));
    Index c = 0;
    for (; c + width<T> <= n; c += width<T>) sum = mul_add<T>(load(x + c), load(y + c), sum);
    T total = static_cast<T>(lane_sum<T>(sum));
    for (; c < n; ++c) total += x[c] * y[c];
    return total;
  }
  void scale_all(Index n, T* x) const {
    const Vec<T> scale(head.scale);
    map(n, x, [&](const Vec<T>& value) { return value * scale; }, x);
  }
};

// Heads with few others beside them are cut into pieces of their keys, so that there is work for many threads. The cut
// depends on the shape alone.
inline Index key_pieces(Index heads, Index keys) {
  constexpr Index enough = 8, smallest = 4 * backward_key_block;
  return std::clamp<Index>(keys / smallest, 1, std::max<Index>(1, enough / std::max<Index>(1, heads)));
}

}  // namespace attention_detail

// dy [N, L, A*dv], and what the forward saw and returned -> dq [N, L, A*d], dk [N, S, A*d], dv [N, S, A*dv]
template <class T>
AttentionGradients<T> attention_backward(const Tensor<T, 3>& dy, const Tensor<T, 3>& q, const Tensor<T, 3>& k,
                                         const Tensor<T, 3>& v, const AttentionResult<T>& result,
                                         const AttentionOptions& o,
                                         const Tensor<std::type_identity_t<T>, 2>* mask = nullptr) {
  using namespace attention_detail;
  const AttentionSizes z = checked_attention(q, k, v.shape(), o, mask, "attention_backward");
  require_shape(dy.shape(), Shape<3>{z.batch, z.queries, z.heads * z.value_width}, "attention_backward dy");
  require_shape(result.y.shape(), dy.shape(), "attention_backward y");
  require_shape(result.lse.shape(), Shape<3>{z.batch, z.heads, z.queries}, "attention_backward lse");
  require_precise_lse(result.lse, "attention_backward lse");
  AttentionGradients<T> g{Tensor<T, 3>(q.shape(), uninitialized), Tensor<T, 3>(k.shape(), uninitialized),
                          Tensor<T, 3>(v.shape(), uninitialized)};
  T *dq = g.dq.data(), *dk = g.dk.data(), *dv = g.dv.data();
  const Index heads = z.batch * z.heads, pieces = key_pieces(heads, z.keys), size = z.queries * z.width;
  std::vector<T, PoolAllocator<T>> parts(static_cast<std::size_t>(pieces > 1 ? heads * pieces * size : 0));
  T* part = parts.data();
  const Index k_stride = z.heads * z.width, v_stride = z.heads * z.value_width;
  const bool split = z.heads > 1 && query_blocks<T>(z.queries) > 8;
  const Tensor<T, 4> split_k = split ? split_heads(k, z.heads) : Tensor<T, 4>();
  const Tensor<T, 4> split_v = split ? split_heads(v, z.heads) : Tensor<T, 4>();
  const Index work = z.queries * z.keys * (3 * z.width + 2 * z.value_width) / pieces;
  for_each_task(heads * pieces, work, [&](Index t) {
    const Index h = t / pieces, a = h % z.heads, n = h / z.heads, piece = t % pieces;
    const Head<T> head(z, o, q, k, v, split_k, split_v, mask, n, a);
    const Index row_blocks = (z.keys + backward_key_block - 1) / backward_key_block;
    const auto cut = [&](Index i) { return std::min(z.keys, row_blocks * i / pieces * backward_key_block); };
    const Index at_y = n * z.queries * v_stride + a * z.value_width;
    HeadBackward<T>{
        .head = head,
        .dy = dy.data() + at_y,
        .y = result.y.data() + at_y,
        .lse = result.lse.data() + h * z.queries,
        .dq = pieces > 1 ? part + t * size : dq + n * z.queries * k_stride + a * z.width,
        .dk = dk + n * z.keys * k_stride + a * z.width,
        .dv = dv + n * z.keys * v_stride + a * z.value_width,
        .dq_stride = pieces > 1 ? z.width : k_stride,
        .k_stride = k_stride,
        .v_stride = v_stride,
        .begin = cut(piece),
        .end = cut(piece + 1)}
        .run();
  });
  if (pieces > 1)
    parallel_for(heads * z.queries, pieces * z.width, [&](Index t) {
      const Index h = t / z.queries, i = t % z.queries;
      T* to = dq + ((h / z.heads) * z.queries + i) * z.heads * z.width + h % z.heads * z.width;
      copy_row(part + h * pieces * size + i * z.width, z.width, to);
      for (Index p = 1; p < pieces; ++p)
        map(z.width, to, [](const Vec<T>& x, const Vec<T>& y) { return x + y; }, to,
            part + (h * pieces + p) * size + i * z.width);
    });
  return g;
}

}  // namespace inkling::kernels::fast
