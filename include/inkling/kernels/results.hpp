// What kernels return when one tensor is not enough. Shared by kernels::reference and kernels::fast.
#pragma once
#include "inkling/core/tensor.hpp"

namespace inkling::kernels {

// A normalisation's output, and the statistics that its backward needs.
template <class T, std::size_t N>
struct NormResult {
  Tensor<T, N> y;
  Tensor<T, 1> mean, rstd;  // rstd = 1 / sqrt(var + eps); [N * groups], [rows] or [C], see the kernel
};
template <class T, std::size_t N>
struct NormGradients {
  Tensor<T, N> dx;
  Tensor<T, 1> dgamma, dbeta;  // [C] or [D]
};

template <class T>
struct NormSiluGradients {
  Tensor<T, 4> dx;             // [N, C, H, W]
  Tensor<T, 2> dshift;         // [N, C]; empty when nothing was added
  Tensor<T, 1> dgamma, dbeta;  // [C]
};

template <class T>
struct AttentionResult {
  Tensor<T, 3> y;    // [N, L, A*dv]
  Tensor<T, 3> lse;  // [N, A, L], log of the sum of exp(scaled score + mask): all that the backward needs
};
template <class T>
struct AttentionGradients {
  Tensor<T, 3> dq, dk, dv;  // shaped as q, k, v
};

template <class T>
struct MaxPoolResult {
  Tensor<T, 4> y;           // [N, C, OH, OW]
  Tensor<Index, 4> argmax;  // where in its input plane the maximum stood: h * W + w; the first of equal ones
};

template <class T, std::size_t N, std::size_t M>
struct BroadcastGradients {
  Tensor<T, N> da;
  Tensor<T, M> db;  // summed over the dimensions along which b was repeated
};

}  // namespace inkling::kernels
