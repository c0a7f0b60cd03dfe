// Matrix products of floats, multiplied in the type in force (kernels/compute_type.hpp): the operands of gemm.hpp as
// they are, or packed as pairs of bfloat16 (dot_product.hpp), which multiply twice as fast.
//
// Any operand that packs floats can be narrowed: it packs a piece of a panel into the first-level cache, from where the
// piece is rounded and paired. Plain rows and patches have a way of their own without that stop (stored_operands.hpp).
//
// GFLOP/s of one thread, packing included (AMD Zen 4: at most 117 in float, 234 in bfloat16; g++ 12 -O3 -march=native;
// the fastest of some runs by processor time, on a busy machine):
//                                              float   bfloat16                             float   bfloat16
//   linear 2048 x 128 -> 128                     107        202      1024 x 320 -> 1280       108        205
//   the gradient of its input                    110        208                               109        212
//   of its weight                                104        183                               103        187
//   1x1 256 -> 128 at 16^2, batch 32              93        158      3x3, stride 2, 128        84        139
//   the gradient of its input                     97        166        at 16^2                66        116
//   of its weight                                 84        130                                70         99
// Rounding both factors makes an error of 2.3e-3 of the result (rms) where the terms have random signs.
#pragma once
#include "inkling/kernels/fast/gemm.hpp"  // first

#include "inkling/kernels/compute_type.hpp"
#include "inkling/kernels/fast/stored_operands.hpp"

namespace inkling::kernels::fast {

#ifdef INKLING_BF16_DOT
template <class Left>
struct NarrowedLeft {
  static constexpr PanelOrder order = Left::order;
  const Left& a;
  void pack(Index m, Index rows, Index k, Index depth, Bf16Pair* out) const {
    constexpr Index R = Tile<Bf16Pair>::rows, piece = Tile<float>::depth;
    static_assert(piece % 2 == 0 && 2 * R == width<float>);
    float* panel = workspace<float, 9>(Tile<float>::left_units);
    for (Index e = 0; e < depth; e += piece) {
      const Index count = std::min(piece, depth - e);
      a.pack(m, rows, k + e, count, panel);
      if constexpr (order == PanelOrder::rows) {
        for (Index i = 0; i < R; ++i)
          narrow_to_pairs(panel + i * Tile<float>::row_stride, count, out + i * Tile<Bf16Pair>::row_stride + e / 2);
      } else {
        if (count % 2 == 1) std::fill_n(panel + count * R, R, 0.0F);
        for (Index c = 0; c < count; c += 2) {  // a vector holds two steps of k
          alignas(64) Bf16Pair pairs[16];
          const Vec<float> both = load(panel + c * R);
          const Vec<float> next(_mm512_shuffle_f32x4(both, both, 0x4E));  // halves exchanged
          store_pairs(both, next, pairs);
          std::memcpy(out + (e + c) / 2 * R, pairs, sizeof(Bf16Pair) * R);
        }
      }
    }
  }
};
template <class Right>
struct NarrowedRight {
  const Right& b;
  void pack(Index k, Index depth, Index n, Index columns, Bf16Pair* out) const {
    constexpr Index C = Tile<Bf16Pair>::columns, piece = 64;
    float* panel = workspace<float, 9>((piece + 1) * C + width<float>);
    for (Index j = 0; j < columns; j += C)
      for (Index e = 0; e < depth; e += piece) {
        const Index count = std::min(piece, depth - e);
        b.pack(k + e, count, n + j, std::min(C, columns - j), panel);
        if (count % 2 == 1) std::fill_n(panel + count * C, C, 0.0F);
        for (Index c = 0; c < count; c += 2, out += C)
          for (Index i = 0; i < C; i += width<float>)
            store_pairs(load(panel + c * C + i), load(panel + (c + 1) * C + i), out + i);
      }
  }
};
#else
// The same numbers, rounded and multiplied as floats.
template <class Left>
struct NarrowedLeft {
  static constexpr PanelOrder order = Left::order;
  const Left& a;
  void pack(Index m, Index rows, Index k, Index depth, float* out) const {
    a.pack(m, rows, k, depth, out);
    if constexpr (order == PanelOrder::columns) round_activations<WeightType::bf16>(out, depth * Tile<float>::rows, 1);
    else
      for (Index i = 0; i < rows; ++i) round_activations<WeightType::bf16>(out + i * Tile<float>::row_stride, depth, 1);
  }
};
template <class Right>
struct NarrowedRight {
  const Right& b;
  void pack(Index k, Index depth, Index n, Index columns, float* out) const {
    constexpr Index C = Tile<float>::columns;
    b.pack(k, depth, n, columns, out);
    round_activations<WeightType::bf16>(out, (columns + C - 1) / C * C * depth, 1);
  }
};
#endif

template <class Left>
auto narrowed_left(const Left& a) {
#ifdef INKLING_BF16_DOT
  if constexpr (std::is_same_v<Left, LeftMatrix<float>>) return LeftPairs{a.a, a.stride};
  else
#endif
    return NarrowedLeft<Left>{a};
}
template <class Right>
auto narrowed_right(const Right& b) {
#ifdef INKLING_BF16_DOT
  if constexpr (std::is_same_v<Right, RightPatches<float>>) return RightPairs{b.g};
  else
#endif
    return NarrowedRight<Right>{b};
}

// C (+)= A B as gemm() does it.
template <class T, class Left, class Right, class Out, class Epilogue = NoEpilogue>
void mixed_gemm(Index M, Index N, Index K, const Left& a, const Right& b, const Out& out, bool accumulate = false,
                const Epilogue& epilogue = {}) {
  if constexpr (std::is_same_v<T, float>)
    if (compute_type_in_force() == ComputeType::bf16)
      return gemm<Unit<WeightType::bf16, WeightUse::linear>>(M, N, K, narrowed_left(a), narrowed_right(b), out,
                                                              accumulate, epilogue);
  gemm<T>(M, N, K, a, b, out, accumulate, epilogue);
}

}  // namespace inkling::kernels::fast
