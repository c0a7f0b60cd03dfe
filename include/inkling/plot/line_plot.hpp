// Curves and points: losses over training steps, noise schedules over time, scatter plots.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "inkling/plot/axis.hpp"
#include "inkling/plot/text.hpp"

namespace inkling::plot {

struct Series {
  std::string name = {};
  std::vector<double> x = {}, y = {};  // a y that is not finite (or not positive on a logarithmic axis) leaves a gap
  std::optional<Color> color = {};     // unset: the next of the palette
  double pen = 2;
  bool dots = false;  // the points by themselves, not joined: a scatter plot

  template <class X, class Y>
  void add(X at, Y value) {
    x.push_back(static_cast<double>(at)), y.push_back(static_cast<double>(value));
  }
};
// y over 0, 1, 2, ..
inline Series series(std::string name, std::vector<double> y) {
  Series s;
  s.name = std::move(name);
  s.y = std::move(y);
  for (std::size_t i = 0; i < s.y.size(); ++i) s.x.push_back(static_cast<double>(i));
  return s;
}
// The losses of steps 1, 2, ..: for every `window` steps their mean, at the last of them. What is left over at the end
// is not drawn.
inline Series smoothed(std::string name, std::span<const float> losses, std::size_t window) {
  if (window < 1) throw ConfigError("smoothed", "a window of at least 1 step", "0");
  Series s;
  s.name = std::move(name);
  for (std::size_t end = window; end <= losses.size(); end += window) {
    double sum = 0;
    for (std::size_t i = end - window; i < end; ++i) sum += static_cast<double>(losses[i]);
    s.add(end, sum / static_cast<double>(window));
  }
  return s;
}

// Over v, how many per cent of the values are at most v; x is v / unit.
inline Series cumulative(std::string name, std::vector<double> values, double unit = 1) {
  if (!(unit > 0)) throw ConfigError("cumulative", "a unit above 0", std::to_string(unit));
  Series s;
  s.name = std::move(name);
  std::sort(values.begin(), values.end());
  for (const double v : values)
    s.add(v / unit, 100 * static_cast<double>(s.x.size() + 1) / static_cast<double>(values.size()));
  return s;
}

struct LinePlotOptions {
  std::string title = {}, x_label = {}, y_label = {};
  Index width = 720, height = 420;
  bool log_x = false, log_y = false;
  std::optional<double> x_low = {}, x_high = {}, y_low = {}, y_high = {};  // unset: what the data span
  bool legend = true;
  double text_size = 9;
};

namespace detail {
// Okabe and Ito's palette (2008), which colour-blind people can tell apart, without its yellow, pale on white.
inline constexpr std::array<Color, 7> series_colors{{{0x00, 0x72, 0xb2},
                                                     {0xd5, 0x5e, 0x00},
                                                     {0x00, 0x9e, 0x73},
                                                     {0xcc, 0x79, 0xa7},
                                                     {0x56, 0xb4, 0xe9},
                                                     {0xe6, 0x9f, 0x00},
                                                     {0x33, 0x33, 0x36}}};

struct Axis {
  double low = 0, high = 1;
  bool logarithmic = false;

