// 2^x and e^x for registers: what softmax and attention spend their time on once the products are fast.
//
// x = n + r with a whole number n and |r| <= 1/2. Then 2^x = 2^n 2^r: the first factor is an exponent to be set, the
// second a polynomial. Of degree 5 with the constant term 1 (so that 2^0 is 1 exactly) and the smallest largest
// relative error, which is 1.1e-7 with the coefficients as floats; the roundings on the way included, results are off
// by at most 2 units in the last place (tests/test_attention.cpp prints what it finds).
//
// What a register of 16 floats takes with AVX-512 (Zen 4, in the first-level cache, load, sum and store included):
//   xsimd's exp 4.06 ns   xsimd's exp2 3.51 ns   this 1.63 ns   and with a table of 32 and degree 2 1.66 ns
// Its nine instructions are spread over all pipes, so that five multiply-adds are what remains to be waited for.
//
// AVX2 has no instruction for 2^n p: n goes into the exponent by integer arithmetic, and x is clamped before. Numbers a
// nanosecond in the first-level cache (Zen 3, registers of 8): 2^x 5.7, e^x 3.6 (xsimd's 2.9), SiLU 2.3.
#pragma once
#include "inkling/core/intrinsics.hpp"  // first

#include <cmath>

#include "inkling/kernels/fast/simd.hpp"

namespace inkling::kernels::fast {

inline constexpr double log2_e = 1.4426950408889634, ln_2 = 0.6931471805599453;

#if defined(INKLING_SIMD) && (defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__)))
#define INKLING_OWN_EXPONENTIAL 1
#if defined(__AVX512F__)
// x rounded to a whole number; 8: to nearest, no exception
INKLING_INLINE Vec<float> nearest(const Vec<float>& x) { return Vec<float>(_mm512_roundscale_ps(x, 8)); }
// 2^n p. It reaches 0 below and infinity above the range of floats, and gives these for n = -inf and n = inf whatever p
// is, NaN included.
INKLING_INLINE Vec<float> scaled(const Vec<float>& p, const Vec<float>& n) {
  return Vec<float>(_mm512_scalef_ps(p, n));
}
INKLING_INLINE Vec<float> scaled_in_range(const Vec<float>& p, const Vec<float>& n) { return scaled(p, n); }
INKLING_INLINE Vec<float> in_range(const Vec<float>& x) { return x; }
// e^x is 0 or infinity beyond them.
inline constexpr float least_exponent = -200, most_exponent = 200;
// NaN passes: min and max return their second operand then.
INKLING_INLINE Vec<float> clamped(const Vec<float>& x, float least, float most) {
  return Vec<float>(_mm512_max_ps(_mm512_set1_ps(least), _mm512_min_ps(_mm512_set1_ps(most), x)));
}
#else
INKLING_INLINE Vec<float> nearest(const Vec<float>& x) {
  return Vec<float>(_mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
INKLING_INLINE Vec<float> clamped(const Vec<float>& x, float least, float most) {
  return Vec<float>(_mm256_max_ps(_mm256_set1_ps(least), _mm256_min_ps(_mm256_set1_ps(most), x)));
}
// 2^n p for -127 <= n <= 128: n is added to the exponent, bits 23 to 30. With p = 1 that is 0 for n = -127 and infinity
// for n = 128, so x is clamped to these.
INKLING_INLINE Vec<float> scaled_in_range(const Vec<float>& p, const Vec<float>& n) {
  const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
  return Vec<float>(_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent)));
}
INKLING_INLINE Vec<float> in_range(const Vec<float>& x) { return clamped(x, -127.0F, 128.0F); }
// e^x counts as 0 or is infinite beyond them: ln 2^-126 = -87.34, ln 2^128 = 88.72.
inline constexpr float least_exponent = -87.4F, most_exponent = 89;
// 2^n p for -126 <= n <= 128, p < 2, as 2 (2^(n - 1) p): infinity where that is too large. 2^-127 counts as 0.
INKLING_INLINE Vec<float> scaled(const Vec<float>& p, const Vec<float>& n) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(126));
  const Vec<float> half = p * Vec<float>(_mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
  return half + half;
}
#endif
// p(r) = 1 + c1 r + ... + c5 r^5
INKLING_INLINE Vec<float> polynomial(const Vec<float>& r, float c1, float c2, float c3, float c4, float c5) {
  Vec<float> p = mul_add<float>(Vec<float>(c5), r, Vec<float>(c4));
  p = mul_add<float>(p, r, Vec<float>(c3));
  p = mul_add<float>(p, r, Vec<float>(c2));
  p = mul_add<float>(p, r, Vec<float>(c1));
  return mul_add<float>(p, r, Vec<float>(1.0F));
}
#endif

// 2^x. On AVX2 what is below 2^-126 is inexact, but less than that.
template <class T>
INKLING_INLINE Vec<T> power_of_two(const Vec<T>& x) {
#if defined(INKLING_OWN_EXPONENTIAL)
  if constexpr (std::is_same_v<T, float>) {
    const Vec<float> y = in_range(x), n = nearest(y);
    return scaled_in_range(
        polynomial(y - n, 0.693146978F, 0.240222421F, 0.0555073377F, 0.00967151313F, 0.00132647202F), n);
  }
#endif
  using std::exp2;
  return exp2(x);
}

// 2^x to 13 bits, for what will be rounded to bfloat16 (9 bits): off by at most 1.02e-4 of itself, 2^0 is 1.
INKLING_INLINE Vec<float> coarse_power_of_two(const Vec<float>& x) {
#if defined(INKLING_OWN_EXPONENTIAL)
  const Vec<float> y = in_range(x), n = nearest(y), r = y - n;
  Vec<float> p = mul_add<float>(Vec<float>(0.0550083481F), r, Vec<float>(0.242211178F));
  p = mul_add<float>(p, r, Vec<float>(0.693283081F));
  return scaled_in_range(mul_add<float>(p, r, Vec<float>(1.0F)), n);
#else
  return power_of_two<float>(x);
#endif
}

// e^x = 2^n e^r,  n = round(x log2 e),  r = x - n ln 2. The product n ln 2 must be exact to its last place for large
// x too, so ln 2 is split in two (Cody & Waite 1980, "Software manual for the elementary functions", chapter 6).
// On AVX2 what is below 2^-125.5 (x < -86.99) becomes 0.
template <class T>
INKLING_INLINE Vec<T> exponential(const Vec<T>& x) {
#if defined(INKLING_OWN_EXPONENTIAL)
  if constexpr (std::is_same_v<T, float>) {
    const Vec<float> y = clamped(x, least_exponent, most_exponent);
    const Vec<float> n = nearest(y * Vec<float>(1.44269504F));
    Vec<float> r = mul_add<float>(n, Vec<float>(-0.693145752F), y);   // 0x1.62e4p-1: 15 bits, times n exact
    r = mul_add<float>(n, Vec<float>(-1.42860677e-6F), r);            // ln 2 - 0x1.62e4p-1
    return scaled(polynomial(r, 0.999999707F, 0.499991495F, 0.166676363F, 0.0418979314F, 0.00829031031F), n);
  }
#endif
  using std::exp;
  return exp(x);
}

}  // namespace inkling::kernels::fast
