// The matrix product that everything heavy goes through: linear layers, convolutions, attention.
//
//   C[M, N] (+)= A[M, K] B[K, N], then an epilogue (a bias, an activation) while the tile of C is still in the cache
//
// The loops, from the outside in, and which cache each piece lives in:
//   tasks        a range of rows and of column panels of C each; threads take them one after another
//   k blocks     B[depth, columns of the task] is packed: second-level cache, half a megabyte
//   row panels   A[8, depth] is packed: first-level cache
//   tiles        8 x 48 of C in registers (microkernel.hpp)
// Weights that never change lie packed already (stored_operands.hpp) and are multiplied where they lie.
// Every element of C is the same chain of multiply-adds over k, cut at the same places, wherever the tasks are cut. So
// the result does not depend on the number of threads, bit for bit.
//
// What each idea brings, GFLOP/s of one thread (AMD Zen 4, AVX-512: at most 117; g++ 12 -O3 -march=native; the fastest
// of many runs by processor time; the first three with N rounded to a multiple of 48):
//                                                          1024^3   4096x320x320   320x4096x2880
//   three loops i, j, k                                       1.9            2.7             0.3
//   i, k, j: vectors along the rows of B and C                 28             34               5
//   8 x 48 of C in registers, operands where they lie          95            104              21
//   packed panels, so that long rows cost no cache misses      92            102              92
//   tiles of C and the next panels fetched ahead               97            104              92
//   the same one line at a time, while multiplying            107            111             101
// The machine was busy with other work: differences below 5 mean nothing.
// bench/bench_kernels.cpp measures these and the shapes of real networks.
#pragma once
#include "inkling/kernels/fast/pack.hpp"  // first

#include <numeric>

#include "inkling/core/parallel.hpp"

