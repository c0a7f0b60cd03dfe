// Operands of products with packed weights: the weights as they lie in memory, or widened to float when the processor
// multiplies only floats; and the activations, rounded alike in both cases while they are packed.
#pragma once
#include "inkling/kernels/fast/pack.hpp"  // first

#include "inkling/kernels/fast/patches.hpp"
#include "inkling/kernels/weights.hpp"

namespace inkling::kernels::fast {

// --- Weights ---------------------------------------------------------------------------------------------------------

// W^T [K, Out] of a linear layer, on the right.
template <WeightType type>
struct RightWeight {
  using T = Unit<type, WeightUse::linear>;
  static constexpr bool as_stored = type == WeightType::f32 || !std::is_same_v<T, float>;
  const std::byte* data;
  StoredLayout<type> layout;
  KBlocks blocks = layout.blocks;

  explicit RightWeight(const PackedWeight& w) : data(w.data()), layout(w.out(), w.depth(), w.use()) {}
  const T* packed(Index n, Index k, Index) const
    requires(as_stored)
  {
    return reinterpret_cast<const T*>(data + layout.offset(k, n / layout.lanes));
  }
  void pack(Index k, Index depth, Index n, Index columns, float* out) const
    requires(!as_stored)
  {
    for (Index j = 0; j < columns; j += layout.lanes, out += depth * layout.lanes)
      StoredPanel<type>::widen(data + layout.offset(k, (n + j) / layout.lanes), layout.lanes, depth, out);
  }
};

// W [O, K] of a convolution, on the left.
template <WeightType type>
struct LeftWeight {
  using T = Unit<type, WeightUse::convolution>;
  static constexpr PanelOrder order = PanelOrder::columns;
  static constexpr bool as_stored = type == WeightType::f32 || !std::is_same_v<T, float>;
  const std::byte* data;
  StoredLayout<type> layout;
  KBlocks blocks = layout.blocks;

  explicit LeftWeight(const PackedWeight& w) : data(w.data()), layout(w.out(), w.depth(), WeightUse::convolution) {}
  const T* packed(Index m, Index k, Index) const
    requires(as_stored)
  {
    return reinterpret_cast<const T*>(data + layout.offset(k, m / layout.lanes));
  }
  Ahead ahead(Index m, Index k, Index depth, Index part, Index parts) const {
    constexpr Index line = 64, rows = Tile<float>::rows;  // a panel has no gaps: its lines, dealt out to the rows
    const Index lines = StoredPanel<type>::bytes(layout.lanes, depth) / (line * rows * parts) + 1;
    return {data + layout.offset(k, m / layout.lanes) + part * rows * lines * line, lines * line, lines};
  }
  void pack(Index m, Index, Index k, Index depth, float* out) const
    requires(!as_stored)
  {
    StoredPanel<type>::widen(data + layout.offset(k, m / layout.lanes), layout.lanes, depth, out);
  }
};

// --- Activations, rounded as the type of the weights asks, but multiplied as floats ----------------------------------

// n numbers `stride` apart, n at most 64 for q8
template <WeightType type>
void round_activations(float* x, Index n, Index stride) {
  if constexpr (type == WeightType::bf16) {
    for (Index i = 0; i < n; ++i) x[i * stride] = detail::rounded_to_bfloat16(x[i * stride]);
  } else {
    std::uint32_t largest = 0;
    for (Index i = 0; i < n; ++i)
      largest = std::max(largest, std::bit_cast<std::uint32_t>(x[i * stride]) & 0x7FFFFFFFu);
    const Q8Scale s = q8_scale(largest);
    for (Index i = 0; i < n; ++i) x[i * stride] = std::nearbyint(x[i * stride] * s.inverse) * s.scale;
  }
}

template <WeightType type>
struct LeftRounded {
  static constexpr PanelOrder order = PanelOrder::rows;
  LeftMatrix<float> x;
  void pack(Index m, Index rows, Index k, Index depth, float* out) const {
    x.pack(m, rows, k, depth, out);
    for (Index i = 0; i < rows; ++i)
      for (Index e = 0; e < depth; e += q8_block)
        round_activations<type>(out + i * Tile<float>::row_stride + e, std::min(q8_block, depth - e), 1);
  }
};
template <WeightType type>
struct RightRounded {
  RightPatches<float> x;
  void pack(Index k, Index depth, Index n, Index columns, float* out) const {
    constexpr Index C = Tile<float>::columns;
    x.pack(k, depth, n, columns, out);
    if constexpr (type == WeightType::bf16)
      return round_activations<type>(out, (columns + C - 1) / C * C * depth, 1);
    for (Index j = 0; j < columns; j += C)
      for (Index e = 0; e < depth; e += q8_block)
        for (Index c = 0; c < C; ++c)
          round_activations<type>(out + (j * depth) + e * C + c, std::min(q8_block, depth - e), C);
  }
};

// --- Activations in units of two or four numbers ---------------------------------------------------------------------

#ifdef INKLING_BF16_DOT
// X [M, K]
struct LeftPairs {
  static constexpr PanelOrder order = PanelOrder::rows;
  const float* a;
  Index stride;
  void pack(Index m, Index rows, Index k, Index depth, Bf16Pair* out) const {
    for (Index i = 0; i < rows; ++i)
      narrow_to_pairs(a + (m + i) * stride + k, depth, out + i * Tile<Bf16Pair>::row_stride);
    zero_missing_rows(order, rows, (depth + 1) / 2, out);
  }
  Ahead ahead(Index m, Index k, Index depth, Index part, Index parts) const {
    return ahead_in_rows(a + m * stride + k, stride, depth, part, parts);
  }
};
// Patches: rows k and k + 1 interleaved
struct RightPairs {
  const Patches<float>& g;
  bool in_pieces() const { return g.plain(); }
  Ahead ahead(Index k, Index n) const { return g.ahead(k, n); }
  void pack(Index k, Index depth, Index n, Index columns, Bf16Pair* out) const {
    if (depth == 0) return;
    if (columns == Tile<Bf16Pair>::columns && depth % 2 == 0)
      if (const float* from = g.in_image(k, n, columns)) return interleave(from, g.H * g.W, depth / 2, out);
    pack_window(k, depth, n, columns, out);
  }

