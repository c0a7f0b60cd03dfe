// 3 x 3 convolutions with a quarter of the multiplications.
//
// The idea in one dimension. A filter of 3 taps slides over 4 numbers and gives 2:
//   y0 = d0 g0 + d1 g1 + d2 g2        y1 = d1 g0 + d2 g1 + d3 g2           6 multiplications
// The same two numbers from 4 multiplications:
//   m0 = (d0 - d2) g0                 m1 = (d1 + d2) (g0 + g1 + g2) / 2
//   m3 = (d1 - d3) g2                 m2 = (d2 - d1) (g0 - g1 + g2) / 2
//   y0 = m0 + m1 + m2                 y1 = m1 - m2 - m3
// Behind it stand polynomials: sliding a filter is multiplying polynomials (read backwards), a product of degree n - 1
// is known from its values at n points, and a value of a product is the product of two values: n multiplications for
// n = 2 + 3 - 1 points (here 0, 1, -1 and infinity). Winograd, "Arithmetic Complexity of Computations" (1980), shows
// that fewer cannot do. In matrices, with .* element by element:
//   Y = A^T [ (G g) .* (B^T d) ]
//         1  0 -1  0            1    0    0
//   B^T = 0  1  1  0       G = 1/2  1/2  1/2      A^T = 1  1  1  0
//         0 -1  1  0           1/2 -1/2  1/2            0  1 -1 -1
//         0  1  0 -1            0    0    1
//
// In two dimensions the same is done along rows and along columns (Lavin & Gray, "Fast Algorithms for Convolutional
// Neural Networks", 2015, eq. 8):
//   Y = A^T [ (G g G^T) .* (B^T d B) ] A
// With 6 points, F(4 x 4, 3 x 3): a tile of 6 x 6 input pixels gives 4 x 4 outputs from 36 multiplications instead of
// 144. Sums over channels move inside the brackets, so for each of the 36 points .* becomes a matrix product
//   M[point] [O, tiles] = U[point] [O, C] V[point] [C, tiles]        U = G g G^T, V = B^T d B
// for the GEMM's own micro-kernel; the changes of basis before and after it (winograd_transforms.hpp) cost the less,
// the more channels share them.
//
// What is stored on the way stays in the caches. Tiles are taken in blocks, channels in slices of at most 512:
//   V   of one block and slice, at most 4 MB for all threads together (8 if it is the only block), read again for
//       every 8 outputs
//   U   of 8 outputs: 0.6 MB, second-level cache, made by the thread that needs it and forgotten; where there are
//       several blocks of tiles, U of all outputs is made once for each slice (at most 48 MB while the call lasts)
//   M   [point] [8, tiles], at most 0.9 MB a thread, turned into output pixels at once
// Later slices add to the pixels of earlier ones. All sums are cut by shapes alone: the result does not depend on the
// number of threads.
//
// What each idea brings: GFLOP/s of one thread, counted as the direct sum needs them (AMD Zen 4, AVX-512: a direct sum
// can have 117; g++ 12 -O3 -march=native; the fastest of many runs by processor time, on a busy machine):
//                                             512 -> 512   128 -> 128   1280 -> 1280
//                                                at 64^2     at 512^2        at 16^2
//   direct (conv.hpp)                                 98           90             99
//   direct, weights packed beforehand                108           95            111
//   V of 8 MB, 32 outputs and 128 channels at once   293          211            169
//   V of 4 MB, U of 8 outputs and all channels       319          294            185
//   U kept where tiles come in several blocks        350          304
//   next channel's lines fetched, a lone vector's
//     points side by side, slices of channels        362          283            265
// Packed weights that come from memory, as in a call of the U-Net (milliseconds, median; four layers' weights in turn):
//                                                        640 -> 640   1280 -> 1280   2560 -> 1280
//                                                           at 32^2        at 16^2        at 16^2
//   as above                                                   35.2           43.0           74.2
//   filters read where they lie, the next ones fetched
//     ahead, their change of basis in registers                31.4           31.9           58
//   one block of V where 8 MB hold all, so no U is kept        24.0
// Up to 16 tiles go another way (winograd_few_tiles.hpp).
// Other shapes, direct and this way (peak = 117):
//   VAE    512 -> 512 at 128^2   102   376 (3.2 of the peak)     U-Net  320 -> 320 at 64^2     100   337 (2.9)
//          512 -> 256 at 256^2    98   338 (2.9)                        960 -> 320 at 64^2     100   343 (2.9)
//          256 -> 256 at 256^2    97   334 (2.9)                        640 -> 640 at 32^2     100   294 (2.5)
//          256 -> 128 at 512^2    90   281 (2.4)                        1920 -> 640 at 32^2     97   299 (2.6)
//   batch 2, 1280 -> 1280 at 8^2  98   214 (1.8)                        2560 -> 1280 at 16^2    96   258 (2.2)
// Packed weights are widened while they change their basis: as fast as these, and 1.25 to 1.75 times as fast as the
// direct sum with bf16 dot products (212, 180, 218 in the first table's columns).
// Products of bfloat16 (a scope of kernels/compute_type.hpp; here the gradients of inputs take it), batch 32:
//   64 -> 64 at 32^2     float 195, bfloat16 299       192 -> 64 at 32^2     247, 400
//   128 -> 128 at 16^2         283           447       256 -> 128 at 16^2    294, 480
// Where it does not pay: 3 -> 128 at 512^2 (direct 76, this way 49: the change of basis of the output costs more than
// the products).
//
// Errors against the sum in double, operands uniform in (-1, 1); in brackets those of the direct sum in order:
//   channels      largest error / largest value     rms error / rms value
//         16             8.2e-7  (3.9e-7)                4.8e-7  (2.1e-7)
//        128             2.9e-6  (1.3e-6)                1.0e-6  (5.9e-7)
//        512             3.7e-6  (2.7e-6)                2.0e-6  (1.2e-6)
//       1280             2.5e-6  (2.1e-6)                1.9e-6  (1.7e-6)      slices shorten the sums
// With U and V rounded to bfloat16 the rms error is 1.1e-2 of the rms value, five times that of rounding x and the
// filters (2.2e-3), because B and G enlarge what A makes small again; 4e-3 where neighbouring pixels are alike.
// F(2 x 2, 3 x 3) has the errors of the direct sum, but saves only a factor of 2.25; F(6 x 6, 3 x 3) saves 5.1 with 7
// times the errors of the direct sum. An infinity or NaN spreads over its tile.
#pragma once
#include "inkling/kernels/fast/winograd_few_tiles.hpp"  // first

