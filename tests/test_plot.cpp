// Plots: pictures land where they should, unchanged; words are complete, distinct and inside; curves go through their
// points.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "inkling/plot/heat_map.hpp"
#include "inkling/plot/image_grid.hpp"
#include "inkling/plot/line_plot.hpp"
#include "support.hpp"

namespace {

using namespace inkling;
using plot::Color;

Image random_picture(Index width, Index height, Index channels, unsigned seed) {
  Image image(width, height, channels);
  for (auto& p : image.pixels) p = static_cast<std::uint8_t>((seed = seed * 1664525u + 1013904223u) >> 24);
  return image;
}
// Is `part` somewhere in `whole`, pixel for pixel? The number of places.
Index places(const Image& whole, const Image& part) {
  Index count = 0;
  for (Index y = 0; y + part.height <= whole.height; ++y)
    for (Index x = 0; x + part.width <= whole.width; ++x) {
      bool same = true;
      for (Index i = 0; same && i < part.height; ++i)
        for (Index j = 0; same && j < part.width; ++j)
          same = plot::pixel(whole, x + j, y + i) == plot::pixel(part, j, i);
      count += same;
    }
  return count;
}
Index pixels_of(const Image& image, const Color& color) {
  Index count = 0;
  for (Index y = 0; y < image.height; ++y)
    for (Index x = 0; x < image.width; ++x) count += plot::pixel(image, x, y) == color;
  return count;
}
// Nothing touches the border: nothing can be cut off there.
bool border_is(const Image& image, const Color& color) {
  for (Index x = 0; x < image.width; ++x)
    if (plot::pixel(image, x, 0) != color || plot::pixel(image, x, image.height - 1) != color) return false;
  for (Index y = 0; y < image.height; ++y)
    if (plot::pixel(image, 0, y) != color || plot::pixel(image, image.width - 1, y) != color) return false;
  return true;
}

TEST_CASE("enlarging makes squares of pixels") {
  for (const Index channels : {1, 2, 3, 4}) {
    const Image small = random_picture(5, 3, channels, 1), large = plot::resize_nearest(small, 4);
    CHECK(large.width == 20);
    CHECK(large.height == 12);
    for (Index y = 0; y < 12; ++y)
      for (Index x = 0; x < 20; ++x)
        for (Index c = 0; c < channels; ++c) REQUIRE(large(x, y, c) == small(x / 4, y / 4, c));
  }
  CHECK(plot::resize_nearest(random_picture(5, 3, 3, 1), 1) == random_picture(5, 3, 3, 1));
  CHECK_THROWS_AS(plot::resize_nearest(Image(5, 3), 0), ConfigError);
  CHECK_THROWS_AS(plot::resize_nearest(Image(5, 3), Index{1} << 60), ConfigError);
  Image broken(5, 3);
  broken.pixels.resize(7);
  CHECK_THROWS_AS(plot::resize_nearest(broken, 2), ShapeError);
  CHECK_THROWS_AS(plot::resize_nearest(Image(), 2), ShapeError);
}

TEST_CASE("every character has a sign of its own, inside its box") {
  const double size = 12;
  std::set<std::vector<std::uint8_t>> seen;
  for (char c = '!'; c <= '~'; ++c) {
    plot::Canvas canvas(40, 40);
    const double end = plot::draw_text(canvas, 10, 26, std::string(1, c), size, plot::black);
    CHECK(end - 10 == plot::text_width(std::string(1, c), size));
    Index inked = 0;
    for (Index y = 0; y < 40; ++y)
      for (Index x = 0; x < 40; ++x) {
        if (plot::pixel(canvas.image(), x, y) == plot::white) continue;
        ++inked;
        INFO(c);
        REQUIRE(x >= 9);
        REQUIRE(static_cast<double>(x) < end);
        REQUIRE(y >= 26 - 14);  // the pen is a little wider than the line
        REQUIRE(y <= 26 + 5);
      }
    CHECK_MESSAGE(inked >= 4, c);
    CHECK_MESSAGE(seen.insert(canvas.image().pixels).second, c << " looks like another character");
  }
  CHECK(seen.size() == 94);
}

TEST_CASE("characters beyond ASCII are replaced, whatever the bytes") {
  CHECK(plot::detail::plain_text("3 \u00d7 4 \u2013 5") == "3 x 4 - 5");
  CHECK(plot::detail::plain_text("caf\u00e9") == "caf\x7f");
  CHECK(plot::detail::plain_text("\u5b57\u5b57") == "\x7f\x7f");
  CHECK(plot::detail::plain_text("\xff\xc3") == "\x7f\x7f");
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  plot::Canvas canvas(60, 30);
  plot::draw_text(canvas, 2, 20, all, 9, plot::black);  // far beyond the right border, which must not come back left
  CHECK(plot::pixel(canvas.image(), 0, 15) == plot::white);
  plot::draw_text(canvas, -500, -500, "outside", 9, plot::black);
}

TEST_CASE("text is wrapped to the width") {
  const std::string text = "a bold red seven leaning right on a blue background";
  const auto lines = plot::wrap_text(text, 9, 90);
  CHECK(lines.size() > 2);
  std::string joined;
  for (const auto& line : lines) {
    CHECK(plot::text_width(line, 9) <= 90);
    joined += (joined.empty() ? "" : " ") + line;
  }
  CHECK(joined == text);
  const std::string word(40, 'w');
  joined.clear();
  for (const auto& line : plot::wrap_text(word, 9, 90)) {
    CHECK(plot::text_width(line, 9) <= 90);
    joined += line;
  }
  CHECK(joined == word);
  CHECK(plot::wrap_text("one\ntwo", 9, 500) == std::vector<std::string>{"one", "two"});
  CHECK(plot::wrap_text("w", 9, 1).size() == 1);  // no room at all: one character a line, no endless loop
}

TEST_CASE("a grid holds every picture unchanged, and words that are not cut off") {
  std::vector<Image> images;
  std::vector<std::string> captions;
  for (unsigned k = 0; k < 5; ++k) {
    images.push_back(random_picture(12, 12, 3, k + 1));
    captions.push_back("a caption of several words, number " + std::to_string(k));
  }
  plot::GridOptions options;
  options.title = "a title that is a good deal wider than the three pictures are together, and longer still";
  options.column_headings = {"one", "two", "a heading in two lines"};
  options.row_headings = {"first row", "second row of pictures with a long name"};
  options.scale = 4;
  const Image with_words = plot::image_grid(images, 3, captions, options), bare = plot::image_grid(images, 3);
  for (const Image& image : images) {
    CHECK(places(with_words, plot::resize_nearest(image, 4)) == 1);
    CHECK(places(bare, plot::resize_nearest(image, 8)) == 1);  // 96 pixels wide when nothing is said
  }
  CHECK(border_is(with_words, plot::white));
  CHECK(border_is(bare, plot::white));
  CHECK(bare.width == 3 * 96 + 4 * 8);
  CHECK(bare.height == 2 * 96 + 3 * 8);
  const Index inked = pixels_of(with_words, plot::dark_gray);
  options.title.clear();
  const Index without_title = pixels_of(plot::image_grid(images, 3, captions, options), plot::dark_gray);
  options.row_headings.clear();
  const Index without_rows = pixels_of(plot::image_grid(images, 3, captions, options), plot::dark_gray);
  options.column_headings.clear();
  const Index without_columns = pixels_of(plot::image_grid(images, 3, captions, options), plot::dark_gray);
  CHECK(inked > without_title);
  CHECK(without_title > without_rows);
  CHECK(without_rows > without_columns);
  CHECK(without_columns > 100);

  const Image row = plot::strip(images, {"t = 4", "t = 3", "t = 2", "t = 1", "t = 0"}, "denoising");
  for (const Image& image : images) CHECK(places(row, plot::resize_nearest(image, 8)) == 1);
  CHECK(row.width == 5 * 96 + 6 * 8);
  CHECK(border_is(row, plot::white));
  CHECK(plot::image_grid({Image(200, 10, 1), Image(10, 200, 4)}, 7).width == 2 * 200 + 3 * 8);
}

TEST_CASE("a grid refuses what it cannot draw") {
  const std::vector<Image> two{Image(4, 4), Image(4, 4)};
  CHECK_THROWS_AS(plot::image_grid({}, 1), ConfigError);
  CHECK_THROWS_AS(plot::strip({}), ConfigError);
  CHECK_THROWS_AS(plot::image_grid(two, 0), ConfigError);
  CHECK_THROWS_AS(plot::image_grid(two, 2, {"only one"}), ConfigError);
  plot::GridOptions options;
  options.column_headings = {"a", "b", "c"};
  CHECK_THROWS_AS(plot::image_grid(two, 2, {}, options), ConfigError);
  options = {};
  options.row_headings = {"a", "b"};
  CHECK_THROWS_AS(plot::image_grid(two, 2, {}, options), ConfigError);
  options = {};
  options.scale = Index{1} << 40;
  CHECK_THROWS_AS(plot::image_grid(two, 2, {}, options), ConfigError);
  options = {};
  options.text_size = std::nan("");
  CHECK_THROWS_AS(plot::image_grid(two, 2, {}, options), ConfigError);
  CHECK_THROWS_AS(plot::image_grid({Image(4, 4), Image()}, 2), ShapeError);
  CHECK_THROWS_AS(plot::image_grid(std::vector<Image>(400, Image(1, 1)), 400), ShapeError);  // 41,600 pixels wide
}

TEST_CASE("colour maps rise in brightness from end to end") {
  CHECK(plot::color_of(0, plot::ColorMap::viridis) == Color{0x44, 0x01, 0x54});
  CHECK(plot::color_of(1, plot::ColorMap::viridis) == Color{0xfd, 0xe7, 0x25});
  CHECK(plot::color_of(0, plot::ColorMap::magma) == Color{0x00, 0x00, 0x04});
  CHECK(plot::color_of(7, plot::ColorMap::magma) == Color{0xfc, 0xfd, 0xbf});
  CHECK(plot::color_of(-3, plot::ColorMap::grays) == plot::black);
  for (const auto map : {plot::ColorMap::viridis, plot::ColorMap::magma, plot::ColorMap::grays}) {
    double before = -1;
    for (int k = 0; k <= 100; ++k) {
      const Color c = plot::color_of(k / 100.0, map);
      const double luma = 0.2126 * c.r + 0.7152 * c.g + 0.0722 * c.b;
      CHECK(luma > before - 0.6);  // a step of rounding
      before = luma;
    }
    CHECK(before > 200);
  }
}

TEST_CASE("a heat map shows each value in its colour") {
  const Tensor<float, 2> values({2, 3}, {0.0f, 0.5f, 1.0f, 0.25f, std::nanf(""), 0.75f});
  plot::HeatMapOptions options;
  options.title = "a title";
  options.scale = 20;
  options.row_names = {"top", "bottom"};
  options.column_names = {"a", "b", "a long name"};
  options.x_label = "key";
  options.y_label = "query";
  const Image image = plot::heat_map(values, options);
  for (const float v : values) {
    Image cell(20, 20);
    const Color color = plot::color_of(static_cast<double>(v), plot::ColorMap::viridis);
    for (Index k = 0; k < 400; ++k)
      cell(k % 20, k / 20, 0) = color.r, cell(k % 20, k / 20, 1) = color.g, cell(k % 20, k / 20, 2) = color.b;
    CHECK_MESSAGE(places(image, cell) == 1, v);
  }
  CHECK(border_is(image, plot::white));
  options.title = "a title that is far wider than this small map";
  CHECK(border_is(plot::heat_map(values, options), plot::white));
  CHECK_NOTHROW(plot::heat_map(Tensor<float, 2>(Shape<2>{3, 3}, 2.0f)));  // all values alike
  CHECK_NOTHROW(plot::heat_map(Tensor<float, 2>(Shape<2>{1, 1}, std::nanf(""))));
  CHECK_THROWS_AS(plot::heat_map(Tensor<float, 2>(Shape<2>{0, 3})), ShapeError);
  options.row_names.pop_back();
  CHECK_THROWS_AS(plot::heat_map(values, options), ConfigError);
}

TEST_CASE("an overlay lights the picture where the map is high") {
  const Image picture = random_picture(16, 16, 3, 5);
  const Tensor<float, 2> map({2, 2}, {0.0f, 1.0f, 2.0f, 4.0f});
  plot::OverlayOptions options;
  options.strength = 0;
  CHECK(plot::heat_overlay(picture, map, options) == picture);
  options.strength = 1;
  const Image all = plot::heat_overlay(picture, map, options);
  CHECK(plot::pixel(all, 0, 0) == plot::color_of(0, plot::ColorMap::magma));
  CHECK(plot::pixel(all, 15, 0) == plot::color_of(0.25, plot::ColorMap::magma));
  CHECK(plot::pixel(all, 0, 15) == plot::color_of(0.5, plot::ColorMap::magma));
  CHECK(plot::pixel(all, 15, 15) == plot::color_of(1, plot::ColorMap::magma));
  // Half-way between the centres of the four cells is their mean. Pixels 7 and 8 are 1/16 of a cell on either side.
  const double u = 0.5 - 1.0 / 16, mean = (1 - u) * ((1 - u) * 0 + u * 1) + u * ((1 - u) * 2 + u * 4);
  CHECK(plot::pixel(all, 7, 7) == plot::color_of(mean / 4, plot::ColorMap::magma));
  CHECK_THROWS_AS(plot::heat_overlay(picture, Tensor<float, 2>(Shape<2>{0, 2})), ShapeError);
  options.strength = std::nan("");
  CHECK_THROWS_AS(plot::heat_overlay(picture, map, options), ConfigError);
}

TEST_CASE("ticks are round numbers inside the range") {
  CHECK(plot::linear_ticks(0, 1, 5).labels == std::vector<std::string>{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"});
  CHECK(plot::linear_ticks(-3, 7.5, 4).labels == std::vector<std::string>{"0", "5"});
  CHECK(plot::linear_ticks(0, 3000, 6).labels ==
        std::vector<std::string>{"0", "500", "1000", "1500", "2000", "2500", "3000"});
  CHECK(plot::linear_ticks(0, 4e6, 4).labels == std::vector<std::string>{"0", "1e6", "2e6", "3e6", "4e6"});
  CHECK(plot::linear_ticks(0, 2e-5, 4).labels.back() == "2.0e-5");
  CHECK(plot::log_ticks(0.001, 10).labels == std::vector<std::string>{"0.001", "0.01", "0.1", "1", "10"});
  CHECK(plot::log_ticks(1, 20).labels == std::vector<std::string>{"1", "2", "5", "10", "20"});
  for (const double low : {-1e5, -0.37, 0.0, 1e-9, 12345.0})
    for (const double length : {1e-6, 0.3, 7.0, 1e9})
      for (const Index count : {2, 5, 9}) {
        const plot::Ticks ticks = plot::linear_ticks(low, low + length, count);
        CHECK(static_cast<Index>(ticks.values.size()) <= 2 * count + 2);
        for (const double v : ticks.values) {
          CHECK(v >= low - 1e-6 * length);
          CHECK(v <= low + length + 1e-6 * length);
        }
        const std::set<std::string> labels(ticks.labels.begin(), ticks.labels.end());
        if (length >= 1e-4 * std::abs(low)) CHECK(labels.size() == ticks.labels.size());
      }
  CHECK(plot::linear_ticks(1, 1, 5).values.empty());
}

// Rows of the plot in which a column shows the colour.
std::vector<Index> rows_of(const Image& image, Index x, const Color& color) {
  std::vector<Index> rows;
  for (Index y = 0; y < image.height; ++y)
    if (plot::pixel(image, x, y) == color) rows.push_back(y);
  return rows;
}

TEST_CASE("a curve goes through its points") {
  plot::LinePlotOptions options;
  options.legend = false;
  options.y_low = 0, options.y_high = 10;
  const Color red{255, 0, 0}, blue{0, 0, 255};
  plot::Series rising{"rising", {0, 1}, {0, 10}, red, 3}, level{"level", {0, 1}, {5, 5}, blue, 3};
  const Image image = plot::line_plot({level, rising}, options);
  CHECK(border_is(image, plot::white));
  Index crossing = -1, most_left = image.width, most_right = 0;
  for (Index x = 0; x < image.width; ++x) {
    const auto up = rows_of(image, x, red), flat = rows_of(image, x, blue);
    if (!up.empty()) most_left = std::min(most_left, x), most_right = std::max(most_right, x);
    if (!up.empty() && flat.empty()) crossing = x;  // the curve drawn later covers the other one
  }
  REQUIRE(most_right - most_left > 500);
  CHECK(std::abs(static_cast<double>(crossing) - 0.5 * static_cast<double>(most_left + most_right)) < 4);
  const auto low = rows_of(image, most_left + 10, red), high = rows_of(image, most_right - 10, red);
  REQUIRE_FALSE(low.empty());
  REQUIRE_FALSE(high.empty());
  CHECK(low.front() > high.front() + 250);

  // On two logarithmic axes a power law is straight: the middle of the curve is at the geometric means.
  options = {};
  options.legend = false;
  options.log_x = options.log_y = true;
  plot::Series power{"power", {}, {}, red, 3};
  for (int k = 0; k <= 60; ++k) power.x.push_back(std::pow(10, k / 20.0)), power.y.push_back(std::pow(10, -k / 10.0));
  power.y[7] = -1, power.y[8] = std::nan("");  // not to be shown, and no reason to fail
  const Image straight = plot::line_plot({power}, options);
  most_left = straight.width, most_right = 0;
  for (Index x = 0; x < straight.width; ++x)
    if (!rows_of(straight, x, red).empty()) most_left = std::min(most_left, x), most_right = std::max(most_right, x);
  const double first = static_cast<double>(rows_of(straight, most_left, red).front());
  const double last = static_cast<double>(rows_of(straight, most_right, red).front());
  const double middle = static_cast<double>(rows_of(straight, (most_left + most_right) / 2, red).front());
  CHECK(std::abs(middle - 0.5 * (first + last)) < 4);
}

TEST_CASE("a gap in the values is a gap in the curve, and what lies outside is cut off at the frame") {
  plot::LinePlotOptions options;
  options.legend = false;
  const Color red{255, 0, 0};
  plot::Series s = plot::series("s", std::vector<double>(100, 1.0));
  s.color = red;
  for (std::size_t k = 40; k < 60; ++k) s.y[k] = std::numeric_limits<double>::quiet_NaN();
  const Image gap = plot::line_plot({s}, options);
  Index changes = 0;
  bool was = false;
  for (Index x = 0; x < gap.width; ++x) {
    const bool is = !rows_of(gap, x, red).empty();
    changes += is != was, was = is;
  }
  CHECK(changes == 4);

  s.y.assign(100, 0);
  s.y[50] = 1e300, s.y[51] = -1e300;
  options.y_low = -1, options.y_high = 1;
  const Image outside = plot::line_plot({s}, options);
  CHECK(border_is(outside, plot::white));
  for (Index x = 0; x < outside.width; ++x) {
    CHECK(plot::pixel(outside, x, 14) != red);
    CHECK(plot::pixel(outside, x, outside.height - 24) != red);
  }
}

TEST_CASE("every curve is named in the legend, where it covers the fewest points") {
  plot::LinePlotOptions options;
  options.title = "loss", options.x_label = "step", options.y_label = "mean squared error";
  std::vector<double> falling, rising;
  for (int k = 0; k < 300; ++k) falling.push_back(std::exp(-k / 60.0)), rising.push_back(1 - std::exp(-k / 3.0));
  const Color red{255, 0, 0};
  const auto middle_of = [&](const std::vector<double>& y) {
    plot::Series s = plot::series("curve", y);
    s.color = red;
    const Image with = plot::line_plot({s}, options);
    options.legend = false;
    const Image without = plot::line_plot({s}, options);
    options.legend = true;
    CHECK(border_is(with, plot::white));
    double rows = 0, count = 0;
    for (Index y_at = 0; y_at < with.height; ++y_at)
      for (Index x = 0; x < with.width; ++x)
        if (plot::pixel(with, x, y_at) != plot::pixel(without, x, y_at)) rows += static_cast<double>(y_at), count += 1;
    REQUIRE(count > 100);
    CHECK(pixels_of(with, red) > pixels_of(without, red));  // the sample of the pen, and nothing covered
    return rows / count / static_cast<double>(with.height);
  };
  CHECK(middle_of(falling) < 0.4);
  CHECK(middle_of(rising) > 0.6);
}

TEST_CASE("odd data is drawn, impossible settings are refused") {
  plot::LinePlotOptions options;
  CHECK_NOTHROW(plot::line_plot({}, options));
  CHECK_NOTHROW(plot::line_plot({plot::series("nothing", {})}, options));
  CHECK_NOTHROW(plot::line_plot({plot::series("one", {3})}, options));
  CHECK_NOTHROW(plot::line_plot({plot::series("alike", {0, 0, 0})}, options));
  CHECK_NOTHROW(plot::line_plot({plot::series("far", {1e300, -1e300})}, options));
  CHECK_NOTHROW(plot::line_plot({plot::series("no number", {std::nan(""), INFINITY})}, options));
  options.log_y = true;
  CHECK_NOTHROW(plot::line_plot({plot::series("none positive", {0, -1})}, options));
  CHECK_NOTHROW(plot::line_plot({plot::series("a constant", {2, 2})}, options));
  options.y_low = -1;
  CHECK_THROWS_AS(plot::line_plot({plot::series("s", {1, 2})}, options), ConfigError);
  options = {};
  options.y_low = 2, options.y_high = 1;
  CHECK_THROWS_AS(plot::line_plot({plot::series("s", {1, 2})}, options), ConfigError);
  options = {};
  options.width = 3;
  CHECK_THROWS_AS(plot::line_plot({}, options), ConfigError);
  options.width = 1 << 20;
  CHECK_THROWS_AS(plot::line_plot({}, options), ShapeError);
  plot::Series uneven;
  uneven.x = {1, 2};
  CHECK_THROWS_AS(plot::line_plot({uneven}, plot::LinePlotOptions{}), ShapeError);
}

TEST_CASE("a plot survives the way to a PNG file and back") {
  const inkling_test::TempDir folder;
  const Image image = plot::line_plot({plot::series("s", {1, 3, 2})});
  write_png(folder / "plot.png", image);
  CHECK(read_image(folder / "plot.png") == image);
}

}  // namespace
