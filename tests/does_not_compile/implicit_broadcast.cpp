// Adding a bias to an image with +: it would broadcast along the width instead of the channels.
// refused: (no match for .operator\+.|invalid operands to binary expression)
#include <xtensor/xmath.hpp>

#include "inkling/core/xtensor.hpp"
using inkling::Tensor;

Tensor<float, 4> use(const Tensor<float, 4>& x, const Tensor<float, 1>& bias) {
#ifdef MISTAKE
  return Tensor<float, 4>(x + bias);
#else
  return Tensor<float, 4>(x.xt() + bias(0));
#endif
}
