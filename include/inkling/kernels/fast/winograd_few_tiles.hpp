// Winograd's convolution where there are few tiles, as for 8 x 8 and 16 x 16 pixels (winograd.hpp tells the idea).
//
// A vector of tiles would be a quarter full with the 4 tiles of 8 x 8 pixels; and where it is full, but alone, 8
// multiply-adds wait for 9 loads. So tiles and outputs change places: tiles are the rows, outputs the columns of
//   M[point]^T [tiles, O] = V[point]^T [tiles, C] U[point]^T [C, O]
// U of 48 outputs and at most 96 channels stays in the second-level cache, M of all slices of channels is summed there,
// and the next slice's filters come from memory while one is multiplied. Two vectors of tiles do better as columns.
//
// Milliseconds of one thread (AMD Zen 4, g++ 12 -O3 -march=native, the best of 24 on a busy machine, packed weights of
// four layers in turn, so that they come from memory), 1280 -> 1280:
//                                             8 x 8   batch 2   16 x 16
//   direct, or tiles as columns (winograd.hpp) 17.4      38.6        30
//   tiles as rows                              18.9      22.2        33
//   U written by whole cache lines             15.3      19.4      30.5
//   filters fetched ahead while multiplying    14.2      17.7      28.5
#pragma once
#include "inkling/kernels/fast/winograd_filters.hpp"  // first

#include "inkling/core/tensor.hpp"

