// GIF files: every picture comes back out of the file, exactly where 256 colours suffice and nearly otherwise.
// test: sanitized
#include <doctest/doctest.h>

#include <fstream>
#include <optional>
#include <random>

#include "inkling/plot/animation.hpp"
#include "support.hpp"

namespace {

using namespace inkling;
using namespace inkling_test;

// A reader written from the specification, with a table of words as strings: nothing in common with the writer.
struct GifReader {
  const std::string& gif;
  std::size_t at = 0;
  Index width = 0, height = 0;
  std::vector<plot::Color> colors;
  std::vector<Image> frames;
  std::vector<Index> delays;
  Index changed = 0;  // pixels that the file holds, all frames together
  std::optional<Index> repeats;

  explicit GifReader(const std::string& file) : gif(file) {
    if (take(6) != "GIF89a") throw std::runtime_error("no GIF");
    width = number(), height = number();
    const int flags = byte();
    take(2);
    colors.resize(std::size_t{2} << (flags & 7));
    for (auto& c : colors)
      for (std::uint8_t* p : {&c.r, &c.g, &c.b}) *p = static_cast<std::uint8_t>(byte());
    Image screen(width, height);
    for (int kind = byte(); kind != ';'; kind = byte()) {
      if (kind == 0x21) {
        const int label = byte();
        const std::string data = blocks();
        if (label == 0xf9) delays.push_back(static_cast<std::uint8_t>(data[1]) + 256 * static_cast<std::uint8_t>(data[2]));
        if (label == 0xff) repeats = static_cast<std::uint8_t>(data[12]) + 256 * static_cast<std::uint8_t>(data[13]);
      } else if (kind == ',') {
        const Index x0 = number(), y0 = number(), w = number(), h = number();
        if (byte() != 0) throw std::runtime_error("flags not expected here");
        const int bits = byte();
        const std::vector<int> indices = unpacked(blocks(), bits);
        if (static_cast<Index>(indices.size()) != w * h) throw std::runtime_error("wrong number of pixels");
        changed += w * h;
        for (Index i = 0; i < w * h; ++i) {
          const plot::Color c = colors.at(static_cast<std::size_t>(indices[static_cast<std::size_t>(i)]));
          const Index x = x0 + i % w, y = y0 + i / w;
          screen(x, y, 0) = c.r, screen(x, y, 1) = c.g, screen(x, y, 2) = c.b;
        }
        frames.push_back(screen);
      } else {
        throw std::runtime_error("unknown block");
      }
    }
    if (at != gif.size()) throw std::runtime_error("bytes behind the end");
  }

