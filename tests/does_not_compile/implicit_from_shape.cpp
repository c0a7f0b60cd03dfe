// A shape where a tensor is wanted: a tensor of zeros would appear from nowhere.
// refused: (invalid initialization of reference|no matching function for call to .first|could not convert)
#include "inkling/core/tensor.hpp"
using inkling::Shape;
using inkling::Tensor;

float first(const Tensor<float, 2>& x);

float use() {
  const Shape<2> shape{2, 3};
#ifdef MISTAKE
  return first(shape);
#else
  return first(Tensor<float, 2>(shape));
#endif
}
