// A reshape to rank 2 kept as rank 3.
// refused: (conversion from|could not convert|no viable conversion)
#include "inkling/core/tensor.hpp"
using inkling::Shape;
using inkling::Tensor;

void use(const Tensor<float, 4>& x) {
#ifdef MISTAKE
  const Tensor<float, 3> y = x.reshaped(Shape<2>{2, 12});
#else
  const Tensor<float, 2> y = x.reshaped(Shape<2>{2, 12});
#endif
  (void)y;
}
