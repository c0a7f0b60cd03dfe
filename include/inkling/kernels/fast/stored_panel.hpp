// How a panel of weights is kept: `lanes` rows (or columns) of the product side by side, k after k.
//
//   f32    [k][lane]                       as the micro-kernel reads it
//   f16    [k][lane]
//   bf16   [k / 2][lane][k % 2]            pairs, as vdpbf16ps reads them
//   q8     [k / 64] blocks: [16][lane][4]  q + 128, as vpdpbusd reads them, then [lane] scales as bfloat16
// Each is written from and widened to a plain panel of floats [k][lane].
#pragma once
#include "inkling/kernels/fast/dot_product.hpp"  // first

#include <cmath>
#include <cstddef>
#include <cstring>
#include <numeric>

namespace inkling::kernels {

enum class WeightType { f32, f16, bf16, q8 };

// Which side of the matrix product the weight is on: x W^T in a linear layer, W P (P: patches) in a convolution. It
// decides how the panels lie, so a weight packed for one use is refused by the other. Gated: that of a linear layer
// whose outputs are values and, in the second half, their gates (GEGLU); a panel of values is followed by that of their
// gates, so that both are at hand when a tile is written.
enum class WeightUse { linear, convolution, gated };

namespace fast {

// Which units the micro-kernel multiplies for a type of weights.
template <WeightType type, WeightUse use>
struct UnitOf {
  using type_ = float;
};
#ifdef INKLING_BF16_DOT
template <WeightUse use>
struct UnitOf<WeightType::bf16, use> {
  using type_ = Bf16Pair;
};
#endif
#ifdef INKLING_INT8_DOT
template <WeightUse use>
struct UnitOf<WeightType::q8, use> {
  using type_ = Int8Quad<use == WeightUse::convolution>;
};
#endif
template <WeightType type, WeightUse use>
using Unit = typename UnitOf<type, use>::type_;

template <WeightType>
struct StoredPanel;

template <>
struct StoredPanel<WeightType::f32> {
  static constexpr Index granule = 1;
  static Index bytes(Index lanes, Index depth) { return lanes * depth * 4; }
  static void narrow(const float* panel, Index lanes, Index depth, std::byte* out) {
    std::memcpy(out, panel, static_cast<std::size_t>(bytes(lanes, depth)));
  }
  static void widen(const std::byte* from, Index lanes, Index depth, float* panel) {
    std::memcpy(panel, from, static_cast<std::size_t>(bytes(lanes, depth)));
  }
};

template <>
struct StoredPanel<WeightType::f16> {
  static constexpr Index granule = 1;
  static Index bytes(Index lanes, Index depth) { return lanes * depth * 2; }
  static void narrow(const float* panel, Index lanes, Index depth, std::byte* out) {
    detail::narrow(panel, lanes * depth, reinterpret_cast<half*>(out));
  }
  static void widen(const std::byte* from, Index lanes, Index depth, float* panel) {
    detail::widen(reinterpret_cast<const half*>(from), lanes * depth, panel);
  }
};

template <>
struct StoredPanel<WeightType::bf16> {
  static constexpr Index granule = 2;
  static Index bytes(Index lanes, Index depth) { return lanes * ((depth + 1) / 2) * 4; }
  static void narrow(const float* panel, Index lanes, Index depth, std::byte* out) {
    auto* to = reinterpret_cast<std::uint32_t*>(out);
    for (Index k = 0; k < depth; k += 2)
      for (Index j = 0; j < lanes; ++j) {
        const float next = k + 1 < depth ? panel[(k + 1) * lanes + j] : 0;
        *to++ = detail::bfloat16_bits(panel[k * lanes + j]) | std::uint32_t{detail::bfloat16_bits(next)} << 16;
      }
  }
  static void widen(const std::byte* from, Index lanes, Index depth, float* panel) {
    const auto* pairs = reinterpret_cast<const std::uint32_t*>(from);
    for (Index k = 0; k < depth; k += 2, pairs += lanes) {
      for (Index j = 0; j < lanes; ++j) panel[k * lanes + j] = std::bit_cast<float>(pairs[j] << 16);
      if (k + 1 < depth)
        for (Index j = 0; j < lanes; ++j) panel[(k + 1) * lanes + j] = std::bit_cast<float>(pairs[j] & 0xFFFF0000u);
    }
  }
};

template <>
struct StoredPanel<WeightType::q8> {
  static constexpr Index granule = q8_block;
  static Index block_bytes(Index lanes) { return ((q8_block + 2) * lanes + 3) / 4 * 4; }
  static Index bytes(Index lanes, Index depth) { return (depth + q8_block - 1) / q8_block * block_bytes(lanes); }
  // w = q scale with scale = max |w| / 127, rounded up to a bfloat16: so no q is beyond 127, and the rounding of the
  // scale itself costs nothing, for q is found with the rounded one. Infinity and NaN make the whole block NaN.
  static void narrow(const float* panel, Index lanes, Index depth, std::byte* out) {
    auto* to = reinterpret_cast<std::uint8_t*>(out);
    for (Index begin = 0; begin < depth; begin += q8_block, to += block_bytes(lanes))
      for (Index j = 0; j < lanes; ++j) {
        const Index count = std::min(q8_block, depth - begin);
        std::uint32_t largest = 0;
        for (Index k = begin; k < begin + count; ++k)
          largest = std::max(largest, std::bit_cast<std::uint32_t>(panel[k * lanes + j]) & 0x7FFFFFFFu);
        const bool finite = largest < 0x7F800000u;
        const std::uint32_t up =
            finite ? (std::bit_cast<std::uint32_t>(std::bit_cast<float>(largest) / 127) + 0xFFFFu) >> 16 : 0x7FC0u;
        const auto scale = static_cast<std::uint16_t>(up);
        const float value = std::bit_cast<float>(up << 16), inverse = finite && value > 0 ? 1 / value : 0;
        for (Index k = 0; k < q8_block; ++k) {
          const float x = finite && k < count ? panel[(begin + k) * lanes + j] * inverse : 0;
          to[(k / 4 * lanes + j) * 4 + k % 4] =
              static_cast<std::uint8_t>(std::clamp(std::nearbyint(x), -127.0f, 127.0f) + 128);
        }
        std::memcpy(to + q8_block * lanes + 2 * j, &scale, 2);
      }
  }
  static void widen(const std::byte* from, Index lanes, Index depth, float* panel) {
    for (Index begin = 0; begin < depth; begin += q8_block, from += block_bytes(lanes)) {
      const auto* quads = reinterpret_cast<const std::uint32_t*>(from);
      const auto* scale = reinterpret_cast<const std::uint16_t*>(from + q8_block * lanes);
      for (Index k = begin; k < std::min(begin + q8_block, depth); ++k)
        for (Index j = 0; j < lanes; ++j) {
          const std::uint32_t byte = quads[(k - begin) / 4 * lanes + j] >> (k % 4 * 8) & 255u;
          panel[k * lanes + j] = static_cast<float>(static_cast<int>(byte) - 128) *
                                 std::bit_cast<float>(std::uint32_t{scale[j]} << 16);
        }
    }
  }
};

// Winograd's convolution takes the 3 x 3 filters of 16 channels at a time (winograd_filters.hpp). Where no block of k ends
// inside of them it can read them in place.
inline constexpr Index winograd_piece = 16 * 9;

// The layout of a whole weight: blocks of k, in each all panels of `lanes` lanes one after another.
template <WeightType type>
struct StoredLayout {
  using Panel = StoredPanel<type>;
  Index out, depth, lanes;
  KBlocks blocks;
  bool gated;

