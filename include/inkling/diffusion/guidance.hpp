// Classifier-free guidance: how strongly the prompt pulls.
#pragma once
#include <cmath>

#include "inkling/diffusion/elementwise.hpp"

namespace inkling {

inline void check_guidance_scale(double scale) {
  if (!std::isfinite(scale)) throw ConfigError("guidance scale", "a finite number", std::to_string(scale));
}

// Both are predictions for the same x_t; [N, C, H, W]. 1 is no guidance, 0 forgets the prompt. In the paper's letters
// scale = 1 + w. A negative prompt takes the place of the empty one in eps_uncond.
template <class T>
Tensor<T, 4> classifier_free_guidance(const Tensor<T, 4>& eps_uncond, const Tensor<T, 4>& eps_cond, double scale) {
  check_guidance_scale(scale);
  const T s = static_cast<T>(scale);
  // eps = (1 + w) eps(z, c) - w eps(z) = eps(z) + (1 + w) (eps(z, c) - eps(z))       Ho & Salimans 2022, equation (6)
  return elementwise([=](T uncond, T cond) { return uncond + s * (cond - uncond); }, eps_uncond, eps_cond);
}

// The same for a network that has answered both in one batch: [2N, C, H, W], the unconditional half first.
template <class T>
Tensor<T, 4> classifier_free_guidance(const Tensor<T, 4>& both, double scale) {
  check_guidance_scale(scale);
  if (both.shape(0) % 2 != 0)
    throw ShapeError("classifier_free_guidance", "an even batch: unconditional half, conditional half",
                     to_string(both.shape()));
  Tensor<T, 4> out(Shape<4>{both.shape(0) / 2, both.shape(1), both.shape(2), both.shape(3)}, uninitialized);
  const T s = static_cast<T>(scale);
  const T *uncond = both.data(), *cond = both.data() + out.size();
  for (Index i = 0; i < out.size(); ++i) out.data()[i] = uncond[i] + s * (cond[i] - uncond[i]);
  return out;
}

}  // namespace inkling
