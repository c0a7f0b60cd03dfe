// An index that is not a whole number.
// refused: (no match for call|no matching function for call to object)
#include "inkling/core/tensor.hpp"
using inkling::Tensor;

float use(const Tensor<float, 1>& x) {
#ifdef MISTAKE
  return x(0.5);
#else
  return x(5);
#endif
}
