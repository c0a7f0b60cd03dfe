// Text, written with a pen: each character is a few strokes on a small grid, so that a header needs no font file and
// any size is smooth. Corners of the strokes are moved to whole pixels, which keeps small text crisp.
#pragma once
#include <array>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "inkling/plot/canvas.hpp"

namespace inkling::plot {

namespace detail {

// A point is a digit for x and a letter for y: capitals stand from a down to m (the baseline), small letters from e to
// m, descenders reach q. Strokes are separated by spaces; "~" before one makes it a smooth curve that bends towards
// its points, "o" closes that curve, "." is a dot.
inline std::string_view glyph(char c) {
  constexpr std::string_view other = "0a7a7m0m0a 0a7m 7a0m";
  static constexpr std::array<std::string_view, 95> glyphs{
      "",                                                  // space
      "0a0i .0m",                                          // !
      "0a0d 3a3d",                                         // "
      "2b1m 6b5m 0e7e 0j7j",                               // #
      "~7c7b4b0b0g4g7g7l4l0l0k 4a4m",                      // $
      "0m8a o1a2a3a3c3e2e1e0e0c0a o6i7i8i8k8m7m6m5m5k5i",  // %
      "~8m1d1a3a5a5d0g0m4m7m8h",                           // &
      "0a0d",                                              // '
      "~3a0d0g0k3n",                                       // (
      "~0a3d3g3k0n",                                       // )
      "3b3h 0c6g 6c0g",                                    // *
      "0h6h 3e3k",                                         // +
      "1m0o",                                              // ,
      "0h4h",                                              // -
      ".0m",                                               // .
      "0n5a",                                              // /
      "o3a4a7a7g7m4m3m0m0g0a",                             // 0
      "1d4a4m 1m7m",                                       // 1
      "~0d0a3a7a7f4i0m 0m7m",                              // 2
      "~0b2a4a7a7g4g2g ~2g4g7g7m3m1m0l",                   // 3
      "5m5a0i7i",                                          // 4
      "7a1a0g ~0g2e4e7e7i7m3m1m0l",                        // 5
      "~6a2a0d0i o3f4f7f7i7m4m3m0m0i0f",                   // 6
      "0a7a2m",                                            // 7
      "o3a4a7a7d7g4g3g0g0d0a o3g4g7g7j7m4m3m0m0j0g",       // 8
      "~1m5m7j7d o3a4a7a7d7h4h3h0h0d0a",                   // 9
      ".0f .0m",                                           // :
      ".1f 1m0o",                                          // ;
      "6d0h6l",                                            // <
      "0f6f 0j6j",                                         // =
      "0d6h0l",                                            // >
      "~0c0a3a6a6e3f3i .3m",                               // ?
      "~6e4e2e2g2i4i6i6e ~6e6i8i9g9a5a0a0g0m4m8m",         // @
      "0m4a8m 1i7i",                                       // A
      "0m0a ~0a4a7a7g4g0g ~0g4g8g8m4m0m",                  // B
      "~8d8a4a0a0g0m4m8m8j",                               // C
      "0m0a ~0a4a8a8g8m4m0m",                              // D
      "7a0a0m7m 0g6g",                                     // E
      "7a0a0m 0g6g",                                       // F
      "~8d8a4a0a0g0m4m8m8g 8g5g",                          // G
      "0a0m 8a8m 0g8g",                                    // H
      "2a2m 0a4a 0m4m",                                    // I
      "~6a6i6m3m0m0i",                                     // J
      "0a0m 8a0h 3e8m",                                    // K
      "0a0m7m",                                            // L
      "0m0a4h8a8m",                                        // M
      "0m0a8m8a",                                          // N
      "o4a8a8g8m4m0m0g0a",                                 // O
      "0m0a ~0a4a8a8g4g0g",                                // P
      "o4a8a8g8m4m0m0g0a 5j8n",                            // Q
      "0m0a ~0a4a8a8g4g0g 4g8m",                           // R
      "~8c8a4a0a0g4g8g8m4m0m0k",                           // S
      "0a8a 4a4m",                                         // T
      "~0a0i0m4m8m8i8a",                                   // U
      "0a4m8a",                                            // V
      "0a3m5c7m:a",                                        // W
      "0a8m 8a0m",                                         // X
      "0a4g8a 4g4m",                                       // Y
      "0a8a0m8m",                                          // Z
      "3a0a0n3n",                                          // [
      "0a5n",                                              // backslash
      "0a3a3n0n",                                          // ]
      "0d3a6d",                                            // ^
      "0o7o",                                              // _
      "0a2c",                                              // `
      "~0g0e3e6e6i6m ~6h3h0h0m3m6m6j",                     // a
      "0a0m o3e6e6i6m3m0m0i0e",                            // b
      "~6g6e3e0e0i0m3m6m6k",                               // c
      "6a6m o3e6e6i6m3m0m0i0e",                            // d
      "0i6i ~6i6e3e0e0i0m3m6m6l",                          // e
      "~5a2a2d2m 0e5e",                                    // f
      "o3e6e6i6m3m0m0i0e ~6e6l6q3q0q0o",                   // g
      "0a0m ~0h0e3e6e6h6m",                                // h
      "0e0m .0b",                                          // i
      "~2e2n2q0q .2b",                                     // j
      "0a0m 6e0j 2h6m",                                    // k
      "~0a0k0m2m",                                         // l
      "0e0m ~0h0e3e5e5h5m ~5h5e8e:e:h:m",                  // m
      "0e0m ~0h0e3e6e6h6m",                                // n
      "o3e6e6i6m3m0m0i0e",                                 // o
      "0e0q o3e6e6i6m3m0m0i0e",                            // p
      "6e6q o3e6e6i6m3m0m0i0e",                            // q
      "0e0m ~0i0e3e5e",                                    // r
      "~6f6e3e0e0i3i6i6m3m0m0l",                           // s
      "~2b2k2m4m5m 0e5e",                                  // t
      "~0e0j0m3m6m6j 6e6m",                                // u
      "0e3m6e",                                            // v
      "0e2m4f6m8e",                                        // w
      "0e6m 6e0m",                                         // x
      "0e3m 6e2p0q",                                       // y
      "0e6e0m6m",                                          // z
      "~4a2a2g0g ~0g2g2n4n",                               // {
      "0a0o",                                              // |
      "~0a2a2g4g ~4g2g2n0n",                               // }
      "~0h0f3f4h7h7f",                                     // ~
  };
  return c >= ' ' && c <= '~' ? glyphs[static_cast<std::size_t>(c - ' ')] : other;
}

// The text as one char per character: ASCII as it is, a few others as their nearest, the rest as one box each.
inline std::string plain_text(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, char>, 7> nearest{{{"\u00d7", 'x'},
                                                                             {"\u2013", '-'},
                                                                             {"\u2014", '-'},
                                                                             {"\u2212", '-'},
                                                                             {"\u2019", '\''},
                                                                             {"\u201c", '"'},
                                                                             {"\u201d", '"'}}};
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      out += c == '\t' ? ' ' : text[i];
      ++i;
      continue;
    }
    std::size_t length = 1;  // up to the next byte that begins a character
    while (i + length < text.size() && (static_cast<unsigned char>(text[i + length]) & 0xc0) == 0x80) ++length;
    char replaced = '\x7f';
    for (const auto& [utf8, ascii] : nearest)
      if (text.substr(i, length) == utf8) replaced = ascii;
    out += replaced;
    i += length;
  }
  return out;
}