namespace inkling::kernels::fast {

// --- Where C lies ---------------------------------------------------------------------------------------------------

// C [M, N] with rows `row_stride` apart.
template <class T>
struct MatrixOut {
  T* c;
  Index row_stride;
  // offsets[j] = position of column n + j within a row
  void columns(Index n, Index count, Index* offsets) const { std::iota(offsets, offsets + count, n); }
};

// --- Epilogues: the last thing that happens to x = C[m, n] (or a vector from there on) before it is written --------

struct NoEpilogue {
  template <class V>
  V operator()(const V& x, Index, Index) const {
    return x;
  }
};
// y[m, n] += bias[m]: channels are the rows of a convolution. nullptr adds nothing.
template <class T>
struct RowBias {
  const T* bias;
  template <class V>
  V operator()(const V& x, Index m, Index) const {
    return bias ? V(x + V(bias[m])) : x;
  }
};
// y[m, n] += bias[n]: features are the columns of a linear layer.
template <class T>
struct ColumnBias {
  const T* bias;
  template <class V>
  V operator()(const V& x, Index, Index n) const {
    if (!bias) return x;
    if constexpr (std::is_same_v<V, T>) return x + bias[n];
    else return x + load(bias + n);
  }
};

// A bias, then a function of the whole: an activation without a pass over memory of its own. `function` works on rows
// of the tile just written, in the first-level cache; nullptr: none.
template <class T, class Bias>
struct BiasThen {
  Bias bias;
  void (*function)(T* x, Index n);
  template <class V>
  V operator()(const V& x, Index m, Index n) const {
    return bias(x, m, n);
  }
};

// --- The product ----------------------------------------------------------------------------------------------------

// How C is cut into tasks: `rows` x `columns` of them.
struct GemmGrid {
  Index rows, columns;
};

// The cheapest cut for so many threads. A task packs its part of B and of A, which costs as much as about 6 and 3
// multiply-adds for each number packed.
inline GemmGrid gemm_grid(Index row_panels, Index rows, Index column_panels, Index columns, Index most_panels,
                          Index threads) {
  GemmGrid best{1, (column_panels + most_panels - 1) / most_panels};
  if (threads <= 1) return best;
  const Index least = best.columns;
  double best_cost = 0;
  for (Index r = 1; r <= std::min(threads, row_panels); ++r) {
    const Index unit = threads / std::gcd(r, threads);  // r * c a multiple of the threads: all stay busy to the end
    for (Index c : {least, (least + unit - 1) / unit * unit}) {
      if (c > column_panels) continue;
      const double m = static_cast<double>((row_panels + r - 1) / r * rows);
      const double n = static_cast<double>(column_panels * columns) / static_cast<double>(c);
      const double cost = static_cast<double>((r * c + threads - 1) / threads) * (m * n + 6 * n + 3 * m);
      if (best_cost == 0 || cost < best_cost) best_cost = cost, best = {r, c};
    }
  }
  return best;
}

// Where a panel lies: in the scratch that it was packed into, or, with packed(), where the operand keeps it. Such an
// operand has its own blocks of k.
template <class T, class Left>
INKLING_INLINE const T* left_panel(const Left& a, Index m, Index rows, Index k, Index depth, T* scratch) {
  if constexpr (requires { a.packed(m, k, depth); }) return a.packed(m, k, depth);
  else return a.pack(m, rows, k, depth, scratch), scratch;
}
template <class T, class Right>
const T* right_panels(const Right& b, Index k, Index depth, Index n, Index columns, Index units) {
  if constexpr (requires { b.packed(n, k, depth); }) {
    return b.packed(n, k, depth);
  } else {
    T* scratch = workspace<T, 0>(units + 2 * width<Sum<T>>);
    b.pack(k, depth, n, columns, scratch);
    return scratch;
  }
}

// A tile's share of the panel of A that comes next.
template <class Left>
Ahead ahead_of(const Left& a, Index m, Index k, Index depth, Index part, Index parts) {
  if constexpr (requires { a.ahead(m, k, depth, part, parts); }) return a.ahead(m, k, depth, part, parts);
  else return {};
}

// One tile from the registers' copy to C. `before`, laid out as C or nullptr, is what it is added to.
template <class T, class Out, class Epilogue>
INKLING_INLINE void write_tile(const T* tile, Index rows, Index columns, Index m, Index n, const Out& out,
                               const Index* offsets, const T* before, bool last, const Epilogue& epilogue) {
  constexpr Index W = width<T>, C = Tile<T>::columns;
  if (columns == C && offsets[C - 1] - offsets[0] == C - 1) {  // whole rows, side by side: nothing more to ask
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < C; j += W) {
        const Index at = (m + i) * out.row_stride + offsets[0] + j;
        Vec<T> x = load(tile + i * C + j);
        if (before) x = x + load(before + at);
        if (last) x = epilogue(x, m + i, n + j);
        store(out.c + at, x);
      }
    return;
  }
  for (Index i = 0; i < rows; ++i) {
    const Index row_at = (m + i) * out.row_stride;
    T* row = out.c + row_at;
    const T* from = tile + i * Tile<T>::columns;
    for (Index j = 0; j < columns; j += W) {
      if (j + W <= columns && offsets[j + W - 1] == offsets[j] + W - 1) {
        Vec<T> x = load(from + j);
        if (before) x = x + load(before + row_at + offsets[j]);
        if (last) x = epilogue(x, m + i, n + j);
        store(row + offsets[j], x);
      } else {
        for (Index e = j; e < std::min(j + W, columns); ++e) {
          T x = from[e];
          if (before) x = x + before[row_at + offsets[e]];
          row[offsets[e]] = last ? epilogue(x, m + i, n + e) : x;
        }
      }
    }
  }
}

// function(x, n) for what lies side by side of one row of C.
template <class T, class Function>
void apply_to_row(T* row, const Index* offsets, Index columns, const Function& function) {
  for (Index j = 0, end = 0; j < columns; j = end) {
    for (end = j + 1; end < columns && offsets[end] == offsets[end - 1] + 1;) ++end;
    function(row + offsets[j], end - j);
  }
}

// How many panels of columns must be made one right after another by the same thread: 1, or as many as Out says that
// puts its tiles together by itself (fused.hpp).
template <class Out>
constexpr Index panels_together() {
  if constexpr (requires { Out::together; }) return Out::together;
  else return 1;
}

