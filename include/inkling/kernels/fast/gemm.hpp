// The matrix product that everything heavy goes through: linear layers, convolutions, attention.
//
//   C[M, N] (+)= A[M, K] B[K, N], then an epilogue (a bias, an activation) while the tile of C is still in the cache
//
// The loops, from the outside in, and which cache each piece lives in:
//   tasks        a range of rows and of column panels of C each; threads take them one after another
//   blocks of B  B[depth, columns] is packed: second-level cache; the next one is on its way meanwhile
//                (right_blocks.hpp)
//   row panels   A[8, depth] is packed: first-level cache; with 16 registers 4 of them: second-level cache
//   tiles        8 x 48 of C in registers (microkernel.hpp, which has the figures for AVX2)
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
//   blocks of 640 k instead of 384, equal tasks, tile and its
//   writing apart from the loops, so that no pointer waits    110            111             105
//   tiles go to C straight from their registers               111            113             107
// The machine was busy with other work: differences below 5 mean nothing.
// bench/bench_kernels.cpp measures these and the shapes of real networks.
#pragma once
#include "inkling/kernels/fast/right_blocks.hpp"  // first

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

// The groups of columns of a task, in `count` blocks.
struct ColumnCuts {
  Index first, groups, count;
  Index begin(Index block) const { return first + groups * block / count; }
};

// What a product has to pack itself, and how many panels of columns a block of B has.
struct GemmOperands {
  bool left_stored, right_stored;
  Index block_panels;
};

// The cheapest cut for so many threads. A task packs its part of B, which costs as much as about 6 multiply-adds for
// each number. Panels of columns are few and the last may be nearly empty, so threads with different columns may end at
// different times; rows can be cut in equal parts.
//
// Then more and smaller tasks, as far as they cost next to nothing. Two cores are not equally fast all the time, least
// of all on a machine that others use too, and the thread that ends last is waited for. Where B lies packed, a task may
// be one block of columns, as A is packed for each of them anyway, and 64 rows; with few rows, 192 columns, for which
// packing A takes 3 % of the time. Where only A lies packed, a task may be two blocks of columns; the first is packed
// while nothing is multiplied.
inline GemmGrid gemm_grid(Index row_panels, Index rows, Index column_panels, Index columns, Index N, Index threads,
                          const GemmOperands& operands) {
  GemmGrid best{1, 1};
  double best_cost = 0;
  for (Index r = 1; r <= std::min(threads, row_panels); ++r)
    for (Index c = 1; c <= std::min(threads, column_panels); ++c) {
      const Index turns = (r * c + threads - 1) / threads;  // tasks of the thread that has most
      const Index n = c == 1 ? N : (column_panels + c - 1) / c * columns;
      const double cost = static_cast<double>(turns * n * ((row_panels + r - 1) / r * rows + 6));
      if (best_cost == 0 || cost < best_cost) best_cost = cost, best = {r, c};
    }
  if (threads == 1) return best;
  constexpr Index enough = 16, least_row_panels = 8, least_columns = 192, least_blocks = 2;
  const auto too_few = [&] { return best.rows * best.columns < enough * threads; };
  if (operands.right_stored) {
    const Index blocks = (column_panels + operands.block_panels - 1) / operands.block_panels, even = best.columns;
    best.columns = std::min((blocks + even - 1) / even * even, column_panels);
    while (too_few() && row_panels / best.rows >= 2 * least_row_panels) best.rows *= 2;
    while (too_few() && N / best.columns >= 2 * least_columns) best.columns *= 2;
  } else if (operands.left_stored) {
    while (too_few() && column_panels / best.columns >= 2 * least_blocks * operands.block_panels) best.columns *= 2;
  }
  return best;
}

// Where a panel of A lies: in the scratch that it was packed into, or, with packed(), where the operand keeps it. Such
// an operand has its own blocks of k.
template <class T, class Left>
INKLING_INLINE const T* left_panel(const Left& a, Index m, Index rows, Index k, Index depth, T* scratch) {
  if constexpr (requires { a.packed(m, k, depth); }) return a.packed(m, k, depth);
  else return a.pack(m, rows, k, depth, scratch), scratch;
}

// A tile's share of the panel of A that takes this one's place in the next group.
template <class Left>
Ahead ahead_of(const Left& a, Index m, Index k, Index depth, Index part, Index parts) {
  if constexpr (requires { a.ahead(m, k, depth, part, parts); }) return a.ahead(m, k, depth, part, parts);
  else return {};
}

// Where the sums of a tile go whose rows lie side by side in C: to `to`, rows row_stride apart, added to what lies
// likewise at `before` (or nullptr). Straight from their registers if they are all there: by way of a tile of their own
// it takes as long as 90 multiply-adds more, 24 stores of two steps each and as many loads.
template <class T, class Epilogue>
struct TileOfC {
  T* to;
  Index row_stride;
  const T* before;
  Index m, n;
  bool last;
  Epilogue epilogue;

