// Operands of the GEMM, and how they are copied into panels.
//
// The micro-kernel wants A in panels of Tile::rows rows and B in panels of Tile::columns columns, k after k, without
// gaps. A left operand has
//   static constexpr PanelOrder order;
//   void pack(m, rows, k, depth, out)        one panel: rows m.., steps k..; missing rows of the panel as zeros
// a right operand has
//   void pack(k, depth, n, columns, out)     all panels of columns n.., each [depth, Tile::columns], the last padded
//                                            with zeros. It may write one vector past the end.
// Whatever can do this can be multiplied: a transposed matrix, or patches of images that are never stored. An operand
// that keeps its panels has `packed` in place of `pack`, which says where they lie, and `blocks`, its blocks of k. A
// left operand may have `ahead`: which memory it will read for a later panel. A right operand may have `in_pieces`:
// that it is worth while to pack it by few rows and single panels, and `ahead`, which memory such a piece reads.
#pragma once
#include "inkling/kernels/fast/microkernel.hpp"  // first

#include <algorithm>
#include <cstring>
#include <vector>

#include "inkling/core/memory.hpp"

namespace inkling::kernels::fast {

// Scratch memory of this thread, kept from call to call; one buffer for each T and slot.
template <class T, int Slot>
T* workspace(Index size) {
  static thread_local std::vector<T, PoolAllocator<T>> buffer;
  if (static_cast<Index>(buffer.size()) < size) {
    buffer.clear();  // nothing to copy while it grows
    buffer.resize(static_cast<std::size_t>(size));
  }
  return buffer.data();
}

template <class T>
INKLING_INLINE void copy_row(const T* from, Index n, T* to) {
  Index i = 0;
  for (; i + width<T> <= n; i += width<T>) store(to + i, load(from + i));
  for (; i < n; ++i) to[i] = from[i];
}

// Tells the cache that p[0..n) will be used soon: the way to memory is then hidden behind arithmetic. p may lie outside
// of any array.
template <class T>
INKLING_INLINE void prefetch(const T* p, Index n) {
#if defined(__GNUC__)
  for (Index i = 0; i < n; i += 64 / static_cast<Index>(sizeof(T))) __builtin_prefetch(p + i);
#else
  (void)p, (void)n;
#endif
}

// --- A block of numbers, transposed in registers --------------------------------------------------------------------

template <class T>
inline constexpr Index transpose_block = std::min(width<T>, Index{32 / sizeof(T)});

#if defined(__GNUC__)
template <class T, std::size_t S>
struct Lanes {
  typedef T type __attribute__((vector_size(S * sizeof(T))));
};
// The first and the second half of a[0] b[0] a[1] b[1] ...
template <class V, std::size_t... I>
INKLING_INLINE void zip(const V& a, const V& b, V& first, V& second, std::index_sequence<I...>) {
  constexpr std::size_t S = sizeof...(I);
  first = __builtin_shufflevector(a, b, (I % 2 * S + I / 2)...);
  second = __builtin_shufflevector(a, b, (I % 2 * S + S / 2 + I / 2)...);
}
// log2(S) times zipping row i with row i + S/2 turns S rows of S into their transpose.
template <class T, std::size_t... I, std::size_t... Half>
INKLING_INLINE void transpose_in_registers(const T* from, Index from_stride, T* to, Index to_stride,
                                           std::index_sequence<I...> all, std::index_sequence<Half...>) {
  constexpr std::size_t S = sizeof...(I);
  using V = typename Lanes<T, S>::type;
  V r[S], next[S];
  (std::memcpy(&r[I], from + static_cast<Index>(I) * from_stride, sizeof(V)), ...);
  if constexpr (S >= 2) (zip(r[Half], r[Half + S / 2], next[2 * Half], next[2 * Half + 1], all), ...);
  if constexpr (S >= 4) (zip(next[Half], next[Half + S / 2], r[2 * Half], r[2 * Half + 1], all), ...);
  if constexpr (S >= 8) (zip(r[Half], r[Half + S / 2], next[2 * Half], next[2 * Half + 1], all), ...);
  const V* t = S == 4 ? r : next;
  (std::memcpy(to + static_cast<Index>(I) * to_stride, &t[I], sizeof(V)), ...);
}
#endif

// to[j][i] = from[i][j] for i < rows, j < columns
template <class T>
void transpose(const T* from, Index from_stride, Index rows, Index columns, T* to, Index to_stride) {
  constexpr Index S = transpose_block<T>;
  for (Index i = 0; i < rows; i += S) {
    Index j = 0;
#if defined(__GNUC__)
    if constexpr (S > 1)
      if (i + S <= rows)
        for (; j + S <= columns; j += S)
          transpose_in_registers(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride,
                                 std::make_index_sequence<static_cast<std::size_t>(S)>{},
                                 std::make_index_sequence<static_cast<std::size_t>(S / 2)>{});
#endif
    for (; j < columns; ++j)
      for (Index e = i; e < std::min(i + S, rows); ++e) to[j * to_stride + e] = from[e * from_stride + j];
  }
}

// --- Left operands --------------------------------------------------------------------------------------------------

template <class T>
void zero_missing_rows(PanelOrder order, Index rows, Index depth, T* out) {
  for (Index i = rows; i < Tile<T>::rows; ++i)
    for (Index k = 0; k < depth; ++k)
      out[order == PanelOrder::rows ? i * Tile<T>::row_stride + k : k * Tile<T>::rows + i] = T{};
}

// A share of the rows of a panel that comes later.
template <class T>
Ahead ahead_in_rows(const T* a, Index stride, Index depth, Index part, Index parts) {
  constexpr Index line = 64 / static_cast<Index>(sizeof(T));
  const Index lines = (depth + line * parts - 1) / (line * parts);
  return {a + part * lines * line, stride * static_cast<Index>(sizeof(T)), lines};
}

// A [M, K]
template <class T>
struct LeftMatrix {
  static constexpr PanelOrder order = PanelOrder::rows;
  const T* a;
  Index stride;  // from row to row
  void pack(Index m, Index rows, Index k, Index depth, T* out) const {
    for (Index i = 0; i < rows; ++i) copy_row(a + (m + i) * stride + k, depth, out + i * Tile<T>::row_stride);
    zero_missing_rows(order, rows, depth, out);
  }
  Ahead ahead(Index m, Index k, Index depth, Index part, Index parts) const {
    return ahead_in_rows(a + m * stride + k, stride, depth, part, parts);
  }
};

// A given as its transpose [K, M]
template <class T>
struct LeftTransposed {
  static constexpr PanelOrder order = PanelOrder::columns;
  const T* a;
  Index stride;
  void pack(Index m, Index rows, Index k, Index depth, T* out) const {
    if (rows == Tile<T>::rows) {
      constexpr std::size_t bytes = sizeof(T) * static_cast<std::size_t>(Tile<T>::rows);
      for (Index e = 0; e < depth; ++e) std::memcpy(out + e * Tile<T>::rows, a + (k + e) * stride + m, bytes);
      return;
    }
    for (Index e = 0; e < depth; ++e) copy_row(a + (k + e) * stride + m, rows, out + e * Tile<T>::rows);
    zero_missing_rows(order, rows, depth, out);
  }
};

// --- Right operands -------------------------------------------------------------------------------------------------

// Calls body(column, columns, panel) for every panel of n columns, and fills the last one up with zeros.
template <class T, class Body>
INKLING_INLINE void for_each_panel(Index depth, Index n, T* out, const Body& body) {
  constexpr Index columns = Tile<T>::columns;
  for (Index j = 0; j < n; j += columns, out += depth * columns) {
    const Index count = std::min(columns, n - j);
    body(j, count, out);
    if (count < columns)
      for (Index k = 0; k < depth; ++k) std::fill(out + k * columns + count, out + (k + 1) * columns, T{});
  }
}

// B [K, N]
template <class T>
struct RightMatrix {
  const T* b;
  Index stride;
  void pack(Index k, Index depth, Index n, Index columns, T* out) const {
    constexpr Index C = Tile<T>::columns;
    const Index whole = columns / C * C;
    for (Index e = 0; e < depth; ++e) {  // rows outside: memory is read in order
      const T* from = b + (k + e) * stride + n;
      prefetch(from + 4 * stride, columns);
      for (Index j = 0; j < whole; j += C) copy_row(from + j, C, out + j * depth + e * C);
      if (whole < columns) {
        T* last = out + whole * depth + e * C;
        copy_row(from + whole, columns - whole, last);
        std::fill(last + columns - whole, last + C, T(0));
      }
    }
  }
};

// B given as its transpose [N, K], such as the weight [Out, In] of a linear layer
template <class T>
struct RightTransposed {
  const T* b;
  Index stride;
  void pack(Index k, Index depth, Index n, Index columns, T* out) const {
    for_each_panel(depth, columns, out, [&](Index j, Index count, T* panel) {
      transpose(b + (n + j) * stride + k, stride, count, depth, panel, Tile<T>::columns);
    });
  }
};

}  // namespace inkling::kernels::fast
