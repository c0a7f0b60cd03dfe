// From a scanned digit to a pen that can be chosen: a field g(x) = the half-width a pen must have to ink point x.
//
// Inking all x with g(x) < t draws the same digit with a pen of half-width t. Where t is more than the half-width h
// that was written with, that is a dilation by a disc of radius t - h; where it is less, an erosion by h - t
// (both are level sets of the signed distance to the outline). An erosion may break a stroke where it is narrow: the
// centre line (skeleton) holds it together. The field is computed once per digit; any width is then one comparison.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "inkling/core/tensor.hpp"
#include "inkling/train/moments.hpp"

namespace inkling {

struct PenField {
  static constexpr Index frame = 28;  // pixels of the frame, with the digit in the middle, scaled to 20 as in MNIST
  static constexpr Index side = 56;   // two samples a pixel
  static constexpr float lowest = -0.5f, step = 1.0f / 60.0f;  // g = lowest + step * byte, up to 3.75 pixels
  static constexpr float widest = 2.6f;  // the half-width up to which holes (as in 0, 6, 8, 9) stay open

  std::array<std::uint8_t, static_cast<std::size_t>(side* side)> g{};
  float half_width = 0, half_height = 0;  // of the digit's box, pixels
  float pen = 0;                          // h, half the width of the stroke as written, pixels
};

namespace detail {

// The strokes are worked on at four times the resolution, in a square bitmap of 0 and 1.
inline constexpr Index fine = 4, fine_side = PenField::frame * fine;
inline constexpr std::size_t fine_size = static_cast<std::size_t>(fine_side * fine_side);
using Bitmap = std::array<std::uint8_t, fine_size>;
using Distances = std::array<float, fine_size>;
constexpr std::size_t fine_at(Index i, Index j) { return static_cast<std::size_t>(i * fine_side + j); }

// Euclidean distance from each cell to the nearest cell equal to `value`, at most `cap`, in pixels of the frame.
// First along columns, then the best over the row (Saito and Toriwaki 1994): d^2 = min_j' (j - j')^2 + column(i,j')^2.
inline Distances distance_to(const Bitmap& map, std::uint8_t value, Index cap) {
  const int far = static_cast<int>(cap * fine);
  std::array<int, fine_size> column;
  for (Index j = 0; j < fine_side; ++j) {
    int d = far;
    for (Index i = 0; i < fine_side; ++i) {
      d = map[fine_at(i, j)] == value ? 0 : std::min(d + 1, far);
      column[fine_at(i, j)] = d;
    }
    d = far;
    for (Index i = fine_side; i-- > 0;) {
      d = map[fine_at(i, j)] == value ? 0 : std::min(d + 1, far);
      column[fine_at(i, j)] = std::min(column[fine_at(i, j)], d);
    }
  }
  Distances out;
  for (Index i = 0; i < fine_side; ++i)
    for (Index j = 0; j < fine_side; ++j) {
      const int own = column[fine_at(i, j)];
      int best = own * own;
      for (int step = 1; step * step < best; ++step) {
        const int left = j >= step ? column[fine_at(i, j - step)] : far;
        const int right = j + step < fine_side ? column[fine_at(i, j + step)] : far;
        const int c = std::min(left, right);
        best = std::min(best, step * step + c * c);
      }
      out[fine_at(i, j)] = std::sqrt(static_cast<float>(best)) / static_cast<float>(fine);
    }
  return out;
}

// The centre lines, one cell wide: Zhang and Suen, "A fast parallel algorithm for thinning digital patterns",
// Communications of the ACM 27 (1984). p2..p9 are the neighbours, clockwise from the north.
inline Bitmap skeleton(const Bitmap& ink) {
  Bitmap map = ink;
  std::vector<std::size_t> cells, removed;
  for (Index i = 1; i + 1 < fine_side; ++i)
    for (Index j = 1; j + 1 < fine_side; ++j)
      if (map[fine_at(i, j)]) cells.push_back(fine_at(i, j));
  const std::size_t row = static_cast<std::size_t>(fine_side);
  for (bool changed = true; changed;) {
    changed = false;
    for (const bool first : {true, false}) {
      removed.clear();
      for (const std::size_t c : cells) {
        const std::array<int, 8> p{map[c - row], map[c - row + 1], map[c + 1], map[c + row + 1],
                                   map[c + row], map[c + row - 1], map[c - 1], map[c - row - 1]};
        int neighbours = 0, rises = 0;
        for (std::size_t k = 0; k < 8; ++k) {
          neighbours += p[k];
          rises += p[k] == 0 && p[(k + 1) % 8] == 1;
        }
        if (neighbours < 2 || neighbours > 6 || rises != 1) continue;
        const int n = p[0], e = p[2], s = p[4], w = p[6];
        if (first ? (n * e * s == 0 && e * s * w == 0) : (n * e * w == 0 && n * s * w == 0)) removed.push_back(c);
      }
      for (const std::size_t c : removed) map[c] = 0;
      changed = changed || !removed.empty();
      std::erase_if(cells, [&](std::size_t c) { return map[c] == 0; });
    }
  }
  return map;
}

// Cuts the whiskers that thinning leaves on thick strokes. A branch from an end to a crossing is a whisker when it is
// no longer than the half-width of the stroke there plus a little: it only points at a bump of the outline.
inline void cut_whiskers(Bitmap& line, const Distances& inside) {
  const Index row = fine_side;
  const std::array<Index, 8> around{-row, 1, row, -1, -row + 1, row + 1, row - 1, -row - 1};
  const auto cell = [](Index c) { return static_cast<std::size_t>(c); };
  for (Index c = row; c < static_cast<Index>(fine_size) - row; ++c) {
    std::vector<Index> branch{c};
    Index before = -1;
    bool crossing = false;
    if (!line[cell(c)]) continue;
    for (;;) {
      Index count = 0, next = -1;
      for (const Index a : around) {
        const Index k = branch.back() + a;
        if (!line[cell(k)] || k == before || std::find(branch.begin(), branch.end(), k) != branch.end()) continue;
        ++count;
        if (next < 0) next = k;
      }
      if (branch.size() == 1 && count != 1) break;  // not an end
      if (count == 0) break;                        // a line without crossing
      if (count > 1) {
        crossing = true;
        break;
      }
      before = branch.back();
      branch.push_back(next);
    }
    if (!crossing) continue;
    const float reach = inside[cell(branch.back())] * static_cast<float>(fine) * 1.2f + 2;
    if (static_cast<float>(branch.size()) > reach) continue;
    branch.pop_back();  // the crossing stays
    for (const Index k : branch) line[cell(k)] = 0;
  }
}

// Raises g so that holes keep a radius of at least `keep` pixels (or their own, if that is less) for every pen up to
// PenField::widest: a bold eight must not fill up.
inline void protect_holes(const Bitmap& ink, const Distances& outside, float keep, Distances& g) {
  Bitmap seen = ink;
  std::vector<Index> stack, hole;
  const auto flood = [&](Index start) {
    hole.clear();
    stack.assign(1, start);
    seen[static_cast<std::size_t>(start)] = 1;
    while (!stack.empty()) {
      const Index c = stack.back();
      stack.pop_back();
      hole.push_back(c);
      for (const Index k : {c - fine_side, c + fine_side, c - 1, c + 1}) {
        if (k < 0 || k >= static_cast<Index>(fine_size) || seen[static_cast<std::size_t>(k)]) continue;
        seen[static_cast<std::size_t>(k)] = 1;
        stack.push_back(k);
      }
    }
  };
  flood(0);  // the page around the digit
  for (Index c = 0; c < static_cast<Index>(fine_size); ++c) {
    if (seen[static_cast<std::size_t>(c)]) continue;
    flood(c);
    if (static_cast<Index>(hole.size()) < fine * fine) continue;  // under one pixel: a scratch in the ink, not a hole
    float deepest = 0;
    for (const Index k : hole) deepest = std::max(deepest, outside[static_cast<std::size_t>(k)]);
    for (const Index k : hole) {
      const float from_centre = deepest - outside[static_cast<std::size_t>(k)];
      float& value = g[static_cast<std::size_t>(k)];
      value = std::max(value, PenField::widest + keep - from_centre);
    }
  }
}

}  // namespace detail

// image: [28, 28] as in MNIST, ink 255 on 0. The digit is set upright: sheared until its moments have no slant.
inline PenField pen_field(std::span<const std::uint8_t> image) {
  using namespace detail;
  constexpr Index n = PenField::frame;
  if (static_cast<Index>(image.size()) != n * n)
    throw ShapeError("pen_field", "28x28 pixels", std::to_string(image.size()));
  const auto gray = [&](Index i, Index j) {
    return i < 0 || j < 0 || i >= n || j >= n ? 0.0f : static_cast<float>(image[static_cast<std::size_t>(i * n + j)]);
  };
  const Moments m = moments(n, n, gray);
  const float slant = std::clamp(static_cast<float>(m.slant()), -1.0f, 1.0f), middle = static_cast<float>(m.y);
  constexpr float threshold = 110;  // a little under half, for strokes thinner than a pixel

  float left = 1e9f, right = -1e9f, top = 1e9f, bottom = -1e9f;
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < n; ++j)
      if (gray(i, j) >= threshold) {
        const float y = static_cast<float>(i), x = static_cast<float>(j) - slant * (y - middle);
        left = std::min(left, x - 0.5f), right = std::max(right, x + 0.5f);
        top = std::min(top, y - 0.5f), bottom = std::max(bottom, y + 0.5f);
      }
  PenField out;
  out.g.fill(255);
  if (left > right) return out;  // an empty page
  const float scale = std::clamp(20.0f / std::max(right - left, bottom - top), 0.8f, 1.25f);
  out.half_width = 0.5f * scale * (right - left), out.half_height = 0.5f * scale * (bottom - top);

