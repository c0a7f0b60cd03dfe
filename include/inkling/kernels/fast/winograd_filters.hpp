// Filters on Winograd's points (winograd.hpp tells the idea), in the panels that the products read.
#pragma once
#include "inkling/kernels/fast/winograd_tiles.hpp"  // first

#include <functional>

namespace inkling::kernels::fast::winograd {

// The filters from channels c.. (so many) to outputs o.. (`rows` of them) as [channel][3][3][Tile::rows]: where they
// lie like that, or written to `out`
using Filters = std::function<const float*(Index o, Index rows, Index c, Index count, float* out)>;

// Filters that lie in memory: from channel c to output o at w + o * out_stride + c * in_stride.
inline Filters filters_at(const float* w, Index out_stride, Index in_stride) {
  return [=](Index o, Index rows, Index c, Index count, float* out) {
    constexpr Index R = Tile<float>::rows;
    const float* from = w + o * out_stride + c * in_stride;
    if (in_stride == 9)
      transpose(from, out_stride, rows, count * 9, out, R);
    else
      for (Index e = 0; e < count; ++e) transpose(from + e * in_stride, out_stride, rows, Index{9}, out + e * 9 * R, R);
    return out;
  };
}

// From one point to the next in U [point][unit][panel_rows]: not a power of two, which would share a cache set.
template <ComputeType type>
Index weight_stride(Index channels) {
  return units_for<type>(channels) * panel_rows + 2 * W;
}

// Tap t of W filters: from g on, [tap][panel_rows], and, where a vector is longer than a row, from `next` on.
INKLING_INLINE V filter_taps(const float* g, const float* next, Index t) {
  if constexpr (W == 2 * panel_rows)
    return join_halves<V>(g + t * panel_rows, next + t * panel_rows,
                          std::make_index_sequence<static_cast<std::size_t>(W)>{});
  else return load(g + t * panel_rows);
}

// U = G g G^T for the panel of outputs o.., channels c..; `turned`: the filters by 180 degrees
template <ComputeType type, bool turned>
void weight_panel(const Problem& p, const Filters& filters, Index o, Index c, Index channels, float* u) {
  constexpr Index R = panel_rows, filter = 9 * R, step = 16;
  static_assert(R % W == 0 || W == 2 * R);
  const Index rows = std::min(R, p.O - o), stride = weight_stride<type>(channels);
  float* scratch = workspace<float, 4>((2 * step + 1) * filter);
  const float* none = scratch + 2 * step * filter;  // the partner of a last, odd channel
  std::fill(scratch + (rows < R ? 0 : 2 * step * filter), scratch + (2 * step + 1) * filter, 0.0F);
  const auto piece = [&](Index k) {
    return k < channels ? filters(o, rows, c + k, std::min(step, channels - k), scratch + k / step % 2 * step * filter)
                        : nullptr;
  };
  const float* g = piece(0);
  for (Index k = 0; k < channels; k += step) {
    const float* ahead = piece(k + step);
    const Index count = std::min(step, channels - k);
    for (Index e = 0; e < count * R; e += W) {
      if (ahead) prefetch(ahead + e * 9, W * 9);
      const float* from = g + e / R * filter + e % R;
      const float* next = e / R + 1 < count ? from + filter : none;
      const auto taps = [=](Index t) { return filter_taps(from, next, turned ? 8 - t : t); };
      float* to = u + (k * R + e) / numbers_of<type>;
      transform_weight(taps, [=](Index point, const V& x) {
        if constexpr (numbers_of<type> == 1) {
          store(to + point * stride, unit_of<type>(x, x));
        } else {
#ifdef INKLING_BF16_DOT
          static_assert(W == 2 * R);  // x holds a channel and the next; what is stored beyond R units is stored over
          const V swapped(_mm512_shuffle_f32x4(x, x, 0x4E));  // halves exchanged
          store(to + point * stride, unit_of<type>(x, swapped));
#endif
        }
      });
    }
    g = ahead;
  }
}
template <ComputeType type>
void weight_panel(const Problem& p, const Filters& filters, bool turned, Index o, Index c, Index channels, float* u) {
  if (turned) weight_panel<type, true>(p, filters, o, c, channels, u);
  else weight_panel<type, false>(p, filters, o, c, channels, u);
}

}  // namespace inkling::kernels::fast::winograd
