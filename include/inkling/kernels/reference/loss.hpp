// Losses: one number that training makes small. All are means over their elements; `dloss` is the gradient of that
// number (1 when it is the end of the chain).
#pragma once
#include "inkling/kernels/options.hpp"
#include "inkling/kernels/reference/activation.hpp"
#include "inkling/kernels/reference/softmax.hpp"

namespace inkling::kernels::reference {

// x, target [...] -> []
template <class T, std::size_t N>
Tensor<T, 0> mse(const Tensor<T, N>& x, const Tensor<T, N>& target) {
  require_shape(target.shape(), x.shape(), "mse");
  const Index n = require_elements(x.shape(), "mse");
  T loss = 0;
  for (Index i = 0; i < n; ++i) {
    const T e = x.data()[i] - target.data()[i];
    loss += e * e;  // 1/n sum (x - target)^2
  }
  return Tensor<T, 0>(Shape<0>{}, loss / static_cast<T>(n));
}
// -> dx [...]; the target's gradient is -dx
template <class T, std::size_t N>
Tensor<T, N> mse_backward(std::type_identity_t<T> dloss, const Tensor<T, N>& x, const Tensor<T, N>& target) {
  require_shape(target.shape(), x.shape(), "mse_backward");
  const Index n = require_elements(x.shape(), "mse_backward");
  Tensor<T, N> dx(x.shape());
  for (Index i = 0; i < n; ++i) dx.data()[i] = dloss * 2 * (x.data()[i] - target.data()[i]) / static_cast<T>(n);
  return dx;
}

// x, target [...] -> []
template <class T, std::size_t N>
Tensor<T, 0> l1(const Tensor<T, N>& x, const Tensor<T, N>& target) {
  require_shape(target.shape(), x.shape(), "l1");
  const Index n = require_elements(x.shape(), "l1");
  T loss = 0;
  for (Index i = 0; i < n; ++i) loss += std::abs(x.data()[i] - target.data()[i]);  // 1/n sum |x - target|
  return Tensor<T, 0>(Shape<0>{}, loss / static_cast<T>(n));
}
// -> dx [...]; the target's gradient is -dx
template <class T, std::size_t N>
Tensor<T, N> l1_backward(std::type_identity_t<T> dloss, const Tensor<T, N>& x, const Tensor<T, N>& target) {
  require_shape(target.shape(), x.shape(), "l1_backward");
  const Index n = require_elements(x.shape(), "l1_backward");
  Tensor<T, N> dx(x.shape());
  for (Index i = 0; i < n; ++i) {
    const T e = x.data()[i] - target.data()[i];
    dx.data()[i] = dloss * static_cast<T>((e > 0) - (e < 0)) / static_cast<T>(n);  // the corner counts as flat
  }
  return dx;
}

// Huber 1964: a parabola that goes on as its tangent beyond delta. x, target [...] -> []
template <class T, std::size_t N>
Tensor<T, 0> huber(const Tensor<T, N>& x, const Tensor<T, N>& target, std::type_identity_t<T> delta) {
  require_shape(target.shape(), x.shape(), "huber");
  require_positive(static_cast<double>(delta), "huber", "delta");
  const Index n = require_elements(x.shape(), "huber");
  T loss = 0;
  for (Index i = 0; i < n; ++i) {
    const T e = std::abs(x.data()[i] - target.data()[i]);
    loss += e < delta ? e * e / 2 : delta * (e - delta / 2);
  }
  return Tensor<T, 0>(Shape<0>{}, loss / static_cast<T>(n));
}
// -> dx [...]; the target's gradient is -dx
template <class T, std::size_t N>
Tensor<T, N> huber_backward(std::type_identity_t<T> dloss, const Tensor<T, N>& x, const Tensor<T, N>& target,
                            std::type_identity_t<T> delta) {
  require_shape(target.shape(), x.shape(), "huber_backward");
  require_positive(static_cast<double>(delta), "huber_backward", "delta");
  const Index n = require_elements(x.shape(), "huber_backward");
  Tensor<T, N> dx(x.shape());
  for (Index i = 0; i < n; ++i)
    dx.data()[i] = dloss * std::clamp(x.data()[i] - target.data()[i], -delta, delta) / static_cast<T>(n);
  return dx;
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
// (Szegedy et al. 2016, section 7). logits [N, C, ...], ids [N, ...] -> []
template <class T, std::size_t N>
Tensor<T, 0> cross_entropy(const Tensor<T, N>& logits, const Tensor<std::int64_t, N - 1>& ids,
                           std::type_identity_t<T> label_smoothing = 0) {
  require_shape(ids.shape(), class_ids_shape(logits.shape()), "cross_entropy ids");
  require_fraction(static_cast<double>(label_smoothing), "cross_entropy", "label_smoothing");
  const Tensor<T, N> log_p = log_softmax(logits, 1);
  const AxisView v = axis_view(logits.shape(), 1, "cross_entropy");
  T loss = 0;
  for (Index o = 0; o < v.outer; ++o)
    for (Index n = 0; n < v.inner; ++n) {
      const std::int64_t id = ids.data()[o * v.inner + n];
      require_id(id, v.length, "cross_entropy");
      for (Index c = 0; c < v.length; ++c) {
        // - sum over c of  wanted_c log p_c
        const T wanted = (c == id ? 1 - label_smoothing : T{0}) + label_smoothing / static_cast<T>(v.length);
        if (wanted != 0) loss -= wanted * log_p.data()[(o * v.length + c) * v.inner + n];  // 0 log 0 is 0
      }
    }
  return Tensor<T, 0>(Shape<0>{}, loss / static_cast<T>(ids.size()));
}
// -> dlogits [N, C, ...]
template <class T, std::size_t N>
Tensor<T, N> cross_entropy_backward(std::type_identity_t<T> dloss, const Tensor<T, N>& logits,
                                    const Tensor<std::int64_t, N - 1>& ids,
                                    std::type_identity_t<T> label_smoothing = 0) {
  require_shape(ids.shape(), class_ids_shape(logits.shape(), "cross_entropy_backward"), "cross_entropy_backward ids");
  require_fraction(static_cast<double>(label_smoothing), "cross_entropy_backward", "label_smoothing");
  Tensor<T, N> d = softmax(logits, 1);
  const AxisView v = axis_view(logits.shape(), 1, "cross_entropy_backward");
  for (Index o = 0; o < v.outer; ++o)
    for (Index n = 0; n < v.inner; ++n) {
      const std::int64_t id = ids.data()[o * v.inner + n];
      require_id(id, v.length, "cross_entropy_backward");
      for (Index c = 0; c < v.length; ++c) {
        // dlogit_c = p_c - wanted_c, since wanted sums to 1
        const T wanted = (c == id ? 1 - label_smoothing : T{0}) + label_smoothing / static_cast<T>(v.length);
        T& p = d.data()[(o * v.length + c) * v.inner + n];
        p = dloss * (p - wanted) / static_cast<T>(ids.size());
      }
    }
  return d;
}

// Binary cross-entropy of sigmoid(x), -t log s(x) - (1 - t) log s(-x) = max(x, 0) - x t + log(1 + e^-|x|).
// x, target [...] -> []
template <class T, std::size_t N>
Tensor<T, 0> bce_with_logits(const Tensor<T, N>& x, const Tensor<T, N>& target) {
  require_shape(target.shape(), x.shape(), "bce_with_logits");
  const Index n = require_elements(x.shape(), "bce_with_logits");
  T loss = 0;
  for (Index i = 0; i < n; ++i) {
    const T z = x.data()[i], t = target.data()[i];
    loss += std::max(z, T{0}) - z * t + std::log1p(std::exp(-std::abs(z)));
  }
  return Tensor<T, 0>(Shape<0>{}, loss / static_cast<T>(n));
}
// -> dx [...]
template <class T, std::size_t N>
Tensor<T, N> bce_with_logits_backward(std::type_identity_t<T> dloss, const Tensor<T, N>& x,
                                      const Tensor<T, N>& target) {
  require_shape(target.shape(), x.shape(), "bce_with_logits_backward");
  const Index n = require_elements(x.shape(), "bce_with_logits_backward");
  Tensor<T, N> dx(x.shape());
  for (Index i = 0; i < n; ++i) dx.data()[i] = dloss * (sigmoid(x.data()[i]) - target.data()[i]) / static_cast<T>(n);
  return dx;
}

// KL divergence of a diagonal Gaussian from the standard one (Kingma & Welling 2013, appendix B), summed over an image.
// moments [N, 2C, H, W] = (mean, logvar) -> [N]
template <class T>
Tensor<T, 1> kl_diagonal_gaussian(const Tensor<T, 4>& moments) {
  const auto [N, C, H, W] = moments_half_shape(moments.shape());
  Tensor<T, 1> kl(Shape<1>{N});
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index h = 0; h < H; ++h)
        for (Index w = 0; w < W; ++w) {
          const T mu = moments(n, c, h, w);
          const T logvar = std::clamp(moments(n, C + c, h, w), static_cast<T>(logvar_min), static_cast<T>(logvar_max));
          kl(n) += (mu * mu + std::exp(logvar) - 1 - logvar) / 2;  // 1/2 (mu^2 + var - 1 - log var)
        }
  return kl;
}
// dkl [N], moments [N, 2C, H, W] -> dmoments [N, 2C, H, W]
template <class T>
Tensor<T, 4> kl_diagonal_gaussian_backward(const Tensor<T, 1>& dkl, const Tensor<T, 4>& moments) {
  const auto [N, C, H, W] = moments_half_shape(moments.shape(), "kl_diagonal_gaussian_backward");
  require_shape(dkl.shape(), Shape<1>{N}, "kl_diagonal_gaussian_backward");
  Tensor<T, 4> d(moments.shape());
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index h = 0; h < H; ++h)
        for (Index w = 0; w < W; ++w) {
          const T logvar = moments(n, C + c, h, w);
          const bool clamped = logvar < static_cast<T>(logvar_min) || logvar > static_cast<T>(logvar_max);
          d(n, c, h, w) = dkl(n) * moments(n, c, h, w);                              // d/dmu = mu
          d(n, C + c, h, w) = clamped ? T{0} : dkl(n) * (std::exp(logvar) - 1) / 2;  // d/dlogvar = (var - 1) / 2
        }
  return d;
}

}  // namespace inkling::kernels::reference
