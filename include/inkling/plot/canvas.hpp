// A picture to draw on: rectangles, antialiased strokes, other pictures.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "inkling/core/error.hpp"
#include "inkling/core/shape.hpp"
#include "inkling/io/image.hpp"

namespace inkling::plot {

struct Color {
  std::uint8_t r = 0, g = 0, b = 0;
  bool operator==(const Color&) const = default;
};
inline constexpr Color white{255, 255, 255}, black{0, 0, 0}, dark_gray{50, 50, 54}, gray{128, 128, 132},
    light_gray{222, 222, 226};

inline Color mix(const Color& from, const Color& to, double share) {
  const auto channel = [&](std::uint8_t p, std::uint8_t q) {
    return static_cast<std::uint8_t>(std::lround(p + share * (static_cast<double>(q) - p)));
  };
  return {channel(from.r, to.r), channel(from.g, to.g), channel(from.b, to.b)};
}

// Pixel centres are at whole numbers plus one half; y points down.
struct Point {
  double x = 0, y = 0;
};

// Throws unless the picture has something to show and as many bytes as it claims.
inline void require_picture(const Image& image, std::string_view where) {
  if (image.channels < 1 || image.channels > 4 || image.width < 1 || image.height < 1)
    throw ShapeError(where, "a picture of 1 to 4 channels",
                     to_string(Shape<3>{image.height, image.width, image.channels}));
  const Index size = checked_size(Shape<3>{image.height, image.width, image.channels}, where);
  if (static_cast<Index>(image.pixels.size()) != size)
    throw ShapeError(where, std::to_string(size) + " bytes", std::to_string(image.pixels.size()));
}

// The colour of a pixel; what is transparent shows white.
inline Color pixel(const Image& image, Index x, Index y) {
  const std::uint8_t* p = image.pixels.data() + (y * image.width + x) * image.channels;
  const Color color = image.channels < 3 ? Color{p[0], p[0], p[0]} : Color{p[0], p[1], p[2]};
  return image.channels % 2 == 1 ? color : mix(white, color, p[image.channels - 1] / 255.0);
}

class Canvas {
 public:
  Canvas(Index width, Index height, const Color& background = white) {
    constexpr Index most = 30000;  // pixels a side: a plot larger than that is a mistake
    if (width < 1 || height < 1 || width > most || height > most)
      throw ShapeError("plot", "1 to 30000 pixels a side", to_string(Shape<2>{width, height}),
                       "draw fewer or smaller pictures at a time");
    image_ = Image(width, height, 3);
    fill(0, 0, width, height, background);
  }

  Index width() const { return image_.width; }
  Index height() const { return image_.height; }
  const Image& image() const& { return image_; }
  Image image() && { return std::move(image_); }

  // Everything below is cut off at the border.
  void fill(Index x, Index y, Index w, Index h, const Color& color) {
    for (Index i = std::max<Index>(y, 0); i < std::min(y + h, height()); ++i)
      for (Index j = std::max<Index>(x, 0); j < std::min(x + w, width()); ++j) set(j, i, color);
  }
  void frame(Index x, Index y, Index w, Index h, const Color& color) {
    fill(x, y, w, 1, color), fill(x, y + h - 1, w, 1, color);
    fill(x, y, 1, h, color), fill(x + w - 1, y, 1, h, color);
  }
  void picture(const Image& image, Index x, Index y) {
    require_picture(image, "plot picture");
    for (Index i = 0; i < image.height; ++i)
      for (Index j = 0; j < image.width; ++j)
        if (x + j >= 0 && x + j < width() && y + i >= 0 && y + i < height()) set(x + j, y + i, pixel(image, j, i));
  }

  // Lines through the points, one after another, with a round pen; all of `lines` are inked at once, so that nothing
  // gets darker where they cross.
  void stroke(const std::vector<std::vector<Point>>& lines, double pen, const Color& color) {
    double left = 1e9, top = 1e9, right = -1e9, bottom = -1e9;
    for (const auto& line : lines)
      for (const Point& p : line) {
        left = std::min(left, p.x), right = std::max(right, p.x);
        top = std::min(top, p.y), bottom = std::max(bottom, p.y);
      }
    const double reach = 0.5 * pen + 1;
    const Index x0 = column(left - reach), x1 = column(right + reach + 1);
    const Index y0 = row(top - reach), y1 = row(bottom + reach + 1);
    if (x0 >= x1 || y0 >= y1) return;
    std::vector<float> coverage(static_cast<std::size_t>((x1 - x0) * (y1 - y0)));
    for (const auto& line : lines)
      for (std::size_t k = 0; k < line.size(); ++k) {
        if (k == 0 && line.size() > 1) continue;
        const Point p = line[k == 0 ? 0 : k - 1], q = line[k];
        const Index a = column(std::min(p.x, q.x) - reach), b = column(std::max(p.x, q.x) + reach + 1);
        const Index c = row(std::min(p.y, q.y) - reach), d = row(std::max(p.y, q.y) + reach + 1);
        for (Index y = c; y < d; ++y)
          for (Index x = a; x < b; ++x) {
            const double away = distance({static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5}, p, q);
            float& value = coverage[static_cast<std::size_t>((y - y0) * (x1 - x0) + x - x0)];
            value = std::max(value, static_cast<float>(std::clamp(0.5 + 0.5 * pen - away, 0.0, 1.0)));
          }
      }
    for (Index y = y0; y < y1; ++y)
      for (Index x = x0; x < x1; ++x) {
        const float share = coverage[static_cast<std::size_t>((y - y0) * (x1 - x0) + x - x0)];
        if (share > 0) set(x, y, mix(pixel(image_, x, y), color, static_cast<double>(share)));
      }
  }
  void line(const Point& from, const Point& to, double pen, const Color& color) { stroke({{from, to}}, pen, color); }

 private:
  static double distance(const Point& x, const Point& p, const Point& q) {
    const double dx = q.x - p.x, dy = q.y - p.y, length2 = dx * dx + dy * dy;
    const double t = length2 > 0 ? std::clamp(((x.x - p.x) * dx + (x.y - p.y) * dy) / length2, 0.0, 1.0) : 0.0;
    return std::hypot(x.x - p.x - t * dx, x.y - p.y - t * dy);
  }
  Index column(double x) const {
    return static_cast<Index>(std::clamp(std::floor(x), 0.0, static_cast<double>(width())));
  }
  Index row(double y) const {
    return static_cast<Index>(std::clamp(std::floor(y), 0.0, static_cast<double>(height())));
  }
  void set(Index x, Index y, const Color& color) {
    std::uint8_t* p = image_.pixels.data() + (y * image_.width + x) * 3;
    p[0] = color.r, p[1] = color.g, p[2] = color.b;
  }

  Image image_;
};

}  // namespace inkling::plot
