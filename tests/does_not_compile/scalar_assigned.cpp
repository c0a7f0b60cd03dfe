// Assigning double precision to single precision.
// refused: (no match for .operator=.|no viable overloaded .=.)
#include "inkling/core/tensor.hpp"
using inkling::Tensor;

void use(Tensor<float, 2>& to, const Tensor<double, 2>& from) {
#ifdef MISTAKE
  to = from;
#else
  to = from.cast<float>();
#endif
}
