// Colour maps that rise evenly in brightness, so that equal steps of the value look equal, also in gray.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>

#include "inkling/plot/canvas.hpp"

namespace inkling::plot {

// viridis and magma: Stefan van der Walt and Nathaniel Smith, 2015 (public domain); nine support points of each.
enum class ColorMap { viridis, magma, grays };

// value in [0, 1]; what lies outside is clipped, and not-a-number is gray.
inline Color color_of(double value, ColorMap map) {
  constexpr std::array<Color, 9> viridis{{{0x44, 0x01, 0x54},
                                          {0x47, 0x2d, 0x7b},
                                          {0x3b, 0x52, 0x8b},
                                          {0x2c, 0x72, 0x8e},
                                          {0x21, 0x90, 0x8c},
                                          {0x27, 0xad, 0x81},
                                          {0x5d, 0xc8, 0x63},
                                          {0xaa, 0xdc, 0x32},
                                          {0xfd, 0xe7, 0x25}}};
  constexpr std::array<Color, 9> magma{{{0x00, 0x00, 0x04},
                                        {0x1d, 0x11, 0x47},
                                        {0x51, 0x12, 0x7c},
                                        {0x82, 0x26, 0x81},
                                        {0xb6, 0x36, 0x79},
                                        {0xe6, 0x51, 0x64},
                                        {0xfb, 0x88, 0x61},
                                        {0xfe, 0xc2, 0x87},
                                        {0xfc, 0xfd, 0xbf}}};
  if (std::isnan(value)) return gray;
  value = std::clamp(value, 0.0, 1.0);
  if (map == ColorMap::grays) return mix(black, white, value);
  const auto& points = map == ColorMap::viridis ? viridis : magma;
  const double at = value * 8;
  const std::size_t k = std::min<std::size_t>(static_cast<std::size_t>(at), 7);
  return mix(points[k], points[k + 1], at - static_cast<double>(k));
}

}  // namespace inkling::plot
