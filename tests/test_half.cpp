// 16-bit types: every bit pattern, against the definition of the formats in integer and double arithmetic.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "inkling/core/half.hpp"

namespace {

using namespace inkling;

// value = (-1)^sign * 2^(exponent - bias) * 1.fraction, subnormal when the exponent field is zero (IEEE 754-2019, 3.4).
double decode(std::uint16_t bits, int fraction_bits) {
  const int exponent_bits = 15 - fraction_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return fraction ? std::nan("") : sign * INFINITY;
  const int significand = exponent ? fraction + (1 << fraction_bits) : fraction;
  return sign * std::ldexp(significand, std::max(exponent, 1) - bias - fraction_bits);
}

template <class H>
std::uint16_t bits_of(H h) {
  return std::bit_cast<std::uint16_t>(h);
}

void narrow_all(std::span<const float> in, std::span<half> out) { to_half(in, out); }
void narrow_all(std::span<const float> in, std::span<bfloat16> out) { to_bfloat16(in, out); }

template <class H>
std::vector<H> narrowed(const std::vector<float>& values) {
  std::vector<H> out(values.size());
  narrow_all(std::span<const float>(values), std::span<H>(out));
  return out;
}

template <class H>
void check_all_patterns(int fraction_bits) {
  std::vector<H> all(65536);
  for (unsigned i = 0; i < 65536; ++i) all[i] = std::bit_cast<H>(static_cast<std::uint16_t>(i));
  std::vector<float> wide(65536);
  to_float(std::span<const H>(all), std::span<float>(wide));
  const std::vector<H> back = narrowed<H>(wide);
  int wrong = 0;
  for (unsigned i = 0; i < 65536; ++i) {
    const double expected = decode(static_cast<std::uint16_t>(i), fraction_bits);
    const bool same = std::isnan(expected)
                          ? std::isnan(wide[i]) && std::isnan(static_cast<float>(back[i]))
                          : wide[i] == static_cast<float>(expected) && std::signbit(wide[i]) == (i >= 32768) &&
                                bits_of(back[i]) == i;
    // One by one, without the processor's instructions for many.
    const float one = static_cast<float>(all[i]);
    const bool same_one = std::isnan(expected) ? std::isnan(one) && std::isnan(static_cast<float>(H(one)))
                                               : bits_of(H(one)) == i && one == wide[i];
    if (!(same && same_one) && wrong++ < 5) MESSAGE("pattern " << i << ": expected " << expected << ", got " << wide[i]);
  }
  CHECK(wrong == 0);
}

// Every finite neighbouring pair: just below, at and just above the middle. The tie goes to the even pattern.
template <class H>
void check_rounding(int fraction_bits, unsigned infinity) {
  std::vector<float> values;
  std::vector<std::uint16_t> expected;
  for (unsigned sign : {0u, 0x8000u})
    for (unsigned i = 0; i + 1 < infinity; ++i) {
      const unsigned low = i | sign, high = (i + 1) | sign;
      const float middle = static_cast<float>((decode(static_cast<std::uint16_t>(low), fraction_bits) +
                                               decode(static_cast<std::uint16_t>(high), fraction_bits)) /
                                              2);  // one more bit than the pair has, so exact in float
      values.insert(values.end(), {std::nextafter(middle, 0.0F), middle, std::nextafter(middle, 2 * middle)});
      for (unsigned e : {low, i % 2 ? high : low, high}) expected.push_back(static_cast<std::uint16_t>(e));
    }
  const std::vector<H> got = narrowed<H>(values);
  int wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    if ((bits_of(got[i]) != expected[i] || bits_of(H(values[i])) != expected[i]) && wrong++ < 5)
      MESSAGE("value " << values[i] << ": expected pattern " << expected[i] << ", got " << bits_of(got[i]) << " and "
                       << bits_of(H(values[i])));
  CHECK(wrong == 0);
}

TEST_CASE("half: all 65,536 patterns widen exactly and come back") { check_all_patterns<half>(10); }
TEST_CASE("bfloat16: all 65,536 patterns widen exactly and come back") { check_all_patterns<bfloat16>(7); }
TEST_CASE("half: rounding to nearest even around every pair of neighbours") { check_rounding<half>(10, 0x7C00); }
TEST_CASE("bfloat16: rounding to nearest even around every pair") { check_rounding<bfloat16>(7, 0x7F80); }

TEST_CASE("bfloat16: rounding a float in place gives the value of the rounded bits, NaN included") {
  int wrong = 0;
  for (std::uint32_t high = 0; high < 65536; ++high)
    for (std::uint32_t low : {0u, 1u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu}) {
      const float x = std::bit_cast<float>(high << 16 | low);
      const std::uint32_t got = std::bit_cast<std::uint32_t>(inkling::detail::rounded_to_bfloat16(x));
      if (got != std::uint32_t{inkling::detail::bfloat16_bits(x)} << 16 && wrong++ < 5)
        MESSAGE("bits " << (high << 16 | low) << ": got " << got);
    }
  CHECK(wrong == 0);
}

TEST_CASE("half and bfloat16: overflow, infinities and NaN") {
  const float largest = std::numeric_limits<float>::max();
  // 65520 is the middle between 65504, the largest half, and 65536, where the next would be.
  const std::vector<float> values = {65519.996F, 65520.0F, -65520.0F, largest, INFINITY, -INFINITY, NAN, -NAN, 1, 1};
  const std::vector<half> h = narrowed<half>(values);
  const std::vector<bfloat16> b = narrowed<bfloat16>(values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    CHECK(bits_of(half(values[i])) == bits_of(h[i]));
    CHECK(bits_of(bfloat16(values[i])) == bits_of(b[i]));
  }
  CHECK(bits_of(h[0]) == 0x7BFF);
  CHECK(bits_of(h[1]) == 0x7C00);
  CHECK(bits_of(h[2]) == 0xFC00);
  CHECK(bits_of(h[3]) == 0x7C00);
  CHECK(bits_of(h[5]) == 0xFC00);
  CHECK(bits_of(b[3]) == 0x7F80);
  CHECK(bits_of(b[4]) == 0x7F80);
  for (std::size_t i : {6u, 7u}) CHECK(std::isnan(static_cast<float>(h[i])));
  for (std::size_t i : {6u, 7u}) CHECK(std::isnan(static_cast<float>(b[i])));
  // A NaN whose payload lies in the low bits only must not become infinity.
  const std::vector<float> low_nan(9, std::bit_cast<float>(0x7F800001u));
  for (bfloat16 v : narrowed<bfloat16>(low_nan)) CHECK(std::isnan(static_cast<float>(v)));
}

TEST_CASE("half and bfloat16: any length, at any alignment, writes exactly its elements") {
  for (std::size_t n : {0u, 1u, 7u, 8u, 9u, 31u, 16384u, 16385u, 100003u})
    for (std::size_t offset : {0u, 1u}) {
      std::vector<float> in(n + offset + 1), wide(n + offset + 1, -1.0F);
      for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i % 255);
      std::vector<bfloat16> b(in.size(), bfloat16(-1.0F));
      std::vector<half> h(in.size(), half(-1.0F));
      to_bfloat16(std::span<const float>(in).subspan(offset, n), std::span<bfloat16>(b).subspan(offset, n));
      to_half(std::span<const float>(in).subspan(offset, n), std::span<half>(h).subspan(offset, n));
      to_float(std::span<const half>(h).subspan(offset, n), std::span<float>(wide).subspan(offset, n));
      bool same = true;
      for (std::size_t i = 0; i < n; ++i)
        same = same && static_cast<float>(b[offset + i]) == in[offset + i] && wide[offset + i] == in[offset + i];
      CHECK(same);
      CHECK(static_cast<float>(b.back()) == -1.0F);
      CHECK(static_cast<float>(h.back()) == -1.0F);
      CHECK(wide.back() == -1.0F);
    }
}

TEST_CASE("half: lengths that differ are refused") {
  std::vector<half> h(3);
  std::vector<float> f(4);
  CHECK_THROWS_AS(to_float(std::span<const half>(h), std::span<float>(f)), ShapeError);
}

}  // namespace