  // c[i, j..] = before[i, j..] + sum, and in the last block of k the epilogue of that
  template <std::size_t... V>
  INKLING_INLINE void put_row(Index i, const Vec<T>* sum, std::index_sequence<V...>, Index j = 0) const {
    constexpr Index W = width<T>;
    const Index at = i * row_stride + j;
    Vec<T> x[] = {sum[V]...};
    if (before) ((x[V] = x[V] + load(before + at + static_cast<Index>(V) * W)), ...);
    if (last) ((x[V] = epilogue(x[V], m + i, n + j + static_cast<Index>(V) * W)), ...);
    (store(to + at + static_cast<Index>(V) * W, x[V]), ...);
  }
  // A part of the tile, from a copy of its sums. A function of its own for the same reason as multiply_panels().
  INKLING_NOINLINE void put(const T* tile, Index rows, Index columns) const {
    const TileOfC place = *this;  // which no store can change
    for (Index i = 0; i < rows; ++i, tile += Tile<T>::columns) {
      Index j = 0;
      if (columns == Tile<T>::columns) {
        const Vec<T> sum[] = {load(tile), load(tile + width<T>), load(tile + 2 * width<T>)};
        place.put_row(i, sum, std::index_sequence<0, 1, 2>{});
        continue;
      }
      for (; j + width<T> <= columns; j += width<T>) {
        const Vec<T> sum = load(tile + j);
        place.put_row(i, &sum, std::index_sequence<0>{}, j);
      }
      for (; j < columns; ++j) {
        const Index at = i * place.row_stride + j;
        const T x = place.before ? tile[j] + place.before[at] : tile[j];
        place.to[at] = place.last ? place.epilogue(x, place.m + i, place.n + j) : x;
      }
    }
  }
};

