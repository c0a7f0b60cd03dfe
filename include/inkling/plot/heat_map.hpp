// Numbers as colours: a matrix with its colour bar, and a map of attention over the picture it belongs to.
#pragma once
#include <cmath>
#include <limits>
#include <optional>
#include <string>

#include "inkling/core/tensor.hpp"
#include "inkling/plot/axis.hpp"
#include "inkling/plot/color_map.hpp"
#include "inkling/plot/text.hpp"

namespace inkling::plot {

struct HeatMapOptions {
  std::string title = {}, x_label = {}, y_label = {};
  ColorMap map = ColorMap::viridis;
  std::optional<double> low = {}, high = {};  // values of the two ends; unset: the least and the greatest
  std::vector<std::string> column_names = {}, row_names = {};  // none, or one for each column, for each row
  std::vector<Image> column_pictures = {};  // none, or one above each column: what the column stands for
  Index scale = 0;  // pixels a value; 0: so that the map is about 300 wide, and the pictures fit
  bool color_bar = true;
  double text_size = 9;
};

namespace detail {
struct Range {
  double low = 0, high = 1;
  double share(double value) const { return (value - low) / (high - low); }
};
// From the least to the greatest finite value. An interval of no length is widened, as nothing can be divided by it.
inline Range range_of(const Tensor<float, 2>& values, std::optional<double> low = {}, std::optional<double> high = {}) {
  Range r{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  for (const float v : values)
    if (std::isfinite(v)) r = {std::min(r.low, static_cast<double>(v)), std::max(r.high, static_cast<double>(v))};
  if (r.low > r.high) r = {0, 1};
  if (low) r.low = *low;
  if (high) r.high = *high;
  if (!std::isfinite(r.low) || !std::isfinite(r.high)) throw ConfigError("heat map", "a finite range", "not a number");
  if (r.high <= r.low) r.high = r.low + std::max(1e-6, std::abs(r.low) * 1e-6);
  return r;
}
}  // namespace detail

// values: [rows, columns], row 0 on top.
inline Image heat_map(const Tensor<float, 2>& values, const HeatMapOptions& options = {}) {
  const Index rows = values.shape(0), columns = values.shape(1);
  if (rows < 1 || columns < 1 || rows > 8192 || columns > 8192)
    throw ShapeError("heat_map", "1 to 8192 rows and columns", to_string(values.shape()));
  if ((!options.column_names.empty() && static_cast<Index>(options.column_names.size()) != columns) ||
      (!options.row_names.empty() && static_cast<Index>(options.row_names.size()) != rows))
    throw ConfigError(
        "heat_map",
        "a name for each of " + std::to_string(columns) + " columns and " + std::to_string(rows) + " rows, or none",
        std::to_string(options.column_names.size()) + " and " + std::to_string(options.row_names.size()));
  if (!options.column_pictures.empty() && static_cast<Index>(options.column_pictures.size()) != columns)
    throw ConfigError("heat_map", "a picture for each of " + std::to_string(columns) + " columns, or none",
                      std::to_string(options.column_pictures.size()));
  Index picture_side = 0;
  for (const Image& image : options.column_pictures) {
    require_picture(image, "heat_map");
    picture_side = std::max({picture_side, image.width, image.height});
  }
  if (options.scale < 0 || options.scale > 1000 || (options.scale > 0 && options.scale < picture_side))
    throw ConfigError("heat_map", "a scale from 0 to 1000, and as wide as the pictures", std::to_string(options.scale));
  const detail::Range range = detail::range_of(values, options.low, options.high);
  const double size = options.text_size;
  const Index line = static_cast<Index>(line_height(size)), gap = 8;
  const Index scale = options.scale > 0 ? options.scale : std::max({Index{1}, 300 / std::max(rows, columns), picture_side + 2});
  const Index width = columns * scale, height = rows * scale;

  const auto widest = [&](const std::vector<std::string>& texts) {
    double w = 0;
    for (const auto& text : texts) w = std::max(w, text_width(text, size));
    return static_cast<Index>(w);
  };
  // Column names go upright where they are wider than a column.
  const bool upright = widest(options.column_names) + 2 > scale;
  const Index names_height = options.column_names.empty() ? 0 : upright ? widest(options.column_names) + gap : line;
  const Index left =
      gap + (options.y_label.empty() ? 0 : line) + (options.row_names.empty() ? 0 : widest(options.row_names) + gap);

  const Ticks ticks = linear_ticks(range.low, range.high, std::max<Index>(2, height / 45));
  const Index bar = options.color_bar ? 2 * gap + 16 + 8 + widest(ticks.labels) + gap : gap;
  const Index title_width = static_cast<Index>(text_width(options.title, 1.2 * size)) + 2 * gap;
  const Index top = gap + (options.title.empty() ? 0 : static_cast<Index>(line_height(1.2 * size))) +
                    (picture_side ? picture_side + gap / 2 : 0);
  const Index bottom = top + std::max(height, options.color_bar ? Index{60} : Index{0}) + names_height +
                       (options.x_label.empty() ? 0 : line) + gap;
  Canvas canvas(std::max(left + width + bar, title_width), bottom);

  if (!options.title.empty())
    draw_text_in(canvas, 0, 1.2 * size + gap, canvas.width(), options.title, 1.2 * size, dark_gray);
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < columns; ++j)
      canvas.fill(left + j * scale, top + i * scale, scale, scale,
                  color_of(range.share(static_cast<double>(values(i, j))), options.map));
  for (std::size_t j = 0; j < options.column_pictures.size(); ++j) {
    const Image& image = options.column_pictures[j];
    canvas.picture(image, left + static_cast<Index>(j) * scale + (scale - image.width) / 2,
                   top - gap / 2 - image.height);
  }
  for (std::size_t i = 0; i < options.row_names.size(); ++i)
    draw_text_in(canvas, 0,
                 static_cast<double>(top) + (static_cast<double>(i) + 0.5) * static_cast<double>(scale) + size / 2,
                 left - gap, options.row_names[i], size, dark_gray, Align::right);
  for (std::size_t j = 0; j < options.column_names.size(); ++j) {
    const Index x = left + static_cast<Index>(j) * scale;
    if (upright)
      draw_text_up(canvas, x + scale / 2, top + height + gap / 2, options.column_names[j], size, dark_gray,
                   Align::right);
    else
      draw_text_in(canvas, x, static_cast<double>(top + height) + 1.5 * size, scale, options.column_names[j], size,
                   dark_gray);
  }
  if (!options.x_label.empty())
    draw_text_in(canvas, left, static_cast<double>(top + height + names_height) + 1.5 * size, width, options.x_label,
                 size, dark_gray);
  if (!options.y_label.empty())
    draw_text_up(canvas, gap + static_cast<Index>(size) / 2, top + height / 2, options.y_label, size, dark_gray,
                 Align::center);

