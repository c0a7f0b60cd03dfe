// Single precision where double precision is wanted: turning one into the other is only done by cast<double>().
// refused: (invalid initialization of reference|no matching function for call to .sum)
#include "inkling/core/tensor.hpp"
using inkling::Tensor;

double sum(const Tensor<double, 2>& x);

double use(const Tensor<float, 2>& x) {
#ifdef MISTAKE
  return sum(x);
#else
  return sum(x.cast<double>());
#endif
}
