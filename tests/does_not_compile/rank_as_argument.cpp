// A rank-3 tensor where rank 4 is wanted. (As an alias of xt::xtensor this compiles and reads out of bounds.)
// refused: (invalid initialization of reference|no matching function for call to .first|no known conversion)
#include "inkling/core/tensor.hpp"
using inkling::Tensor;

float first(const Tensor<float, 4>& x);

float use() {
#ifdef MISTAKE
  const Tensor<float, 3> x({2, 3, 4});
#else
  const Tensor<float, 4> x({1, 2, 3, 4});
#endif
  return first(x);
}
