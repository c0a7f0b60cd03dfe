// Normalisation in two passes over memory: one for the statistics, one that writes.
//
// The statistics are exact to rounding also for float and far-away means (see moments_of). A group, row or channel
// belongs to one thread. Gradients of gamma and beta are sums over images or rows: each image or piece of 32 rows
// leaves its own sum, and those are added in order.
#pragma once
#include "inkling/core/tensor.hpp"
#include "inkling/kernels/fast/vector.hpp"
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::fast {

namespace norm_detail {

// y = (x - mu) a + b, over one plane. Not x a + (b - mu a): that loses digits when mu is large.
template <class T>
void normalize(Index n, const T* x, T mu, T a, T b, T* y) {
  map(n, y, [=](const Vec<T>& v) { return (v - Vec<T>(mu)) * Vec<T>(a) + Vec<T>(b); }, x);
}

// {sum dy, sum dy (x - mu)}
template <class T>
std::array<double, 2> gradient_sums(Index n, const T* dy, const T* x, T mu) {
  return sums<T, 2>(
      n,
      [mu](const Vec<T>& d, const Vec<T>& v) { return std::array<Vec<T>, 2>{d, d * (v - Vec<T>(mu))}; },
      dy, x);
}

// dx = a dy - b - (x - mu) k
template <class T>
void input_gradient(Index n, const T* dy, const T* x, T mu, T a, T b, T k, T* dx) {
  map(
      n, dx,
      [=](const Vec<T>& d, const Vec<T>& v) {
        return Vec<T>(a) * d - Vec<T>(b) - (v - Vec<T>(mu)) * Vec<T>(k);
      },
      dy, x);
}

template <class T>
T reciprocal_std(const Moments& m, T eps) {
  return static_cast<T>(1 / std::sqrt(m.m2 / m.count + static_cast<double>(eps)));
}

}  // namespace norm_detail

// GroupNorm (Wu & He 2018, equations 1 and 2): y = gamma (x - mu) rstd + beta, statistics of a group of channels.
// x [N, C, H, W], gamma [C], beta [C] -> y [N, C, H, W], mean and rstd [N * G]
template <class T>
NormResult<T, 4> group_norm(const Tensor<T, 4>& x, const Tensor<T, 1>& gamma, const Tensor<T, 1>& beta, Index groups,
                            std::type_identity_t<T> eps) {
  require_groups(x.shape(), groups);
  const Index N = x.shape(0), C = x.shape(1), P = x.shape(2) * x.shape(3), CG = C / groups;
  require_vector(&gamma, C, "group_norm gamma");
  require_vector(&beta, C, "group_norm beta");
  NormResult<T, 4> r{Tensor<T, 4>(x.shape(), uninitialized), Tensor<T, 1>(Shape<1>{N * groups}, uninitialized),
                     Tensor<T, 1>(Shape<1>{N * groups}, uninitialized)};
  parallel_for(N * groups, 3 * CG * P, [&](Index ng) {
    const Moments m = moments_of(CG * P, x.data() + ng * CG * P);  // a group's channels lie one behind the other
    const T mu = r.mean(ng) = static_cast<T>(m.mean), rstd = r.rstd(ng) = norm_detail::reciprocal_std(m, eps);
    for (Index i = 0; i < CG; ++i) {
      const Index c = ng % groups * CG + i, at = (ng * CG + i) * P;
      norm_detail::normalize(P, x.data() + at, mu, gamma(c) * rstd, beta(c), r.y.data() + at);
    }
  });
  return r;
}

// x_hat = (x - mu) rstd,  dx_hat = gamma dy   =>   dx = rstd (dx_hat - mean(dx_hat) - x_hat mean(dx_hat x_hat))
// dy, x [N, C, H, W], gamma [C], mean and rstd [N * G] -> dx [N, C, H, W], dgamma and dbeta [C]
template <class T>
NormGradients<T, 4> group_norm_backward(const Tensor<T, 4>& dy, const Tensor<T, 4>& x, const Tensor<T, 1>& gamma,
                                        const Tensor<T, 1>& mean, const Tensor<T, 1>& rstd, Index groups) {
  require_groups(x.shape(), groups, "group_norm_backward");
  require_shape(dy.shape(), x.shape(), "group_norm_backward");
  const Index N = x.shape(0), C = x.shape(1), P = x.shape(2) * x.shape(3), CG = C / groups;
  require_vector(&gamma, C, "group_norm_backward gamma");
  require_vector(&mean, N * groups, "group_norm_backward mean");
  require_vector(&rstd, N * groups, "group_norm_backward rstd");
  NormGradients<T, 4> d{Tensor<T, 4>(x.shape(), uninitialized), Tensor<T, 1>(Shape<1>{C}, uninitialized),
                        Tensor<T, 1>(Shape<1>{C}, uninitialized)};
  std::vector<std::array<double, 2>> sum(static_cast<std::size_t>(N * C));  // of dy and dy x_hat, per (n, c)
  parallel_for(N * groups, 6 * CG * P, [&](Index ng) {
    const T mu = mean(ng), rs = rstd(ng);
    double mean_dx_hat = 0, mean_dx_hat_x_hat = 0;
    for (Index i = 0; i < CG; ++i) {
      const Index at = (ng * CG + i) * P;
      auto& s = sum[static_cast<std::size_t>(ng * CG + i)];
      s = norm_detail::gradient_sums(P, dy.data() + at, x.data() + at, mu);
      s[1] *= static_cast<double>(rs);
      const double g = static_cast<double>(gamma(ng % groups * CG + i)) / static_cast<double>(CG * P);
      mean_dx_hat += g * s[0];
      mean_dx_hat_x_hat += g * s[1];
    }
    const T b = rs * static_cast<T>(mean_dx_hat), k = rs * rs * static_cast<T>(mean_dx_hat_x_hat);
    for (Index i = 0; i < CG; ++i) {
      const Index at = (ng * CG + i) * P;
      norm_detail::input_gradient(P, dy.data() + at, x.data() + at, mu, rs * gamma(ng % groups * CG + i), b, k,
                                  d.dx.data() + at);
    }
  });
  for (Index c = 0; c < C; ++c) {
    double dbeta = 0, dgamma = 0;
    for (Index n = 0; n < N; ++n) {
      dbeta += sum[static_cast<std::size_t>(n * C + c)][0];
      dgamma += sum[static_cast<std::size_t>(n * C + c)][1];
    }
    d.dbeta(c) = static_cast<T>(dbeta);
    d.dgamma(c) = static_cast<T>(dgamma);
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
  NormResult<T, N> r{Tensor<T, N>(x.shape(), uninitialized), Tensor<T, 1>(Shape<1>{rows}, uninitialized),
                     Tensor<T, 1>(Shape<1>{rows}, uninitialized)};
  parallel_for(rows, 3 * D, [&](Index row) {
    const T* xr = x.data() + row * D;
    const Moments m = moments_of(D, xr);
    const T mu = r.mean(row) = static_cast<T>(m.mean), rstd = r.rstd(row) = norm_detail::reciprocal_std(m, eps);
    map(
        D, r.y.data() + row * D,
        [mu, rstd](const Vec<T>& v, const Vec<T>& g, const Vec<T>& b) {
          return (v - Vec<T>(mu)) * Vec<T>(rstd) * g + b;
        },
        xr, gamma.data(), beta.data());
  });
  return r;
}

// The same formulas as in group_norm_backward, with a gamma for each element of the row.
// dy, x [..., D], gamma [D], mean and rstd [rows] -> dx [..., D], dgamma and dbeta [D]
template <class T, std::size_t N>
NormGradients<T, N> layer_norm_backward(const Tensor<T, N>& dy, const Tensor<T, N>& x, const Tensor<T, 1>& gamma,
                                        const Tensor<T, 1>& mean, const Tensor<T, 1>& rstd) {
  const Index D = x.shape(N - 1), rows = row_count(x.shape());
  require_shape(dy.shape(), x.shape(), "layer_norm_backward");
  require_vector(&gamma, D, "layer_norm_backward gamma");
  require_vector(&mean, rows, "layer_norm_backward mean");
  require_vector(&rstd, rows, "layer_norm_backward rstd");
  NormGradients<T, N> d{Tensor<T, N>(x.shape(), uninitialized), Tensor<T, 1>(Shape<1>{D}, uninitialized),
                        Tensor<T, 1>(Shape<1>{D}, uninitialized)};
  const Index piece = 32, pieces = (rows + piece - 1) / piece;
  Tensor<T, 3> partial(Shape<3>{pieces, 2, D});  // sums of dy and dy x_hat over the rows of a piece
  parallel_for(pieces, 10 * piece * D, [&](Index p) {
    T *dbeta = partial.data() + p * 2 * D, *dgamma = dbeta + D;
    for (Index row = p * piece; row < std::min(rows, (p + 1) * piece); ++row) {
      const T *xr = x.data() + row * D, *dyr = dy.data() + row * D, mu = mean(row), rs = rstd(row);
      const auto x_hat = [mu, rs](const Vec<T>& v) { return (v - Vec<T>(mu)) * Vec<T>(rs); };
      const std::array<double, 2> s = sums<T, 2>(
          D,
          [&](const Vec<T>& dv, const Vec<T>& v, const Vec<T>& g) {
            const Vec<T> dx_hat = g * dv;
            return std::array<Vec<T>, 2>{dx_hat, dx_hat * x_hat(v)};
          },
          dyr, xr, gamma.data());
      const T mean_dx_hat = static_cast<T>(s[0] / static_cast<double>(D));
      const T mean_dx_hat_x_hat = static_cast<T>(s[1] / static_cast<double>(D));
      map(
          D, d.dx.data() + row * D,
          [&](const Vec<T>& dv, const Vec<T>& v, const Vec<T>& g) {
            return Vec<T>(rs) * (g * dv - Vec<T>(mean_dx_hat) - x_hat(v) * Vec<T>(mean_dx_hat_x_hat));
          },
          dyr, xr, gamma.data());
      map(D, dbeta, [](const Vec<T>& sum, const Vec<T>& dv) { return sum + dv; }, dbeta, dyr);
      map(
          D, dgamma,
          [&](const Vec<T>& sum, const Vec<T>& dv, const Vec<T>& v) { return sum + dv * x_hat(v); }, dgamma,
          dyr, xr);
    }
  });
  Tensor<T, 2> both(Shape<2>{2, D}, uninitialized);
  add_rows(pieces, 2 * D, partial.data(), both.data());
  std::copy_n(both.data(), D, d.dbeta.data());
  std::copy_n(both.data() + D, D, d.dgamma.data());
  return d;
}

// BatchNorm (Ioffe & Szegedy 2015, algorithm 1): statistics of one channel over the batch; in use, remembered ones.
// x [N, C, H, W], gamma, beta, running_mean, running_var [C] -> y [N, C, H, W], mean and rstd [C]
template <class T>
NormResult<T, 4> batch_norm(const Tensor<T, 4>& x, const Tensor<T, 1>& gamma, const Tensor<T, 1>& beta,
                            Tensor<T, 1>& running_mean, Tensor<T, 1>& running_var, bool training,
                            std::type_identity_t<T> momentum, std::type_identity_t<T> eps) {
  const Index M = require_batch(x.shape(), training);
  const Index N = x.shape(0), C = x.shape(1), P = x.shape(2) * x.shape(3);
  for (const Tensor<T, 1>* v : {&gamma, &beta, &std::as_const(running_mean), &std::as_const(running_var)})
    require_vector(v, C, "batch_norm");
  NormResult<T, 4> r{Tensor<T, 4>(x.shape(), uninitialized), Tensor<T, 1>(Shape<1>{C}, uninitialized),
                     Tensor<T, 1>(Shape<1>{C}, uninitialized)};
  parallel_for(C, 3 * M, [&](Index c) {
    Moments m{1, static_cast<double>(running_mean(c)), static_cast<double>(running_var(c))};
    if (training) {
      m = {};
      for (Index n = 0; n < N; ++n) m.add(moments_of(P, x.data() + (n * C + c) * P));
      // running = (1 - momentum) running + momentum new, with the unbiased variance M2 / (M - 1) (algorithm 2, line 10)
      running_mean(c) = (1 - momentum) * running_mean(c) + momentum * static_cast<T>(m.mean);
      running_var(c) = (1 - momentum) * running_var(c) + momentum * static_cast<T>(m.m2 / (m.count - 1));
    }
    const T mu = r.mean(c) = static_cast<T>(m.mean), rstd = r.rstd(c) = norm_detail::reciprocal_std(m, eps);
    for (Index n = 0; n < N; ++n) {
      const Index at = (n * C + c) * P;
      norm_detail::normalize(P, x.data() + at, mu, gamma(c) * rstd, beta(c), r.y.data() + at);
    }
  });
  return r;
}

// training: mu and rstd depend on x   =>   dx = gamma rstd (dy - mean(dy) - x_hat mean(dy x_hat))
// in use: they are constants          =>   dx = gamma rstd dy
// dy, x [N, C, H, W], gamma, mean, rstd [C] -> dx [N, C, H, W], dgamma and dbeta [C]
template <class T>
NormGradients<T, 4> batch_norm_backward(const Tensor<T, 4>& dy, const Tensor<T, 4>& x, const Tensor<T, 1>& gamma,
                                        const Tensor<T, 1>& mean, const Tensor<T, 1>& rstd, bool training) {
  const Index M = require_batch(x.shape(), training, "batch_norm_backward");
  require_shape(dy.shape(), x.shape(), "batch_norm_backward");
  const Index N = x.shape(0), C = x.shape(1), P = x.shape(2) * x.shape(3);
  for (const Tensor<T, 1>* v : {&gamma, &mean, &rstd}) require_vector(v, C, "batch_norm_backward");
  NormGradients<T, 4> d{Tensor<T, 4>(x.shape(), uninitialized), Tensor<T, 1>(Shape<1>{C}, uninitialized),
                        Tensor<T, 1>(Shape<1>{C}, uninitialized)};
  parallel_for(C, 6 * M, [&](Index c) {
    const T mu = mean(c), rs = rstd(c), a = gamma(c) * rs;
    double dbeta = 0, dgamma = 0;
    for (Index n = 0; n < N; ++n) {
      const Index at = (n * C + c) * P;
      const auto s = norm_detail::gradient_sums(P, dy.data() + at, x.data() + at, mu);
      dbeta += s[0];
      dgamma += s[1] * static_cast<double>(rs);
    }
    d.dbeta(c) = static_cast<T>(dbeta);
    d.dgamma(c) = static_cast<T>(dgamma);
    const T b = training ? a * static_cast<T>(dbeta / static_cast<double>(M)) : T{0};
    const T k = training ? a * rs * static_cast<T>(dgamma / static_cast<double>(M)) : T{0};
    for (Index n = 0; n < N; ++n) {
      const Index at = (n * C + c) * P;
      norm_detail::input_gradient(P, dy.data() + at, x.data() + at, mu, a, b, k, d.dx.data() + at);
    }
  });
  return d;
}

}  // namespace inkling::kernels::fast
