// A few colours for many: what a picture of 256 colours shows best (Heckbert 1982, "Color image quantization for frame
// buffer display", section 4.2: the median cut).
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "inkling/plot/canvas.hpp"

namespace inkling::plot {

class Palette {
 public:
  // At most `most` colours for all the pictures together. Where they have no more than that, each keeps its own.
  Palette(std::span<const Image> images, Index most) {
    if (most < 2 || most > 256) throw ConfigError("Palette", "from 2 to 256 colours", std::to_string(most));
    std::map<std::uint32_t, Index> exact;  // gives up counting when there are too many
    std::vector<Bin> bins(32768);          // 32 levels a channel
    for (const Image& image : images) {
      require_picture(image, "Palette");
      for (Index y = 0; y < image.height; ++y)
        for (Index x = 0; x < image.width; ++x) {
          const Color c = pixel(image, x, y);
          if (static_cast<Index>(exact.size()) <= most) ++exact[code(c)];
          Bin& bin = bins[static_cast<std::size_t>((c.r >> 3) << 10 | (c.g >> 3) << 5 | (c.b >> 3))];
          bin.count += 1, bin.sum[0] += c.r, bin.sum[1] += c.g, bin.sum[2] += c.b;
        }
    }
    if (exact.empty()) throw ConfigError("Palette", "at least one picture", "none");
    if (static_cast<Index>(exact.size()) <= most)
      for (const auto& [key, count] : exact)
        colors_.push_back({static_cast<std::uint8_t>(key >> 16), static_cast<std::uint8_t>(key >> 8 & 255),
                           static_cast<std::uint8_t>(key & 255)});
    else
      median_cut(std::move(bins), most);
  }

  const std::vector<Color>& colors() const { return colors_; }
  // The number of the nearest colour.
  std::uint8_t nearest(const Color& c) {
    const auto [place, is_new] = found_.try_emplace(code(c));
    if (is_new) {
      int least = 3 * 256 * 256;
      for (std::size_t i = 0; i < colors_.size(); ++i) {
        const int dr = c.r - colors_[i].r, dg = c.g - colors_[i].g, db = c.b - colors_[i].b;
        if (const int d = dr * dr + dg * dg + db * db; d < least) least = d, place->second = static_cast<std::uint8_t>(i);
      }
    }
    return place->second;
  }

 private:
  struct Bin {
    std::int64_t count = 0;
    std::array<std::int64_t, 3> sum{};
    int level(int axis) const { return static_cast<int>(sum[static_cast<std::size_t>(axis)] / count); }
  };
  struct Box {
    std::vector<Bin> bins;
    std::int64_t count = 0;
    int axis = 0, extent = 0;  // the longest side

    explicit Box(std::vector<Bin> b) : bins(std::move(b)) {
      for (const Bin& bin : bins) count += bin.count;
      for (int a = 0; a < 3; ++a) {
        const auto [low, high] =
            std::minmax_element(bins.begin(), bins.end(), [a](const Bin& p, const Bin& q) { return p.level(a) < q.level(a); });
        if (high->level(a) - low->level(a) > extent) extent = high->level(a) - low->level(a), axis = a;
      }
    }
    // Large differences that many pixels have come first.
    double weight() const { return bins.size() < 2 ? 0 : static_cast<double>(count) * extent * extent; }
  };
  static std::uint32_t code(const Color& c) {
    return static_cast<std::uint32_t>(c.r) << 16 | static_cast<std::uint32_t>(c.g) << 8 | c.b;
  }

  // The box of colours is halved along its longest side, so that half of its pixels fall on either side; then the box
  // that needs it most, and so on. Each box becomes the mean of its pixels.
  void median_cut(std::vector<Bin> bins, Index most) {
    std::erase_if(bins, [](const Bin& bin) { return bin.count == 0; });
    std::vector<Box> boxes{Box(std::move(bins))};
    while (static_cast<Index>(boxes.size()) < most) {
      const auto largest = std::max_element(boxes.begin(), boxes.end(),
                                            [](const Box& p, const Box& q) { return p.weight() < q.weight(); });
      if (!(largest->weight() > 0)) break;
      std::vector<Bin> sorted = std::move(largest->bins);
      const int axis = largest->axis;
      // Bins of one level by their sums, so that the order does not depend on the library's sort.
      std::sort(sorted.begin(), sorted.end(), [axis](const Bin& p, const Bin& q) {
        return std::pair(p.level(axis), p.sum) < std::pair(q.level(axis), q.sum);
      });
      std::size_t cut = 0;
      std::int64_t before = 0;
      while (cut + 2 < sorted.size() && before + sorted[cut].count <= largest->count / 2) before += sorted[cut++].count;
      cut = std::max<std::size_t>(cut, 1);
      const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(cut);
      Box upper(std::vector<Bin>(middle, sorted.end()));
      *largest = Box(std::vector<Bin>(sorted.begin(), middle));
      boxes.push_back(std::move(upper));
    }
    for (const Box& box : boxes) {
      std::array<std::int64_t, 3> sum{};
      for (const Bin& bin : box.bins)
        for (std::size_t a = 0; a < 3; ++a) sum[a] += bin.sum[a];
      const auto mean = [&](std::size_t a) { return static_cast<std::uint8_t>((sum[a] + box.count / 2) / box.count); };
      colors_.push_back({mean(0), mean(1), mean(2)});
    }
  }

  std::vector<Color> colors_;
  std::unordered_map<std::uint32_t, std::uint8_t> found_;
};

}  // namespace inkling::plot
