// The processor's vector instructions, for headers that name them.
//
// With AVX-512, g++ 12 warns that its own <immintrin.h> uses variables unset (they are meant to be). It decides by
// where the header was read first, so this must come before any other header that reads it, Eigen among them.
#pragma once
#if defined(__SSE2__)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif
#endif
