// Losses: one number that training makes small. All are means over their elements; `dloss` is the gradient of that
// number (1 when it is the end of the chain). Terms are added in pieces of a fixed size, and the pieces in double.
#pragma once
#include <cstdint>

#include "inkling/core/tensor.hpp"
#include "inkling/kernels/fast/activation.hpp"
#include "inkling/kernels/fast/softmax.hpp"
#include "inkling/kernels/fast/vector.hpp"
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::fast {

namespace loss_detail {

// 1/n sum_i f(x_i, target_i)
template <class T, std::size_t N, class F>
Tensor<T, 0> mean_of(const Tensor<T, N>& x, const Tensor<T, N>& target, const char* where, const F& f) {
  require_shape(target.shape(), x.shape(), where);
  const Index n = require_elements(x.shape(), where);
  const double sum = parallel_sum<T>(n, 4, f, x.data(), target.data());
  return Tensor<T, 0>(Shape<0>{}, static_cast<T>(sum / static_cast<double>(n)));
}
// dx_i = dloss / n f'(x_i, target_i)
template <class T, std::size_t N, class F>
Tensor<T, N> mean_backward(T dloss, const Tensor<T, N>& x, const Tensor<T, N>& target, const char* where,
                           const F& slope) {
  require_shape(target.shape(), x.shape(), where);
  const T share = dloss / static_cast<T>(require_elements(x.shape(), where));
  Tensor<T, N> dx(x.shape(), uninitialized);
  parallel_map(
      x.size(), 4, dx.data(), [&](const Vec<T>& v, const Vec<T>& t) { return Vec<T>(share) * slope(v, t); }, x.data(),
      target.data());
  return dx;
}

}  // namespace loss_detail

// 1/n sum (x - target)^2.  x, target [...] -> []
template <class T, std::size_t N>
Tensor<T, 0> mse(const Tensor<T, N>& x, const Tensor<T, N>& target) {
  return loss_detail::mean_of(x, target, "mse", [](const Vec<T>& v, const Vec<T>& t) { return (v - t) * (v - t); });
}
// -> dx [...]; the target's gradient is -dx
template <class T, std::size_t N>
Tensor<T, N> mse_backward(std::type_identity_t<T> dloss, const Tensor<T, N>& x, const Tensor<T, N>& target) {
  return loss_detail::mean_backward(dloss, x, target, "mse_backward",
                                    [](const Vec<T>& v, const Vec<T>& t) { return constant<Vec<T>>(2) * (v - t); });
}

// 1/n sum |x - target|.  x, target [...] -> []
template <class T, std::size_t N>
Tensor<T, 0> l1(const Tensor<T, N>& x, const Tensor<T, N>& target) {
  return loss_detail::mean_of(x, target, "l1", [](const Vec<T>& v, const Vec<T>& t) {
    using std::abs;
    return abs(v - t);
  });
}
// -> dx [...]; the target's gradient is -dx. The corner counts as flat.
template <class T, std::size_t N>
Tensor<T, N> l1_backward(std::type_identity_t<T> dloss, const Tensor<T, N>& x, const Tensor<T, N>& target) {
  return loss_detail::mean_backward(dloss, x, target, "l1_backward", [](const Vec<T>& v, const Vec<T>& t) {
    const Vec<T> zero = constant<Vec<T>>(0), one = constant<Vec<T>>(1);
    return select_if<Vec<T>>(v > t, one, zero) - select_if<Vec<T>>(v < t, one, zero);
  });
}

// Huber 1964: a parabola that goes on as its tangent beyond delta. x, target [...] -> []
template <class T, std::size_t N>
Tensor<T, 0> huber(const Tensor<T, N>& x, const Tensor<T, N>& target, std::type_identity_t<T> delta) {
  require_positive(static_cast<double>(delta), "huber", "delta");
  return loss_detail::mean_of(x, target, "huber", [delta](const Vec<T>& v, const Vec<T>& t) {
    using std::abs;
    const Vec<T> e = abs(v - t), d(delta), half = constant<Vec<T>>(0.5);
    return select_if<Vec<T>>(e < d, half * e * e, d * (e - half * d));
  });
}
// -> dx [...]; the target's gradient is -dx
template <class T, std::size_t N>
Tensor<T, N> huber_backward(std::type_identity_t<T> dloss, const Tensor<T, N>& x, const Tensor<T, N>& target,
                            std::type_identity_t<T> delta) {
  require_positive(static_cast<double>(delta), "huber_backward", "delta");
  return loss_detail::mean_backward(dloss, x, target, "huber_backward", [delta](const Vec<T>& v, const Vec<T>& t) {
    return minimum(maximum(v - t, Vec<T>(-delta)), Vec<T>(delta));
  });
}

// Huber's loss divided by beta, so that the slope far out is 1 (Girshick 2015, equation 3). x, target [...] -> []
template <class T, std::size_t N>
Tensor<T, 0> smooth_l1(const Tensor<T, N>& x, const Tensor<T, N>& target, std::type_identity_t<T> beta) {
  return Tensor<T, 0>(Shape<0>{}, huber(x, target, beta)() / beta);
}
// -> dx [...]; the target's gradient is -dx
template <class T, std::size_t N>
Tensor<T, N> smooth_l1_backward(std::type_identity_t<T> dloss, const Tensor<T, N>& x, const Tensor<T, N>& target,
                                std::type_identity_t<T> beta) {
  return huber_backward(dloss / beta, x, target, beta);
}

// Classes stand along dimension 1. With smoothing s the wanted distribution is 1 - s on the class, plus s / C on all
// (Szegedy et al. 2016, section 7), so the loss of one element is -(1 - s) log p_id - s / C sum_c log p_c.
// logits [N, C, ...], ids [N, ...] -> []
template <class T, std::size_t N>
Tensor<T, 0> cross_entropy(const Tensor<T, N>& logits, const Tensor<std::int64_t, N - 1>& ids,
                           std::type_identity_t<T> label_smoothing = 0) {
  require_shape(ids.shape(), class_ids_shape(logits.shape()), "cross_entropy ids");
  require_fraction(static_cast<double>(label_smoothing), "cross_entropy", "label_smoothing");
  const AxisView v = axis_view(logits.shape(), 1, "cross_entropy");
  for (std::int64_t id : ids) require_id(id, v.length, "cross_entropy");
  const Tensor<T, N> log_p = log_softmax(logits, 1);
  std::vector<double> part(static_cast<std::size_t>(v.outer));  // one image or row each
  parallel_for(v.outer, v.inner * (label_smoothing != 0 ? v.length : 8), [&](Index o) {
    const T* p = log_p.data() + o * v.length * v.inner;
    double& loss = part[static_cast<std::size_t>(o)];
    for (Index n = 0; n < v.inner; ++n)
      loss -= static_cast<double>(1 - label_smoothing) *
              static_cast<double>(p[ids.data()[o * v.inner + n] * v.inner + n]);
    if (label_smoothing != 0)  // 0 times an infinite log p is 0
      loss -= static_cast<double>(label_smoothing) / static_cast<double>(v.length) *
              sum_of<T>(v.length * v.inner, [](const Vec<T>& x) { return x; }, p);
  });
  double loss = 0;
  for (double l : part) loss += l;
  return Tensor<T, 0>(Shape<0>{}, static_cast<T>(loss / static_cast<double>(ids.size())));
}
// dlogit_c = p_c - wanted_c, since wanted sums to 1.  -> dlogits [N, C, ...]
template <class T, std::size_t N>
Tensor<T, N> cross_entropy_backward(std::type_identity_t<T> dloss, const Tensor<T, N>& logits,
                                    const Tensor<std::int64_t, N - 1>& ids,
                                    std::type_identity_t<T> label_smoothing = 0) {
  require_shape(ids.shape(), class_ids_shape(logits.shape(), "cross_entropy_backward"), "cross_entropy_backward ids");
  require_fraction(static_cast<double>(label_smoothing), "cross_entropy_backward", "label_smoothing");
  const AxisView v = axis_view(logits.shape(), 1, "cross_entropy_backward");
  for (std::int64_t id : ids) require_id(id, v.length, "cross_entropy_backward");
  Tensor<T, N> d = softmax(logits, 1);
  const T share = dloss / static_cast<T>(ids.size()), rest = label_smoothing / static_cast<T>(v.length);
  parallel_for(v.outer, 2 * v.length * v.inner, [&](Index o) {
    T* p = d.data() + o * v.length * v.inner;
    map(v.length * v.inner, p, [=](const Vec<T>& x) { return Vec<T>(share) * (x - Vec<T>(rest)); }, p);
    for (Index n = 0; n < v.inner; ++n)
      p[ids.data()[o * v.inner + n] * v.inner + n] -= share * (1 - label_smoothing);
  });
  return d;
}

// Binary cross-entropy of sigmoid(x), -t log s(x) - (1 - t) log s(-x) = max(x, 0) - x t + log(1 + e^-|x|).
// x, target [...] -> []
template <class T, std::size_t N>
Tensor<T, 0> bce_with_logits(const Tensor<T, N>& x, const Tensor<T, N>& target) {
  return loss_detail::mean_of(x, target, "bce_with_logits", [](const Vec<T>& v, const Vec<T>& t) {
    return functions::Softplus::y(v) - v * t;
  });
}
// -> dx [...]
template <class T, std::size_t N>
Tensor<T, N> bce_with_logits_backward(std::type_identity_t<T> dloss, const Tensor<T, N>& x,
                                      const Tensor<T, N>& target) {
  return loss_detail::mean_backward(
      dloss, x, target, "bce_with_logits_backward",
      [](const Vec<T>& v, const Vec<T>& t) { return functions::sigma(v) - t; });
}

// KL divergence of a diagonal Gaussian from the standard one (Kingma & Welling 2013, appendix B), summed over an image:
// 1/2 sum (mu^2 + var - 1 - log var).  moments [N, 2C, H, W] = (mean, logvar) -> [N]
template <class T>
Tensor<T, 1> kl_diagonal_gaussian(const Tensor<T, 4>& moments) {
  const Shape<4> half = moments_half_shape(moments.shape());
  const Index size = half[1] * half[2] * half[3];
  Tensor<T, 1> kl(Shape<1>{half[0]});
  parallel_for(half[0], 10 * size, [&](Index n) {
    const T* mu = moments.data() + n * 2 * size;
    kl(n) = static_cast<T>(sum_of<T>(
        size,
        [](const Vec<T>& m, const Vec<T>& v) {
          using std::exp;
          const Vec<T> logvar = minimum(maximum(v, constant<Vec<T>>(logvar_min)), constant<Vec<T>>(logvar_max));
          return constant<Vec<T>>(0.5) * (m * m + exp(logvar) - constant<Vec<T>>(1) - logvar);
        },
        mu, mu + size));
  });
  return kl;
}
// d/dmu = mu,  d/dlogvar = (var - 1) / 2, and zero where logvar was clamped
// dkl [N], moments [N, 2C, H, W] -> dmoments [N, 2C, H, W]
template <class T>
Tensor<T, 4> kl_diagonal_gaussian_backward(const Tensor<T, 1>& dkl, const Tensor<T, 4>& moments) {
  const Shape<4> half = moments_half_shape(moments.shape(), "kl_diagonal_gaussian_backward");
  require_shape(dkl.shape(), Shape<1>{half[0]}, "kl_diagonal_gaussian_backward");
  const Index size = half[1] * half[2] * half[3];
  Tensor<T, 4> d(moments.shape(), uninitialized);
  parallel_for(half[0], 10 * size, [&](Index n) {
    const T *mu = moments.data() + n * 2 * size, g = dkl(n);
    T* dmu = d.data() + n * 2 * size;
    map(size, dmu, [g](const Vec<T>& m) { return Vec<T>(g) * m; }, mu);
    map(
        size, dmu + size,
        [g](const Vec<T>& v) {
          using std::exp;
          const Vec<T> zero = constant<Vec<T>>(0);
          const Vec<T> inside = constant<Vec<T>>(0.5) * Vec<T>(g) * (exp(v) - constant<Vec<T>>(1));
          return select_if<Vec<T>>(v < constant<Vec<T>>(logvar_min), zero,
                                   select_if<Vec<T>>(v > constant<Vec<T>>(logvar_max), zero, inside));
        },
        mu + size);
  });
  return d;
}

}  // namespace inkling::kernels::fast
