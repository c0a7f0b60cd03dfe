// Three indices for a matrix.
// refused: (no match for call|no matching function for call to object)
#include "inkling/core/tensor.hpp"
using inkling::Tensor;

void use(Tensor<float, 2>& x) {
#ifdef MISTAKE
  x(0, 0, 0) = 1;
#else
  x(0, 0) = 1;
#endif
}