// A tile whose columns do not lie side by side in C, from the copy of its sums. `before` lies as C does.
template <class T, class Out, class Epilogue>
void write_scattered(const T* tile, Index rows, Index columns, Index m, Index n, const Out& out, const Index* offsets,
                     const T* before, bool last, const Epilogue& epilogue) {
  constexpr Index W = width<T>;
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

// Sums go straight from their registers to where they belong, or by way of a tile of their own: those at the edges, and
// those of 8-bit products, which are gathered there block by block (dot_product.hpp).
template <class T, PanelOrder Order, class Target>
void multiply_tile_into(Index rows, Index columns, Index depth, const T* a, const T* b, Sum<T>* tile, const Target& to,
                        const AheadOfTile& ahead) {
  if constexpr (Arithmetic<T>::granule == Arithmetic<T>::numbers)
    if (rows == Tile<T>::rows && columns % width<Sum<T>> == 0)
      return multiply_full_rows<T, Order>(columns, depth, a, b, to, ahead);
  multiply_tile<T, Order>(rows, columns, depth, a, b, tile, ahead);
  to.put(tile, rows, columns);
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
  constexpr Index R = Tile<T>::rows, C = Tile<T>::columns, group = Tile<T>::panels_in_group;
  constexpr Index most_columns = 8192;
  const KBlocks blocks = [&] {
    if constexpr (requires { a.blocks; }) return a.blocks;
    else if constexpr (requires { b.blocks; }) return b.blocks;
    else return k_blocks(K, Tile<T>::depth * Arithmetic<T>::numbers, Arithmetic<T>::granule);
  }();
  constexpr Index together = panels_together<Out>(), G = together * C;
  const Index row_panels = (M + R - 1) / R, column_groups = (N + G - 1) / G;
  const Index panel_bytes = std::max<Index>(1, Tile<T>::right_units(blocks.step)) * static_cast<Index>(sizeof(T));
  const Index most_groups = std::clamp<Index>(RightBlocks<T, Right>::block_bytes(b) / (panel_bytes * together), 1,
                                              std::max<Index>(1, most_columns / G));

  // A thread is woken for 10^6 multiply-adds (about 10 microseconds), not for less.
  const double work = static_cast<double>(M) * static_cast<double>(N) * static_cast<double>(K);
  const Index threads = static_cast<Index>(std::clamp(work / 1e6, 1.0, static_cast<double>(num_threads())));
  constexpr bool left_stored = requires(Index i) { a.packed(i, i, i); };
  const GemmGrid grid =
      gemm_grid(row_panels, R, column_groups, G, N, threads, {left_stored, RightBlocks<T, Right>::stored, most_groups});

  const Index tasks = grid.rows * grid.columns;
  const auto columns_of = [&](Index tc) {
    const Index first = column_groups * tc / grid.columns, count = column_groups * (tc + 1) / grid.columns - first;
    return ColumnCuts{first, count, (count + most_groups - 1) / most_groups};
  };
  const auto task = [&](Index t) {
    const Index tr = t % grid.rows, tc = t / grid.rows;
    const Index m_begin = row_panels * tr / grid.rows * R, m_end = std::min(M, row_panels * (tr + 1) / grid.rows * R);
    const ColumnCuts cuts = columns_of(tc);
    const auto block_at = [&](const ColumnCuts& task_columns, Index s) {  // k runs first
      const Index k = s % blocks.count * blocks.step, n = task_columns.begin(s / blocks.count) * G;
      return RightBlock{k, std::min(blocks.step, K - k), n,
                        std::min(N, task_columns.begin(s / blocks.count + 1) * G) - n};
    };
    const Index most = std::min(most_groups, cuts.groups);
    RightBlocks<T, Right> feed(b, most * together * Tile<T>::right_units(blocks.step));
    T* a_scratch = workspace<T, 1>(group * Tile<T>::left_units);
    Index* offsets = workspace<Index, 0>(most * G);
    alignas(64) Sum<T> tile[static_cast<std::size_t>(R * C)];
    const Index steps = cuts.count * blocks.count;
    for (Index s = 0; s < steps; ++s) {
      const auto [k, depth, n_begin, n_count] = block_at(cuts, s);
      // After a task a thread takes most probably the one that comes so many later.
      const bool goes_on = s + 1 < steps, known = goes_on || (feed.stored && t + threads < tasks);
      const RightBlock next = goes_on ? block_at(cuts, s + 1)
                              : known ? block_at(columns_of((t + threads) / grid.rows), 0)
                                      : RightBlock{};
      if (k == 0) out.columns(n_begin, n_count, offsets);
      const Index panels = (n_count + C - 1) / C, panel_units = Tile<T>::right_units(depth);
      const Sum<T>* before = k > 0 ? out.c : start;
      const bool last = k + blocks.step >= K;
      const T* b_panel = feed.panels({k, depth, n_begin, n_count}, known ? &next : nullptr,
                                     (m_end - m_begin + R - 1) / R * panels);
      for (Index m_group = m_begin; m_group < m_end; m_group += group * R) {
        const Index in_group = std::min(group, (m_end - m_group + R - 1) / R);
        const T* a_panels[static_cast<std::size_t>(group)] = {};
        for (Index i = 0; i < in_group; ++i) {
          const Index m = m_group + i * R;
          a_panels[i] = left_panel<T>(a, m, std::min(R, m_end - m), k, depth, a_scratch + i * Tile<T>::left_units);
        }
        for (Index n_group = 0; n_group < n_count; n_group += G)
          for (Index i = 0; i < in_group; ++i)
            for (Index n = n_group; n < std::min(n_group + G, n_count); n += C) {
              const Index m = m_group + i * R, rows = std::min(R, m_end - m);
              const T* b_tile = b_panel + n / C * panel_units;
              const Ahead a_ahead = ahead_of(a, m + group * R, k, depth, n / C, panels), b_ahead = feed.before_tile();
              if constexpr (together > 1) {
                const Index columns = out.columns_at(n_begin + n);
                const auto to = out.target(m, n_begin + n, before != nullptr, last);
                const AheadOfTile ahead{out.ahead(m, n_begin + n), a_ahead, b_ahead};
                multiply_tile_into<T, Left::order>(rows, columns, depth, a_panels[i], b_tile, tile, to, ahead);
                out.after_tile(rows, columns, m, n_begin + n, last);
              } else {
                const Index columns = std::min(C, n_count - n), at = m * out.row_stride + offsets[n];
                constexpr Index bytes = sizeof(Sum<T>);
                const auto tile_of = [&](const Sum<T>* c) {
                  return Ahead{c + at, out.row_stride * bytes, (C * bytes + 63) / 64};
                };
                const AheadOfTile ahead{tile_of(out.c), a_ahead, b_ahead,
                                        before && before != out.c ? tile_of(before) : Ahead{}};
                const bool in_a_row = offsets[n + columns - 1] == offsets[n] + columns - 1;
                const TileOfC<Sum<T>, Epilogue> to{
                    out.c + at, out.row_stride, before ? before + at : nullptr, m, n_begin + n, last, epilogue};
                if (in_a_row)
                  multiply_tile_into<T, Left::order>(rows, columns, depth, a_panels[i], b_tile, tile, to, ahead);
                else {
                  multiply_tile<T, Left::order>(rows, columns, depth, a_panels[i], b_tile, tile, ahead);
                  write_scattered(tile, rows, columns, m, n_begin + n, out, offsets + n, before, last, epilogue);
                }
                if constexpr (requires { epilogue.function; })
                  if (last && epilogue.function)
                    for (Index e = 0; e < rows; ++e)
                      apply_to_row(out.c + (m + e) * out.row_stride, offsets + n, columns, epilogue.function);
              }
              feed.after_tile();
            }
      }
    }
  };
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
