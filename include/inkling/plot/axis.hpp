// Where to put ticks on an axis, and how to write their numbers.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "inkling/core/shape.hpp"

namespace inkling::plot {

struct Ticks {
  std::vector<double> values;
  std::vector<std::string> labels;
};

namespace detail {
inline std::string number(double value, int decimals) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value == 0 ? 0.0 : value);
  return text.data();
}
// 2000000 -> 2e6, 1.5e-05 -> 1.5e-5
inline std::string scientific(double value, int decimals) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*e", decimals, value);
  std::string s = text.data();
  const std::size_t e = s.find('e');
  if (e == std::string::npos) return s;
  return s.substr(0, e) + "e" + std::to_string(std::stoi(s.substr(e + 1)));
}
}  // namespace detail

// About `count` round numbers (1, 2 or 5 times a power of ten apart) from low to high.
inline Ticks linear_ticks(double low, double high, Index count) {
  Ticks ticks;
  if (!(high > low)) return ticks;
  const double rough = (high - low) / static_cast<double>(std::max<Index>(count, 1));
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.0, 1.0})
    if (factor * power >= rough * 0.999) step = factor * power;
  const double largest = std::max(std::abs(low), std::abs(high));
  const bool exponents = largest >= 1e6 || largest < 1e-3;
  const int digit = static_cast<int>(std::floor(std::log10(step) + 1e-9));  // the last digit that differs
  const int top = static_cast<int>(std::floor(std::log10(largest) + 1e-9));
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + 1e-9 * step && ticks.values.size() < 100; ++k) {
    const double value = k * step;
    ticks.values.push_back(value);
    ticks.labels.push_back(exponents && k != 0 ? detail::scientific(value, std::clamp(top - digit, 0, 9))
                                               : detail::number(value, std::clamp(-digit, 0, 12)));
  }
  return ticks;
}

// Powers of ten, with 2 and 5 times them where there are few. low and high are positive.
inline Ticks log_ticks(double low, double high) {
  Ticks ticks;
  if (!(low > 0 && high > low)) return ticks;
  const double decades = std::log10(high / low);
  const int every = std::max(1, static_cast<int>(std::ceil(decades / 8)));
  const int first = static_cast<int>(std::floor(std::log10(low)));
  for (int e = first; std::pow(10.0, e) <= high * (1 + 1e-9); ++e) {
    if ((e - first) % every != 0 && decades > 8) continue;
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor != 1.0 && decades > 2.5) continue;
      const double value = factor * std::pow(10.0, e);
      if (value < low * (1 - 1e-9) || value > high * (1 + 1e-9)) continue;
      ticks.values.push_back(value);
      ticks.labels.push_back(e >= -3 && e < 6 ? detail::number(value, std::max(0, -e)) : detail::scientific(value, 0));
    }
  }
  return ticks;
}

}  // namespace inkling::plot