inline double glyph_width(std::string_view strokes) {
  int widest = 0;
  for (const char c : strokes)
    if (c >= '0' && c <= ';') widest = std::max(widest, c - '0');
  return strokes.empty() ? 2 : 0.5 * widest;  // in units; 6 units are the height of a capital
}

// Quadratic B-spline of the points: it goes through the middle of each side.
inline std::vector<Point> smooth(const std::vector<Point>& p, bool closed) {
  std::vector<Point> out;
  const std::size_t n = p.size();
  const auto middle = [](const Point& a, const Point& b) { return Point{0.5 * (a.x + b.x), 0.5 * (a.y + b.y)}; };
  const auto bend = [&](const Point& a, const Point& b, const Point& c) {
    for (int k = 0; k <= 8; ++k) {
      const double t = k / 8.0, u = 1 - t;
      out.push_back({u * u * a.x + 2 * u * t * b.x + t * t * c.x, u * u * a.y + 2 * u * t * b.y + t * t * c.y});
    }
  };
  if (closed) {
    for (std::size_t k = 0; k < n; ++k) bend(middle(p[(k + n - 1) % n], p[k]), p[k], middle(p[k], p[(k + 1) % n]));
  } else {
    for (std::size_t k = 1; k + 1 < n; ++k)
      bend(k == 1 ? p[0] : middle(p[k - 1], p[k]), p[k], k + 2 == n ? p[n - 1] : middle(p[k], p[k + 1]));
  }
  return out;
}

}  // namespace detail

// size: the height of a capital letter, pixels.
inline double line_height(double size) { return std::ceil(1.9 * size); }

