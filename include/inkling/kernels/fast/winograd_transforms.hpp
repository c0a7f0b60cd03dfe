// The four small changes of basis that Winograd's convolution is made of (winograd.hpp tells the idea).
//
// Everything here works on many tiles at once, one in each lane of a vector. The tiles of a vector come in "quads":
// runs of neighbouring tiles, 4 output pixels each, that together are as wide as one vector. So pixels are read and
// written as whole vectors; a transposition of 4 x 4 numbers inside the vectors sorts them by their place in a tile.
#pragma once
#include "inkling/kernels/fast/pack.hpp"  // first

#include "inkling/kernels/fast/vector.hpp"

namespace inkling::kernels::fast::winograd {

using V = Vec<float>;
inline constexpr Index W = width<float>;
inline constexpr Index quad_pixels = std::max<Index>(4, W);  // of an output line
inline constexpr Index quads = W < 4 ? W : 4;                // in a vector
inline constexpr Index points = 36;

// --- One dimension: F(4, 3) at the points 0, a, -a, b, -b, infinity ------------------------------------------------

// Of the points tried these make the smallest errors: about 1.7 times those of the direct sum (rms); 1 and 2, which are
// usual, make 3.7 times them. They and all their products below, but for G's quotients, are exact in float.
inline constexpr float pa = 0.625F, pb = 1.5F, pa2 = pa * pa, pb2 = pb * pb;

// B^T d:  a2 b2    0   -a2-b2    0     1  0
//           0   -a b2   -b2      a     1  0
//           0    a b2   -b2     -a     1  0
//           0   -a2 b   -a2      b     1  0
//           0    a2 b   -a2     -b     1  0
//           0   a2 b2     0   -a2-b2   0  1
INKLING_INLINE std::array<V, 6> input_basis(const V& d0, const V& d1, const V& d2, const V& d3, const V& d4,
                                            const V& d5) {
  const V even_a = mul_add<float>(V(-pb2), d2, d4), odd_a = mul_add<float>(V(-pb2), d1, d3);
  const V even_b = mul_add<float>(V(-pa2), d2, d4), odd_b = mul_add<float>(V(-pa2), d1, d3);
  return {mul_add<float>(V(pa2 * pb2), d0, mul_add<float>(V(-pa2 - pb2), d2, d4)),
          mul_add<float>(V(pa), odd_a, even_a),
          mul_add<float>(V(-pa), odd_a, even_a),
          mul_add<float>(V(pb), odd_b, even_b),
          mul_add<float>(V(-pb), odd_b, even_b),
          mul_add<float>(V(pa2 * pb2), d1, mul_add<float>(V(-pa2 - pb2), d3, d5))};
}

// G g:  row of point p: (1, p, p^2) / product of p - q over the other points q;  of infinity: (0, 0, 1)
INKLING_INLINE std::array<V, 6> weight_basis(const V& g0, const V& g1, const V& g2) {
  constexpr float at_0 = 1 / (pa2 * pb2), at_a = 1 / (2 * pa2 * (pa2 - pb2)), at_b = 1 / (2 * pb2 * (pb2 - pa2));
  const V even_a = mul_add<float>(V(pa2 * at_a), g2, V(at_a) * g0);
  const V even_b = mul_add<float>(V(pb2 * at_b), g2, V(at_b) * g0);
  return {V(at_0) * g0,
          mul_add<float>(V(pa * at_a), g1, even_a),
          mul_add<float>(V(-pa * at_a), g1, even_a),
          mul_add<float>(V(pb * at_b), g1, even_b),
          mul_add<float>(V(-pb * at_b), g1, even_b),
          g2};
}

// A^T m:  1  1   1   1   1   0
//         0  a  -a   b  -b   0
//         0  a2  a2  b2  b2  0
//         0  a3 -a3  b3 -b3  1
INKLING_INLINE std::array<V, 4> output_basis(const V& m0, const V& m1, const V& m2, const V& m3, const V& m4,
                                             const V& m5) {
  const V even_a = m1 + m2, odd_a = m1 - m2, even_b = m3 + m4, odd_b = m3 - m4;
  return {m0 + even_a + even_b,
          mul_add<float>(V(pb), odd_b, V(pa) * odd_a),
          mul_add<float>(V(pb2), even_b, V(pa2) * even_a),
          mul_add<float>(V(pb2 * pb), odd_b, mul_add<float>(V(pa2 * pa), odd_a, m5))};
}

// --- 4 x 4 transpositions inside the vectors -------------------------------------------------------------------------

#if defined(__GNUC__)
template <class Vector, std::size_t... I>
INKLING_INLINE void transpose_fours(Vector& p, Vector& q, Vector& r, Vector& s, std::index_sequence<I...>) {
  constexpr std::size_t S = sizeof...(I);
  using Register = typename Vector::register_type;
  using Lane = typename Lanes<float, S>::type;
  const auto lanes = [](const Vector& v) { return (Lane)(static_cast<Register>(v)); };
  const auto vec = [](const Lane& v) { return Vector((Register)(v)); };
  const Lane x = lanes(p), y = lanes(q), z = lanes(r), w = lanes(s);
  // x0 y0 x1 y1 and x2 y2 x3 y3 of each four
  const Lane xy01 = __builtin_shufflevector(x, y, (I % 2 * S + I / 4 * 4 + I % 4 / 2)...);
  const Lane xy23 = __builtin_shufflevector(x, y, (I % 2 * S + I / 4 * 4 + I % 4 / 2 + 2)...);
  const Lane zw01 = __builtin_shufflevector(z, w, (I % 2 * S + I / 4 * 4 + I % 4 / 2)...);
  const Lane zw23 = __builtin_shufflevector(z, w, (I % 2 * S + I / 4 * 4 + I % 4 / 2 + 2)...);
  p = vec(__builtin_shufflevector(xy01, zw01, (I % 4 / 2 * S + I / 4 * 4 + I % 2)...));
  q = vec(__builtin_shufflevector(xy01, zw01, (I % 4 / 2 * S + I / 4 * 4 + I % 2 + 2)...));
  r = vec(__builtin_shufflevector(xy23, zw23, (I % 4 / 2 * S + I / 4 * 4 + I % 2)...));
  s = vec(__builtin_shufflevector(xy23, zw23, (I % 4 / 2 * S + I / 4 * 4 + I % 2 + 2)...));
}
#endif
// Lane 4 l + e of vector v  <->  lane 4 l + v of vector e
template <class Vector>
INKLING_INLINE void transpose_fours(Vector& p, Vector& q, Vector& r, Vector& s) {
  if constexpr (W >= 4) {
#if defined(__GNUC__)
    transpose_fours(p, q, r, s, std::make_index_sequence<static_cast<std::size_t>(W)>{});
#else
    alignas(64) float from[4][W], to[4][W];
    store(from[0], p), store(from[1], q), store(from[2], r), store(from[3], s);
    for (Index l = 0; l < W; ++l)
      for (Index e = 0; e < 4; ++e) to[l % 4][l / 4 * 4 + e] = from[e][l];
    p = load(to[0]), q = load(to[1]), r = load(to[2]), s = load(to[3]);
#endif
  }
}

// p[0..W/2) and q[0..W/2) in one vector
template <class Vector, std::size_t... I>
INKLING_INLINE Vector join_halves(const float* p, const float* q, std::index_sequence<I...>) {
#if defined(__GNUC__)
  typename Lanes<float, sizeof...(I) / 2>::type first, second;
  std::memcpy(&first, p, sizeof(first));
  std::memcpy(&second, q, sizeof(second));
  return Vector((typename Vector::register_type)(__builtin_shufflevector(first, second, I...)));
#else
  alignas(64) const float both[] = {(I < sizeof...(I) / 2 ? p[I] : q[I - sizeof...(I) / 2])...};
  return load(both);
#endif
}

// Where the pixels of a vector's tiles begin: quad[j], or all in quad[0] where a vector is one number.
using Quads = std::array<const float*, 4>;

// --- Two dimensions -------------------------------------------------------------------------------------------------

// write(6 i + j, x): x = (B^T d B)[i, j] of W tiles d [6, 6], whose lines are `line` apart
template <class Write>
void transform_input(const Quads& quad, Index line, const Write& write) {
  alignas(64) float half[points * W];
  for (Index i = 0; i < 6; ++i) {
    const auto pixels = [&](Index j) { return load(quad[static_cast<std::size_t>(j)] + i * line); };
    const auto next = [&](Index j) { return load(quad[static_cast<std::size_t>(j)] + i * line + 4); };
    V d0 = pixels(0), d1 = pixels(1), d2 = pixels(2), d3 = pixels(3);
    V d4 = next(0), d5 = next(1), d6 = next(2), d7 = next(3);
    transpose_fours(d0, d1, d2, d3);
    transpose_fours(d4, d5, d6, d7);
    const auto t = input_basis(d0, d1, d2, d3, d4, d5);
    for (std::size_t j = 0; j < 6; ++j) store(half + (6 * i + static_cast<Index>(j)) * W, t[j]);
  }
  for (Index j = 0; j < 6; ++j) {
    const auto row = [&](Index i) { return load(half + (6 * i + j) * W); };
    const auto t = input_basis(row(0), row(1), row(2), row(3), row(4), row(5));
    for (std::size_t i = 0; i < 6; ++i) write(6 * static_cast<Index>(i) + j, t[i]);
  }
}

// write(6 i + j, x): x = (G g G^T)[i, j] of W filters; tap(3 k + l) = g[k, l]
template <class Tap, class Write>
INKLING_INLINE void transform_weight(const Tap& tap, const Write& write) {
  const auto k0 = weight_basis(tap(0), tap(1), tap(2));
  const auto k1 = weight_basis(tap(3), tap(4), tap(5));
  const auto k2 = weight_basis(tap(6), tap(7), tap(8));
  const auto column = [&]<std::size_t... I>(std::size_t j, std::index_sequence<I...>) {
    const auto t = weight_basis(k0[j], k1[j], k2[j]);
    (write(6 * static_cast<Index>(I) + static_cast<Index>(j), t[I]), ...);
  };
  constexpr auto six = std::make_index_sequence<6>{};
  column(0, six), column(1, six), column(2, six), column(3, six), column(4, six), column(5, six);
}

// write(i, j, x): x = line i of quad j (of pixel j where a vector is one number) of A^T m A of W tiles; m[(i, j)] at
// (6 i + j) * stride. Not `sorted`: x = (A^T m A)[i, j].
template <bool sorted = true, class Write>
INKLING_INLINE void transform_output(const float* m, Index stride, const Write& write) {
  alignas(64) float half[6 * 4 * W];
  for (Index i = 0; i < 6; ++i) {
    const auto at = [&](Index j) { return load(m + (6 * i + j) * stride); };
    auto t = output_basis(at(0), at(1), at(2), at(3), at(4), at(5));
    if constexpr (sorted) transpose_fours(t[0], t[1], t[2], t[3]);
    for (std::size_t j = 0; j < 4; ++j) store(half + (4 * i + static_cast<Index>(j)) * W, t[j]);
  }
  for (Index j = 0; j < 4; ++j) {
    const auto row = [&](Index i) { return load(half + (4 * i + j) * W); };
    const auto t = output_basis(row(0), row(1), row(2), row(3), row(4), row(5));
    for (std::size_t i = 0; i < 4; ++i) write(static_cast<Index>(i), j, t[i]);
  }
}

}  // namespace inkling::kernels::fast::winograd
