// A numpy-like expression turned into a tensor without saying so: the evaluation costs time and memory.
// refused: (conversion from|could not convert|no viable conversion)
#include <xtensor/xmath.hpp>

#include "inkling/core/xtensor.hpp"
using inkling::Tensor;

Tensor<float, 2> use(const Tensor<float, 2>& x) {
#ifdef MISTAKE
  return xt::exp(x.xt());
#else
  return Tensor<float, 2>(xt::exp(x.xt()));
#endif
}
