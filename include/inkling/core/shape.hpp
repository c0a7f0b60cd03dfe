// Shapes: N numbers known to be N at compile time.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "inkling/core/error.hpp"

namespace inkling {

// Signed, so that "position minus padding" may be negative, as in the formula of a convolution.
using Index = std::ptrdiff_t;

// Dimensions, outermost first: Shape<4>{N, C, H, W}.
template <std::size_t N>
using Shape = std::array<Index, N>;

// "(2, 3, 64, 64)"
inline std::string to_string(std::span<const Index> shape) {
  std::string s = "(";
  for (std::size_t d = 0; d < shape.size(); ++d) s += (d ? ", " : "") + std::to_string(shape[d]);
  return s + ")";
}
template <std::size_t N>
std::string to_string(const Shape<N>& shape) {
  return to_string(std::span<const Index>(shape.data(), N));
}

// The number of elements. Throws ShapeError on a negative dimension or when the product does not fit: sizes come
// from files, and no allocation may follow an unchecked size.
inline Index checked_size(std::span<const Index> shape, std::string_view where = "shape") {
  constexpr Index limit = std::numeric_limits<Index>::max() / 16;  // 16: the widest element, so bytes fit as well
  Index size = 1;
  for (Index dimension : shape) {
    if (dimension < 0) throw ShapeError(where, "dimensions of at least 0", to_string(shape));
    if (dimension != 0 && size > limit / dimension)
      throw ShapeError(where, "a size that fits into memory", to_string(shape));
    size *= dimension;
  }
  return size;
}
template <std::size_t N>
Index checked_size(const Shape<N>& shape, std::string_view where = "shape") {
  return checked_size(std::span<const Index>(shape.data(), N), where);
}

template <std::size_t N>
void require_shape(const Shape<N>& got, const Shape<N>& expected, std::string_view where, std::string_view hint = {}) {
  if (got != expected) throw ShapeError(where, to_string(expected), to_string(got), hint);
}

}  // namespace inkling