namespace inkling::kernels::fast::winograd {

// Where a tile comes from and goes to: its place among the lanes of the inputs' vectors, and its pixels.
struct TilePlace {
  Index vector, lane, image, row, column;
};

// Columns must be whole panels of filters, which are stored by rows of a tile: 48 of 8 with AVX-512, 24 of 8 with AVX2;
// with registers of 4 numbers a tile has 12 columns, and this way is not taken.
inline bool few_tiles(const Problem& p) {
  constexpr bool whole_panels = panel_columns % std::max(panel_rows, W) == 0;
  return W >= 4 && whole_panels && p.N * p.tile_rows() * ((p.OW + 3) / 4) <= 2 * panel_rows;
}

// In the order of their lanes.
inline std::vector<TilePlace> tile_places(const Problem& p) {
  constexpr Index in_quad = std::max<Index>(1, W / 4);
  std::vector<TilePlace> places;
  for (Index t = 0; t < p.vectors(); ++t)
    for (Index lane = 0; lane < W; ++lane) {  // after transpose_fours(): 4 * (tile in the quad) + quad
      const Index q = t * quads + lane % quads, line = q / p.quads_in_row();
      const Index column = q % p.quads_in_row() * in_quad + lane / quads;
      if (q < p.all_quads() && 4 * column < p.OW)
        places.push_back({t, lane, line / p.tile_rows(), line % p.tile_rows(), column});
    }
  return places;
}

// V = B^T d B of channel c: v [panel][point][channel][panel_rows], rows are tiles
inline void few_tiles_input(const Problem& p, const Block& block, const std::vector<TilePlace>& places, const float* x,
                            Index c, float* v) {
  constexpr Index R = panel_rows;
  float* window = workspace<float, 3>(window_size(block));
  channel_window(p, block, x, c, window);
  std::size_t i = 0;
  for (Index t = 0; t < block.vectors(); ++t) {
    const std::size_t begin = i;
    while (i < places.size() && places[i].vector == t) ++i;
    transform_input(tile_pixels(block, t, window), block.pitch, [&](Index point, const V& d) {
      alignas(64) float lane[W];
      store(lane, d);
      for (std::size_t e = begin; e < i; ++e) {
        const Index row = static_cast<Index>(e);
        v[((row / R * points + point) * p.C + c) * R + row % R] = lane[places[e].lane];
      }
    });
  }
}

// U = G g G^T of `outputs` from o on and of channels c..: u [point][channel][panel_columns]. A vector holds outputs of
// one channel, of two stored panels where it is longer than a row of them: so whole cache lines are written.
template <bool turned>
void few_tiles_filters(const Filters& filters, Index o, Index outputs, Index c, Index channels, float* u,
                       Index stride) {
  constexpr Index R = panel_rows, filter = 9 * R, step = 16, piece_size = step * filter, lanes = std::max(R, W);
  using Piece = std::array<const float*, 2>;
  float* scratch = workspace<float, 4>(4 * piece_size);
  if (outputs % lanes != 0) std::fill_n(scratch, 4 * piece_size, 0.0F);
  const Index pieces = (channels + step - 1) / step, all = (outputs + lanes - 1) / lanes * pieces;
  const auto piece = [&](Index s) {
    Piece found{};
    for (Index half = 0; s < all && half < lanes / R; ++half) {
      const Index e = s / pieces * lanes + half * R, k = s % pieces * step;
      float* to = scratch + (2 * (s % 2) + half) * piece_size;
      found[static_cast<std::size_t>(half)] =
          e < outputs ? filters(o + e, std::min(R, outputs - e), c + k, std::min(step, channels - k), to) : to;
    }
    return found;
  };
  Piece g = piece(0);
  for (Index s = 0; s < all; ++s) {
    const Piece ahead = piece(s + 1);
    const Index first = s % pieces * step, count = std::min(step, channels - first);
    for (Index k = 0; k < count; ++k) {
      for (const float* next : ahead)
        if (next) prefetch(next + k * filter, filter);
      for (Index e = 0; e < lanes; e += W) {
        float* to = u + (first + k) * panel_columns + s / pieces * lanes + e;
        const float *from = g[0] + k * filter + e, *next = g[1] + k * filter;
        transform_weight([=](Index t) { return filter_taps(from, next, turned ? 8 - t : t); },
                         [=](Index point, const V& x) { store(to + point * stride, x); });
      }
    }
    g = ahead;
  }
}

// A point's share of the filters that the next slice will want: they come from memory while this one is multiplied.
inline AheadOfTile filters_ahead(const Filters& filters, Index o, Index outputs, Index c, Index channels, Index point) {
  constexpr Index R = panel_rows, step = 16, line = 64, lines = 3, third = R * lines * line;
  const Index pieces = (channels + step - 1) / step, e = pieces > 0 ? point / pieces * R : outputs;
  if (e >= outputs) return {};
  float* scratch = workspace<float, 4>(step * 9 * R);
  const Index k = point % pieces * step;
  const auto* from = reinterpret_cast<const char*>(
      filters(o + e, std::min(R, outputs - e), c + k, std::min(step, channels - k), scratch));
  return {{from, lines * line, lines}, {}, {from + third, lines * line, lines}};
}

// y = the convolution of x with the filters, + bias [O] (or nullptr), + start (or nullptr), laid out as y or y itself
template <bool turned>
void convolve_few_tiles(const Problem& p, const float* x, const Filters& filters, const float* bias, float* y,
                        const float* start) {
  constexpr Index R = panel_rows, columns = panel_columns, tile_size = R * columns, most = 96, step = 16;
  const std::vector<TilePlace> places = tile_places(p);
  const Index tiles = static_cast<Index>(places.size()), panels = (tiles + R - 1) / R;
  Block block{};
  block.pitch = p.quads_in_row() * quad_pixels + 4 + W;
  place_tiles(p, 0, p.all_quads(), block);
  Tensor<float, 1> inputs(Shape<1>{panels * points * p.C * R}, uninitialized);
  float* v = inputs.data();
  parallel_for(p.C, 500 * W * p.vectors(), [&](Index c) { few_tiles_input(p, block, places, x, c, v); });

  const Index slices = std::max<Index>(1, (p.C + most - 1) / most);
  const Index slice = ((p.C + slices - 1) / slices + step - 1) / step * step, stride = slice * columns + W;
  const Index plane = p.OH * p.OW;
  parallel_for_dynamic((p.O + columns - 1) / columns, [&](Index group) {
    const Index o = group * columns, outputs = std::min(columns, p.O - o);
    float *u = workspace<float, 5>(points * stride), *m = workspace<float, 6>((panels * points + 1) * tile_size);
    float* tile = m + panels * points * tile_size;
    for (Index c = 0; c < p.C; c += slice) {
      const Index channels = std::min(slice, p.C - c);
      few_tiles_filters<turned>(filters, o, outputs, c, channels, u, stride);
      for (Index point = 0; point < points; ++point) {
        const Index left = std::min(slice, p.C - c - slice);
        const AheadOfTile ahead = filters_ahead(filters, o, outputs, c + slice, left, point);
        for (Index t = 0; t < panels; ++t) {
          const Index rows = std::min(R, tiles - t * R), at = t * points + point;
          float* sum = m + at * tile_size;
          multiply_tile<float, PanelOrder::columns>(rows, outputs, channels, v + (at * p.C + c) * R, u + point * stride,
                                                    c == 0 ? sum : tile, t == 0 ? ahead : AheadOfTile{});
          if (c > 0)
            map(rows * columns, sum, [](const V& a, const V& b) { return a + b; }, sum, tile);
        }
      }
    }
    // Pixels are rows at first, outputs the lanes.
    float* pixels = workspace<float, 10>((p.N * plane + columns + 1) * columns + columns * plane);
    float *shift = pixels + p.N * plane * columns, *turn = shift + columns;
    std::fill_n(shift, columns, 0.0F);
    if (bias) std::copy_n(bias + o, outputs, shift);
    for (Index i = 0; i < tiles; ++i) {
      const TilePlace& a = places[static_cast<std::size_t>(i)];
      float* to = pixels + ((a.image * p.OH + 4 * a.row) * p.OW + 4 * a.column) * columns;
      for (Index j = 0; j < outputs; j += W) {
        const V add = load(shift + j);
        transform_output<false>(m + (i / R * points * R + i % R) * columns + j, tile_size,
                                [&](Index line, Index e, const V& sum) {
                                  if (4 * a.row + line < p.OH && 4 * a.column + e < p.OW)
                                    store(to + (line * p.OW + e) * columns + j, sum + add);
                                });
      }
    }
    for (Index n = 0; n < p.N; ++n) {
      const Index at = (n * p.O + o) * plane;
      transpose(pixels + n * plane * columns, columns, plane, outputs, start ? turn : y + at, plane);
      if (start) map(outputs * plane, y + at, [](const V& a, const V& b) { return a + b; }, turn, start + at);
    }
  });
}

}  // namespace inkling::kernels::fast::winograd
