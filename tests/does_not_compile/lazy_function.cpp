// xt::exp on a tensor: argument-dependent lookup must not find xtensor's lazy functions.
// refused: (no matching function for call to .exp|cannot convert .*Tensor.* to .double.)
#include <xtensor/xmath.hpp>

#include "inkling/core/xtensor.hpp"
using inkling::Tensor;

Tensor<float, 2> use(const Tensor<float, 2>& x) {
#ifdef MISTAKE
  return Tensor<float, 2>(exp(x));
#else
  return Tensor<float, 2>(exp(x.xt()));
#endif
}
