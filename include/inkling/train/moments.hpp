// Moments of a picture: where its ink lies and along which line it leans.
#pragma once
#include "inkling/core/shape.hpp"

namespace inkling {

// mu_pq = sum a(x, y) (x - x_mean)^p (y - y_mean)^q for a picture a. (Hu 1962, equations 2 and 3.)
struct Moments {
  double mass = 0, x = 0, y = 0, mu11 = 0, mu02 = 0;
  // The ink leans along x = slant * y, by least squares. Down is +y: what leans to the right has a negative slant.
  double slant() const { return mu02 > 0 ? mu11 / mu02 : 0; }
};
// at(i, j): the ink in row i and column j.
template <class At>
Moments moments(Index height, Index width, At&& at) {
  Moments m;
  for (Index i = 0; i < height; ++i)
    for (Index j = 0; j < width; ++j) {
      const double a = at(i, j);
      m.mass += a;
      m.x += a * static_cast<double>(j);
      m.y += a * static_cast<double>(i);
    }
  if (m.mass <= 0) return m;
  m.x /= m.mass;
  m.y /= m.mass;
  for (Index i = 0; i < height; ++i)
    for (Index j = 0; j < width; ++j) {
      const double a = at(i, j), dx = static_cast<double>(j) - m.x, dy = static_cast<double>(i) - m.y;
      m.mu11 += a * dx * dy;
      m.mu02 += a * dy * dy;
    }
  return m;
}

}  // namespace inkling
