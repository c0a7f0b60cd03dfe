// Gradient check: the slope measured by moving an input a little, against the slope that backward() reports.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>

#include "inkling/autograd/variable.hpp"

namespace inkling {

struct GradientCheck {
  double worst = 0;      // largest |analytic - measured| / max(1, |measured|)
  std::string where;     // which input and element that was
  Index compared = 0;    // how many elements were moved
};

// `loss()` computes a scalar from scratch; `leaf` is a variable that it depends on. Up to `samples` elements of the
// leaf, spread evenly, are moved by +-h:   dL/dx_i ~ (L(x_i + h) - L(x_i - h)) / 2h, with an error of order h^2.
template <std::size_t N, class Loss>
void check_gradient(GradientCheck& check, const std::string& name, Variable<double, N> leaf, Loss&& loss,
                    Index samples = 8, double h = 1e-5) {
  leaf.set_requires_grad(true);
  leaf.zero_grad();
  backward(loss());
  const Tensor<double, N> analytic = leaf.has_grad() ? leaf.grad() : Tensor<double, N>(leaf.shape());
  leaf.zero_grad();
  NoGrad no_grad;
  const Index size = leaf.value().size(), count = std::min(samples, size);
  for (Index s = 0; s < count; ++s) {
    const Index i = s * size / count;
    double& x = leaf.mutable_value().data()[i];
    const double before = x;
    x = before + h;
    const double up = loss().value()();
    x = before - h;
    const double down = loss().value()();
    x = before;
    const double measured = (up - down) / (2 * h);
    const double error = std::abs(analytic.data()[i] - measured) / std::max(1.0, std::abs(measured));
    ++check.compared;
    if (!(error <= check.worst)) {  // also true for NaN
      check.worst = error;
      check.where = name + "[" + std::to_string(i) + "]: backward " + std::to_string(analytic.data()[i]) +
                    ", measured " + std::to_string(measured);
    }
  }
}

}  // namespace inkling
