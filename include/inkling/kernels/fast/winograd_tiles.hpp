// Tiles of a convolution in blocks, and their inputs on Winograd's points (winograd.hpp tells the idea).
#pragma once
#include "inkling/kernels/fast/winograd_transforms.hpp"  // first

#include "inkling/core/parallel.hpp"
#include "inkling/kernels/fast/winograd_units.hpp"

namespace inkling::kernels::fast::winograd {

// x [N, C, H, W] -> y [N, O, OH, OW]; output (i, j) sees the inputs from (i - top, j - left) on.
struct Problem {
  Index N, C, H, W, O, OH, OW, top, left;

  Index tile_rows() const { return (OH + 3) / 4; }
  Index quads_in_row() const { return (OW + quad_pixels - 1) / quad_pixels; }
  Index all_quads() const { return N * tile_rows() * quads_in_row(); }
  Index vectors() const { return (all_quads() + quads - 1) / quads; }
};

inline constexpr Index panel_vectors = Tile<float>::vectors, panel_quads = panel_vectors * quads;
inline constexpr Index panel_rows = Tile<float>::rows, panel_columns = Tile<float>::columns;

// A run of tiles in one row of tiles of one image.
struct TileRow {
  Index image, row, first, last;  // quads first..last-1 of the row
};
struct Quad {
  Index window;         // where its pixels begin in the window
  Index y;              // where its outputs begin in y, for output channel 0
  Index lines, pixels;  // how many of them exist
};

// Some tiles of the output, and their inputs on the basis B for a slice of channels: v [panel][point][unit][column]
// (units: winograd_units.hpp)
struct Block {
  std::vector<TileRow> rows;
  std::vector<Quad> tiles;
  Index pitch, channels;
  Index share;  // with a single vector of tiles, so many points lie side by side in a panel, and no place is wasted
  Index point_stride, panel_stride;
  float* v;

  Index vectors() const { return (static_cast<Index>(tiles.size()) + quads - 1) / quads; }
  Index panels() const { return (vectors() + panel_vectors - 1) / panel_vectors; }
  Index offset(Index point) const { return point / share * point_stride + point % share * W; }
};

inline void place_tiles(const Problem& p, Index first, Index last, Block& block) {
  const Index in_row = p.quads_in_row();
  block.rows.clear();
  block.tiles.clear();
  for (Index q = first; q < last; ++q) {
    const Index row = q / in_row % p.tile_rows(), image = q / in_row / p.tile_rows(), j = q % in_row;
    if (j == 0 || q == first) block.rows.push_back({image, row, j, j});
    block.rows.back().last = j + 1;
    const Index r = static_cast<Index>(block.rows.size()) - 1;
    block.tiles.push_back({r * 6 * block.pitch + j * quad_pixels,
                           image * p.O * p.OH * p.OW + 4 * row * p.OW + j * quad_pixels,
                           std::min<Index>(4, p.OH - 4 * row), std::min(quad_pixels, p.OW - j * quad_pixels)});
  }
}

// The lines of one channel under the rows of a block, with the zeros of the padding: window [row][6][pitch]
inline void copy_lines(const Problem& p, const Block& block, const float* x, Index c, float* window) {
  for (const TileRow& r : block.rows)
    for (Index k = 0; k < 6; ++k, window += block.pitch) {
      const Index h = 4 * r.row - p.top + k, begin = r.first * quad_pixels, end = r.last * quad_pixels + 4;
      if (h < 0 || h >= p.H) {
        std::fill(window + begin, window + end, 0.0F);
        continue;
      }
      const float* line = x + ((r.image * p.C + c) * p.H + h) * p.W - p.left;
      const Index from = std::clamp(p.left, begin, end), until = std::clamp(p.W + p.left, from, end);
      std::fill(window + begin, window + from, 0.0F);
      copy_row(line + from, until - from, window + from);
      std::fill(window + until, window + end, 0.0F);
      prefetch(line + from + p.H * p.W, until - from);  // the next channel: too short a run for the processor to guess
    }
}

// One channel's lines, and zeros for the tiles that lack to a whole vector.
inline Index window_size(const Block& block) {
  return (static_cast<Index>(block.rows.size()) + 1) * 6 * block.pitch;
}
inline void channel_window(const Problem& p, const Block& block, const float* x, Index c, float* window) {
  copy_lines(p, block, x, c, window);
  if (static_cast<Index>(block.tiles.size()) % quads != 0)
    std::fill(window + window_size(block) - 6 * block.pitch, window + window_size(block), 0.0F);
}
inline Quads tile_pixels(const Block& block, Index t, const float* window) {
  Quads pixels;
  for (Index j = 0; j < 4; ++j) {
    const Index q = t * quads + j % quads, offset = quads == 4 ? 0 : j;
    const bool exists = q < static_cast<Index>(block.tiles.size());
    pixels[static_cast<std::size_t>(j)] =
        window + offset +
        (exists ? block.tiles[static_cast<std::size_t>(q)].window : window_size(block) - 6 * block.pitch);
  }
  return pixels;
}

// V = B^T d B for the channels of a unit, from channel `first` + unit * numbers on
template <ComputeType type>
void input_unit(const Problem& p, const Block& block, const float* x, Index first, Index unit) {
  const Index c = unit * numbers_of<type>, channels = std::min(numbers_of<type>, block.channels - c);
  const Index size = window_size(block);
  float* window = workspace<float, 3>(numbers_of<type> * size);
  for (Index e = 0; e < channels; ++e) channel_window(p, block, x, first + c + e, window + e * size);
  for (Index t = 0; t < block.vectors(); ++t) {
    const auto transform = [&](Index channel, const auto& write) {
      transform_input(tile_pixels(block, t, window + channel * size), block.pitch, write);
    };
    float* v = block.v + t / panel_vectors * block.panel_stride + unit * panel_columns + t % panel_vectors * W;
    const auto write = [&](Index point, const V& before, const V& d) {
      store(v + block.offset(point), unit_of<type>(before, d));
    };
    if constexpr (numbers_of<type> == 1) {
      transform(0, [&](Index point, const V& d) { write(point, d, d); });
    } else {
      alignas(64) float before[points * W];
      transform(0, [&](Index point, const V& d) { store(before + point * W, d); });
      if (channels == 2)
        transform(1, [&](Index point, const V& d) { write(point, load(before + point * W), d); });
      else
        for (Index point = 0; point < points; ++point) write(point, load(before + point * W), V(0.0F));
    }
  }
}

}  // namespace inkling::kernels::fast::winograd
