// Functions that stand in the headers, and that a program takes from the library inkling::compiled where it links that
// (INKLING_COMPILED_KERNELS): it then reads what a header offers and skips how it is done.
//
//   INKLING_FUNCTION Tensor<float, 4> denoise(...);            what the header offers
//   #if INKLING_BODIES
//   INKLING_FUNCTION Tensor<float, 4> denoise(...) { ... }     how
//   #endif
//
// Templates are listed in kernels/instantiations.hpp and autograd/instantiations.hpp instead.
#pragma once

#ifndef INKLING_COMPILED_KERNELS
#define INKLING_FUNCTION inline
#define INKLING_BODIES 1
#elif defined(INKLING_COMPILING)  // src/functions.cpp
#define INKLING_FUNCTION
#define INKLING_BODIES 1
#else
#define INKLING_FUNCTION
#define INKLING_BODIES 0
#endif
