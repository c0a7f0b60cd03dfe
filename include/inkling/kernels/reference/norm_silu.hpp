// Group normalisation and the SiLU that follows it, as one operation: the composition of the two.
#pragma once
#include "inkling/kernels/reference/activation.hpp"
#include "inkling/kernels/reference/elementwise.hpp"
#include "inkling/kernels/reference/norm.hpp"

namespace inkling::kernels::reference {

// u[n, c, h, w] = x[n, c, h, w] + shift[n, c]; nullptr adds nothing
template <class T>
Tensor<T, 4> shifted(const Tensor<T, 4>& x, const Tensor<std::type_identity_t<T>, 2>* shift) {
  if (!shift) return x;
  require_shape(shift->shape(), Shape<2>{x.shape(0), x.shape(1)}, "group_norm_silu shift");
  return binary_broadcast(Binary::add, x, shift->reshaped(Shape<4>{x.shape(0), x.shape(1), 1, 1}));
}

// y = silu(group_norm(x + shift))
// x [N, C, H, W], shift [N, C] or nullptr, gamma [C], beta [C] -> y [N, C, H, W]; mean and rstd [N * G], of x + shift
template <class T>
NormResult<T, 4> group_norm_silu(const Tensor<T, 4>& x, const Tensor<std::type_identity_t<T>, 2>* shift,
                                 const Tensor<T, 1>& gamma, const Tensor<T, 1>& beta, Index groups,
                                 std::type_identity_t<T> eps) {
  NormResult<T, 4> r = group_norm(shifted(x, shift), gamma, beta, groups, eps);
  r.y = activation(Activation::silu, r.y);
  return r;
}

// The chain rule: z = group_norm(u), u = x + shift;   dz = dy silu'(z),   du from dz as in group_norm_backward,
// dx = du + dx_so_far,   dshift[n, c] = sum_{h, w} du[n, c, h, w]
// dy, x [N, C, H, W], dx_so_far as x or empty
//   -> dx [N, C, H, W], dshift [N, C] (empty without a shift), dgamma and dbeta [C]
template <class T>
NormSiluGradients<T> group_norm_silu_backward(const Tensor<T, 4>& dy, const Tensor<T, 4>& x,
                                              const Tensor<std::type_identity_t<T>, 2>* shift,
                                              const Tensor<T, 1>& gamma, const Tensor<T, 1>& beta,
                                              const Tensor<T, 1>& mean, const Tensor<T, 1>& rstd, Index groups,
                                              Tensor<T, 4> dx_so_far = {}) {
  const Tensor<T, 4> u = shifted(x, shift);
  require_groups(x.shape(), groups, "group_norm_silu_backward");
  require_vector(&gamma, x.shape(1), "group_norm_silu_backward gamma");
  require_vector(&beta, x.shape(1), "group_norm_silu_backward beta");
  require_vector(&mean, x.shape(0) * groups, "group_norm_silu_backward mean");
  require_vector(&rstd, x.shape(0) * groups, "group_norm_silu_backward rstd");
  Tensor<T, 4> z(x.shape());
  const auto [N, C, H, W] = x.shape();
  for (Index n = 0; n < N; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index h = 0; h < H; ++h)
        for (Index w = 0; w < W; ++w) {
          const Index ng = n * groups + c / (C / groups);
          z(n, c, h, w) = gamma(c) * (u(n, c, h, w) - mean(ng)) * rstd(ng) + beta(c);
        }
  const Tensor<T, 4> dz = activation_backward(Activation::silu, dy, z);
  NormGradients<T, 4> g = group_norm_backward(dz, u, gamma, mean, rstd, groups);
  NormSiluGradients<T> d{std::move(g.dx), {}, std::move(g.dgamma), std::move(g.dbeta)};
  if (shift) d.dshift = sum(sum(d.dx, 3), 2);
  if (!dx_so_far.empty()) d.dx = binary(Binary::add, dx_so_far, d.dx);
  return d;
}

}  // namespace inkling::kernels::reference
