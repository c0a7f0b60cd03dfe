// Instructions that multiply several small numbers at once, and the tiles of C that are made with them.
//
//   vdpbf16ps   sum += a0 b0 + a1 b1                     two bfloat16 in 32 bits, products and sums in fp32
//   vpdpbusd    sum += a0 b0 + a1 b1 + a2 b2 + a3 b3     four 8-bit integers in 32 bits, unsigned times signed
//
// So one multiply-add of the micro-kernel does two or four steps of k, and panels keep their geometry: a unit is still
// 32 bits. A processor without these instructions rounds its operands alike and multiplies in fp32
// (stored_operands.hpp); 3x3 convolutions go by Winograd's way there where that pays, in fp32 throughout.
//
// Measured, one thread, G operations/s (AMD Zen 4, AVX-512, every register busy; g++ 12 -O3 -march=native; the fastest
// of many runs by processor time):
//   vfmadd231ps 117      vdpbf16ps 234      vpdpbusd 472
#pragma once
#include "inkling/kernels/fast/microkernel.hpp"  // first

#include <bit>
#include <cstdint>

#include "inkling/core/half.hpp"

#if defined(INKLING_SIMD) && defined(__AVX512BF16__) && defined(__AVX512BW__)
#define INKLING_BF16_DOT 1
#endif
#if defined(INKLING_SIMD) && defined(__AVX512VNNI__) && defined(__AVX512BW__)
#define INKLING_INT8_DOT 1
#endif

namespace inkling::kernels::fast {

// --- Eight bits with a scale for every 64 numbers along k ------------------------------------------------------------

// With 32 the tile of C runs at 61 % of the peak, with 64 at 75 %: scaling the integer sums takes that long.
inline constexpr Index q8_block = 64, q8_quads = q8_block / 4;

// Activations: x = q scale with q = round(127 x / max |x|), the largest of a block becomes +-127. The largest is taken
// of bits, not of numbers: then infinity and NaN win, and the whole block becomes NaN.
struct Q8Scale {
  float scale, inverse;
};
inline Q8Scale q8_scale(std::uint32_t largest_bits) {
  const float largest = std::bit_cast<float>(largest_bits);
  return {largest * (1.0f / 127), largest > 0 ? 127 / largest : 0};
}

// --- Pairs of bfloat16 ---------------------------------------------------------------------------------------------

#ifdef INKLING_BF16_DOT
struct Bf16Pair {
  std::uint32_t bits;  // k in the lower half, k + 1 in the upper
};
template <>
struct Arithmetic<Bf16Pair> {
  using Sum = float;
  static constexpr Index numbers = 2, granule = 2;
  INKLING_INLINE static __m512bh row(const Bf16Pair* b) { return std::bit_cast<__m512bh>(_mm512_loadu_si512(b)); }
  INKLING_INLINE static __m512bh repeat(const Bf16Pair* a) {
    return std::bit_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(a->bits)));
  }
  INKLING_INLINE static Vec<float> multiply_add(const __m512bh& a, const __m512bh& b, const Vec<float>& sum) {
    return Vec<float>(_mm512_dpbf16_ps(sum, a, b));
  }
};

// 16 units (low[j], high[j])
INKLING_INLINE void store_pairs(const Vec<float>& low, const Vec<float>& high, Bf16Pair* out) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i both = std::bit_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
  _mm512_storeu_si512(out, _mm512_permutexvar_epi16(order, both));
}
// Units (x[0], x[1]), (x[2], x[3]), ...; an odd last number gets a zero beside it.
inline void narrow_to_pairs(const float* x, Index n, Bf16Pair* out) {
  Index i = 0;
  for (; i + 32 <= n; i += 32)
    _mm512_storeu_si512(out + i / 2,
                        std::bit_cast<__m512i>(_mm512_cvtne2ps_pbh(load(x + i + 16), load(x + i))));
  for (; i < n; i += 2)
    out[i / 2].bits = detail::bfloat16_bits(x[i]) |
                      (i + 1 < n ? std::uint32_t{detail::bfloat16_bits(x[i + 1])} << 16 : std::uint32_t{0});
}
#endif

// --- Blocks of sixteen units of four 8-bit integers ------------------------------------------------------------------