#include <optional>

#include "inkling/core/tensor.hpp"
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::fast::winograd {

inline constexpr Index most_channels = 512, most_panels = 16;
inline constexpr Index input_bytes = 4 << 20, weight_bytes = 48 << 20;

// --- When it pays ---------------------------------------------------------------------------------------------------

// Both ways in vector multiply-adds (a vector holds W numbers). Packing a vector of patches, which the direct way does
// for each of 9 C rows, costs about as much as 6. A change of basis costs, with its way through the caches, as much as
// 500 for a vector of input tiles, 400 for a vector of filters, 400 for a vector of output tiles.
// `speed`: how many times as fast the direct way multiplies.
inline bool pays(const Problem& p, double speed = 1) {
  const auto d = [](Index n) { return static_cast<double>(n); };
  const auto up = [](Index n, Index to) { return (n + to - 1) / to * to; };
  const Index rows = p.O <= panel_rows / 2 ? panel_rows / 2 : up(p.O, panel_rows);
  const double direct = 9 * d(p.C) * d(rows + 6) * d(up(p.N * p.OH * p.OW, panel_columns) / W);
  if (few_tiles(p)) {
    const Index tiles = up(p.N * p.tile_rows() * ((p.OW + 3) / 4), panel_rows / 2);
    const double change = 500 * d(p.vectors() * p.C) + 400 * d(p.C) * d(rows) / d(W);
    return (d(points) * d(p.C) * d(tiles) * d(up(p.O, panel_columns) / W) + change) * speed < direct;
  }
  const double multiply = d(points) * d(p.C) * d(rows) * d(p.vectors());
  const double change = d(p.vectors()) * (500 * d(p.C) + 400 * d(p.O)) + 400 * d(p.C) * d(rows) / d(W);
  return 1.1 * (multiply + change) * speed < direct;
}

// The convolution with these options as a problem for Winograd, if it is one and that pays.
inline std::optional<Problem> problem(const Shape<4>& x, const Shape<4>& w, const Shape<4>& y, const Conv2dOptions& o,
                                      double speed = 1) {
  if (w[2] != 3 || w[3] != 3 || o.stride != 1 || o.dilation != 1 || o.groups != 1) return {};
  const Problem p{x[0], x[1], x[2], x[3], y[1], y[2], y[3], o.padding.top, o.padding.left};
  return pays(p, speed) ? std::optional(p) : std::nullopt;
}
// The same for the gradient of its input, a convolution of dy with the filters turned.
inline std::optional<Problem> backward_problem(const Shape<4>& dy, const Shape<4>& w, const Shape<4>& dx, Index stride,
                                               Index top, Index left, Index dilation, Index groups) {
  return problem(dy, w, dx, {stride, {.top = 2 - top, .left = 2 - left}, dilation, groups});
}

// --- Products -------------------------------------------------------------------------------------------------------

// One panel of outputs o.. of all tiles of the block: M = U V, Y = A^T M A + bias + `before`, laid out as y
template <ComputeType type>
void output_panel(const Problem& p, const Block& block, const float* u, Index o, const float* bias,
                  const float* before, float* y) {
  constexpr Index R = panel_rows, tile_size = R * panel_columns;
  const Index rows = std::min(R, p.O - o), panels = block.panels(), plane = p.OH * p.OW;
  float* m = workspace<float, 6>(panels * points * tile_size);
  const auto* us = reinterpret_cast<const PanelUnit<type>*>(u);
  const auto* vs = reinterpret_cast<const PanelUnit<type>*>(block.v);
  for (Index e = 0; e < points; ++e)
    for (Index t = 0; t < panels; ++t)
      multiply_tile<PanelUnit<type>, PanelOrder::columns>(
          rows, std::min(panel_columns, (block.vectors() - t * panel_vectors) * W), block.channels,
          us + e * weight_stride<type>(block.channels), vs + t * block.panel_stride + block.offset(e),
          m + (t * points + e) * tile_size);
  const Index count = static_cast<Index>(block.tiles.size());
  for (Index i = 0; i < rows; ++i) {
    const V shift(bias ? bias[o + i] : 0.0F);
    for (Index t = 0; t < block.vectors(); ++t)
      transform_output(m + (t / panel_vectors * points * R + i) * panel_columns + t % panel_vectors * W, tile_size,
                       [&](Index line, Index j, const V& x) {
                         const Index q = t * quads + j % quads, offset = quads == 4 ? 0 : j;
                         if (q >= count) return;
                         const Quad& quad = block.tiles[static_cast<std::size_t>(q)];
                         if (line >= quad.lines || offset >= quad.pixels) return;
                         const Index at = (o + i) * plane + quad.y + line * p.OW + offset;
                         if (quad.pixels == quad_pixels || quads == 1)
                           store(y + at, before ? x + shift + load(before + at) : x + shift);
                         else
                           store_part<float>(y + at,
                                             before ? x + shift + load_part(before + at, quad.pixels) : x + shift,
                                             quad.pixels);
                       });
  }
}

// y = the convolution of x with the filters, + bias [O] (or nullptr), + start (or nullptr), laid out as y or y itself
template <ComputeType type = ComputeType::f32>
void convolve(const Problem& p, const float* x, const Filters& filters, bool turned, const float* bias,
              float* y, const float* start = nullptr) {
  if (p.all_quads() == 0 || p.O == 0) return;
  if constexpr (type == ComputeType::f32)
    if (few_tiles(p))
      return turned ? convolve_few_tiles<true>(p, x, filters, bias, y, start)
                    : convolve_few_tiles<false>(p, x, filters, bias, y, start);
  constexpr Index bytes = sizeof(float);
  const Index all = p.all_quads(), all_panels = (all + panel_quads - 1) / panel_quads;
  const Index output_panels = (p.O + panel_rows - 1) / panel_rows;
  const Index channel_bytes = output_panels * panel_rows * points * bytes;
  const Index most =
      all_panels > 1 ? std::clamp<Index>(weight_bytes / channel_bytes, 64, most_channels) : most_channels;
  const Index slices = (p.C + most - 1) / most, slice = units_for<type>((p.C + slices - 1) / slices) * numbers_of<type>;

  Block block{};
  block.pitch = p.quads_in_row() * quad_pixels + 4 + W;
  block.share = all <= quads ? panel_vectors : 1;
  block.point_stride = units_for<type>(slice) * panel_columns + 16;
  block.panel_stride = points / block.share * block.point_stride;
  // One block of up to twice the size spares keeping U: it goes to memory and back for each block.
  const bool whole = all_panels * block.panel_stride * bytes <= 2 * input_bytes;
  const Index fit =
      whole ? all_panels : std::clamp<Index>(input_bytes / (block.panel_stride * bytes), 1, most_panels);
  const Index blocks = (all_panels + fit - 1) / fit, step = (all_panels + blocks - 1) / blocks;
  Tensor<float, 1> kept(Shape<1>{blocks > 1 ? output_panels * points * weight_stride<type>(slice) : 0}, uninitialized);
  Tensor<float, 1> v(Shape<1>{step * block.panel_stride}, uninitialized);
  block.v = v.data();
  float* kept_u = blocks > 1 ? kept.data() : nullptr;

  for (Index c = 0; c < p.C; c += slice) {
    block.channels = std::min(slice, p.C - c);
    const Index u_size = points * weight_stride<type>(block.channels);
    if (kept_u)
      parallel_for(output_panels, 100 * panel_rows * block.channels, [&](Index r) {
        weight_panel<type>(p, filters, turned, r * panel_rows, c, block.channels, kept_u + r * u_size);
      });
    for (Index first = 0; first < all; first += step * panel_quads) {
      place_tiles(p, first, std::min(all, first + step * panel_quads), block);
      parallel_for(units_for<type>(block.channels), 500 * W * block.vectors() * numbers_of<type>,
                   [&](Index k) { input_unit<type>(p, block, x, c, k); });
      const auto outputs = [&](Index r) {
        float* u = kept_u ? kept_u + r * u_size : workspace<float, 5>(u_size);
        if (!kept_u) weight_panel<type>(p, filters, turned, r * panel_rows, c, block.channels, u);
        output_panel<type>(p, block, u, r * panel_rows, c > 0 ? nullptr : bias, c > 0 ? y : start, y);
      };
      parallel_for_dynamic(output_panels, outputs);
    }
  }
}

}  // namespace inkling::kernels::fast::winograd
