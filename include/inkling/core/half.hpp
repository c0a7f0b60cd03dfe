// 16-bit floating point: how weights are stored. Arithmetic on single numbers is float's (that of half is hundreds of
// times slower): a row of weights is widened, used, and forgotten. Only bfloat16 is also multiplied as it is, two
// products at a time that are summed in float, by processors that can (kernels/compute_type.hpp, kernels/weights.hpp).
//
//   half      1 sign, 5 exponent, 10 fraction bits: 11 significant bits, largest 65504, smallest 2^-24
//   bfloat16  1 sign, 8 exponent,  7 fraction bits: the upper half of a float, so its range is float's
#pragma once
#include "inkling/core/intrinsics.hpp"  // first

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include "inkling/core/parallel.hpp"
#include "inkling/core/shape.hpp"

namespace inkling {
namespace detail {

// half -> float, exactly: value = (-1)^sign 2^(exponent - 15) (1 + fraction / 2^10), and 2^-14 fraction / 2^10 for
// exponent 0. float counts exponents from 127, so 112 is added; what has exponent 31 is infinite or not a number.
inline float half_value(std::uint16_t bits) {
  const std::uint32_t sign = std::uint32_t{bits & 0x8000u} << 16, rest = bits & 0x7FFFu;
  std::uint32_t value = (rest << 13) + (112u << 23);
  if (rest > 0x7C00u) value = (rest << 13) | 0x7FC00000u;  // NaN, made quiet
  else if (rest == 0x7C00u) value = 0x7F800000u;
  else if (rest < 0x0400u) value = std::bit_cast<std::uint32_t>(static_cast<float>(rest) * 0x1p-24f);
  return std::bit_cast<float>(sign | value);
}
// float -> half, to nearest, ties to even.
inline std::uint16_t half_bits(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value), sign = (bits >> 16) & 0x8000u, rest = bits & 0x7FFFFFFFu;
  std::uint32_t rounded;
  if (rest > 0x7F800000u)
    rounded = (rest >> 13 & 0x03FFu) | 0x7E00u;  // NaN, made quiet
  else if (rest >= 0x477FF000u)
    rounded = 0x7C00u;  // 65520, the middle between the largest half and 65536, and all beyond: infinity
  else if (rest < 0x38800000u)
    // Below 2^-14 halves are multiples of 2^-24, as floats between 1/2 and 1 are: adding 1/2 rounds to one of them.
    rounded = std::bit_cast<std::uint32_t>(std::bit_cast<float>(rest) + 0.5f) - 0x3F000000u;
  else
    // Adding 0xFFF, and 1 more when the last kept bit is odd, carries into the kept bits when it must be rounded up.
    rounded = (rest - (112u << 23) + 0x0FFFu + (rest >> 13 & 1u)) >> 13;
  return static_cast<std::uint16_t>(sign | rounded);
}

// bfloat16 -> float: the same bits, sixteen zeros behind them.
inline float bfloat16_value(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
// float -> bfloat16, to nearest, ties to even: adding 0x7FFF, and 1 more when the last kept bit is odd, carries into
// the kept half exactly when the value must be rounded up. Not the processor's own vcvtneps2bf16: it turns
// subnormal numbers into zero.
inline std::uint16_t bfloat16_bits(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);  // NaN stays NaN
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}
// The value of those bits, without a branch and in 32 bits throughout: so loops over it become vector instructions
// (with -O3).
inline float rounded_to_bfloat16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  const std::uint32_t rounded = is_nan ? bits | 0x400000u : bits + 0x7FFFu + ((bits >> 16) & 1u);
  return std::bit_cast<float>(rounded & 0xFFFF0000u);
}

}  // namespace detail

// In arithmetic they are floats: h + h is a float, and is stored again only by saying so, half(h + h).
struct half {
  std::uint16_t bits = 0;
  half() = default;
  template <class T>
    requires std::is_arithmetic_v<T>
  explicit half(T value) : bits(detail::half_bits(static_cast<float>(value))) {}
  operator float() const { return detail::half_value(bits); }
};
struct bfloat16 {
  std::uint16_t bits = 0;
  bfloat16() = default;
  template <class T>
    requires std::is_arithmetic_v<T>
  explicit bfloat16(T value) : bits(detail::bfloat16_bits(static_cast<float>(value))) {}
  operator float() const { return detail::bfloat16_value(bits); }
};

namespace detail {

// Both types are their 16 bits and nothing else, which lets arrays of them be loaded as they lie in a file.
static_assert(sizeof(half) == 2 && sizeof(bfloat16) == 2);

inline void widen(const half* in, Index n, float* out) {
  Index i = 0;
#ifdef __F16C__
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i))));
#endif
  for (; i < n; ++i) out[i] = in[i];
}

inline void narrow(const float* in, Index n, half* out) {
  Index i = 0;
#ifdef __F16C__
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#endif
  for (; i < n; ++i) out[i] = half(in[i]);
}

inline void widen(const bfloat16* in, Index n, float* out) {
  Index i = 0;
#ifdef __AVX2__
  for (; i + 8 <= n; i += 8) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i));
    _mm256_storeu_ps(out + i, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16)));
  }
#endif
  for (; i < n; ++i) out[i] = in[i];
}

inline void narrow(const float* in, Index n, bfloat16* out) {
  Index i = 0;
#ifdef __AVX2__
  for (; i + 8 <= n; i += 8) {
    const __m256 value = _mm256_loadu_ps(in + i);
    const __m256i bits = _mm256_castps_si256(value), upper = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF))), 16);
    const __m256i quiet_nan = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    const __m256i kept = _mm256_blendv_epi8(rounded, quiet_nan, is_nan);  // 8 x 32 bits, upper halves zero
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                     _mm_packus_epi32(_mm256_castsi256_si128(kept), _mm256_extracti128_si256(kept, 1)));
  }
#endif
  for (; i < n; ++i) out[i] = bfloat16(in[i]);
}

// Every element on its own, so pieces may be done in any order.
template <class Convert, class From, class To>
void convert_pieces(std::span<const From> in, std::span<To> out, const char* where, Convert convert) {
  if (in.size() != out.size())
    throw ShapeError(where, std::to_string(in.size()) + " elements to write to", std::to_string(out.size()));
  const Index n = static_cast<Index>(in.size()), piece = 16384;
  parallel_for((n + piece - 1) / piece, piece / 4, [&](Index p) {
    const Index begin = p * piece;
    convert(in.data() + begin, std::min(piece, n - begin), out.data() + begin);
  });
}

}  // namespace detail

// Arrays, at memory speed. Widening is exact; narrowing rounds to the nearest, ties to even, and what is too large
// becomes infinity. Throws ShapeError when the lengths differ.
inline void to_float(std::span<const half> in, std::span<float> out) {
  detail::convert_pieces(in, out, "to_float", [](auto... a) { detail::widen(a...); });
}
inline void to_float(std::span<const bfloat16> in, std::span<float> out) {
  detail::convert_pieces(in, out, "to_float", [](auto... a) { detail::widen(a...); });
}
inline void to_half(std::span<const float> in, std::span<half> out) {
  detail::convert_pieces(in, out, "to_half", [](auto... a) { detail::narrow(a...); });
}
inline void to_bfloat16(std::span<const float> in, std::span<bfloat16> out) {
  detail::convert_pieces(in, out, "to_bfloat16", [](auto... a) { detail::narrow(a...); });
}

}  // namespace inkling
