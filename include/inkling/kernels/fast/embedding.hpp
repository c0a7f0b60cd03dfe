// Rows of a table chosen by number, and sinusoids of the timestep.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "inkling/core/tensor.hpp"
#include "inkling/kernels/fast/vector.hpp"
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::fast {

// y[n, l, :] = table[ids[n, l], :]
// table [V, D], ids [N, L] -> [N, L, D]
template <class T>
Tensor<T, 3> embedding(const Tensor<T, 2>& table, const Tensor<std::int64_t, 2>& ids) {
  const Index V = table.shape(0), D = table.shape(1);
  for (std::int64_t id : ids) require_id(id, V, "embedding");
  Tensor<T, 3> y(Shape<3>{ids.shape(0), ids.shape(1), D}, uninitialized);
  parallel_for(ids.size(), D, [&](Index i) { std::copy_n(table.data() + ids.data()[i] * D, D, y.data() + i * D); });
  return y;
}

// dtable[v, :] = the sum of dy[n, l, :] over all (n, l) with ids[n, l] = v.
// The positions are first sorted by id, so that a row of the table belongs to one thread and is summed in order.
// dy [N, L, D], ids [N, L] -> [V, D]
template <class T>
Tensor<T, 2> embedding_backward(const Tensor<T, 3>& dy, const Tensor<std::int64_t, 2>& ids,
                                const Shape<2>& table_shape) {
  const Index V = table_shape[0], D = table_shape[1];
  for (std::int64_t id : ids) require_id(id, V, "embedding_backward");
  require_shape(dy.shape(), Shape<3>{ids.shape(0), ids.shape(1), D}, "embedding_backward");
  std::vector<Index> order(static_cast<std::size_t>(ids.size()));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<Index>(i);
  std::sort(order.begin(), order.end(),
            [&](Index a, Index b) { return std::pair(ids.data()[a], a) < std::pair(ids.data()[b], b); });
  std::vector<std::size_t> start;  // where in `order` another id begins
  for (std::size_t i = 0; i < order.size(); ++i)
    if (i == 0 || ids.data()[order[i]] != ids.data()[order[i - 1]]) start.push_back(i);
  Tensor<T, 2> dtable(table_shape);
  parallel_for_dynamic(static_cast<Index>(start.size()), [&](Index s) {
    const std::size_t begin = start[static_cast<std::size_t>(s)];
    const std::size_t end = static_cast<std::size_t>(s) + 1 < start.size() ? start[static_cast<std::size_t>(s) + 1]
                                                                           : order.size();
    T* row = dtable.data() + ids.data()[order[begin]] * D;
    for (std::size_t i = begin; i < end; ++i)
      map(D, row, [](const Vec<T>& sum, const Vec<T>& v) { return sum + v; }, row, dy.data() + order[i] * D);
  });
  return dtable;
}

// A time as waves of geometrically falling frequency (Vaswani et al. 2017, section 3.5; Ho et al. 2020, appendix B).
//   ldm:  omega_i = e^(-log(max_period) i / half)          [cos(t omega), sin(t omega)]
//   ddpm: omega_i = e^(-log(max_period) i / (half - 1))    [sin(t omega), cos(t omega)]
// Rounded to T in the same order as the original programs do it: at t = 981 float's last bit is visible.
// t [N] -> [N, dim]; an odd dim ends with a zero
template <class T>
Tensor<T, 2> timestep_embedding(const Tensor<T, 1>& t, Index dim, TimestepEmbedding kind, double max_period = 10000) {
  Tensor<T, 2> y(timestep_embedding_shape(t.size(), dim, kind, max_period));
  const Index half = dim / 2;
  const bool ldm = kind == TimestepEmbedding::ldm;
  std::vector<T> omega(static_cast<std::size_t>(half));
  for (Index i = 0; i < half; ++i)
    omega[static_cast<std::size_t>(i)] =
        ldm ? std::exp(static_cast<T>(-std::log(max_period)) * static_cast<T>(i) / static_cast<T>(half))
            : std::exp(static_cast<T>(-std::log(max_period) / static_cast<double>(half - 1)) * static_cast<T>(i));
  parallel_for(t.size(), 40 * half, [&](Index n) {
    T *cosine = y.data() + n * dim + (ldm ? 0 : half), *sine = y.data() + n * dim + (ldm ? half : 0);
    for (Index i = 0; i < half; ++i) {
      const T angle = t(n) * omega[static_cast<std::size_t>(i)];
      cosine[i] = std::cos(angle);
      sine[i] = std::sin(angle);
    }
  });
  return y;
}

}  // namespace inkling::kernels::fast