  StoredLayout(Index out_, Index depth_, WeightUse use)
      : out(out_), depth(depth_),
        lanes(use == WeightUse::convolution ? Tile<float>::rows : Tile<float>::columns),
        blocks(k_blocks(depth_, Tile<float>::depth * Arithmetic<Unit<type, WeightUse::linear>>::numbers,
                        use == WeightUse::convolution && depth_ % winograd_piece == 0
                            ? std::lcm(Panel::granule, winograd_piece)
                            : Panel::granule)),
        gated(use == WeightUse::gated) {}
  Index panels() const { return gated ? 2 * ((out / 2 + lanes - 1) / lanes) : (out + lanes - 1) / lanes; }
  // The rows of the weight that panel p holds: from first_row(p) on, so many.
  Index first_row(Index p) const { return gated ? p % 2 * (out / 2) + p / 2 * lanes : p * lanes; }
  Index rows(Index p) const {
    return std::min(lanes, gated ? out / 2 - p / 2 * lanes : out - p * lanes);
  }
  Index block_depth(Index block) const { return std::min(blocks.step, depth - block * blocks.step); }
  // Where panel p of the block begins that holds step k.
  Index offset(Index k, Index p) const {
    const Index block = blocks.step > 0 ? k / blocks.step : 0;
    return block * panels() * Panel::bytes(lanes, blocks.step) + p * Panel::bytes(lanes, block_depth(block));
  }
  Index bytes() const { return offset((blocks.count - 1) * blocks.step, panels()); }
};

}  // namespace fast
}  // namespace inkling::kernels
