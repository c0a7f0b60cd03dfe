// Three indices for a rank-4 tensor.
// refused: (no match for call|no matching function for call to object)
#include "inkling/core/tensor.hpp"
using inkling::Tensor;

float use(const Tensor<float, 4>& x) {
#ifdef MISTAKE
  return x(0, 0, 0);
#else
  return x(0, 0, 0, 0);
#endif
}
