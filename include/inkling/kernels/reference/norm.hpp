// Normalisation: subtract the mean, divide by the standard deviation, scale and shift. What differs is over which
// elements mean and variance are taken: a group of channels, the last dimension, or the whole batch.
#pragma once
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::reference {

// GroupNorm (Wu & He 2018, equations 1 and 2): statistics of one image's channels, G groups of them.
// x [N, C, H, W], gamma [C], beta [C] -> y [N, C, H, W], mean and rstd [N * G]
template <class T>
NormResult<T, 4> group_norm(const Tensor<T, 4>& x, const Tensor<T, 1>& gamma, const Tensor<T, 1>& beta, Index groups,
                            std::type_identity_t<T> eps) {
  require_groups(x.shape(), groups);
  const auto [N, C, H, W] = x.shape();
  require_vector(&gamma, C, "group_norm gamma");
  require_vector(&beta, C, "group_norm beta");
  const Index CG = C / groups;
  const T M = static_cast<T>(CG * H * W);
  NormResult<T, 4> r{Tensor<T, 4>(x.shape()), Tensor<T, 1>(Shape<1>{N * groups}), Tensor<T, 1>(Shape<1>{N * groups})};
  for (Index n = 0; n < N; ++n)
    for (Index g = 0; g < groups; ++g) {
      // mu = 1/M sum x
      T mu = 0;
      for (Index c = g * CG; c < (g + 1) * CG; ++c)
        for (Index h = 0; h < H; ++h)
          for (Index w = 0; w < W; ++w) mu += x(n, c, h, w) / M;
      // var = 1/M sum (x - mu)^2
      T var = 0;
      for (Index c = g * CG; c < (g + 1) * CG; ++c)
        for (Index h = 0; h < H; ++h)
          for (Index w = 0; w < W; ++w) var += (x(n, c, h, w) - mu) * (x(n, c, h, w) - mu) / M;
      const T rstd = 1 / std::sqrt(var + eps);
      // y = gamma (x - mu) rstd + beta
      for (Index c = g * CG; c < (g + 1) * CG; ++c)
        for (Index h = 0; h < H; ++h)
          for (Index w = 0; w < W; ++w) r.y(n, c, h, w) = gamma(c) * (x(n, c, h, w) - mu) * rstd + beta(c);
      r.mean(n * groups + g) = mu;
      r.rstd(n * groups + g) = rstd;
    }
  return r;
}

// dy, x [N, C, H, W], gamma [C], mean and rstd [N * G] -> dx [N, C, H, W], dgamma and dbeta [C]
template <class T>
NormGradients<T, 4> group_norm_backward(const Tensor<T, 4>& dy, const Tensor<T, 4>& x, const Tensor<T, 1>& gamma,
                                        const Tensor<T, 1>& mean, const Tensor<T, 1>& rstd, Index groups) {
  require_groups(x.shape(), groups, "group_norm_backward");
  require_shape(dy.shape(), x.shape(), "group_norm_backward");
  const auto [N, C, H, W] = x.shape();
  require_vector(&gamma, C, "group_norm_backward gamma");
  require_vector(&mean, N * groups, "group_norm_backward mean");
  require_vector(&rstd, N * groups, "group_norm_backward rstd");
  const Index CG = C / groups;
  const T M = static_cast<T>(CG * H * W);
  NormGradients<T, 4> d{Tensor<T, 4>(x.shape()), Tensor<T, 1>(Shape<1>{C}), Tensor<T, 1>(Shape<1>{C})};
  for (Index n = 0; n < N; ++n)
    for (Index g = 0; g < groups; ++g) {
      const T mu = mean(n * groups + g), rs = rstd(n * groups + g);
      // x_hat = (x - mu) rstd, and y = gamma x_hat + beta   =>   dx_hat = gamma dy
      T mean_dx_hat = 0, mean_dx_hat_x_hat = 0;
      for (Index c = g * CG; c < (g + 1) * CG; ++c)
        for (Index h = 0; h < H; ++h)
          for (Index w = 0; w < W; ++w) {
            const T x_hat = (x(n, c, h, w) - mu) * rs, dx_hat = gamma(c) * dy(n, c, h, w);
            mean_dx_hat += dx_hat / M;
            mean_dx_hat_x_hat += dx_hat * x_hat / M;
            d.dgamma(c) += dy(n, c, h, w) * x_hat;
            d.dbeta(c) += dy(n, c, h, w);
          }
      // mu and rstd depend on every x of the group   =>   dx = rstd (dx_hat - mean(dx_hat) - x_hat mean(dx_hat x_hat))
      for (Index c = g * CG; c < (g + 1) * CG; ++c)
        for (Index h = 0; h < H; ++h)
          for (Index w = 0; w < W; ++w) {
            const T x_hat = (x(n, c, h, w) - mu) * rs, dx_hat = gamma(c) * dy(n, c, h, w);
            d.dx(n, c, h, w) = rs * (dx_hat - mean_dx_hat - x_hat * mean_dx_hat_x_hat);
          }
    }
  return d;
}

// LayerNorm (Ba, Kiros & Hinton 2016, equation 4): statistics of one token.
// x [..., D], gamma [D], beta [D] -> y [..., D], mean and rstd [rows]
template <class T, std::size_t N>
NormResult<T, N> layer_norm(const Tensor<T, N>& x, const Tensor<T, 1>& gamma, const Tensor<T, 1>& beta,
                            std::type_identity_t<T> eps) {
  const Index D = x.shape(N - 1), rows = row_count(x.shape());
  require(D > 0, "layer_norm", "a last dimension of at least 1", to_string(x.shape()));
  require_vector(&gamma, D, "layer_norm gamma");
  require_vector(&beta, D, "layer_norm beta");
  const T M = static_cast<T>(D);
  NormResult<T, N> result{Tensor<T, N>(x.shape()), Tensor<T, 1>(Shape<1>{rows}), Tensor<T, 1>(Shape<1>{rows})};
  for (Index r = 0; r < rows; ++r) {
    const T* xr = x.data() + r * D;
    T mu = 0, var = 0;
    for (Index i = 0; i < D; ++i) mu += xr[i] / M;                         // mu = 1/D sum x
    for (Index i = 0; i < D; ++i) var += (xr[i] - mu) * (xr[i] - mu) / M;  // var = 1/D sum (x - mu)^2
    const T rstd = 1 / std::sqrt(var + eps);
    for (Index i = 0; i < D; ++i)
      result.y.data()[r * D + i] = gamma(i) * (xr[i] - mu) * rstd + beta(i);  // y = gamma (x - mu) rstd + beta
    result.mean(r) = mu;
    result.rstd(r) = rstd;
  }
  return result;
}

// dy, x [..., D], gamma [D], mean and rstd [rows] -> dx [..., D], dgamma and dbeta [D]
template <class T, std::size_t N>
NormGradients<T, N> layer_norm_backward(const Tensor<T, N>& dy, const Tensor<T, N>& x, const Tensor<T, 1>& gamma,
                                        const Tensor<T, 1>& mean, const Tensor<T, 1>& rstd) {
  const Index D = x.shape(N - 1), rows = row_count(x.shape());
  require_shape(dy.shape(), x.shape(), "layer_norm_backward");
  require_vector(&gamma, D, "layer_norm_backward gamma");
  require_vector(&mean, rows, "layer_norm_backward mean");
  require_vector(&rstd, rows, "layer_norm_backward rstd");
  const T M = static_cast<T>(D);
  NormGradients<T, N> d{Tensor<T, N>(x.shape()), Tensor<T, 1>(Shape<1>{D}), Tensor<T, 1>(Shape<1>{D})};
  for (Index r = 0; r < rows; ++r) {
    const T *xr = x.data() + r * D, *dyr = dy.data() + r * D;
    // x_hat = (x - mu) rstd, and y = gamma x_hat + beta   =>   dx_hat = gamma dy
    T mean_dx_hat = 0, mean_dx_hat_x_hat = 0;
    for (Index i = 0; i < D; ++i) {
      const T x_hat = (xr[i] - mean(r)) * rstd(r), dx_hat = gamma(i) * dyr[i];
      mean_dx_hat += dx_hat / M;
      mean_dx_hat_x_hat += dx_hat * x_hat / M;
      d.dgamma(i) += dyr[i] * x_hat;
      d.dbeta(i) += dyr[i];
    }
    // dx = rstd (dx_hat - mean(dx_hat) - x_hat mean(dx_hat x_hat))
    for (Index i = 0; i < D; ++i) {
      const T x_hat = (xr[i] - mean(r)) * rstd(r), dx_hat = gamma(i) * dyr[i];
      d.dx.data()[r * D + i] = rstd(r) * (dx_hat - mean_dx_hat - x_hat * mean_dx_hat_x_hat);
    }
  }
  return d;
}

// BatchNorm (Ioffe & Szegedy 2015, algorithm 1): statistics of one channel over the batch; in use, remembered ones.
// x [N, C, H, W], gamma, beta, running_mean, running_var [C] -> y [N, C, H, W], mean and rstd [C]
template <class T>
NormResult<T, 4> batch_norm(const Tensor<T, 4>& x, const Tensor<T, 1>& gamma, const Tensor<T, 1>& beta,
                            Tensor<T, 1>& running_mean, Tensor<T, 1>& running_var, bool training,
                            std::type_identity_t<T> momentum, std::type_identity_t<T> eps) {
  const Index M = require_batch(x.shape(), training);
  const auto [N, C, H, W] = x.shape();
  for (const Tensor<T, 1>* v : {&gamma, &beta, &std::as_const(running_mean), &std::as_const(running_var)})
    require_vector(v, C, "batch_norm");
  NormResult<T, 4> r{Tensor<T, 4>(x.shape()), running_mean, Tensor<T, 1>(Shape<1>{C})};
  for (Index c = 0; c < C; ++c) {
    T mu = running_mean(c), var = running_var(c);
    if (training) {
      mu = var = 0;
      for (Index n = 0; n < N; ++n)
        for (Index h = 0; h < H; ++h)
          for (Index w = 0; w < W; ++w) mu += x(n, c, h, w) / static_cast<T>(M);
      for (Index n = 0; n < N; ++n)
        for (Index h = 0; h < H; ++h)
          for (Index w = 0; w < W; ++w) var += (x(n, c, h, w) - mu) * (x(n, c, h, w) - mu) / static_cast<T>(M);
      // running = (1 - momentum) running + momentum new, and for use the unbiased variance M / (M - 1) var
      // (algorithm 2, line 10)
      running_mean(c) = (1 - momentum) * running_mean(c) + momentum * mu;
      running_var(c) = (1 - momentum) * running_var(c) + momentum * var * static_cast<T>(M) / static_cast<T>(M - 1);
    }
    const T rstd = 1 / std::sqrt(var + eps);
    for (Index n = 0; n < N; ++n)
      for (Index h = 0; h < H; ++h)
        for (Index w = 0; w < W; ++w) r.y(n, c, h, w) = gamma(c) * (x(n, c, h, w) - mu) * rstd + beta(c);
    r.mean(c) = mu;
    r.rstd(c) = rstd;
  }
  return r;
}

// dy, x [N, C, H, W], gamma, mean, rstd [C] -> dx [N, C, H, W], dgamma and dbeta [C]
template <class T>
NormGradients<T, 4> batch_norm_backward(const Tensor<T, 4>& dy, const Tensor<T, 4>& x, const Tensor<T, 1>& gamma,
                                        const Tensor<T, 1>& mean, const Tensor<T, 1>& rstd, bool training) {
  const T M = static_cast<T>(require_batch(x.shape(), training, "batch_norm_backward"));
  require_shape(dy.shape(), x.shape(), "batch_norm_backward");
  const auto [N, C, H, W] = x.shape();
  for (const Tensor<T, 1>* v : {&gamma, &mean, &rstd}) require_vector(v, C, "batch_norm_backward");
  NormGradients<T, 4> d{Tensor<T, 4>(x.shape()), Tensor<T, 1>(Shape<1>{C}), Tensor<T, 1>(Shape<1>{C})};
  for (Index c = 0; c < C; ++c) {
    for (Index n = 0; n < N; ++n)
      for (Index h = 0; h < H; ++h)
        for (Index w = 0; w < W; ++w) {
          d.dgamma(c) += dy(n, c, h, w) * (x(n, c, h, w) - mean(c)) * rstd(c);
          d.dbeta(c) += dy(n, c, h, w);
        }
    for (Index n = 0; n < N; ++n)
      for (Index h = 0; h < H; ++h)
        for (Index w = 0; w < W; ++w) {
          const T x_hat = (x(n, c, h, w) - mean(c)) * rstd(c);
          // training: mu and rstd depend on x   =>   dx = gamma rstd (dy - mean(dy) - x_hat mean(dy x_hat))
          // in use: they are constants          =>   dx = gamma rstd dy
          const T through_statistics = training ? d.dbeta(c) / M + x_hat * d.dgamma(c) / M : T{0};
          d.dx(n, c, h, w) = gamma(c) * rstd(c) * (dy(n, c, h, w) - through_statistics);
        }
  }
  return d;
}

}  // namespace inkling::kernels::reference