#ifdef INKLING_INT8_DOT
// The unsigned side is the weight w, stored as w + 128. What that adds to the sum is taken off beforehand:
//   sum_k (w + 128) a - 128 sum_k a = sum_k w a
// and -128 sum a is known when the activations a are quantised. Panels are made of blocks of 64 k:
//   weights       16 units for each row or column, then its scale as bfloat16
//   activations   16 units for each row or column, then its scale as float, then -128 sum a
template <bool WeightsLeft>
struct Int8Quad {
  std::uint32_t bits;
};
template <bool WeightsLeft>
struct Arithmetic<Int8Quad<WeightsLeft>> {
  using Sum = float;
  static constexpr Index numbers = 4, granule = q8_block;
};
inline constexpr Index q8_units(Index lanes, bool weights) {
  return weights ? q8_quads * lanes + lanes / 2 : (q8_quads + 2) * lanes;
}

template <bool WeightsLeft>
struct Tile<Int8Quad<WeightsLeft>> {
  static constexpr Index rows = Tile<float>::rows, vectors = Tile<float>::vectors, columns = Tile<float>::columns;
  static constexpr Index panels_in_group = Tile<float>::panels_in_group;
  static constexpr Index depth = Tile<float>::depth;
  static constexpr Index left_block = q8_units(rows, WeightsLeft), right_block = q8_units(columns, !WeightsLeft);
  static constexpr Index left_units = depth / q8_quads * left_block;
  static constexpr Index right_units(Index k) { return (k + q8_block - 1) / q8_block * right_block; }
};

// sum += the four products of each 32 bits. g++ 12 keeps half of the accumulators in memory around the intrinsic, at
// less than half the speed.
INKLING_INLINE void add_quads(__m512i& sum, const __m512i& weights, const __m512i& activations) {
#if defined(__GNUC__) && !defined(__clang__)
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(activations));
#else
  sum = _mm512_dpbusd_epi32(sum, weights, activations);
#endif
}

INKLING_INLINE __m512 widen_scales(const void* scales) {  // 16 bfloat16
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(scales))), 16));
}

// The integer sums of a block stay in registers; tile C gathers them, scaled: c += (scale_a scale_b) sum.
template <bool WeightsLeft, std::size_t... V, std::size_t... I>
INKLING_INLINE void multiply_quads(Index blocks, const Int8Quad<WeightsLeft>* a, const Int8Quad<WeightsLeft>* b,
                                   float* c, const AheadOfTile& ahead, std::index_sequence<V...>,
                                   std::index_sequence<I...>) {
  using Panel = Tile<Int8Quad<WeightsLeft>>;
  constexpr Index R = Panel::rows, C = Panel::columns, W = 16;
  constexpr std::size_t vectors = sizeof...(V);
  const auto row_of = [](std::size_t i) { return static_cast<Index>(i / vectors); };
  const auto column_of = [](std::size_t i) { return static_cast<Index>(i % vectors) * W; };
  (_mm512_storeu_ps(c + row_of(I) * C + column_of(I), _mm512_setzero_ps()), ...);
  for (Index block = 0; block < blocks; ++block, a += Panel::left_block, b += Panel::right_block) {
    const auto bits = [](const Int8Quad<WeightsLeft>* p) { return _mm512_set1_epi32(static_cast<int>(p->bits)); };
    const __m512i start[] = {(void(V), _mm512_setzero_si512())...,
                             (WeightsLeft ? _mm512_loadu_si512(b + (q8_quads + 1) * C + static_cast<Index>(V) * W)
                                          : _mm512_setzero_si512())...};
    __m512i sum[] = {(WeightsLeft ? start[vectors + I % vectors] : bits(a + (q8_quads + 1) * R + row_of(I)))...};
    for (Index q = 0; q < q8_quads; ++q) {
      if (q % 4 == 0) ahead.fetch<R>((block * q8_quads + q) / 4);
      const __m512i column[] = {_mm512_loadu_si512(b + q * C + static_cast<Index>(V) * W)...};
      if constexpr (WeightsLeft)
        (add_quads(sum[I], bits(a + q * R + row_of(I)), column[I % vectors]), ...);
      else  // activations lie row by row
        (add_quads(sum[I], column[I % vectors], bits(a + row_of(I) * q8_quads + q)), ...);
    }
    const auto* left_scale = reinterpret_cast<const std::uint16_t*>(a + q8_quads * R);
    const auto* scales = b + q8_quads * C;
    const __m512 column_scale[] = {(WeightsLeft ? _mm512_loadu_ps(scales + static_cast<Index>(V) * W)
                                                : widen_scales(scales + static_cast<Index>(V) * W / 2))...};
    const auto row_scale = [&](Index i) {
      const std::uint32_t scale = WeightsLeft ? std::uint32_t{left_scale[i]} << 16 : a[q8_quads * R + i].bits;
      return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(scale)));
    };
    (_mm512_storeu_ps(c + row_of(I) * C + column_of(I),
                      _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[I]),
                                      _mm512_mul_ps(row_scale(row_of(I)), column_scale[I % vectors]),
                                      _mm512_loadu_ps(c + row_of(I) * C + column_of(I)))),
     ...);
  }
}
// Chosen over the general multiply_panels of microkernel.hpp because T is known better.
template <class T, PanelOrder Order, Index Rows, Index Vectors>
  requires(Arithmetic<T>::granule == q8_block)
