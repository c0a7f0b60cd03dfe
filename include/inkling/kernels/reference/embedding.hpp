// Numbers that stand for something (a token, a time) become vectors.
#pragma once
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::reference {

// table [V, D], ids [N, L] -> y [N, L, D]
template <class T>
Tensor<T, 3> embedding(const Tensor<T, 2>& table, const Tensor<std::int64_t, 2>& ids) {
  const auto [V, D] = table.shape();
  const auto [N, L] = ids.shape();
  Tensor<T, 3> y(Shape<3>{N, L, D});
  for (Index n = 0; n < N; ++n)
    for (Index l = 0; l < L; ++l) {
      require_id(ids(n, l), V, "embedding");
      for (Index i = 0; i < D; ++i) y(n, l, i) = table(ids(n, l), i);
    }
  return y;
}

// dy [N, L, D], ids [N, L] -> dtable [V, D]
template <class T>
Tensor<T, 2> embedding_backward(const Tensor<T, 3>& dy, const Tensor<std::int64_t, 2>& ids,
                                const Shape<2>& table_shape) {
  const auto [V, D] = table_shape;
  const auto [N, L] = ids.shape();
  require_shape(dy.shape(), Shape<3>{N, L, D}, "embedding_backward");
  Tensor<T, 2> dtable(table_shape);
  for (Index n = 0; n < N; ++n)
    for (Index l = 0; l < L; ++l) {
      require_id(ids(n, l), V, "embedding_backward");
      for (Index i = 0; i < D; ++i) dtable(ids(n, l), i) += dy(n, l, i);  // a token met twice learns twice
    }
  return dtable;
}

// A time as waves of geometrically falling frequency (Vaswani et al. 2017, section 3.5; Ho et al. 2020, appendix B).
// t [N] -> [N, dim]; an odd dim ends with a zero
template <class T>
Tensor<T, 2> timestep_embedding(const Tensor<T, 1>& t, Index dim, TimestepEmbedding kind, double max_period = 10000) {
  Tensor<T, 2> y(timestep_embedding_shape(t.size(), dim, kind, max_period));
  const Index half = dim / 2;
  const bool ldm = kind == TimestepEmbedding::ldm;
  for (Index n = 0; n < t.size(); ++n)
    for (Index i = 0; i < half; ++i) {
      // ldm:  omega_i = e^(-log(max_period) i / half)          [cos(t omega), sin(t omega)]
      // ddpm: omega_i = e^(-log(max_period) i / (half - 1))    [sin(t omega), cos(t omega)]
      // Rounded to T in the same order as the original programs do it: at t = 981 float's last bit is visible.
      const T omega =
          ldm ? std::exp(static_cast<T>(-std::log(max_period)) * static_cast<T>(i) / static_cast<T>(half))
              : std::exp(static_cast<T>(-std::log(max_period) / static_cast<double>(half - 1)) * static_cast<T>(i));
      const T angle = t(n) * omega;
      y(n, i) = ldm ? std::cos(angle) : std::sin(angle);
      y(n, half + i) = ldm ? std::sin(angle) : std::cos(angle);
    }
  return y;
}

}  // namespace inkling::kernels::reference
