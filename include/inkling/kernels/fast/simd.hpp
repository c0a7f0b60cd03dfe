// The processor's vectors, under six names: Vec<T>, width<T>, load, store, in_register, mul_add.
//
// xsimd picks the widest registers that the compiler may use: 16 floats (AVX-512), 8 (AVX2), 4 (SSE, NEON). Where it
// knows none, a vector is one number and the same code still runs.
#pragma once
#include "inkling/core/intrinsics.hpp"  // first

#include <type_traits>

#include "inkling/core/shape.hpp"

#if !defined(INKLING_NO_SIMD) && __has_include(<xsimd/xsimd.hpp>)
#include <xsimd/xsimd.hpp>
#ifndef XSIMD_NO_SUPPORTED_ARCHITECTURE
#define INKLING_SIMD 1
#endif
#endif

#if defined(__GNUC__)
#define INKLING_INLINE inline __attribute__((always_inline))
#define INKLING_NOINLINE __attribute__((noinline))
#else
#define INKLING_INLINE inline
#define INKLING_NOINLINE
#endif

namespace inkling::kernels::fast {

#ifdef INKLING_SIMD
// Integers, and double on 32-bit ARM, have no registers here: then a vector is one number.
template <class T>
struct VecOf {
  using type = T;
};
template <class T>
  requires(std::is_floating_point_v<T> && xsimd::types::has_simd_register<T, xsimd::default_arch>::value)
struct VecOf<T> {
  using type = xsimd::batch<T>;
};
template <class T>
using Vec = typename VecOf<T>::type;
#else
template <class T>
using Vec = T;
#endif

// How many T one Vec<T> holds.
template <class T>
inline constexpr Index width = static_cast<Index>(sizeof(Vec<T>) / sizeof(T));

// AVX-512 and 64-bit ARM have 32 vector registers, what came before has 16.
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr Index vector_registers = 32;
#else
inline constexpr Index vector_registers = 16;
#endif

// Memory need not be aligned. These are objects, not functions: for a function of these names the compiler would also
// consider xsimd's own, found by the type of the argument, which want aligned memory.
struct Load {
  template <class T>
  INKLING_INLINE Vec<T> operator()(const T* p) const {
    if constexpr (width<T> > 1)
      return Vec<T>::load_unaligned(p);
    else
      return *p;
  }
};
struct Store {
  template <class T>
  INKLING_INLINE void operator()(T* p, const std::type_identity_t<Vec<T>>& v) const {
    if constexpr (width<T> > 1)
      v.store_unaligned(p);
    else
      *p = v;
  }
};
inline constexpr Load load;
inline constexpr Store store;

// The same vector, but the compiler does not know where it comes from: so it stays in its register and is not read from
// memory once more for each use, which g++ likes to do inside of multiply-adds. Not on a processor without them:
// there a product needs a register of its own before it is added, and sixteen are not enough for that too.
template <class V>
INKLING_INLINE V in_register(V x) {
#if defined(__GNUC__) && defined(__AVX512F__)
  if constexpr (requires { x.data; }) asm("" : "+v"(x.data));
  else if constexpr (sizeof(V) == 64) asm("" : "+v"(x));
#elif defined(__GNUC__) && (defined(__FMA__) || defined(__aarch64__))
#if defined(__aarch64__)
#define INKLING_VECTOR_REGISTER "+w"
#else
#define INKLING_VECTOR_REGISTER "+x"
#endif
  if constexpr (requires { x.data; }) asm("" : INKLING_VECTOR_REGISTER(x.data));
#undef INKLING_VECTOR_REGISTER
#endif
  return x;
}

// x * y + z, rounded once where the processor can. xsimd 8 multiplies, then adds, on AVX-512.
template <class T>
INKLING_INLINE Vec<T> mul_add(const Vec<T>& x, const Vec<T>& y, const Vec<T>& z) {
  if constexpr (width<T> == 1)
    return x * y + z;
#if defined(INKLING_SIMD) && defined(__AVX512F__)
  else if constexpr (std::is_same_v<T, float>)
    return Vec<T>(_mm512_fmadd_ps(x, y, z));
  else
    return Vec<T>(_mm512_fmadd_pd(x, y, z));
#elif defined(INKLING_SIMD)
  else
    return xsimd::fma(x, y, z);
#endif
}

}  // namespace inkling::kernels::fast