INKLING_NOINLINE void multiply_panels(Index depth, const T* a, const T* b, const TileOfSums<float>& to,
                                      const AheadOfTile& ahead) {
  multiply_quads((depth + q8_block - 1) / q8_block, a, b, to.c, ahead,
                 std::make_index_sequence<static_cast<std::size_t>(Vectors)>{},
                 std::make_index_sequence<static_cast<std::size_t>(Rows * Vectors)>{});
}

// One row of activations, n <= 64: 16 units, its scale, and -128 sum a.
inline void quantise_row(const float* x, Index n, std::uint32_t* units, std::uint32_t* scale, std::uint32_t* offset) {
  const auto part = [&](Index i) {
    if (n == q8_block) return _mm512_loadu_ps(x + i);
    const Index left = std::clamp<Index>(n - i, 0, 16);
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << left) - 1), x + i);
  };
  const auto magnitude = [](const __m512& v) {
    return _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7FFFFFFF));
  };
  const __m512 a = part(0), b = part(16), c = part(32), d = part(48);
  const Q8Scale s = q8_scale(static_cast<std::uint32_t>(
      _mm512_reduce_max_epi32(_mm512_max_epi32(_mm512_max_epi32(magnitude(a), magnitude(b)),
                                               _mm512_max_epi32(magnitude(c), magnitude(d))))));
  const auto quantised = [&](const __m512& v, Index i) {
    const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(v, _mm512_set1_ps(s.inverse)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(units + i / 4), _mm512_cvtepi32_epi8(q));
    return q;
  };
  const __m512i total = _mm512_add_epi32(_mm512_add_epi32(quantised(a, 0), quantised(b, 16)),
                                         _mm512_add_epi32(quantised(c, 32), quantised(d, 48)));
  *scale = std::bit_cast<std::uint32_t>(s.scale);
  *offset = static_cast<std::uint32_t>(_mm512_reduce_add_epi32(total)) * (0u - 128u);
}
// The same for 16 columns at once: x [64, stride], units [16, C], then scales and offsets C further each.
INKLING_INLINE void quantise_columns(const float* x, Index stride, std::uint32_t* units, Index C) {
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF), byte = _mm512_set1_epi32(255);
  __m512i largest = _mm512_setzero_si512(), total = _mm512_setzero_si512();
  for (Index k = 0; k < q8_block; ++k)
    largest = _mm512_max_epi32(largest, _mm512_and_si512(_mm512_loadu_si512(x + k * stride), magnitude));
  const __m512 scale = _mm512_mul_ps(_mm512_castsi512_ps(largest), _mm512_set1_ps(1.0f / 127));
  const __m512 inverse =
      _mm512_maskz_div_ps(_mm512_cmpgt_epi32_mask(largest, _mm512_setzero_si512()), _mm512_set1_ps(127),
                          _mm512_castsi512_ps(largest));
  for (Index q = 0; q < q8_quads; ++q) {
    __m512i packed = _mm512_setzero_si512();
    for (Index e = 4; e-- > 0;) {
      const __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + (4 * q + e) * stride), inverse));
      packed = _mm512_or_si512(_mm512_slli_epi32(packed, 8), _mm512_and_si512(v, byte));
    }
    _mm512_storeu_si512(units + q * C, packed);
    total = _mm512_dpbusd_epi32(total, _mm512_set1_epi8(1), packed);
  }
  _mm512_storeu_ps(units + q8_quads * C, scale);
  _mm512_storeu_si512(units + (q8_quads + 1) * C, _mm512_mullo_epi32(total, _mm512_set1_epi32(-128)));
}
#endif

}  // namespace inkling::kernels::fast