 private:
  int byte() { return static_cast<std::uint8_t>(gif.at(at++)); }
  Index number() {
    const int low = byte();
    return low + 256 * byte();
  }
  std::string take(std::size_t n) {
    at += n;
    return gif.substr(at - n, n);
  }
  std::string blocks() {
    std::string data;
    while (const int n = byte()) data += take(static_cast<std::size_t>(n));
    return data;
  }
  static std::vector<int> unpacked(const std::string& data, int color_bits) {
    const int clear = 1 << color_bits, end = clear + 1;
    std::vector<std::vector<int>> words;
    std::vector<int> out, before;
    int bits = color_bits + 1;
    const auto reset = [&] {
      words.assign(static_cast<std::size_t>(clear) + 2, {});
      for (int i = 0; i < clear; ++i) words[static_cast<std::size_t>(i)] = {i};
      bits = color_bits + 1, before.clear();
    };
    reset();
    for (std::size_t bit = 0;;) {
      int code = 0;
      for (int i = 0; i < bits; ++i, ++bit)
        code |= (static_cast<std::uint8_t>(data.at(bit / 8)) >> bit % 8 & 1) << i;
      if (code == end) {
        if (bit / 8 + (bit % 8 != 0) != data.size()) throw std::runtime_error("bytes behind the last code");
        return out;
      }
      if (code == clear) {
        reset();
        continue;
      }
      std::vector<int> word;
      if (static_cast<std::size_t>(code) < words.size())
        word = words[static_cast<std::size_t>(code)];
      else if (static_cast<std::size_t>(code) == words.size() && !before.empty())
        word = before, word.push_back(before[0]);
      else
        throw std::runtime_error("a code that cannot be");
      if (!before.empty() && words.size() < 4096) {
        before.push_back(word[0]);
        words.push_back(before);
      }
      if (words.size() == (std::size_t{1} << bits) && bits < 12) ++bits;
      out.insert(out.end(), word.begin(), word.end());
      before = word;
    }
  }
};

// Random pixels of so many colours, or all the same.
Image random_picture(Index width, Index height, Index channels, int colors, unsigned seed) {
  Image image(width, height, channels);
  std::mt19937 random(seed);
  for (Index i = 0; i < width * height; ++i) {
    const unsigned k = static_cast<unsigned>(random() % static_cast<unsigned>(colors));
    for (Index c = 0; c < channels; ++c)
      image.pixels[static_cast<std::size_t>(i * channels + c)] =
          static_cast<std::uint8_t>(channels % 2 == 0 && c == channels - 1 ? 255 : static_cast<Index>(k) * 37 + 91 * (c % 3) + 11);
  }
  return image;
}
bool same(const Image& a, const Image& b) {
  for (Index y = 0; y < a.height; ++y)
    for (Index x = 0; x < a.width; ++x)
      if (!(plot::pixel(a, x, y) == plot::pixel(b, x, y))) return false;
  return true;
}

TEST_CASE("up to 256 colours come back as they were") {
  for (const int colors : {1, 2, 3, 4, 5, 16, 17, 200, 256})
    for (const Shape<2>& size : {Shape<2>{1, 1}, {1, 7}, {5, 3}, {40, 31}, {150, 149}, {300, 301}}) {
      const Index w = size[0], h = size[1];
      CAPTURE(colors);
      CAPTURE(w);
      CAPTURE(h);
      const std::string gif = plot::encode_gif({random_picture(w, h, 3, colors, 5)});
      const GifReader back(gif);
      REQUIRE(back.frames.size() == 1);
      CHECK_FALSE(back.repeats);
      CHECK(same(back.frames[0], random_picture(w, h, 3, colors, 5)));
    }
}

TEST_CASE("a word that is used as soon as it is new, long runs, and a full table") {
  Image runs(251, 200, 1);  // one colour: each word is the one before and one more
  CHECK(same(GifReader(plot::encode_gif({runs})).frames[0], runs));
  for (Index y = 100; y < 200; ++y)
    for (Index x = 0; x < 251; ++x) runs(x, y, 0) = static_cast<std::uint8_t>((x * y / 7) & 255);
  const std::string gif = plot::encode_gif({runs});
  CHECK(same(GifReader(gif).frames[0], runs));
  CHECK(gif.size() > 6000);  // more than 4096 codes: the table has been emptied on the way
}

TEST_CASE("films: delays, repeats, and only what has changed") {
  std::vector<Image> frames(4, random_picture(60, 40, 3, 8, 1));
  frames[2](50, 30, 0) ^= 0x40;
  frames[3] = random_picture(60, 40, 3, 8, 2);
  plot::AnimationOptions options;
  options.delay = 7, options.last_delay = 300, options.repeats = 2;
  const std::string gif = plot::encode_gif(frames, options);
  const GifReader back(gif);
  REQUIRE(back.frames.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) CHECK(same(back.frames[i], frames[i]));
  CHECK(back.delays == std::vector<Index>{7, 7, 7, 300});
  CHECK(back.repeats == Index{2});
  CHECK(back.changed <= 2 * 60 * 40 + 2);
  options.last_delay = -1, options.repeats = 0;
  const std::string forever = plot::encode_gif(frames, options);
  CHECK(GifReader(forever).repeats == Index{0});
  CHECK(GifReader(forever).delays.back() == 7);
}

TEST_CASE("gray and transparent pictures") {
  for (const Index channels : {1, 2, 4}) {
    const Image image = random_picture(20, 10, channels, 50, 3);
    CHECK(same(GifReader(plot::encode_gif({image})).frames[0], image));
  }
}

TEST_CASE("more colours become the nearest of a good palette") {
  Image smooth(128, 128, 3);
  for (Index y = 0; y < 128; ++y)
    for (Index x = 0; x < 128; ++x)
      smooth(x, y, 0) = static_cast<std::uint8_t>(2 * x), smooth(x, y, 1) = static_cast<std::uint8_t>(2 * y),
      smooth(x, y, 2) = 60;
  // 16,384 colours spread evenly over a square of 256 x 256: 256 colours at best stand 16 apart on both axes, so that a
  // pixel is 16 / sqrt(12) = 4.6 off on each, root mean square. The median cut halves sides, so it comes to the same.
  double sum = 0;
  const std::string file = plot::encode_gif({smooth});
  const GifReader back(file);
  for (Index i = 0; i < 128 * 128; ++i)
    for (Index c = 0; c < 3; ++c) {
      const double d = static_cast<double>(back.frames[0](i % 128, i / 128, c)) - smooth(i % 128, i / 128, c);
      sum += d * d;
    }
  const double rms = std::sqrt(sum / (2 * 128 * 128));
  MESSAGE("root mean square error " << rms << ", at best 4.6");
  CHECK(rms < 1.15 * 4.6);
  CHECK(plot::Palette(std::vector<Image>{smooth}, 16).colors().size() == 16);
  // A rare colour far away from all others is not lost among them.
  smooth(5, 5, 2) = 255;
  plot::Palette palette(std::vector<Image>{smooth}, 256);
  const plot::Color rare = palette.colors()[palette.nearest({10, 10, 255})];
  CHECK(rare == plot::Color{10, 10, 255});
}

TEST_CASE("what cannot be a film is refused") {
  CHECK_THROWS_AS(plot::encode_gif({}), ConfigError);
  CHECK_THROWS_AS(plot::encode_gif({Image(2, 2), Image(3, 2)}), ShapeError);
  Image broken(4, 4);
  broken.pixels.resize(3);
  CHECK_THROWS_AS(plot::encode_gif({broken}), ShapeError);
  CHECK_THROWS_AS(plot::encode_gif({Image(70000, 1)}), ShapeError);
  for (const Index number : {Index{-1}, Index{70000}}) {
    plot::AnimationOptions options;
    options.delay = number;
    CHECK_THROWS_AS(plot::encode_gif({Image(2, 2)}, options), ConfigError);
    options = {};
    options.repeats = number;
    CHECK_THROWS_AS(plot::encode_gif({Image(2, 2)}, options), ConfigError);
    options = {};
    options.colors = number;
    CHECK_THROWS_AS(plot::encode_gif({Image(2, 2)}, options), ConfigError);
  }
}

TEST_CASE("the file appears whole or not at all") {
  const TempDir folder;
  plot::write_gif(folder / "a.gif", {Image(3, 3)});
  std::ifstream in(folder / "a.gif", std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  CHECK(text == plot::encode_gif({Image(3, 3)}));
  CHECK_THROWS_AS(plot::write_gif(folder / "no" / "a.gif", {Image(3, 3)}), FormatError);
  CHECK_THROWS_AS(plot::write_gif(folder.path(), {Image(3, 3)}), FormatError);
  CHECK_THROWS_AS(plot::write_gif(folder / "a.gif", {}), ConfigError);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

}  // namespace
