// The number types of weight files, and how they become the numbers of a tensor.
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "inkling/core/half.hpp"

static_assert(std::endian::native == std::endian::little, "weight files are little-endian, and are copied as they are");

namespace inkling {

enum class DType { f64, f32, f16, bf16, i64, i32, u8, boolean };

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // as safetensors spells it
  Index bytes;
  bool floating;
};
inline constexpr DTypeInfo dtype_table[] = {
    {DType::f64, "F64", 8, true},   {DType::f32, "F32", 4, true},       {DType::f16, "F16", 2, true},
    {DType::bf16, "BF16", 2, true}, {DType::i64, "I64", 8, false},      {DType::i32, "I32", 4, false},
    {DType::u8, "U8", 1, false},    {DType::boolean, "BOOL", 1, false},
};
inline const DTypeInfo& info(DType dtype) { return dtype_table[static_cast<std::size_t>(dtype)]; }
inline std::string to_string(DType dtype) { return std::string(info(dtype).name); }
// nullptr when there is no such type here.
inline const DTypeInfo* find_dtype(std::string_view name) {
  for (const DTypeInfo& d : dtype_table)
    if (d.name == name) return &d;
  return nullptr;
}

// The type of a C++ number.
template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, double>)
    return DType::f64;
  else if constexpr (std::is_same_v<T, float>)
    return DType::f32;
  else if constexpr (std::is_same_v<T, half>)
    return DType::f16;
  else if constexpr (std::is_same_v<T, bfloat16>)
    return DType::bf16;
  else if constexpr (std::is_same_v<T, std::int64_t>)
    return DType::i64;
  else if constexpr (std::is_same_v<T, std::int32_t>)
    return DType::i32;
  else if constexpr (std::is_same_v<T, bool>)
    return DType::boolean;
  else {
    static_assert(std::is_same_v<T, std::uint8_t>, "a type that weight files can hold");
    return DType::u8;
  }
}

namespace detail {
template <class From, class To>
To convert_number(From v) {
  constexpr bool from_small = std::is_same_v<From, half> || std::is_same_v<From, bfloat16>;
  if constexpr (std::is_same_v<From, To>)
    return v;
  else if constexpr (from_small)
    return convert_number<float, To>(static_cast<float>(v));  // exact
  else
    return static_cast<To>(v);
}
// Elements from bytes that need not lie at a multiple of their size.
template <class From, class To>
void convert_elements(const std::byte* source, To* out, std::size_t n) {
  constexpr bool from_small = std::is_same_v<From, half> || std::is_same_v<From, bfloat16>;
  if constexpr (std::is_same_v<From, To>) {
    if (n) std::memcpy(out, source, n * sizeof(To));
  } else if constexpr (from_small && std::is_same_v<To, float>) {
    From block[1024];
    for (std::size_t i = 0; i < n; i += std::size(block)) {
      const std::size_t m = std::min(std::size(block), n - i);
      std::memcpy(block, source + i * sizeof(From), m * sizeof(From));
      widen(block, static_cast<Index>(m), out + i);
    }
  } else {
    for (std::size_t i = 0; i < n; ++i) {
      From v;
      std::memcpy(&v, source + i * sizeof(From), sizeof(From));
      out[i] = convert_number<From, To>(v);
    }
  }
}
}  // namespace detail

// n elements of type `dtype` at `source`, as T, rounded to nearest where T is narrower.
template <class T>
void convert_from(DType dtype, const std::byte* source, std::span<T> out) {
  const std::size_t n = out.size();
  switch (dtype) {
    case DType::f64:
      return detail::convert_elements<double>(source, out.data(), n);
    case DType::f32:
      return detail::convert_elements<float>(source, out.data(), n);
    case DType::f16:
      return detail::convert_elements<half>(source, out.data(), n);
    case DType::bf16:
      return detail::convert_elements<bfloat16>(source, out.data(), n);
    case DType::i64:
      return detail::convert_elements<std::int64_t>(source, out.data(), n);
    case DType::i32:
      return detail::convert_elements<std::int32_t>(source, out.data(), n);
    case DType::u8:
    case DType::boolean:
      return detail::convert_elements<std::uint8_t>(source, out.data(), n);
  }
}

}  // namespace inkling
