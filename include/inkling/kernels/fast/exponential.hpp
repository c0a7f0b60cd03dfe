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
#pragma once
#include "inkling/core/intrinsics.hpp"  // first

#include <cmath>

#include "inkling/kernels/fast/simd.hpp"

namespace inkling::kernels::fast {

inline constexpr double log2_e = 1.4426950408889634, ln_2 = 0.6931471805599453;

#if defined(INKLING_SIMD) && defined(__AVX512F__)
// 2^n p(r), p(r) = 1 + c1 r + ... + c5 r^5. scalef does the rest: it reaches 0 below and infinity above the range of
// floats, and gives these for n = -inf and n = inf whatever p is, NaN included.
INKLING_INLINE __m512 scaled_polynomial(__m512 n, __m512 r, float c1, float c2, float c3, float c4, float c5) {
  __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(c5), r, _mm512_set1_ps(c4));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c3));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c2));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c1));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F));
  return _mm512_scalef_ps(p, n);
}
inline constexpr int nearest_integer = 8;  // the code of roundscale: to nearest, no exception
#endif

// 2^x
template <class T>
INKLING_INLINE Vec<T> power_of_two(const Vec<T>& x) {
#if defined(INKLING_SIMD) && defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) {
    const __m512 n = _mm512_roundscale_ps(x, nearest_integer);
    return Vec<T>(scaled_polynomial(n, _mm512_sub_ps(x, n), 0.693146978F, 0.240222421F, 0.0555073377F, 0.00967151313F,
                                    0.00132647202F));
  }
#endif
  using std::exp2;
  return exp2(x);
}

// 2^x to 13 bits, for what will be rounded to bfloat16 (9 bits): off by at most 1.02e-4 of itself, 2^0 is 1.
INKLING_INLINE Vec<float> coarse_power_of_two(const Vec<float>& x) {
#if defined(INKLING_SIMD) && defined(__AVX512F__)
  const __m512 n = _mm512_roundscale_ps(x, nearest_integer), r = _mm512_sub_ps(x, n);
  __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0.0550083481F), r, _mm512_set1_ps(0.242211178F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.693283081F));
  return Vec<float>(_mm512_scalef_ps(_mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F)), n));
#else
  return power_of_two<float>(x);
#endif
}

// e^x = 2^n e^r,  n = round(x log2 e),  r = x - n ln 2. The product n ln 2 must be exact to its last place for large
// x too, so ln 2 is split in two (Cody & Waite 1980, "Software manual for the elementary functions", chapter 6).
template <class T>
INKLING_INLINE Vec<T> exponential(const Vec<T>& x) {
#if defined(INKLING_SIMD) && defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) {
    // Beyond +-200 the result is 0 or infinity anyway. NaN passes: min and max return their second operand then.
    const __m512 y = _mm512_max_ps(_mm512_set1_ps(-200.0F), _mm512_min_ps(_mm512_set1_ps(200.0F), x));
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(y, _mm512_set1_ps(1.44269504F)), nearest_integer);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693145752F), y);   // 0x1.62e4p-1: 15 bits, times n exact
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(1.42860677e-6F), r);        // ln 2 - 0x1.62e4p-1
    return Vec<T>(scaled_polynomial(n, r, 0.999999707F, 0.499991495F, 0.166676363F, 0.0418979314F, 0.00829031031F));
  }
#endif
  using std::exp;
  return exp(x);
}

}  // namespace inkling::kernels::fast
