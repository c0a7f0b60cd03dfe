// What the panels of winograd.hpp are made of, for each type to multiply in: floats as they are; bfloat16 in pairs,
// neighbours along the sum, as vdpbf16ps wants them; or, where the processor multiplies no pairs, numbers rounded alike
// and kept as float.
#pragma once
#include "inkling/kernels/fast/dot_product.hpp"  // first

#include "inkling/kernels/compute_type.hpp"
#include "inkling/kernels/fast/vector.hpp"

namespace inkling::kernels::fast::winograd {

namespace detail {
template <ComputeType>
struct Units {
  using type = float;
};
#ifdef INKLING_BF16_DOT
template <>
struct Units<ComputeType::bf16> {
  using type = Bf16Pair;
};
#endif
}  // namespace detail
template <ComputeType type>
using PanelUnit = typename detail::Units<type>::type;

// So many numbers along the sum share a unit.
template <ComputeType type>
inline constexpr Index numbers_of = Arithmetic<PanelUnit<type>>::numbers;
template <ComputeType type>
constexpr Index units_for(Index numbers) {
  return (numbers + numbers_of<type> - 1) / numbers_of<type>;
}

// Units of a vector of numbers and, where two share a unit, of those before them in the sum.
template <ComputeType type>
INKLING_INLINE Vec<float> unit_of([[maybe_unused]] const Vec<float>& before, const Vec<float>& x) {
  if constexpr (type == ComputeType::bf16) {
#ifdef INKLING_BF16_DOT
    alignas(64) Bf16Pair pairs[16];
    store_pairs(before, x, pairs);
    return load(reinterpret_cast<const float*>(pairs));
#else
    alignas(64) std::array<float, static_cast<std::size_t>(width<float>)> lane;
    store(lane.data(), x);
    for (float& e : lane) e = inkling::detail::rounded_to_bfloat16(e);
    return load(lane.data());
#endif
  } else {
    return x;
  }
}

}  // namespace inkling::kernels::fast::winograd