  bool shows(double v) const { return std::isfinite(v) && (!logarithmic || v > 0); }
  double share(double v) const {
    return logarithmic ? std::log(v / low) / std::log(high / low) : (v - low) / (high - low);
  }
};

template <class Values>
Axis axis_of(const std::vector<Series>& all, const Values& values, bool logarithmic, std::optional<double> low,
             std::optional<double> high, double margin, const char* which) {
  Axis axis{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(), logarithmic};
  for (const Series& s : all)
    for (const double v : values(s))
      if (axis.shows(v)) axis.low = std::min(axis.low, v), axis.high = std::max(axis.high, v);
  if (axis.low > axis.high) axis.low = logarithmic ? 0.1 : 0.0, axis.high = 1.0;
  if (axis.low == axis.high) {  // a constant: room on both sides
    const double room = logarithmic ? 0.0 : axis.low == 0 ? 1.0 : 0.5 * std::abs(axis.low);
    axis.low = logarithmic ? axis.low / 2 : axis.low - room;
    axis.high = logarithmic ? axis.high * 2 : axis.high + room;
  } else if (logarithmic) {
    const double room = std::pow(axis.high / axis.low, margin);
    axis.low /= room, axis.high *= room;
  } else {
    const double room = margin * (axis.high - axis.low);
    axis.low -= room, axis.high += room;
  }
  if (low) axis.low = *low;
  if (high) axis.high = *high;
  if (!std::isfinite(axis.low) || !std::isfinite(axis.high) || !(axis.low < axis.high) ||
      (logarithmic && axis.low <= 0))
    throw ConfigError(std::string("line_plot ") + which,
                      logarithmic ? "a range that rises, above 0" : "a range that rises",
                      std::to_string(axis.low) + " to " + std::to_string(axis.high));
  return axis;
}
}  // namespace detail

inline Image line_plot(const std::vector<Series>& all, const LinePlotOptions& options = {}) {
  using detail::Axis;
  if (options.width < 160 || options.height < 120)
    throw ConfigError("line_plot", "at least 160x120 pixels", to_string(Shape<2>{options.width, options.height}));
  for (const Series& s : all)
    if (s.x.size() != s.y.size())
      throw ShapeError("line_plot " + s.name, "as many x as y",
                       std::to_string(s.x.size()) + " and " + std::to_string(s.y.size()));
  const Axis x = detail::axis_of(
      all, [](const Series& s) -> auto& { return s.x; }, options.log_x, options.x_low, options.x_high, 0, "x");
  const Axis y = detail::axis_of(
      all, [](const Series& s) -> auto& { return s.y; }, options.log_y, options.y_low, options.y_high, 0.05, "y");

  const double size = options.text_size;
  const Index line = static_cast<Index>(line_height(size)), gap = 8;
  const Ticks y_ticks = options.log_y ? log_ticks(y.low, y.high) : linear_ticks(y.low, y.high, options.height / 60);
  const Ticks x_ticks = options.log_x ? log_ticks(x.low, x.high) : linear_ticks(x.low, x.high, options.width / 100);
  double widest = 0;
  for (const auto& label : y_ticks.labels) widest = std::max(widest, text_width(label, size));
  const double last_label = x_ticks.labels.empty() ? 0 : text_width(x_ticks.labels.back(), size);

  const Index left = gap + (options.y_label.empty() ? 0 : line) + static_cast<Index>(widest) + gap;
  const Index right = options.width - 2 * gap - static_cast<Index>(last_label / 2);
  const Index top = options.title.empty() ? 2 * gap : gap + static_cast<Index>(line_height(1.3 * size)) + gap / 2;
  const Index bottom = options.height - gap - line - (options.x_label.empty() ? 0 : line);
  if (right - left < 40 || bottom - top < 40)
    throw ConfigError("line_plot", "room for the curves beside the labels",
                      to_string(Shape<2>{options.width, options.height}), "make the plot larger or the text smaller");
  const double w = static_cast<double>(right - left), h = static_cast<double>(bottom - top);
  const auto at_x = [&](double v) { return static_cast<double>(left) + x.share(v) * w; };
  const auto at_y = [&](double v) { return static_cast<double>(bottom) - y.share(v) * h; };

  Canvas canvas(options.width, options.height);
  for (std::size_t k = 0; k < y_ticks.values.size(); ++k) {
    const double py = at_y(y_ticks.values[k]);
    canvas.fill(left, static_cast<Index>(std::floor(py)), right - left, 1, light_gray);
    draw_text_in(canvas, 0, py + size / 2, left - gap, y_ticks.labels[k], size, dark_gray, Align::right);
  }
  for (std::size_t k = 0; k < x_ticks.values.size(); ++k) {
    const double px = at_x(x_ticks.values[k]);
    canvas.fill(static_cast<Index>(std::floor(px)), top, 1, bottom - top, light_gray);
    draw_text_in(canvas, static_cast<Index>(px) - 100, static_cast<double>(bottom) + 1.7 * size, 200, x_ticks.labels[k],
                 size, dark_gray);
  }
  canvas.frame(left, top, right - left + 1, bottom - top + 1, gray);

  // Curves are cut at the frame: drawn on a canvas of the frame's inside.
  Canvas inside(right - left - 1, bottom - top - 1);
  for (Index i = 0; i < inside.height(); ++i)
    for (Index j = 0; j < inside.width(); ++j)
      inside.fill(j, i, 1, 1, pixel(canvas.image(), left + 1 + j, top + 1 + i));
  const auto color_at = [&](std::size_t k) {
    return all[k].color.value_or(detail::series_colors[k % detail::series_colors.size()]);
  };
  for (std::size_t k = 0; k < all.size(); ++k) {
    std::vector<std::vector<Point>> lines(1);
    const double far = 4.0 * static_cast<double>(options.width + options.height);  // keeps what is drawn near the frame
    for (std::size_t i = 0; i < all[k].x.size(); ++i) {
      if (!x.shows(all[k].x[i]) || !y.shows(all[k].y[i])) {
        if (!lines.back().empty()) lines.emplace_back();
        continue;
      }
      lines.back().push_back({std::clamp(at_x(all[k].x[i]) - static_cast<double>(left) - 1, -far, far),
                              std::clamp(at_y(all[k].y[i]) - static_cast<double>(top) - 1, -far, far)});
      if (all[k].dots) lines.emplace_back();
    }
    inside.stroke(lines, all[k].pen, color_at(k));
  }
  canvas.picture(inside.image(), left + 1, top + 1);

  if (!options.title.empty())
    draw_text_in(canvas, 0, 1.3 * size + gap, options.width, options.title, 1.3 * size, dark_gray);
  if (!options.x_label.empty())
    draw_text_in(canvas, left, static_cast<double>(options.height - gap), right - left, options.x_label, size,
                 dark_gray);
  if (!options.y_label.empty())
    draw_text_up(canvas, gap + static_cast<Index>(size) / 2, (top + bottom) / 2, options.y_label, size, dark_gray);

  Index named = 0;
  double name_width = 0;
  for (const Series& s : all)
    if (!s.name.empty()) ++named, name_width = std::max(name_width, text_width(s.name, size));
  if (options.legend && named > 0) {
    // In the corner that the least of the curves runs through.
    const Index box_width = static_cast<Index>(name_width) + 24 + 3 * gap, box_height = named * line + gap;
    Index best_x = 0, best_y = 0, fewest = std::numeric_limits<Index>::max();
    for (const bool low : {false, true})
      for (const bool far_left : {false, true}) {
        const Index bx = far_left ? left + gap : right - gap - box_width,
                    by = low ? bottom - gap - box_height : top + gap;
        Index covered = 0;
        const auto inside_box = [&](double px, double py) {
          return px > static_cast<double>(bx) && px < static_cast<double>(bx + box_width) &&
                 py > static_cast<double>(by) && py < static_cast<double>(by + box_height);
        };
        for (const Series& s : all)
          for (std::size_t i = 0; i < s.x.size(); ++i) {
            if (!x.shows(s.x[i]) || !y.shows(s.y[i])) continue;
            const double px = at_x(s.x[i]), py = at_y(s.y[i]);
            covered += inside_box(px, py);
            if (s.dots || i == 0 || !x.shows(s.x[i - 1]) || !y.shows(s.y[i - 1])) continue;
            const double dx = at_x(s.x[i - 1]) - px, dy = at_y(s.y[i - 1]) - py;
            const Index pieces = static_cast<Index>(std::min(std::hypot(dx, dy) / 8, 100.0));  // 8 pixels each
            for (Index k = 1; k < pieces; ++k) {
              const double share = static_cast<double>(k) / static_cast<double>(pieces);
              covered += inside_box(px + share * dx, py + share * dy);
            }
          }
        if (covered < fewest) fewest = covered, best_x = bx, best_y = by;
      }
    canvas.fill(best_x, best_y, box_width, box_height, white);
    canvas.frame(best_x, best_y, box_width, box_height, light_gray);
    double row = static_cast<double>(best_y) + 0.5 * gap;
    for (std::size_t k = 0; k < all.size(); ++k) {
      if (all[k].name.empty()) continue;
      const double middle = row + 0.5 * static_cast<double>(line), start = static_cast<double>(best_x + gap);
      if (all[k].dots)
        canvas.line({start + 12, middle}, {start + 12, middle}, std::max(all[k].pen, 6.0), color_at(k));
      else
        canvas.line({start, middle}, {start + 24, middle}, all[k].pen, color_at(k));
      draw_text(canvas, start + 24 + gap, middle + size / 2, all[k].name, size, dark_gray);
      row += static_cast<double>(line);
    }
  }
  return std::move(canvas).image();
}

}  // namespace inkling::plot