  if (options.color_bar) {
    const Index x = left + width + 2 * gap, tall = std::max<Index>(height, 60);
    for (Index k = 0; k < tall; ++k)
      canvas.fill(x, top + k, 16, 1,
                  color_of(1 - (static_cast<double>(k) + 0.5) / static_cast<double>(tall), options.map));
    for (std::size_t k = 0; k < ticks.values.size(); ++k) {
      const double y = static_cast<double>(top) + (1 - range.share(ticks.values[k])) * static_cast<double>(tall);
      canvas.fill(x + 16, static_cast<Index>(std::lround(y - 0.5)), 4, 1, dark_gray);
      draw_text(canvas, static_cast<double>(x + 24),
                std::clamp(y + size / 2, static_cast<double>(top) + size, static_cast<double>(top + tall)),
                ticks.labels[k], size, dark_gray);
    }
  }
  return std::move(canvas).image();
}

struct OverlayOptions {
  ColorMap map = ColorMap::magma;
  double strength = 0.7;                      // 0: the picture alone, 1: the map alone
  std::optional<double> low = {}, high = {};  // as in HeatMapOptions
};

// The map, blown up to the size of the picture (bilinear, as attention is on a coarser grid), over the picture in
// gray: the lit parts are what a word looked at.
inline Image heat_overlay(const Image& image, const Tensor<float, 2>& map, const OverlayOptions& options = {}) {
  require_picture(image, "heat_overlay");
  const Index rows = map.shape(0), columns = map.shape(1);
  if (rows < 1 || columns < 1) throw ShapeError("heat_overlay", "a map of at least 1x1", to_string(map.shape()));
  if (!(options.strength >= 0 && options.strength <= 1))
    throw ConfigError("heat_overlay", "a strength from 0 to 1", std::to_string(options.strength));
  const detail::Range range = detail::range_of(map, options.low, options.high);
  Image out(image.width, image.height, 3);
  for (Index y = 0; y < image.height; ++y)
    for (Index x = 0; x < image.width; ++x) {
      const auto source = [](Index k, Index size, Index cells) {
        const double at = (static_cast<double>(k) + 0.5) * static_cast<double>(cells) / static_cast<double>(size) - 0.5;
        return std::clamp(at, 0.0, static_cast<double>(cells - 1));
      };
      const double v = source(y, image.height, rows), u = source(x, image.width, columns);
      const Index i = static_cast<Index>(v), j = static_cast<Index>(u);
      const Index below = std::min(i + 1, rows - 1), right = std::min(j + 1, columns - 1);
      const double a = v - static_cast<double>(i), b = u - static_cast<double>(j);
      const auto value = [&](Index p, Index q) { return static_cast<double>(map(p, q)); };
      const double here = (1 - a) * ((1 - b) * value(i, j) + b * value(i, right)) +
                          a * ((1 - b) * value(below, j) + b * value(below, right));
      const Color c = pixel(image, x, y);
      const double luma = 0.299 * c.r + 0.587 * c.g + 0.114 * c.b;  // ITU-R BT.601
      const auto level = static_cast<std::uint8_t>(std::lround(luma));
      const Color plain = mix(c, {level, level, level}, options.strength);  // the stronger the map, the grayer
      const Color lit = mix(plain, color_of(range.share(here), options.map), options.strength);
      out(x, y, 0) = lit.r, out(x, y, 1) = lit.g, out(x, y, 2) = lit.b;
    }
  return out;
}

}  // namespace inkling::plot
