// A user's first program: a picture with one bright pixel, blurred by a 3x3 box.
#include <cstdio>
#include <inkling/core/tensor.hpp>
#include <inkling/kernels/fast/conv.hpp>

int main() {
  inkling::Tensor<float, 4> picture({1, 1, 5, 5});  // [N, C, H, W]
  picture(0, 0, 2, 2) = 9.0f;
  const inkling::Tensor<float, 4> box({1, 1, 3, 3}, 1.0f / 9.0f);  // [out, in, kernel height, kernel width]
  inkling::kernels::Conv2dOptions options;
  options.padding = inkling::kernels::Padding::all(1);
  const inkling::Tensor<float, 4> y = inkling::kernels::fast::conv2d<float>(picture, box, nullptr, options);
  std::printf("%g %g\n", static_cast<double>(y(0, 0, 1, 1)), static_cast<double>(y(0, 0, 0, 0)));
  return y(0, 0, 1, 1) == 1.0f && y(0, 0, 0, 0) == 0.0f ? 0 : 1;
}
