// Points with their names beside them: a map of words.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "inkling/core/tensor.hpp"
#include "inkling/plot/line_plot.hpp"

namespace inkling::plot {

struct NamedPoints {
  std::string name = {};  // of the group, for the line of groups on top
  std::vector<double> x = {}, y = {};
  std::vector<std::string> labels = {};
  std::optional<Color> color = {};  // unset: the next of the palette
};
// Words that belong together, and points[N, 2] for them, those of the first group first; there may be more points.
struct WordGroup {
  std::string name;
  std::vector<std::string> words;
};
inline std::vector<NamedPoints> named_points(const Tensor<float, 2>& points, std::span<const WordGroup> groups) {
  std::vector<NamedPoints> all;
  Index n = 0;
  for (const WordGroup& group : groups) {
    NamedPoints& p = all.emplace_back(NamedPoints{group.name, {}, {}, group.words, {}});
    if (points.shape(1) != 2 || n + static_cast<Index>(group.words.size()) > points.shape(0))
      throw ShapeError("named_points", "two numbers for each word", to_string(points.shape()));
    for (std::size_t i = 0; i < group.words.size(); ++i, ++n)
      p.x.push_back(static_cast<double>(points(n, 0))), p.y.push_back(static_cast<double>(points(n, 1)));
  }
  return all;
}
// A line from one point to another, as from a country to its capital.
struct Connection {
  double x0, y0, x1, y1;
};

struct WordMapOptions {
  std::string title = {}, x_label = {}, y_label = {};
  Index width = 900, height = 760;
  double text_size = 8, dot = 6;
  std::vector<Connection> connections = {};
};

namespace detail {
struct Box {
  double x = 0, y = 0, w = 0, h = 0;
  double overlap(const Box& b) const {
    return std::max(0.0, std::min(x + w, b.x + b.w) - std::max(x, b.x)) *
           std::max(0.0, std::min(y + h, b.y + b.h) - std::max(y, b.y));
  }
};

// A place near its point for each label, away from the others and from the dots, found by letting one after the other
// choose, three times over.
inline std::vector<Box> place_labels(const std::vector<Point>& points, const std::vector<Box>& sizes, const Box& frame,
                                     double dot) {
  std::vector<Box> placed(points.size(), Box{-1e6, -1e6, 0, 0});
  for (int pass = 0; pass < 3; ++pass)
    for (std::size_t i = 0; i < points.size(); ++i) {
      double least = std::numeric_limits<double>::infinity();
      Box best;
      for (const double reach : {1.0, 8.0, 16.0, 26.0, 38.0, 52.0})
        for (int direction = 0; direction < 16; ++direction) {
          const double angle = 6.283185307179586 * direction / 16, c = std::cos(angle), s = std::sin(angle);
          const double away = 0.5 * dot + reach;
          // The side of the box that faces the point is `away` from it.
          Box box = sizes[i];
          box.x = points[i].x + c * away + (c - 1) * 0.5 * box.w;
          box.y = points[i].y + s * away + (s - 1) * 0.5 * box.h;
          double cost = reach + (direction == 0 ? 0 : 0.5);
          const double inside = box.overlap(frame), area = box.w * box.h;
          cost += 100 * (area - inside);
          for (std::size_t j = 0; j < points.size(); ++j) {
            if (j != i) cost += 3 * box.overlap(placed[j]);
            cost += 2 * box.overlap({points[j].x - 0.5 * dot, points[j].y - 0.5 * dot, dot, dot});
          }
          if (cost < least) least = cost, best = box;
        }
      placed[i] = best;
    }
  return placed;
}
}  // namespace detail

inline Image word_map(const std::vector<NamedPoints>& groups, const WordMapOptions& options = {}) {
  if (options.width < 200 || options.height < 200)
    throw ConfigError("word_map", "at least 200x200 pixels", to_string(Shape<2>{options.width, options.height}));
  double x_low = std::numeric_limits<double>::infinity(), x_high = -x_low, y_low = x_low, y_high = -x_low;
  for (const NamedPoints& g : groups) {
    if (g.x.size() != g.y.size() || g.x.size() != g.labels.size())
      throw ShapeError(
          "word_map " + g.name, "as many x as y and labels",
          std::to_string(g.x.size()) + ", " + std::to_string(g.y.size()) + " and " + std::to_string(g.labels.size()));
    for (std::size_t i = 0; i < g.x.size(); ++i) {
      if (!std::isfinite(g.x[i]) || !std::isfinite(g.y[i]))
        throw ConfigError("word_map " + g.labels[i], "a finite place", "another");
      x_low = std::min(x_low, g.x[i]), x_high = std::max(x_high, g.x[i]);
      y_low = std::min(y_low, g.y[i]), y_high = std::max(y_high, g.y[i]);
    }
  }
  if (x_low > x_high) x_low = y_low = 0, x_high = y_high = 1;
  if (x_low == x_high) x_low -= 1, x_high += 1;
  if (y_low == y_high) y_low -= 1, y_high += 1;

  const double size = options.text_size, legend_size = size + 1;
  const Index gap = 8, line = static_cast<Index>(line_height(legend_size));
  const auto color_of = [&](std::size_t k) {
    return groups[k].color.value_or(detail::series_colors[k % detail::series_colors.size()]);
  };
  Canvas canvas(options.width, options.height);
  double baseline = gap;
  if (!options.title.empty()) {
    baseline += 1.3 * size;
    draw_text_in(canvas, 0, baseline, options.width, options.title, 1.3 * size, dark_gray);
    baseline += 0.6 * size;
  }
  // The groups' names, as many on a line as fit.
  double x = gap;
  baseline += 1.5 * legend_size;
  bool named = false;
  for (std::size_t k = 0; k < groups.size(); ++k) {
    if (groups[k].name.empty()) continue;
    const double wide = text_width(groups[k].name, legend_size) + 30;
    if (named && x + wide > static_cast<double>(options.width - gap)) x = gap, baseline += static_cast<double>(line);
    canvas.line({x + 6, baseline - legend_size / 2}, {x + 6, baseline - legend_size / 2}, 9, color_of(k));
    draw_text(canvas, x + 15, baseline, groups[k].name, legend_size, dark_gray);
    x += wide, named = true;
  }
  const Index top = static_cast<Index>(named ? baseline + 0.8 * legend_size : baseline - 1.2 * legend_size);
  const Index left = gap + (options.y_label.empty() ? 0 : line), right = options.width - gap;
  const Index bottom = options.height - gap - (options.x_label.empty() ? 0 : line);
  if (bottom - top < 100) throw ConfigError("word_map", "room for the map", "less", "make it higher");
  canvas.frame(left, top, right - left, bottom - top, gray);
  if (!options.x_label.empty())
    draw_text_in(canvas, left, static_cast<double>(options.height - gap), right - left, options.x_label, legend_size,
                 dark_gray);
  if (!options.y_label.empty())
    draw_text_up(canvas, gap + static_cast<Index>(legend_size) / 2, (top + bottom) / 2, options.y_label, legend_size,
                 dark_gray);

  // Points keep a distance from the frame, so that their names have room.
  const double margin_x = 34, margin_y = 22;
  const auto at = [&](double px, double py) {
    const double w = static_cast<double>(right - left) - 2 * margin_x,
                 h = static_cast<double>(bottom - top) - 2 * margin_y;
    return Point{static_cast<double>(left) + margin_x + (px - x_low) / (x_high - x_low) * w,
                 static_cast<double>(bottom) - margin_y - (py - y_low) / (y_high - y_low) * h};
  };
  std::vector<Point> points;
  std::vector<detail::Box> sizes;
  std::vector<std::size_t> group_of;
  for (std::size_t k = 0; k < groups.size(); ++k)
    for (std::size_t i = 0; i < groups[k].x.size(); ++i) {
      points.push_back(at(groups[k].x[i], groups[k].y[i]));
      sizes.push_back({0, 0, text_width(groups[k].labels[i], size) + 2, 1.6 * size});
      group_of.push_back(k);
    }
  const detail::Box frame{static_cast<double>(left + 2), static_cast<double>(top + 2),
                          static_cast<double>(right - left - 4), static_cast<double>(bottom - top - 4)};
  const std::vector<detail::Box> boxes = detail::place_labels(points, sizes, frame, options.dot);
  for (const Connection& c : options.connections) canvas.line(at(c.x0, c.y0), at(c.x1, c.y1), 1, light_gray);
  for (std::size_t i = 0; i < points.size(); ++i) {  // a thin line where a label had to move away
    const Point to{std::clamp(points[i].x, boxes[i].x, boxes[i].x + boxes[i].w),
                   std::clamp(points[i].y, boxes[i].y, boxes[i].y + boxes[i].h)};
    if (std::hypot(to.x - points[i].x, to.y - points[i].y) > 0.5 * options.dot + 6)
      canvas.line(points[i], to, 1, mix(color_of(group_of[i]), white, 0.6));
  }
  for (std::size_t i = 0; i < points.size(); ++i) canvas.line(points[i], points[i], options.dot, color_of(group_of[i]));
  std::size_t i = 0;
  for (const NamedPoints& g : groups)
    for (const std::string& label : g.labels) {
      // The group's colour, darker, so that thin strokes are read
      draw_text(canvas, boxes[i].x + 1, boxes[i].y + 1.25 * size, label, size,
                mix(color_of(group_of[i]), Color{0, 0, 0}, 0.35));
      ++i;
    }
  return std::move(canvas).image();
}

}  // namespace inkling::plot
