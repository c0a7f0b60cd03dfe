// Small checks that every kernel uses on its operands, and views of a tensor around one axis.
#pragma once
#include <cmath>
#include <string>
#include <type_traits>

#include "inkling/core/tensor.hpp"

namespace inkling::kernels {

inline void require(bool condition, std::string_view where, std::string_view expected, std::string_view got,
                    std::string_view hint = {}) {
  if (!condition) throw ShapeError(where, expected, got, hint);
}
// An option, bounded so that no product of options and dimensions overflows.
inline void require_option(Index value, Index least, std::string_view where, std::string_view name) {
  constexpr Index most = Index{1} << 24;
  if (value < least || value > most)
    throw ShapeError(where, std::string(name) + " from " + std::to_string(least) + " to " + std::to_string(most),
                     std::to_string(value));
}

// A bias or gain: nullptr, or one value for each of `size` channels.
template <class T>
void require_vector(const Tensor<T, 1>* v, Index size, std::string_view where) {
  if (v) require_shape(v->shape(), Shape<1>{size}, where, "one value a channel");
}

// A mean needs something to average.
template <std::size_t N>
Index require_elements(const Shape<N>& x, std::string_view where) {
  const Index size = checked_size(x, where);
  require(size > 0, where, "at least one element", to_string(x));
  return size;
}

inline void require_positive(double value, std::string_view where, std::string_view name) {
  if (!(value > 0 && std::isfinite(value)))
    throw ConfigError(where, std::string(name) + " above 0", std::to_string(value));
}
inline void require_fraction(double value, std::string_view where, std::string_view name) {
  if (!(value >= 0 && value <= 1)) throw ConfigError(where, std::string(name) + " from 0 to 1", std::to_string(value));
}

// An id that names one of `count` rows or classes.
inline void require_id(std::int64_t id, Index count, std::string_view where) {
  if (id < 0 || id >= count) throw ShapeError(where, "ids from 0 to " + std::to_string(count - 1), std::to_string(id));
}

// A tensor seen as rows: the product of all dimensions but the last.
template <std::size_t N>
Index row_count(const Shape<N>& x) {
  static_assert(N >= 1);
  Index rows = 1;
  for (std::size_t d = 0; d + 1 < N; ++d) rows *= x[d];
  return rows;
}

// An axis as a number from 0 to rank - 1; negative ones count from the end.
inline std::size_t checked_axis(Index axis, std::size_t rank, std::string_view where) {
  const Index r = static_cast<Index>(rank);
  if (axis < -r || axis >= r)
    throw ShapeError(where, "an axis of a rank-" + std::to_string(rank) + " tensor", std::to_string(axis));
  return static_cast<std::size_t>(axis < 0 ? axis + r : axis);
}
// A tensor seen as [outer, length, inner] around one axis: element (o, i, n) stands at (o * length + i) * inner + n.
struct AxisView {
  Index outer = 1, length = 1, inner = 1;
};
template <std::size_t N>
AxisView axis_view(const Shape<N>& x, Index axis, std::string_view where) {
  const std::size_t a = checked_axis(axis, N, where);
  AxisView v;
  for (std::size_t d = 0; d < N; ++d) (d < a ? v.outer : d == a ? v.length : v.inner) *= x[d];
  return v;
}

}  // namespace inkling::kernels
