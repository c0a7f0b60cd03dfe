// The roofline (Williams, Waterman & Patterson 2009): how many operations a second a kernel can reach that does `x` of
// them for each byte it must fetch. Left of the edge memory is the limit, right of it arithmetic.
#pragma once
#include "peaks.hpp"  // first

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "inkling/io/image.hpp"
#include "inkling/plot/line_plot.hpp"

namespace inkling_bench {

struct RooflinePoint {
  std::string kind;  // one colour and one line of the legend for each
  double intensity;  // operations a byte of compulsory traffic
  double rate;       // GFLOP/s
};

// A hue for each number type, a shade for each kind of kernel; attention has a hue of its own, a shade for each type.
inline inkling::plot::Color color_of(const std::string& kind) {
  const auto has = [&](const char* part) { return kind.find(part) != std::string::npos; };
  if (has("attention"))
    return has("bfloat16") ? inkling::plot::Color{0x7f, 0xc8, 0x4a} : inkling::plot::Color{0x00, 0x8a, 0x64};
  const bool dark = has("3x3");
  if (has("bfloat16")) return dark ? inkling::plot::Color{0xb8, 0x4a, 0x00} : inkling::plot::Color{0xf2, 0xa8, 0x3a};
  if (has("8 bit")) return dark ? inkling::plot::Color{0x8e, 0x3a, 0x7a} : inkling::plot::Color{0xe2, 0x9c, 0xcc};
  return dark ? inkling::plot::Color{0x00, 0x4b, 0x8d} : inkling::plot::Color{0x5a, 0xb4, 0xea};
}

inline void draw_roofline(const std::string& file, const Peaks& peaks, const std::vector<RooflinePoint>& points,
                          bool core) {
  using namespace inkling::plot;
  constexpr double low = 1, high = 2000;  // operations a byte
  const auto rounded = [](double v) { return std::to_string(static_cast<long>(std::lround(v))); };
  const auto of = [core](const Rate& rate) { return core ? rate.core : rate.all; };
  const double memory = of(peaks.read);
  std::vector<Series> all;
  const auto roof = [&](const char* name, const Rate& rate, Color color) {
    const double flops = of(rate);
    if (flops <= 0) return;
    const double edge = flops / memory;
    Series s;
    s.name = std::string(name) + ": " + rounded(flops) + " GFLOP/s";
    s.x = {low, edge, high};
    s.y = {low * memory, flops, flops};
    s.color = color;
    s.pen = 1.5;
    all.push_back(s);
  };
  roof("8-bit dot products", peaks.i8, {0xbb, 0xbb, 0xc0});
  roof("bfloat16 dot products", peaks.bf16, {0x88, 0x88, 0x8c});
  roof("fp32 multiply-adds", peaks.f32, {0x33, 0x33, 0x36});

  std::vector<std::string> kinds;
  for (const RooflinePoint& p : points)
    if (std::find(kinds.begin(), kinds.end(), p.kind) == kinds.end()) kinds.push_back(p.kind);
  std::sort(kinds.begin(), kinds.end());
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    Series s;
    s.name = kinds[k];
    s.color = color_of(kinds[k]);
    s.pen = 7;
    s.dots = true;
    for (const RooflinePoint& p : points)
      if (p.kind == kinds[k]) s.x.push_back(p.intensity), s.y.push_back(p.rate);
    all.push_back(s);
  }
  LinePlotOptions o;
  const int threads = inkling::num_threads();
  const std::string who = core ? "one core" : std::to_string(threads) + (threads == 1 ? " thread" : " threads");
  o.title = "Roofline, " + who + ", memory " + rounded(memory) + " GB/s";
  o.x_label = "operations for each byte of input, weights and output";
  o.y_label = "GFLOP/s";
  o.width = 960, o.height = 620, o.text_size = 10;
  o.log_x = o.log_y = true;
  o.x_low = low, o.x_high = high;
  o.y_low = 5;
  o.y_high = 2 * std::max({of(peaks.i8), of(peaks.bf16), of(peaks.f32)});
  inkling::write_png(file, line_plot(all, o));
}

}  // namespace inkling_bench