inline double text_width(std::string_view text, double size) {
  double units = 0;
  const std::string plain = detail::plain_text(text);
  for (const char c : plain) units += std::round((detail::glyph_width(detail::glyph(c)) + 1.9) * size / 6);
  return units;
}

// Writes one line; (x, y) is the left end of the baseline. Returns the x behind it.
inline double draw_text(Canvas& canvas, double x, double y, std::string_view text, double size, const Color& color) {
  const double unit = size / 6, pen = std::max(1.15, 0.145 * size);
  const std::string plain = detail::plain_text(text);
  x = std::round(x), y = std::round(y);
  for (const char c : plain) {
    const std::string_view strokes = detail::glyph(c);
    std::vector<std::vector<Point>> lines;
    for (std::size_t i = 0; i < strokes.size();) {
      const bool open = strokes[i] == '~', closed = strokes[i] == 'o', dot = strokes[i] == '.';
      if (open || closed || dot) ++i;
      std::vector<Point> points;
      for (; i + 1 < strokes.size() && strokes[i] != ' '; i += 2) {
        const double px = std::round(0.5 * (strokes[i] - '0') * unit),
                     py = std::round(0.5 * (strokes[i + 1] - 'm') * unit);
        points.push_back({x + px + 0.5, y + py - 0.5});
      }
      ++i;  // the space
      if (dot) {
        lines.push_back({points[0]});
        lines.push_back({{points[0].x, points[0].y - 0.35 * unit}});
      } else {
        lines.push_back(open || closed ? detail::smooth(points, closed) : points);
      }
    }
    canvas.stroke(lines, pen, color);
    x += std::round((detail::glyph_width(strokes) + 1.9) * unit);
  }
  return x;
}

// Lines of at most `width` pixels, broken at spaces, or inside a word that is wider by itself.
inline std::vector<std::string> wrap_text(std::string_view text, double size, double width) {
  std::vector<std::string> lines(1);
  std::string word;
  const auto flush = [&] {
    if (word.empty()) return;
    const std::string longer = lines.back().empty() ? word : lines.back() + " " + word;
    if (lines.back().empty() || text_width(longer, size) <= width) {
      lines.back() = longer;
    } else {
      lines.push_back(word);
    }
    word.clear();
    std::string& last = lines.back();
    if (text_width(last, size) <= width) return;
    std::string rest = std::move(last), part;
    lines.pop_back();
    for (const char c : rest) {
      if (!part.empty() && text_width(part + c, size) > width) {
        lines.push_back(part);
        part.clear();
      }
      part += c;
    }
    lines.push_back(part);
  };
  for (const char c : detail::plain_text(text)) {
    if (c == ' ' || c == '\n') {
      flush();
      if (c == '\n') lines.emplace_back();
    } else {
      word += c;
    }
  }
  flush();
  return lines;
}

enum class Align { left, center, right };

// One line of text within [x, x + width), baseline at y.
inline void draw_text_in(Canvas& canvas, Index x, double y, Index width, std::string_view text, double size,
                         const Color& color, Align align = Align::center) {
  const double room = static_cast<double>(width) - text_width(text, size) + 1.9 * size / 6;
  const double share = align == Align::left ? 0.0 : align == Align::center ? 0.5 : 1.0;
  draw_text(canvas, static_cast<double>(x) + share * room, y, text, size, color);
}

// One line that reads upwards, its middle at column x. Align::left: it begins at y; center: its middle is there;
// right: its end is there.
inline void draw_text_up(Canvas& canvas, Index x, Index y, std::string_view text, double size, const Color& color,
                         Align align = Align::center) {
  const Index length = static_cast<Index>(text_width(text, size)) + 1, depth = static_cast<Index>(line_height(size));
  const Index end = align == Align::left ? y - length : align == Align::center ? y - length / 2 : y;
  if (length < 2) return;
  // Written level on a strip of its own, over what is there already, then turned.
  Canvas level(length, depth);
  const Index left = x - depth / 2;
  const auto inside = [&](Index px, Index py) {
    return px >= 0 && py >= 0 && px < canvas.width() && py < canvas.height();
  };
  for (Index i = 0; i < depth; ++i)
    for (Index j = 0; j < length; ++j)
      if (const Index px = left + i, py = end + length - 1 - j; inside(px, py))
        level.fill(j, i, 1, 1, pixel(canvas.image(), px, py));
  draw_text(level, 0, std::round(0.5 * (static_cast<double>(depth) + size)), text, size, color);
  for (Index i = 0; i < depth; ++i)
    for (Index j = 0; j < length; ++j)
      if (const Index px = left + i, py = end + length - 1 - j; inside(px, py))
        canvas.fill(px, py, 1, 1, pixel(level.image(), j, i));
}

}  // namespace inkling::plot