// C = start + A B, elementwise followed by the epilogue; K = 0 gives epilogue(start). `start` is laid out as C: a
// residual; nullptr is zero; C itself (accumulate) is added to. T is what the panels are made of.
template <class T, class Left, class Right, class Out, class Epilogue = NoEpilogue>
void gemm(Index M, Index N, Index K, const Left& a, const Right& b, const Out& out, bool accumulate = false,
          const Epilogue& epilogue = {}, const Sum<T>* start = nullptr) {
  if (M == 0 || N == 0) return;
  if (accumulate) start = out.c;
  constexpr Index R = Tile<T>::rows, C = Tile<T>::columns;
  constexpr Index block_bytes = 512 * 1024, most_columns = 8192;
  const KBlocks blocks = [&] {
    if constexpr (requires { a.blocks; }) return a.blocks;
    else if constexpr (requires { b.blocks; }) return b.blocks;
    else return k_blocks(K, Tile<T>::depth * Arithmetic<T>::numbers, Arithmetic<T>::granule);
  }();
  constexpr Index together = panels_together<Out>(), G = together * C;
  const Index row_panels = (M + R - 1) / R, column_groups = (N + G - 1) / G;
  const Index panel_bytes = std::max<Index>(1, Tile<T>::right_units(blocks.step)) * static_cast<Index>(sizeof(T));
  const Index most_groups =
      std::clamp<Index>(block_bytes / (panel_bytes * together), 1, std::max<Index>(1, most_columns / G));

  // A thread is woken for 10^6 multiply-adds (about 10 microseconds), not for less.
  const double work = static_cast<double>(M) * static_cast<double>(N) * static_cast<double>(K);
  const Index threads = static_cast<Index>(std::clamp(work / 1e6, 1.0, static_cast<double>(num_threads())));
  const GemmGrid grid = gemm_grid(row_panels, R, column_groups, G, most_groups, threads);

  const auto task = [&](Index t) {
    const Index tr = t % grid.rows, tc = t / grid.rows;
    const Index m_begin = row_panels * tr / grid.rows * R, m_end = std::min(M, row_panels * (tr + 1) / grid.rows * R);
    const Index n_begin = column_groups * tc / grid.columns * G;
    const Index n_count = std::min(N, column_groups * (tc + 1) / grid.columns * G) - n_begin;
    const Index panels = (n_count + C - 1) / C;
    T* a_scratch = workspace<T, 1>(Tile<T>::left_units);
    Index* offsets = workspace<Index, 0>(n_count);
    out.columns(n_begin, n_count, offsets);
    alignas(64) Sum<T> tile[static_cast<std::size_t>(R * C)];
    for (Index block = 0; block < blocks.count; ++block) {
      const Index k = block * blocks.step, depth = std::min(blocks.step, K - k);
      const Index panel_units = Tile<T>::right_units(depth);
      const Sum<T>* before = block > 0 ? out.c : start;
      const bool last = block == blocks.count - 1;
      const T* b_panel = right_panels<T>(b, k, depth, n_begin, n_count, panels * panel_units);
      for (Index m = m_begin; m < m_end; m += R) {
        const Index rows = std::min(R, m_end - m);
        const T* a_panel = left_panel<T>(a, m, rows, k, depth, a_scratch);
        for (Index n = 0; n < n_count; n += C) {
          const T* b_tile = b_panel + n / C * panel_units;
          if constexpr (together > 1) {
            const Index columns = out.columns_at(n_begin + n);
            multiply_tile<T, Left::order>(rows, columns, depth, a_panel, b_tile, tile,
                                          {out.ahead(m, n_begin + n), ahead_of(a, m + R, k, depth, n / C, panels)});
            out.write(tile, rows, columns, m, n_begin + n, before != nullptr, last);
          } else {
            const Index columns = std::min(C, n_count - n);
            constexpr Index bytes = sizeof(Sum<T>);
            const Ahead tile_of_c{out.c + m * out.row_stride + offsets[n], out.row_stride * bytes, C * bytes / 64};
            multiply_tile<T, Left::order>(rows, columns, depth, a_panel, b_tile, tile,
                                          {tile_of_c, ahead_of(a, m + R, k, depth, n / C, panels)});
            write_tile<Sum<T>>(tile, rows, columns, m, n_begin + n, out, offsets + n, before, last, epilogue);
            if constexpr (requires { epilogue.function; })
              if (last && epilogue.function)
                for (Index i = 0; i < rows; ++i)
                  apply_to_row(out.c + (m + i) * out.row_stride, offsets + n, columns, epilogue.function);
          }
        }
      }
    }
  };
  const Index tasks = grid.rows * grid.columns;
  if (threads > 1)
    parallel_for_dynamic(tasks, task);
  else
    for (Index t = 0; t < tasks; ++t) task(t);
}

// The same for plain matrices in memory: op(A) [M, K], op(B) [K, N], where op may be a transposition.
template <class T>
void gemm(Index M, Index N, Index K, const T* a, Index a_stride, bool transpose_a, const T* b, Index b_stride,
          bool transpose_b, T* c, Index c_stride, bool accumulate = false) {
  const MatrixOut<T> out{c, c_stride};
  const auto with_left = [&](const auto& left) {
    if (transpose_b)
      gemm<T>(M, N, K, left, RightTransposed<T>{b, b_stride}, out, accumulate);
    else
      gemm<T>(M, N, K, left, RightMatrix<T>{b, b_stride}, out, accumulate);
  };
  if (transpose_a)
    with_left(LeftTransposed<T>{a, a_stride});
  else
    with_left(LeftMatrix<T>{a, a_stride});
}

}  // namespace inkling::kernels::fast
