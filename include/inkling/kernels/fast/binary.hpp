// Arithmetic on two tensors, element by element. Nothing broadcasts unless the name says so.
// All of it is bounded by memory: what counts is to read in order and to keep every thread busy.
#pragma once
#include <numeric>

#include "inkling/core/tensor.hpp"
#include "inkling/kernels/fast/vector.hpp"
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::fast {

namespace elementwise_detail {

// body(f) with f(a, b) = a op b
template <class V, class Body>
void with_operation(Binary op, Body&& body) {
  switch (op) {
    case Binary::add:
      return body([](const V& a, const V& b) { return a + b; });
    case Binary::sub:
      return body([](const V& a, const V& b) { return a - b; });
    case Binary::mul:
      return body([](const V& a, const V& b) { return a * b; });
    case Binary::div:
      return body([](const V& a, const V& b) { return a / b; });
  }
  throw ConfigError("binary", "a known operation", std::to_string(static_cast<int>(op)));
}
// body(da, db) with da(dy, b) = dy d(a op b)/da and db(dy, a, b) = dy d(a op b)/db
template <class V, class Body>
void with_slopes(Binary op, Body&& body) {
  const auto same = [](const V& dy, const V&) { return dy; };
  switch (op) {
    case Binary::add:
      return body(same, [](const V& dy, const V&, const V&) { return dy; });
    case Binary::sub:
      return body(same, [](const V& dy, const V&, const V&) { return -dy; });
    case Binary::mul:
      return body([](const V& dy, const V& b) { return dy * b; },
                  [](const V& dy, const V& a, const V&) { return dy * a; });
    case Binary::div:
      return body([](const V& dy, const V& b) { return dy / b; },
                  [](const V& dy, const V& a, const V& b) { return -(dy * a) / (b * b); });
  }
  throw ConfigError("binary_backward", "a known operation", std::to_string(static_cast<int>(op)));
}

// A broadcast as rows of a: b is either one number for a whole row or another row of the same length.
struct BroadcastRows {
  Index length = 1;          // of a row: the longest run of trailing dimensions along which b is repeated, or is not
  bool repeated = false;     // one number of b for the row
  std::vector<Index> start;  // where in b each row begins
};
template <std::size_t N, std::size_t M>
BroadcastRows broadcast_rows(const Shape<N>& a, const Shape<M>& b) {
  Shape<N> wide{};  // b with ones in front
  for (std::size_t d = 0; d < N; ++d) wide[d] = d + M < N ? 1 : b[d + M - N];
  BroadcastRows r;
  std::size_t d = N;
  while (d > 0 && a[d - 1] == 1) --d;
  r.repeated = d > 0 && wide[d - 1] == 1;
  for (; d > 0 && (a[d - 1] == 1 || (wide[d - 1] == 1) == r.repeated); --d) r.length *= a[d - 1];
  Shape<N> stride{};  // of b, zero where it is repeated
  Index step = 1, rows = 1;
  for (std::size_t e = N; e-- > 0; step *= wide[e]) stride[e] = wide[e] == 1 ? 0 : step;
  for (std::size_t e = 0; e < d; ++e) rows *= a[e];
  r.start.resize(static_cast<std::size_t>(rows));
  for (Index i = 0; i < rows; ++i) {
    Index at = 0, rest = i;
    for (std::size_t e = d; e-- > 0; rest /= a[e]) at += rest % a[e] * stride[e];
    r.start[static_cast<std::size_t>(i)] = at;
  }
  return r;
}

// body(i, count, j): for every piece of every row, elements i..i+count-1 of a meet those of b from j on (or b[j]
// alone).
template <class Body>
void for_each_piece(const BroadcastRows& r, Body&& body) {
  const Index pieces = (r.length + piece_size - 1) / piece_size;
  parallel_for(static_cast<Index>(r.start.size()) * pieces, std::min(r.length, piece_size), [&](Index p) {
    const Index row = p / pieces, at = p % pieces * piece_size;
    body(row * r.length + at, std::min(piece_size, r.length - at),
         r.start[static_cast<std::size_t>(row)] + (r.repeated ? 0 : at));
  });
}

// The loops know nothing of a tensor's rank, so that they are compiled once and not for every rank.

template <class T>
void binary_into(Binary op, Index n, const T* a, const T* b, T* y) {
  with_operation<Vec<T>>(op, [&](auto f) { parallel_map(n, 1, y, f, a, b); });
}

template <class T>
void broadcast_into(Binary op, const BroadcastRows& rows, const T* a, const T* b, T* y) {
  with_operation<Vec<T>>(op, [&](auto f) {
    for_each_piece(rows, [&](Index i, Index count, Index j) {
      if (rows.repeated)
        map(
            count, y + i, [f, s = Vec<T>(b[j])](const Vec<T>& v) { return f(v, s); }, a + i);
      else
        map(count, y + i, f, a + i, b + j);
    });
  });
}

template <class T>
void broadcast_gradient_a(Binary op, const BroadcastRows& rows, const T* dy, const T* b, T* da) {
  with_slopes<Vec<T>>(op, [&](auto slope, auto) {
    for_each_piece(rows, [&](Index i, Index n, Index j) {
      if (rows.repeated)
        map(
            n, da + i, [slope, s = Vec<T>(b[j])](const Vec<T>& v) { return slope(v, s); }, dy + i);
      else
        map(n, da + i, slope, dy + i, b + j);
    });
  });
}

template <class T>
void broadcast_gradient_b(Binary op, const BroadcastRows& rows, const T* dy, const T* a, const T* b, Index b_size,
                          T* db) {
  // The rows of a sorted by where in b they stand: those of part k are order[first[k]] .. order[first[k + 1] - 1].
  const Index length = rows.length, count = static_cast<Index>(rows.start.size());
  const Index part = rows.repeated ? 1 : length, parts = part > 0 ? b_size / part : 0;
  std::vector<Index> first(static_cast<std::size_t>(parts) + 1), order(rows.start.size());
  for (Index start : rows.start) ++first[static_cast<std::size_t>(start / part) + 1];
  std::partial_sum(first.begin(), first.end(), first.begin());
  std::vector<Index> next(first.begin(), first.end() - 1);
  for (Index row = 0; row < count; ++row) {
    const Index k = rows.start[static_cast<std::size_t>(row)] / part;
    order[static_cast<std::size_t>(next[static_cast<std::size_t>(k)]++)] = row;
  }
  with_slopes<Vec<T>>(op, [&](auto, auto slope) {
    parallel_for(parts, 4 * count * length / std::max<Index>(1, parts), [&](Index k) {
      const Index* which = order.data() + first[static_cast<std::size_t>(k)];
      const Index uses = first[static_cast<std::size_t>(k) + 1] - first[static_cast<std::size_t>(k)];
      const T* bp = b + k * part;
      if (rows.repeated) {
        double sum = 0;
        for (Index i = 0; i < uses; ++i)
          sum += sum_of<T>(
              length, [&, s = Vec<T>(*bp)](const Vec<T>& v, const Vec<T>& x) { return slope(v, x, s); },
              dy + which[i] * length, a + which[i] * length);
        db[k] = static_cast<T>(sum);
      } else {
        sum_rows(uses, length, db + k * part, [&](Index i, Index begin, Index n, T* to) {
          const Index at = which[i] * length + begin;
          map(
              n, to,
              [&](const Vec<T>& s, const Vec<T>& v, const Vec<T>& x, const Vec<T>& y) { return s + slope(v, x, y); },
              to, dy + at, a + at, bp + begin);
        });
      }
    });
  });
}

}  // namespace elementwise_detail

// a, b [...] -> y [...]
template <class T, std::size_t N>
Tensor<T, N> binary(Binary op, const Tensor<T, N>& a, const Tensor<T, N>& b) {
  require_shape(b.shape(), a.shape(), "binary", "binary_broadcast repeats the second operand");
  Tensor<T, N> y(a.shape(), uninitialized);
  elementwise_detail::binary_into(op, a.size(), a.data(), b.data(), y.data());
  return y;
}

// a [N dimensions], b [M dimensions, M <= N] -> y shaped as a
template <class T, std::size_t N, std::size_t M>
Tensor<T, N> binary_broadcast(Binary op, const Tensor<T, N>& a, const Tensor<T, M>& b) {
  require_broadcast(a.shape(), b.shape());
  Tensor<T, N> y(a.shape(), uninitialized);
  elementwise_detail::broadcast_into(op, elementwise_detail::broadcast_rows(a.shape(), b.shape()), a.data(), b.data(),
                                     y.data());
  return y;
}
// An element of b was used often and learns from every use: db sums over the dimensions along which b was repeated.
// dy shaped as a -> da shaped as a, db shaped as b
template <class T, std::size_t N, std::size_t M>
BroadcastGradients<T, N, M> binary_broadcast_backward(Binary op, const Tensor<T, N>& dy, const Tensor<T, N>& a,
                                                      const Tensor<T, M>& b) {
  require_broadcast(a.shape(), b.shape(), "binary_broadcast_backward");
  require_shape(dy.shape(), a.shape(), "binary_broadcast_backward");
  BroadcastGradients<T, N, M> d{Tensor<T, N>(a.shape(), uninitialized), Tensor<T, M>(b.shape())};
  const auto rows = elementwise_detail::broadcast_rows(a.shape(), b.shape());
  elementwise_detail::broadcast_gradient_a(op, rows, dy.data(), b.data(), d.da.data());
  elementwise_detail::broadcast_gradient_b(op, rows, dy.data(), a.data(), b.data(), b.size(), d.db.data());
  return d;
}

// into += x: how gradients from several uses of one tensor meet
template <class T, std::size_t N>
void accumulate(Tensor<T, N>& into, const Tensor<T, N>& x) {
  require_shape(x.shape(), into.shape(), "accumulate");
  parallel_map(
      x.size(), 1, into.data(), [](const Vec<T>& sum, const Vec<T>& v) { return sum + v; }, into.data(), x.data());
}

}  // namespace inkling::kernels::fast