  Bitmap ink;
  for (Index i = 0; i < fine_side; ++i)
    for (Index j = 0; j < fine_side; ++j) {
      const auto centred = [](Index k) { return (static_cast<float>(k) + 0.5f) / fine - 0.5f * PenField::frame; };
      const float y = 0.5f * (top + bottom) + centred(i) / scale;
      const float x = 0.5f * (left + right) + centred(j) / scale + slant * (y - middle);
      const float i0 = std::floor(y), j0 = std::floor(x), v = y - i0, u = x - j0;
      const Index a = static_cast<Index>(i0), b = static_cast<Index>(j0);
      const float value = (1 - v) * ((1 - u) * gray(a, b) + u * gray(a, b + 1)) +
                          v * ((1 - u) * gray(a + 1, b) + u * gray(a + 1, b + 1));
      ink[fine_at(i, j)] = value >= threshold;
    }

  const Distances outside = distance_to(ink, 1, 4), inside = distance_to(ink, 0, 8);
  Bitmap line = skeleton(ink);
  cut_whiskers(line, inside);
  const Distances from_line = distance_to(line, 1, 4);
  float sum = 0, cells = 0;
  for (std::size_t c = 0; c < fine_size; ++c)
    if (line[c]) sum += inside[c], cells += 1;
  const float h = out.pen = cells > 0 ? sum / cells : 0.0f;

  // s = signed distance to the outline, d = distance to the centre line:
  //   g = min(s + h, d / 0.85)      a pen of half-width t reaches s < t - h, and at least 0.85 t around the centre line
  Distances g;
  for (std::size_t c = 0; c < fine_size; ++c) {
    const float s = ink[c] ? 0.5f / fine - inside[c] : outside[c] - 0.5f / fine;  // cells are counted at their centres
    g[c] = std::min(s + h, from_line[c] / 0.85f);
  }
  protect_holes(ink, outside, 0.9f, g);

  constexpr Index block = fine_side / PenField::side;
  for (Index i = 0; i < PenField::side; ++i)
    for (Index j = 0; j < PenField::side; ++j) {
      float mean = 0;
      for (Index a = 0; a < block; ++a)
        for (Index b = 0; b < block; ++b) mean += g[fine_at(i * block + a, j * block + b)];
      const float value = (mean / (block * block) - PenField::lowest) / PenField::step;
      out.g[static_cast<std::size_t>(i * PenField::side + j)] =
          static_cast<std::uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f));
    }
  return out;
}

}  // namespace inkling
