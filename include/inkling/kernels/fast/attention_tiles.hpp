// The pieces from which attention and its backward are built (attention.hpp tells how they fit together).
//
// Lanes are queries: a register holds one number of W neighbouring queries (W = 16 floats with AVX-512), a block of
// queries is 1 to 3 registers wide. Every product then has the form
//   out[i, lanes] (+)= sum_k left[i, k] right[k, lanes]
// with single numbers of `left` broadcast from where they lie: keys and values are read in place, never packed, and
// their width d need not be a multiple of anything. Maximum, sum and scaling of a softmax go lane by lane.
#pragma once
#include "inkling/kernels/fast/pack.hpp"  // first

#include <array>
#include <limits>
#include <utility>

#include "inkling/core/parallel.hpp"
#include "inkling/kernels/fast/exponential.hpp"
#include "inkling/kernels/fast/vector.hpp"
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::fast::attention_detail {

// 8 x 3 sums, 3 registers of `right` and 1 number of `left` fit into 32 registers; 4 x 3 into 16.
inline constexpr Index most_rows = vector_registers == 32 ? 8 : 4, most_vectors = 3;

// left[i, k] lies at p[i * stride + k] (PanelOrder::rows) or at p[k * stride + i]. Units are what one multiply-add
// takes: numbers, or pairs of bfloat16 that are neighbours along k (microkernel.hpp).
template <class Unit, PanelOrder Order>
struct Left {
  const Unit* p;
  Index stride;
  static constexpr Index at(Index i, Index k, Index stride) {
    return Order == PanelOrder::rows ? i * stride + k : k * stride + i;
  }
};
template <class Unit>
using LeftRows = Left<Unit, PanelOrder::rows>;
template <class Unit>
using LeftColumns = Left<Unit, PanelOrder::columns>;

// What becomes of a tile's sums: they are stored, or added to what is there. A row is as wide as the tile, so that all
// places of a tile are known when it is compiled.
template <class T, Index Vectors>
struct Stored {
  T* out;
  bool add;

  static constexpr Index granule = 1;  // tiles have a multiple of so many rows
  static constexpr Index step = Vectors * width<T>;
  INKLING_INLINE Vec<T> start(Index row, Index v) const {
    return add ? load(out + row * step + v * width<T>) : Vec<T>(T(0));
  }
  template <std::size_t... I>
  INKLING_INLINE void finish(const Vec<T>* sum, std::index_sequence<I...>) const {
    (store(out + static_cast<Index>(I) * width<T>, sum[I]), ...);
  }
  void next(Index rows) { out += rows * step; }
};

// The same pointer or number, but the compiler does not know: so it multiplies where a product is needed, and does not
// keep all products in registers, of which it has too few.
template <class P>
INKLING_INLINE P hide(P p) {
#if defined(__GNUC__)
  asm("" : "+r"(p));
#endif
  return p;
}

// sum[i, v] += left[i] right[v] for one k. The fold over I names every sum; in a loop over an array g++ leaves them in
// memory.
template <class Left, class Unit, std::size_t... V, std::size_t... I>
INKLING_INLINE void multiply_step(const Unit* left, Index stride, const Unit* right, Vec<Sum<Unit>>* sum,
                                  std::index_sequence<V...>, std::index_sequence<I...>) {
  using A = Arithmetic<Unit>;
  constexpr std::size_t vectors = sizeof...(V);
  const decltype(A::row(right)) r[] = {in_register(A::row(right + static_cast<Index>(V) * width<Sum<Unit>>))...};
  const auto at = [&](std::size_t i) { return left + Left::at(static_cast<Index>(i), 0, stride); };
  ((sum[I] = A::multiply_add(A::repeat(at(I / vectors)), r[I % vectors], sum[I])), ...);
}

// One tile: its sums stay in registers while k runs. The upper rows are `lead` steps ahead of the lower ones, so that
// what becomes of them (stores, exponentials) is done beside the lower rows' last steps: were all sums ready at once,
// the multiplier would wait for the stores.
//
// A function of its own with single arguments: in larger ones g++ keeps pointers in vector registers, where they queue
// behind the multiply-adds of the tile before; and while the next tile waits for its pointers, nothing is multiplied.
inline constexpr Index most_upper_rows = 4, lead = 4;
template <class Left, class Unit, class Target, class Vectors, std::size_t... Upper, std::size_t... Lower>
INKLING_NOINLINE void multiply_tile(Index units, const Unit* left, Index stride, const Unit* right, Index right_step,
                                    const Target& reference, Vectors each, std::index_sequence<Upper...> upper,
                                    std::index_sequence<Lower...> lower) {
  using T = Sum<Unit>;
  constexpr Index V = static_cast<Index>(Vectors::size()), upper_rows = static_cast<Index>(sizeof...(Upper)) / V;
  const Index left_step = Left::at(0, 1, stride);
  Target target = reference;  // which no store below can change
  Vec<T> sum[] = {target.start(static_cast<Index>(Upper) / V, static_cast<Index>(Upper) % V)...};
  if constexpr (sizeof...(Lower) == 0) {
    for (; units > 0; --units, left += left_step, right += right_step)
      multiply_step<Left>(left, stride, right, sum, each, upper);
    target.finish(sum, upper);
  } else {
    Vec<T> lower_sum[] = {
        target.start(upper_rows + static_cast<Index>(Lower) / V, static_cast<Index>(Lower) % V)...};
    const Unit *lower_left = hide(left + Left::at(upper_rows, 0, stride)), *lower_right = right;
    const Index ahead = std::min(lead, units);
    for (Index k = 0; k < ahead; ++k, left += left_step, right += right_step)
      multiply_step<Left>(left, stride, right, sum, each, upper);
    for (Index k = ahead; k < units; ++k) {
      multiply_step<Left>(left, stride, right, sum, each, upper);
      multiply_step<Left>(lower_left, stride, lower_right, lower_sum, each, lower);
      left += left_step, right += right_step;
      lower_left += left_step, lower_right += right_step;
    }
    target.finish(sum, upper);
    target.next(upper_rows);
    for (Index k = 0; k < ahead; ++k, lower_left += left_step, lower_right += right_step)
      multiply_step<Left>(lower_left, stride, lower_right, lower_sum, each, lower);
    target.finish(lower_sum, lower);
  }
}

// All rows. Tiles of 8 and 7 rows fill every number of rows from 42 on without a remnant (77 keys: 7 times 8 and 3
// times 7); what is left of fewer goes in fours, twos and ones.
template <Index Vectors, class Unit, PanelOrder Order, class Target>
void multiply_rows(Index rows, Index units, Left<Unit, Order> left, const Unit* right, Index right_step,
                   Target target) {
  constexpr Index R = most_rows, G = Target::granule;
  const Index lacking = (R - rows % R) % R / G;
  Index shorter = lacking * (R - G) <= rows ? lacking : 0;  // so many tiles of R - G rows
  while (rows > 0) {
    const auto next = [&]<Index Rows>(std::integral_constant<Index, Rows>) {
      constexpr Index upper = std::min(Rows, most_upper_rows);
      multiply_tile<Left<Unit, Order>>(units, left.p, left.stride, right, right_step, target,
                                       std::make_index_sequence<static_cast<std::size_t>(Vectors)>{},
                                       std::make_index_sequence<static_cast<std::size_t>(upper * Vectors)>{},
                                       std::make_index_sequence<static_cast<std::size_t>((Rows - upper) * Vectors)>{});
      left.p += left.at(Rows, 0, hide(left.stride));
      target.next(Rows);
      rows -= Rows;
    };
    if (shorter > 0) --shorter, next(std::integral_constant<Index, R - G>{});
    else if (rows >= R) next(std::integral_constant<Index, R>{});
    else if (rows >= 4) next(std::integral_constant<Index, 4>{});
    else if (rows >= 2) next(std::integral_constant<Index, 2>{});
    else if constexpr (G == 1) next(std::integral_constant<Index, 1>{});
  }
}

// body(first vector, count) for groups of up to 3, about equal.
template <class Body>
void for_groups(Index vectors, const Body& body) {
  const Index groups = (vectors + most_vectors - 1) / most_vectors;
  for (Index g = 0; g < groups; ++g) {
    const Index begin = vectors * g / groups;
    body(begin, vectors * (g + 1) / groups - begin);
  }
}

// Calls body with the number of vectors as a constant, so that loops over the vectors of a block unroll.
template <class Body>
INKLING_INLINE void with_vectors(Index vectors, const Body& body) {
  if (vectors == 3) body(std::integral_constant<Index, 3>{});
  if (vectors == 2) body(std::integral_constant<Index, 2>{});
  if (vectors == 1) body(std::integral_constant<Index, 1>{});
}

// out[rows, vectors * W] (+)= left[rows, units] right[units, vectors * W]
// More than three vectors come in groups: in `out` one group [out_rows, its vectors * W] after another.
template <class Unit, PanelOrder Order>
void multiply(Index rows, Index vectors, Index units, const Left<Unit, Order>& left, const Unit* right,
              Index right_step, Sum<Unit>* out, Index out_rows, bool add) {
  constexpr Index W = width<Sum<Unit>>;
  for_groups(vectors, [&](Index begin, Index count) {
    with_vectors(count, [&]<Index V>(std::integral_constant<Index, V>) {
      multiply_rows<V>(rows, units, left, right + begin * W, right_step,
                       Stored<Sum<Unit>, V>{out + begin * W * out_rows, add});
    });
  });
}

// x [N, S, A*d] -> [N, A, S, d]: the rows of a head side by side, which takes fewer cache lines and pages, and which
// the processor fetches ahead by itself.
template <class T>
Tensor<T, 4> split_heads(const Tensor<T, 3>& x, Index heads) {
  const Index N = x.shape()[0], S = x.shape()[1], d = x.shape()[2] / heads;
  Tensor<T, 4> y(Shape<4>{N, heads, S, d}, uninitialized);
  const T* from = x.data();
  T* to = y.data();
  constexpr Index piece = 64;  // rows at a time, of all heads: so x is read as it lies
  const Index pieces = (S + piece - 1) / piece;
  parallel_for(N * pieces, piece * heads * d, [&](Index t) {
    const Index n = t / pieces, begin = t % pieces * piece, end = std::min(S, begin + piece);
    for (Index a = 0; a < heads; ++a)
      for (Index j = begin; j < end; ++j)
        copy_row(from + ((n * S + j) * heads + a) * d, d, to + ((n * heads + a) * S + j) * d);
  });
  return y;
}

// What belongs to one head of one batch element, and how far apart the rows of each are. Keys [S, units of d] and
// values [units of S, dv] are made of what products are made of: a row of pairs of values belongs to two keys.
template <class T, class Unit = T>
struct Head {
  const T* q;
  const Unit *k, *v;
  Index q_stride, k_stride, v_stride, queries, keys, width, value_width;
  T scale;
  bool causal;
  const T* mask;  // [L, S], or nullptr

  Head(const AttentionSizes& z, const AttentionOptions& o, const Tensor<T, 3>& qs, const Unit* ks, Index k_row,
       const Unit* vs, Index v_row, const Tensor<T, 2>* m, Index n, Index a)
      : q(qs.data() + (n * z.queries * z.heads + a) * z.width),
        k(ks),
        v(vs),
        q_stride(z.heads * z.width),
        k_stride(k_row),
        v_stride(v_row),
        queries(z.queries),
        keys(z.keys),
        width(z.width),
        value_width(z.value_width),
        scale(static_cast<T>(z.scale)),
        causal(o.causal),
        mask(m ? m->data() : nullptr) {}
  // Keys and values [N, S, A*d], or as split_heads() gave them, if not empty.
  Head(const AttentionSizes& z, const AttentionOptions& o, const Tensor<T, 3>& qs, const Tensor<T, 3>& ks,
       const Tensor<T, 3>& vs, const Tensor<T, 4>& split_k, const Tensor<T, 4>& split_v, const Tensor<T, 2>* m, Index n,
       Index a)
      : Head(z, o, qs,
             split_k.empty() ? ks.data() + (n * z.keys * z.heads + a) * z.width
                             : split_k.data() + (n * z.heads + a) * z.keys * z.width,
             split_k.empty() ? z.heads * z.width : z.width,
             split_v.empty() ? vs.data() + (n * z.keys * z.heads + a) * z.value_width
                             : split_v.data() + (n * z.heads + a) * z.keys * z.value_width,
             split_v.empty() ? z.heads * z.value_width : z.value_width, m, n, a) {}

  // Keys that queries before `end` may see.
  Index visible_keys(Index end) const { return causal ? std::min(keys, end) : keys; }
};

// A block of neighbouring queries, one a lane. Lanes behind the last query compute with zeros; nobody reads them.
struct QueryBlock {
  Index begin, rows, vectors, lanes;
};
// The queries in blocks of 3 vectors, some of 2, so that no vector is lost on rounding.
template <class T>
Index query_blocks(Index queries) {
  const Index vectors = (queries + width<T> - 1) / width<T>;
  return (vectors + most_vectors - 1) / most_vectors;
}
template <class T>
QueryBlock query_block(Index queries, Index b) {
  const Index blocks = query_blocks<T>(queries), vectors = (queries + width<T> - 1) / width<T>;
  const Index first = vectors * b / blocks, count = vectors * (b + 1) / blocks - first;
  const Index begin = first * width<T>;
  return {begin, std::min(count * width<T>, queries - begin), count, count * width<T>};
}

// to[c, lane] = factor from[lane, c]: rows of a tensor become lanes.
template <class T>
void to_lanes(const QueryBlock& b, const T* from, Index stride, Index columns, T factor, T* to) {
  if (b.rows < b.lanes) std::fill(to, to + columns * b.lanes, T(0));
  transpose(from, stride, b.rows, columns, to, b.lanes);
  if (factor != T(1)) map(columns * b.lanes, to, [=](const Vec<T>& x) { return x * Vec<T>(factor); }, to);
}

// Rows [queries, columns] of a block that are needed soon, into the second-level cache: the processor does not guess
// where the next row of a head lies.
template <class T>
void fetch_rows(const QueryBlock& b, const T* first, Index stride, Index columns) {
#if defined(__GNUC__)
  constexpr Index line = 64 / static_cast<Index>(sizeof(T));
  const T* row = first + b.begin * stride;
  for (Index i = 0; i < b.rows; ++i, row += stride) {
    for (Index c = 0; c < columns; c += line) __builtin_prefetch(row + c, 0, 2);
    __builtin_prefetch(row + columns - 1, 0, 2);  // rows need not begin with a cache line
  }
#else
  (void)b, (void)first, (void)stride, (void)columns;
#endif
}

// s[j, lane] (+)= log2(e) mask[lane, j] for keys j0.., and minus infinity where lane must not see j.
template <class T, class Unit>
void apply_masks(const Head<T, Unit>& head, const QueryBlock& b, Index j0, Index columns, T* s, T* scratch) {
  const Index lanes = b.lanes;
  if (head.mask) {
    if (b.rows < lanes) std::fill(scratch, scratch + columns * lanes, T(0));
    transpose(head.mask + b.begin * head.keys + j0, head.keys, b.rows, columns, scratch, lanes);
    // "As small as a float can be" stays finite, as people use it to mean minus infinity almost.
    map(columns * lanes, s, [](const Vec<T>& x, const Vec<T>& m) {
      const Vec<T> lowest(std::numeric_limits<T>::lowest()), minus_infinity(-std::numeric_limits<T>::infinity());
      const Vec<T> in_base_2 = maximum<Vec<T>>(m * Vec<T>(static_cast<T>(log2_e)), lowest);
      return x + select_if<Vec<T>>(m < lowest, minus_infinity, in_base_2);
    }, s, scratch);
  }
  if (head.causal)
    for (Index j = std::max(j0, b.begin + 1); j < j0 + columns; ++j)
      std::fill_n(s + (j - j0) * lanes, std::min(lanes, j - b.begin), -std::numeric_limits<T>::infinity());
}

template <class T>
AttentionSizes checked_attention(const Tensor<T, 3>& q, const Tensor<T, 3>& k, const Shape<3>& v,
                                 const AttentionOptions& o, const Tensor<T, 2>* mask, std::string_view where) {
  const Shape<2> mask_shape = mask ? mask->shape() : Shape<2>{};
  return attention_sizes(q.shape(), k.shape(), v, o, mask ? &mask_shape : nullptr, where);
}

// body(i) for i < count, on several threads if all calls together make it worth while. `work`: multiply-adds of a call.
template <class Body>
void for_each_task(Index count, Index work, const Body& body) {
  if (static_cast<double>(count) * static_cast<double>(work) > 1e6)
    parallel_for_dynamic(count, body);
  else
    for (Index i = 0; i < count; ++i) body(i);
}

}  // namespace inkling::kernels::fast::attention_detail