 private:
  // Two functions for the same reason as multiply_panels(): the first runs between two tiles.
  INKLING_NOINLINE static void interleave(const float* from, Index step, Index pairs, Bf16Pair* out) {
    constexpr Index W = width<float>, C = Tile<Bf16Pair>::columns;
    for (Index e = 0; e < pairs; ++e, from += 2 * step, out += C)
      for (Index j = 0; j < C; j += W) store_pairs(load(from + j), load(from + step + j), out + j);
  }
  INKLING_NOINLINE void pack_window(Index k, Index depth, Index n, Index columns, Bf16Pair* out) const {
    constexpr Index W = width<float>;
    const PatchWindow<float> window(g, k, depth, n, columns);
    auto& pieces = PatchWindow<float>::lists().pieces;
    auto& starts = PatchWindow<float>::lists().starts;
    window.find_starts(k, depth, starts);
    const float* const* start = starts.data();
    const auto copy = [&](const auto& from, Bf16Pair* panel) {
      for_pieces(from, (depth + 1) / 2, [&](Index e, const auto& p) {
        const float* low = start[2 * e] + p.from;
        const float* high = 2 * e + 1 < depth ? start[2 * e + 1] + p.from : nullptr;  // an odd last row is alone
        Bf16Pair* to = panel + e * Tile<Bf16Pair>::columns + p.to;
        prefetch(start[2 * e + rows_ahead] + p.from, 1);
        prefetch(start[2 * e + rows_ahead + 1] + p.from, 1);
        if (p.count == W) {
          store_pairs(load(low), high ? load(high) : Vec<float>(0.0f), to);
        } else {
          for (Index i = 0; i < p.count; ++i) {
            const float pair[] = {low[i], high ? high[i] : 0};
            narrow_to_pairs(pair, 2, to + i);
          }
        }
      });
    };
    if (g.plain()) {
      window.find_pieces_of_all(n, (depth + 1) / 2, columns, out, PatchWindow<float>::lists());
      return copy(PatchWindow<float>::lists().all, out);
    }
    for_each_panel((depth + 1) / 2, columns, out, [&](Index j, Index count, Bf16Pair* panel) {
      window.find_pieces(n + j, count, pieces);
      copy(pieces, panel);
    });
  }
};
#endif

#ifdef INKLING_INT8_DOT
// X [M, K], each row in blocks of 64 with a scale of their own
struct LeftQuads {
  using T = Int8Quad<false>;
  static constexpr PanelOrder order = PanelOrder::rows;
  const float* a;
  Index stride;
  void pack(Index m, Index rows, Index k, Index depth, T* out) const {
    constexpr Index R = Tile<T>::rows;
    auto* units = reinterpret_cast<std::uint32_t*>(out);
    for (Index e = 0; e < depth; e += q8_block, units += Tile<T>::left_block) {
      for (Index i = 0; i < rows; ++i)
        quantise_row(a + (m + i) * stride + k + e, std::min(q8_block, depth - e), units + i * q8_quads,
                     units + q8_quads * R + i, units + (q8_quads + 1) * R + i);
      for (Index i = rows; i < R; ++i) {
        std::fill_n(units + i * q8_quads, q8_quads, 0u);
        units[q8_quads * R + i] = units[(q8_quads + 1) * R + i] = 0;
      }
    }
  }
  Ahead ahead(Index m, Index k, Index depth, Index part, Index parts) const {
    return ahead_in_rows(a + m * stride + k, stride, depth, part, parts);
  }
};
// Patches, each column in blocks of 64
struct RightQuads {
  using T = Int8Quad<true>;
  const Patches<float>& g;
  bool in_pieces() const { return g.plain(); }
  Ahead ahead(Index k, Index n) const { return g.ahead(k, n); }
  void pack(Index k, Index depth, Index n, Index columns, T* out) const {
    if (depth == 0) return;
    constexpr Index C = Tile<T>::columns;
    const PatchWindow<float> window(g, k, depth, n, columns);
    auto& pieces = PatchWindow<float>::lists().pieces;
    auto& starts = PatchWindow<float>::lists().starts;
    window.find_starts(k, depth, starts);
    alignas(64) float block[static_cast<std::size_t>(q8_block * C + width<float>)];
    auto* units = reinterpret_cast<std::uint32_t*>(out);
    for (Index j = 0; j < columns; j += C) {
      window.find_pieces(n + j, std::min(C, columns - j), pieces);
      if (j + C > columns) std::fill(std::begin(block), std::end(block), 0.0f);
      for (Index e = 0; e < depth; e += q8_block, units += Tile<T>::right_block) {
        const Index rows = std::min(q8_block, depth - e);
        copy_rows(starts.data() + e, rows, pieces, block, C);
        std::fill(block + rows * C, block + q8_block * C, 0.0f);
        for (Index c = 0; c < C; c += width<float>) quantise_columns(block + c, C, units + c, C);
      }
    }
  }
};
#endif

// --- Which of them goes with which weights ---------------------------------------------------------------------------

// X [M, K] beside weights of a type
template <WeightType type>
auto left_activations(const float* x, Index K) {
  using T = Unit<type, WeightUse::linear>;
  if constexpr (type == WeightType::f32 || type == WeightType::f16) return LeftMatrix<float>{x, K};
  else if constexpr (std::is_same_v<T, float>) return LeftRounded<type>{{x, K}};
#ifdef INKLING_BF16_DOT
  else if constexpr (type == WeightType::bf16) return LeftPairs{x, K};
#endif
#ifdef INKLING_INT8_DOT
  else if constexpr (type == WeightType::q8) return LeftQuads{x, K};
#endif
}
// Patches beside weights of a type
template <WeightType type>
auto right_activations(const Patches<float>& P) {
  using T = Unit<type, WeightUse::convolution>;
  if constexpr (type == WeightType::f32 || type == WeightType::f16) return RightPatches<float>{P};
  else if constexpr (std::is_same_v<T, float>) return RightRounded<type>{{P}};
#ifdef INKLING_BF16_DOT
  else if constexpr (type == WeightType::bf16) return RightPairs{P};
#endif
#ifdef INKLING_INT8_DOT
  else if constexpr (type == WeightType::q8) return RightQuads{P};
#endif
}

}  // namespace inkling::kernels::fast
