// The innermost loop of every matrix product: a tile of C that stays in registers while k runs.
//
//   C[i, j] = sum_k A[i, k] B[k, j]      for 8 rows i and 3 vectors of columns j (AVX-512: 8 x 48 floats)
//
// Per step of k it loads 3 vectors of B and 8 single numbers of A and does 24 vector multiply-adds with them. A square
// tile would load less still, but 24 accumulators + 3 + 1 are what fits into 32 registers. With 16 registers (AVX2: 8 x
// 24 floats) a tile is made in two passes of 4 rows: 12 + 3 + 1.
//
// Percent of what one thread of an AVX2 processor can have (Zen 3: 103 GFLOP/s; g++ 12 -O3 -march=native; the best of
// many runs on a busy machine; linear layers with weights packed beforehand):
//                                                      1024^3   4096x320->2560   256x5120->1280   77x768->3072
//   as it stood, tuned with AVX-512 alone                  59               59               60             57
//   vectors of B kept in registers (in_register)           87               83               84             83
//   memory asked for every 16 steps, without a test
//   in each of them                                        88               85               86             84
//   8 panels of A, of 4 rows then, for a panel of B        89               89               89             86
//   a tile of 8 rows in two passes, 4 panels of A          89               91               90             88
// What is left of a pass of 320 steps: 1920 cycles of multiply-adds, 90 until its sums are written and the next begins,
// 40 where panels come from the second-level cache, 30 for packing A and asking ahead.
#pragma once
#include "inkling/kernels/fast/simd.hpp"  // first

#include <algorithm>
#include <cstddef>
#include <utility>

namespace inkling::kernels::fast {

// What panels are made of: one unit for each row (or column) and step of k. Here a unit is a number; dot_product.hpp
// adds units of two and four numbers in 32 bits, neighbours along k, which one instruction multiplies and sums.
template <class Unit>
struct Arithmetic {
  using Sum = Unit;
  static constexpr Index numbers = 1;  // a unit holds so many k
  static constexpr Index granule = 1;  // blocks of k are multiples of this
  INKLING_INLINE static Vec<Unit> row(const Unit* b) { return load(b); }
  INKLING_INLINE static Vec<Unit> repeat(const Unit* a) { return Vec<Unit>(*a); }
  INKLING_INLINE static Vec<Unit> multiply_add(const Vec<Unit>& a, const Vec<Unit>& b, const Vec<Unit>& sum) {
    return mul_add<Unit>(a, b, sum);
  }
};
template <class T>
using Sum = typename Arithmetic<T>::Sum;

template <class T>
struct Tile {
  static constexpr Index rows = 8;
  static constexpr Index vectors = 3;
  // So many panels of A are multiplied with a panel of B before the next of these comes. A pass of half as many rows
  // reads a panel of B twice as often; so it stays in the second-level cache, and its block may lie behind that.
  static constexpr Index panels_in_group = vector_registers == 32 ? 1 : 4;
  static constexpr Index columns = vectors * width<Sum<T>>;
  // So many units of k before the tile is written: the panel of A that they need fills 20 KB of the first-level cache,
  // and the 24 loads and stores of C vanish beside 640 * 24 multiply-adds. With 384, sums of 640 products made two
  // passes over C: GEGLU 640 -> 5120 of 1024 rows took 14 % longer.
  static constexpr Index depth = 2560 / static_cast<Index>(sizeof(T));
  // Rows of a panel of A lie this far apart: a constant, so that one pointer reaches all 8; not a power of two, so
  // that they do not fall into the same cache set.
  static constexpr Index row_stride = depth + 64 / static_cast<Index>(sizeof(T));
  // Units of a panel of A at most, and of a panel of B with so many k.
  static constexpr Index left_units = rows * row_stride;
  static constexpr Index right_units(Index k) {
    return (k + Arithmetic<T>::numbers - 1) / Arithmetic<T>::numbers * columns;
  }
};

// K in blocks of `step` numbers, a multiple of `granule` and at most `most`: all equal, so that the last is no remnant.
struct KBlocks {
  Index count, step;
};
inline KBlocks k_blocks(Index K, Index most, Index granule) {
  most -= most % granule;
  const Index count = std::max<Index>(1, (K + most - 1) / most), step = (K + count - 1) / count;
  return {count, (step + granule - 1) / granule * granule};
}

// A panel of A holds Tile::rows rows. Only single numbers are read from it, so either order is as fast to compute
// with; it follows the operand, so that packing is copying of contiguous numbers, never a transposition.
enum class PanelOrder {
  rows,     // (i, k) at i * row_stride + k
  columns,  // (i, k) at k * rows + i
};

template <class T, PanelOrder Order>
INKLING_INLINE constexpr Index panel_offset(Index i, Index k) {
  return Order == PanelOrder::rows ? i * Tile<T>::row_stride + k : k * Tile<T>::rows + i;
}

// Memory that is needed soon: `lines` cache lines in each row of a tile, rows `stride` bytes apart. The micro-kernel
// asks for them one by one while it multiplies: asked for at once they would hold up the panel of B, for a core waits
// for about two dozen lines at a time.
struct Ahead {
  const void* base = nullptr;
  Index stride = 0, lines = 0;

