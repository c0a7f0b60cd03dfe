// The gradient of the weights of 3 x 3 convolutions, with a quarter of the multiplications.
//
// The forward (winograd.hpp) is Y = A^T [ (G g G^T) .* (B^T d B) ] A for each tile, summed over channels. It is linear
// in the filter g, so the gradient of g is the same chain walked backwards: every matrix transposed, in reverse order,
//   dg = G^T [ (A dy A^T) .* (B^T d B) ] G
// summed over the tiles. For each of the 36 points that sum is a matrix product, this time along the tiles,
//   dU[point] [O, C] = S[point] [O, tiles] V[point] [C, tiles]^T        S = A dy A^T, V = B^T d B
// and there is one change of basis back for each pair of channels, not for each tile. (Read another way: correlating a
// 6 x 6 input with a 4 x 4 "filter" dy gives 3 x 3 numbers; Winograd's F(3 x 3, 4 x 4) has the same 36 points.)
//
// The sum runs along tiles, so the lanes of a vector hold channels here: a line of W channels is transposed once, then
// every load and store is a whole vector and the 4 x 4 transpositions of the forward vanish. Tiles are taken in blocks,
// whose S and V stay in the caches; dU gathers them. Blocks are cut by shapes alone: the result does not depend on the
// number of threads.
//
// What it brings: GFLOP/s of one thread, counted as the direct sum needs them (AMD Zen 4, AVX-512: a direct sum can
// have 117; g++ 12 -O3 -march=native; the fastest of some runs by processor time, batch 32):
//                                             64 -> 64   192 -> 64   128 -> 128   256 -> 128   128 -> 128
//                                              at 32^2     at 32^2      at 16^2      at 16^2       at 8^2
//   direct sum (conv.hpp)                           77          92           90           96           80
//   36 points, float                               230         256          269          275          296
//   bfloat16 in pairs of tiles                     357         410          461          442          508
//
// Errors, rms error / rms value, operands uniform in (-1, 1): float 0.6e-6 to 2.3e-6. Rounding S and V to bfloat16
// makes 1.2e-2, five times what rounding x and dy does (2.3e-3): A and B enlarge what G makes small again. Smooth
// images suffer less (4e-3). The choice of the batch brings far more noise into a gradient.
#pragma once
#include "inkling/kernels/fast/winograd.hpp"  // first

