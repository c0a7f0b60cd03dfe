// The best answer there is where the world is a known list of pictures: what a network in training is on its way to.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "inkling/core/parallel.hpp"
#include "inkling/core/tensor.hpp"

namespace inkling {

// E[x_0 | x_t], the mean of all pictures in the list, each as likely as it is to have become x_t:
//   sum_i w_i y_i,  w = softmax_i(-|x_t - sqrt(alpha_bar) y_i|^2 / (2 (1 - alpha_bar)))
//                                                    Karras et al. 2022, equation (57), in the letters of Ho et al.
//                                                    2020
// It minimises the mean square error, and thus is what one step of denoising should give: a mean, and so a blur, as
// long as x_t leaves more than one picture possible. world[M, C, H, W], x_t[N, C, H, W] -> [N, C, H, W]
template <class T>
Tensor<T, 4> expected_x0(const Tensor<T, 4>& world, const Tensor<T, 4>& x_t, double alpha_bar) {
  const Index M = world.shape(0), N = x_t.shape(0), size = M == 0 ? 0 : world.size() / M;
  require_shape(x_t.shape(), Shape<4>{N, world.shape(1), world.shape(2), world.shape(3)}, "expected_x0 x_t");
  if (M == 0) throw ShapeError("expected_x0", "at least one picture", "none");
  if (!(alpha_bar > 0 && alpha_bar < 1))
    throw ConfigError("expected_x0 alpha_bar", "above 0 and below 1", std::to_string(alpha_bar));
  const T alpha = static_cast<T>(std::sqrt(alpha_bar));
  Tensor<T, 4> out(x_t.shape());
  parallel_for(N, M * size, [&](Index n) {
    const T* x = x_t.data() + n * size;
    std::vector<double> weight(static_cast<std::size_t>(M));
    for (Index i = 0; i < M; ++i) {
      const T* y = world.data() + i * size;
      double square = 0;
      for (Index k = 0; k < size; ++k) {
        const double d = static_cast<double>(x[k] - alpha * y[k]);
        square += d * d;
      }
      weight[static_cast<std::size_t>(i)] = -square / (2 * (1 - alpha_bar));
    }
    const double most = *std::max_element(weight.begin(), weight.end());  // subtracted only for stability
    double sum = 0;
    for (double& w : weight) sum += w = std::exp(w - most);
    for (Index i = 0; i < M; ++i) {
      const T w = static_cast<T>(weight[static_cast<std::size_t>(i)] / sum);
      if (w == T(0)) continue;
      const T* y = world.data() + i * size;
      for (Index k = 0; k < size; ++k) out.data()[n * size + k] += w * y[k];
    }
  });
  return out;
}

}  // namespace inkling