  // Level 1 or 2: the cache it is to come into.
  template <Index Rows, int Level = 1>
  INKLING_INLINE void fetch(Index i) const {
#if defined(__GNUC__)
    constexpr auto R = static_cast<std::size_t>(Rows);
    const auto e = static_cast<std::size_t>(i);  // whose remainder is one instruction
    if (i < Rows * lines)
      __builtin_prefetch(static_cast<const char*>(base) + static_cast<Index>(e % R) * stride + e / R * 64, 0,
                         Level == 1 ? 3 : 2);
#else
    (void)i;
#endif
  }
};
// The tile of C that is being made and what it is added to, if that lies elsewhere; a share of a panel of A in the
// next group; and what else will be wanted (b): 16 rows (of 8 in C), which go into the second-level cache.
struct AheadOfTile {
  Ahead c{}, a{}, b{}, before{};
  template <Index Rows>
  INKLING_INLINE void fetch(Index i) const {
    c.fetch<Rows>(i);
    before.fetch<Rows>(i);
    a.fetch<Rows>(i);
    b.fetch<2 * Rows, 2>(2 * i);
    b.fetch<2 * Rows, 2>(2 * i + 1);
  }
};

// Where the sums of a tile go: into a tile [Tile::rows, Tile::columns] of their own.
template <class T>
struct TileOfSums {
  T* c;
  template <std::size_t... V>
  INKLING_INLINE void put_row(Index i, const Vec<T>* sum, std::index_sequence<V...>) const {
    (store(c + i * Tile<T>::columns + static_cast<Index>(V) * width<T>, sum[V]), ...);
  }
};

// Rows of a tile whose sums are in registers at a time.
inline constexpr Index pass_rows = vector_registers == 32 ? 8 : 4;

// Steps of k from one AheadOfTile::fetch to the next: about 96 cycles. What a fetch has to compute takes as long as a
// step of 12 multiply-adds.
inline constexpr Index fetch_every = vector_registers == 32 ? 4 : 16;

// Rows `first`.. of a tile. The fold over I writes out all accumulators by name: in a loop over an array g++ leaves
// them in memory.
template <class T, PanelOrder Order, Index first, class Target, std::size_t... V, std::size_t... I,
          std::size_t... Row>
INKLING_INLINE void multiply_pass(Index units, const T* a, const T* b, const Target& target, const AheadOfTile& ahead,
                                  std::index_sequence<V...> row_of_sums, std::index_sequence<I...>,
                                  std::index_sequence<Row...>) {
  using A = Arithmetic<T>;
  constexpr std::size_t vectors = sizeof...(V);
  constexpr Index W = width<Sum<T>>;
  Vec<Sum<T>> sum[] = {(void(I), Vec<Sum<T>>(Sum<T>(0)))...};
  const Index fetched = first / pass_rows * ((units + fetch_every - 1) / fetch_every);
  for (Index k0 = 0; k0 < units; k0 += fetch_every) {
    ahead.fetch<Tile<T>::rows>(fetched + k0 / fetch_every);
    for (Index k = k0; k < std::min(k0 + fetch_every, units); ++k) {
      const decltype(A::row(b)) row[] = {in_register(A::row(b + static_cast<Index>(V) * W))...};
      ((sum[I] = A::multiply_add(A::repeat(a + panel_offset<T, Order>(first + static_cast<Index>(I / vectors), 0)),
                                 row[I % vectors], sum[I])),
       ...);
      a += panel_offset<T, Order>(0, 1);
      b += Tile<T>::columns;
    }
  }
  (target.put_row(first + static_cast<Index>(Row), sum + Row * vectors, row_of_sums), ...);
}

// As many rows at a time as there are registers for. A function of its own: as part of a larger one it would have to
// share its registers. What it needs in the end it finds in `target`.
template <class T, PanelOrder Order, Index Rows, class Target, class Vectors, std::size_t... Pass>
INKLING_NOINLINE void multiply_panels(Index units, const T* a, const T* b, const Target& target,
                                      const AheadOfTile& ahead, Vectors row_of_sums, std::index_sequence<Pass...>) {
  const auto pass = [&]<Index first>(std::integral_constant<Index, first>) {
    constexpr auto rows = static_cast<std::size_t>(std::min(pass_rows, Rows - first));
    multiply_pass<T, Order, first>(units, a, b, target, ahead, row_of_sums,
                                   std::make_index_sequence<rows * Vectors::size()>{},
                                   std::make_index_sequence<rows>{});
  };
  (pass(std::integral_constant<Index, static_cast<Index>(Pass) * pass_rows>{}), ...);
}

template <class T, PanelOrder Order, Index Rows, Index Vectors, class Target>
void multiply_panels(Index depth, const T* a, const T* b, const Target& target, const AheadOfTile& ahead) {
  constexpr Index numbers = Arithmetic<T>::numbers;
  constexpr auto vectors = static_cast<std::size_t>(Vectors);
  constexpr auto passes = static_cast<std::size_t>((Rows + pass_rows - 1) / pass_rows);
  multiply_panels<T, Order, Rows>((depth + numbers - 1) / numbers, a, b, target, ahead,
                                  std::make_index_sequence<vectors>{}, std::make_index_sequence<passes>{});
}

// All rows of a tile, and as many vectors of columns as there are.
template <class T, PanelOrder Order, class Target>
void multiply_full_rows(Index columns, Index depth, const T* a, const T* b, const Target& to,
                        const AheadOfTile& ahead) {
  constexpr Index W = width<Sum<T>>, R = Tile<T>::rows;
  if (columns > 2 * W) return multiply_panels<T, Order, R, 3>(depth, a, b, to, ahead);
  if (columns > W) return multiply_panels<T, Order, R, 2>(depth, a, b, to, ahead);
  return multiply_panels<T, Order, R, 1>(depth, a, b, to, ahead);
}

// A panel of A [rows, depth] times a panel of B [depth, columns] into a tile c [Tile::rows, Tile::columns]. At the
// edges of C only the vectors and about the rows that exist are computed; the rest of the tile is then unset.
template <class T, PanelOrder Order>
void multiply_tile(Index rows, Index columns, Index depth, const T* a, const T* b, Sum<T>* c,
                   const AheadOfTile& ahead = {}) {
  const TileOfSums<Sum<T>> to{c};
  constexpr Index all = Tile<T>::rows, most = all * 3 / 4, few = all / 2, W = width<Sum<T>>;
  const Index vectors = (columns + W - 1) / W;
  // 77 tokens are nine panels and five rows.
  if (few < rows && rows <= most && vectors == 3) return multiply_panels<T, Order, most, 3>(depth, a, b, to, ahead);
  if (rows > few) return multiply_full_rows<T, Order>(columns, depth, a, b, to, ahead);
  if (vectors == 3) return multiply_panels<T, Order, few, 3>(depth, a, b, to, ahead);
  if (vectors == 2) return multiply_panels<T, Order, few, 2>(depth, a, b, to, ahead);
  return multiply_panels<T, Order, few, 1>(depth, a, b, to, ahead);
}

}  // namespace inkling::kernels::fast