namespace inkling::kernels::fast::winograd {

// --- When it pays ---------------------------------------------------------------------------------------------------

// Both ways in vector multiply-adds. Changing the basis of W channels of a tile costs, with its way through the caches,
// as much as 300 (x) and 250 (dy), that of a vector of filters 100.
inline bool gradient_pays(const Problem& p) {
  const auto d = [](Index n) { return static_cast<double>(n); };
  const auto vectors = [](Index n) { return (n + W - 1) / W; };
  const Index rows = p.O <= panel_rows / 2 ? panel_rows / 2 : (p.O + panel_rows - 1) / panel_rows * panel_rows;
  const double direct = 9 * d(p.C) * d(vectors(p.O)) * d(p.N * p.OH * p.OW);
  const double tiles = d(p.N * p.tile_rows() * ((p.OW + 3) / 4));
  const double change = tiles * (300 * d(vectors(p.C)) + 250 * d(vectors(p.O))) + 100 * d(p.O) * d(vectors(p.C));
  return 1.1 * (d(points) * tiles * d(rows) * d(vectors(p.C)) + change) < direct;
}
// The gradient of the weights of the convolution with these options, if it is one for Winograd and that pays.
inline std::optional<Problem> gradient_problem(const Shape<4>& dy, const Shape<4>& x, const Shape<4>& dw,
                                               const Conv2dOptions& o) {
  if (dw[2] != 3 || dw[3] != 3 || o.stride != 1 || o.dilation != 1 || o.groups != 1) return {};
  const Problem p{x[0], x[1], x[2], x[3], dy[1], dy[2], dy[3], o.padding.top, o.padding.left};
  return gradient_pays(p) ? std::optional(p) : std::nullopt;
}

// --- One dimension (the matrices stand in winograd_transforms.hpp) ---------------------------------------------------

// A d:  row of point p: (1, p, p^2, p^3);  of infinity: (0, 0, 0, 1)
INKLING_INLINE std::array<V, 6> gradient_basis(const V& d0, const V& d1, const V& d2, const V& d3) {
  const V even_a = mul_add<float>(V(pa2), d2, d0), odd_a = mul_add<float>(V(pa2 * pa), d3, V(pa) * d1);
  const V even_b = mul_add<float>(V(pb2), d2, d0), odd_b = mul_add<float>(V(pb2 * pb), d3, V(pb) * d1);
  return {d0, even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, d3};
}
// G^T m
INKLING_INLINE std::array<V, 3> filter_basis(const V& m0, const V& m1, const V& m2, const V& m3, const V& m4,
                                             const V& m5) {
  constexpr float at_0 = 1 / (pa2 * pb2), at_a = 1 / (2 * pa2 * (pa2 - pb2)), at_b = 1 / (2 * pb2 * (pb2 - pa2));
  const V even_a = m1 + m2, odd_a = m1 - m2, even_b = m3 + m4, odd_b = m3 - m4;
  return {mul_add<float>(V(at_0), m0, mul_add<float>(V(at_a), even_a, V(at_b) * even_b)),
          mul_add<float>(V(pa * at_a), odd_a, V(pb * at_b) * odd_b),
          mul_add<float>(V(pa2 * at_a), even_a, mul_add<float>(V(pb2 * at_b), even_b, m5))};
}

// --- From images to points -----------------------------------------------------------------------------------------

// W units to `lanes` neighbours at a time, `panel` apart: a vector of channels may span several panels.
template <Index lanes, class Unit>
INKLING_INLINE void store_lanes(const V& v, Unit* to, Index panel) {
  static_assert(sizeof(Unit) == sizeof(float));
  if constexpr (lanes >= W) {
    store(reinterpret_cast<float*>(to), v);
  } else {
    alignas(64) std::array<float, static_cast<std::size_t>(W)> all;
    store(all.data(), v);
    for (Index e = 0; e < W; e += lanes) std::memcpy(to + e / lanes * panel, all.data() + e, sizeof(float) * lanes);
  }
}

// One side of the product: images of some channels, and their tiles on the points, [point][panel][tile][lane].
template <class Unit>
struct GradientSide {
  const float* image;
  Index channels, H, W_image, top, left;  // pixel (i, j) of the first tile of an image is that at (i - top, j - left)
  Unit* points_at;
  Index panel_stride, point_stride;
};

// Line h of up to W channels with its padding: to [pixel][lane]
inline void copy_channels(const float* x, Index channels, Index H, Index width_, Index h, Index left, Index pixels,
                          float* to) {
  const Index begin = std::clamp<Index>(left, 0, pixels), end = std::clamp<Index>(width_ + left, begin, pixels);
  if (h < 0 || h >= H || channels < W) std::fill(to, to + pixels * W, 0.0F);
  if (h < 0 || h >= H) return;
  std::fill(to, to + begin * W, 0.0F);
  transpose(x + h * width_ + begin - left, H * width_, channels, end - begin, to + begin * W, W);
  std::fill(to + end * W, to + pixels * W, 0.0F);
}

// Tile rows first..last-1 (of all images, one after the other) of W channels from `channel` on. `lanes`: of a panel.
template <ComputeType type, Index lines, Index lanes, class Unit>
void tiles_to_points(const GradientSide<Unit>& side, Index tile_rows, Index tiles_in_row, Index channel, Index first,
                     Index last, Index first_tile) {
  constexpr Index overlap = lines - 4, numbers = Arithmetic<Unit>::numbers;
  const Index pixels = 4 * tiles_in_row + overlap, row = pixels * W, count = std::min(W, side.channels - channel);
  float* window = workspace<float, 3>(lines * row + points * row);
  float* half = window + lines * row;  // [6][pixel][lane]: on the points along the columns
  alignas(64) float before[static_cast<std::size_t>(points * W)];  // a tile that waits for its neighbour in the pair
  Unit* to = side.points_at + channel / lanes * side.panel_stride + channel % lanes;
  Index tile = first_tile;
  for (Index r = first; r < last; ++r) {
    const Index n = r / tile_rows, i = r % tile_rows;
    const float* image = side.image + (n * side.channels + channel) * side.H * side.W_image;
    const bool goes_on = r > first && i > 0;  // the last lines of the row above are there
    if (goes_on) std::memmove(window, window + 4 * row, sizeof(float) * static_cast<std::size_t>(overlap * row));
    for (Index l = goes_on ? overlap : 0; l < lines; ++l)
      copy_channels(image, count, side.H, side.W_image, 4 * i + l - side.top, side.left, pixels, window + l * row);
    for (Index p = 0; p < row; p += W) {
      const auto at = [&](Index l) { return load(window + l * row + p); };
      std::array<V, 6> t;
      if constexpr (lines == 6) t = input_basis(at(0), at(1), at(2), at(3), at(4), at(5));
      else t = gradient_basis(at(0), at(1), at(2), at(3));
      for (std::size_t e = 0; e < 6; ++e) store(half + static_cast<Index>(e) * row + p, t[e]);
    }
    for (Index j = 0; j < tiles_in_row; ++j, ++tile) {
      const bool waits = numbers == 2 && tile % 2 == 0;
      Unit* unit = to + tile / numbers * lanes;
      for (Index e = 0; e < 6; ++e) {
        const auto at = [&](Index k) { return load(half + e * row + (4 * j + k) * W); };
        std::array<V, 6> t;
        if constexpr (lines == 6) t = input_basis(at(0), at(1), at(2), at(3), at(4), at(5));
        else t = gradient_basis(at(0), at(1), at(2), at(3));
        for (std::size_t f = 0; f < 6; ++f) {
          const Index point = 6 * e + static_cast<Index>(f);
          if (waits) store(before + point * W, t[f]);
          else store_lanes<lanes>(unit_of<type>(load(before + point * W), t[f]), unit + point * side.point_stride,
                                  side.panel_stride);
        }
      }
    }
  }
  if (numbers == 2 && tile % 2 == 1)  // the last tile has no neighbour
    for (Index point = 0; point < points; ++point)
      store_lanes<lanes>(unit_of<type>(load(before + point * W), V(0.0F)),
                         to + tile / numbers * lanes + point * side.point_stride, side.panel_stride);
}

// --- Products, and back to filters ------------------------------------------------------------------------------------

inline constexpr Index gradient_bytes = 8 << 20, least_tiles = 64;

// dw [O, C, 3, 3] from dy [N, O, OH, OW] and x [N, C, H, W], the problem of the forward.
template <ComputeType type>
void weight_gradient(const Problem& p, const float* dy, const float* x, float* dw) {
  using Unit = PanelUnit<type>;
  constexpr Index numbers = Arithmetic<Unit>::numbers, R = panel_rows, columns = panel_columns, tile_size = R * columns;
  const Index tiles_in_row = (p.OW + 3) / 4, all_rows = p.N * p.tile_rows();
  const Index o_panels = (p.O + R - 1) / R, c_panels = (p.C + columns - 1) / columns;
  const Index o_stored = std::max(o_panels, (p.O + W - 1) / W * W / R);  // a vector of channels may span panels

  // Rows of tiles in a block, an even number of tiles for pairs.
  const Index tile_bytes = points * (o_stored * R + c_panels * columns) * static_cast<Index>(sizeof(Unit)) / numbers;
  const Index most = std::max<Index>(1, std::max(least_tiles, gradient_bytes / tile_bytes) / tiles_in_row);
  const Index blocks = std::max<Index>(1, (all_rows + most - 1) / most);
  const Index step = ((all_rows + blocks - 1) / blocks + 1) / 2 * 2, units = (step * tiles_in_row + 1) / numbers;

  const auto padded = [](Index n) { return (n + 15) / 16 * 16 + 16; };  // neighbours not in one set of the cache
  const Index o_points = padded(o_stored * units * R), c_points = padded(c_panels * units * columns);
  const Index u_points = o_panels * c_panels * tile_size;
  Tensor<float, 1> memory(Shape<1>{points * (o_points + c_points + u_points)}, uninitialized);
  Unit* const s = reinterpret_cast<Unit*>(memory.data());
  Unit* const v = s + points * o_points;
  float* const du = memory.data() + points * (o_points + c_points);
  const GradientSide<Unit> dy_side{dy, p.O, p.OH, p.OW, 0, 0, s, units * R, o_points};
  const GradientSide<Unit> x_side{x, p.C, p.H, p.W, p.top, p.left, v, units * columns, c_points};

  const Index o_groups = (p.O + W - 1) / W, c_groups = (p.C + W - 1) / W;
  constexpr Index parts = 4, products = 4;  // of a block for one group; of the panels of outputs for one point
  for (Index first = 0; first < all_rows; first += step) {
    const Index last = std::min(all_rows, first + step), tiles = (last - first) * tiles_in_row;
    const Index part = ((last - first + parts - 1) / parts + 1) / 2 * 2;
    parallel_for_dynamic((o_groups + c_groups) * parts, [&](Index i) {
      const Index group = i / parts, begin = first + i % parts * part, end = std::min(last, begin + part);
      if (begin >= end) return;
      const Index tile = (begin - first) * tiles_in_row;
      if (group < c_groups)
        tiles_to_points<type, 6, columns>(x_side, p.tile_rows(), tiles_in_row, group * W, begin, end, tile);
      else
        tiles_to_points<type, 4, R>(dy_side, p.tile_rows(), tiles_in_row, (group - c_groups) * W, begin, end, tile);
    });
    parallel_for_dynamic(points * products, [&](Index i) {
      const Index point = i / products, from = o_panels * (i % products) / products,
                  until = o_panels * (i % products + 1) / products;
      alignas(64) float tile[static_cast<std::size_t>(tile_size)];
      for (Index o = from; o < until; ++o)
        for (Index c = 0; c < c_panels; ++c) {
          float* sum = du + point * u_points + (o * c_panels + c) * tile_size;
          multiply_tile<Unit, PanelOrder::columns>(
              std::min(R, p.O - o * R), std::min(columns, p.C - c * columns), tiles,
              s + point * o_points + o * units * R, v + point * c_points + c * units * columns,
              first == 0 ? sum : tile);
          if (first > 0)
            for (Index e = 0; e < tile_size; e += W) store(sum + e, load(sum + e) + load(tile + e));
        }
    });
  }
  // dg = G^T dU G, W channels at a time
  parallel_for(p.O, 100 * p.C, [&](Index o) {
    alignas(64) float half[static_cast<std::size_t>(18 * W)], taps[static_cast<std::size_t>(9 * W)];
    for (Index c = 0; c < p.C; c += W) {
      const float* from = du + (o / R * c_panels + c / columns) * tile_size + o % R * columns + c % columns;
      for (Index f = 0; f < 6; ++f) {
        const auto at = [&](Index e) { return load(from + (6 * e + f) * u_points); };
        const auto t = filter_basis(at(0), at(1), at(2), at(3), at(4), at(5));
        for (std::size_t k = 0; k < 3; ++k) store(half + (6 * static_cast<Index>(k) + f) * W, t[k]);
      }
      for (Index k = 0; k < 3; ++k) {
        const auto at = [&](Index f) { return load(half + (6 * k + f) * W); };
        const auto t = filter_basis(at(0), at(1), at(2), at(3), at(4), at(5));
        for (std::size_t l = 0; l < 3; ++l) store(taps + (3 * k + static_cast<Index>(l)) * W, t[l]);
      }
      transpose(taps, W, Index{9}, std::min(W, p.C - c), dw + (o * p.C + c) * 9, Index{9});
    }
  });
}

}  // namespace inkling::kernels::fast::winograd
