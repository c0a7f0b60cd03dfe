// What the examples draw: grids that grow by rows, curves of losses and of shares, scatter plots, attention, similarity.
#include <doctest/doctest.h>

#include "inkling/plot/attention_map.hpp"
#include "inkling/plot/image_grid.hpp"
#include "inkling/plot/masks.hpp"
#include "inkling/plot/scatter.hpp"
#include "inkling/plot/similarity.hpp"
#include "inkling/plot/word_map.hpp"

using namespace inkling;

namespace {

Image filled(Index side, std::uint8_t value) {
  Image image(side, side);
  std::fill(image.pixels.begin(), image.pixels.end(), value);
  return image;
}

}  // namespace

TEST_CASE("pictures of a batch: those asked for, in order") {
  Tensor<float, 4> x({3, 1, 2, 2});
  for (Index n = 0; n < 3; ++n)
    for (Index i = 0; i < 4; ++i) x.data()[4 * n + i] = static_cast<float>(n) * 0.5f;
  const std::vector<Image> all = tensor_to_images(x, PixelRange::zero_to_one);
  REQUIRE(all.size() == 3);
  CHECK(all[0].pixels[0] == 0);
  CHECK(all[1].pixels[0] == 128);
  CHECK(all[2].pixels[0] == 255);
  CHECK(tensor_to_images(x, PixelRange::zero_to_one, 1, 1) == std::vector<Image>{all[1]});
  CHECK(tensor_to_images(x, PixelRange::zero_to_one, 2).size() == 1);
  CHECK(tensor_to_images(x, PixelRange::zero_to_one, 3).empty());
  CHECK_THROWS_AS(tensor_to_images(x, PixelRange::zero_to_one, 2, 2), ShapeError);
  CHECK_THROWS_AS(tensor_to_images(x, PixelRange::zero_to_one, -1, 1), ShapeError);
  CHECK_THROWS_AS(tensor_to_images(x, PixelRange::zero_to_one, 4), ShapeError);
}

TEST_CASE("image rows: the same picture as a grid with all its headings") {
  const Image a = filled(8, 10), b = filled(8, 90), c = filled(8, 200), d = filled(8, 250);
  plot::GridOptions look;
  look.column_headings = {"left", "right"}, look.title = "rows";
  plot::ImageRows rows{look};
  rows.add("first", {a, b}), rows.add("second", {c, d});
  look.row_headings = {"first", "second"};
  const std::vector<std::string> captions{"1", "2", "3", "4"};
  CHECK(rows.grid(captions) == plot::image_grid({a, b, c, d}, 2, captions, look));
  CHECK_THROWS_AS(rows.add("third", {a}), ConfigError);
  CHECK_THROWS_AS(plot::ImageRows().add("nothing", {}), ConfigError);
  CHECK_THROWS_AS(plot::ImageRows().grid(), ConfigError);
}

TEST_CASE("series: points one by one, means of every few steps, shares up to each value") {
  plot::Series s;
  s.add(Index{3}, 0.5f), s.add(4.5, 2);
  CHECK(s.x == std::vector<double>{3, 4.5});
  CHECK(s.y == std::vector<double>{0.5, 2});

  const std::vector<float> losses{4, 2, 1, 3, 9};
  const plot::Series mean = plot::smoothed("loss", losses, 2);
  CHECK(mean.name == "loss");
  CHECK(mean.x == std::vector<double>{2, 4});
  CHECK(mean.y == std::vector<double>{3, 2});
  CHECK(plot::smoothed("loss", losses, 6).x.empty());
  CHECK_THROWS_AS(plot::smoothed("loss", losses, 0), ConfigError);

  const plot::Series shares = plot::cumulative("distances", {6, 2, 4, 8}, 2);
  CHECK(shares.x == std::vector<double>{1, 2, 3, 4});
  CHECK(shares.y == std::vector<double>{25, 50, 75, 100});
  CHECK_THROWS_AS(plot::cumulative("distances", {1}, 0), ConfigError);
}

TEST_CASE("scatter: each kind in its own colour, at its place") {
  const Tensor<float, 2> points({4, 2}, {0, 0, 0, 0, 1, 1, 1, 1});
  const Tensor<std::uint8_t, 1> labels({4}, {0, 0, 2, 2});
  plot::LinePlotOptions look;
  look.legend = false, look.x_low = look.y_low = -1, look.x_high = look.y_high = 2;
  const Image image = plot::scatter(points, labels, {"a", "b", "c"}, look);
  std::array<Index, 3> pixels{};
  std::array<Index, 3> at{};
  for (Index y = 0; y < image.height; ++y)
    for (Index x = 0; x < image.width; ++x)
      for (std::size_t k = 0; k < 3; ++k) {
        const plot::Color c = plot::category_colors[k];
        if (image(x, y, 0) == c.r && image(x, y, 1) == c.g && image(x, y, 2) == c.b) ++pixels[k], at[k] = y;
      }
  CHECK(pixels[0] > 0);
  CHECK(pixels[1] == 0);
  CHECK(pixels[2] > 0);
  CHECK(at[2] < at[0]);  // the larger second number lies above
  CHECK_THROWS_AS(plot::scatter(points, labels, {"a", "b"}, look), ConfigError);
  CHECK_THROWS_AS(plot::scatter(points, Tensor<std::uint8_t, 1>({3}), {"a"}, look), ShapeError);
}

TEST_CASE("channel images: every channel as map_image draws it") {
  const Tensor<float, 3> values({2, 1, 2}, {0, 1, 2, 4});
  const std::vector<Image> images = plot::channel_images(values, plot::ColorMap::viridis, 0, 4);
  REQUIRE(images.size() == 2);
  for (Index c = 0; c < 2; ++c)
    CHECK(images[static_cast<std::size_t>(c)] == plot::map_image(values, c, plot::ColorMap::viridis, 0, 4));
  CHECK_FALSE(images[0] == images[1]);
}

TEST_CASE("attention map: one head of one sentence, as a heat map from 0 to 1") {
  Tensor<float, 4> p({2, 2, 3, 3});
  for (Index i = 0; i < p.size(); ++i) p.data()[i] = static_cast<float>(i) / 36.0f;
  const std::vector<std::string> words{"not", "good"};
  plot::HeatMapOptions look;
  look.title = "head 2: rows ask, columns answer", look.low = 0, look.high = 1, look.scale = 26;
  look.row_names = look.column_names = words;
  Tensor<float, 2> part({2, 2}, {p(1, 1, 0, 0), p(1, 1, 0, 1), p(1, 1, 1, 0), p(1, 1, 1, 1)});
  CHECK(plot::attention_map(p, 1, 1, words) == plot::heat_map(part, look));
  CHECK_THROWS_AS(plot::attention_map(p, 2, 0, words), ShapeError);
  CHECK_THROWS_AS(plot::attention_map(p, 0, 2, words), ShapeError);
  CHECK_THROWS_AS(plot::attention_map(p, 0, 0, {}), ShapeError);
  CHECK_THROWS_AS(plot::attention_map(p, 0, 0, {"a", "b", "c", "d"}), ShapeError);
}

TEST_CASE("similarity map: with pictures one scale for all, with names that of the values") {
  const Tensor<float, 2> s({1, 2}, {0.2f, 0.4f});
  plot::HeatMapOptions look;
  look.title = "t", look.row_names = {"row"}, look.low = -1, look.high = 1;
  look.column_pictures = {filled(4, 9), filled(4, 99)};
  CHECK(plot::similarity_map("t", s, {"row"}, look.column_pictures) == plot::heat_map(s, look));
  plot::HeatMapOptions named;
  named.title = "t", named.row_names = {"row"}, named.column_names = {"x", "y"}, named.x_label = "in", named.scale = 26;
  CHECK(plot::similarity_map("t", s, {"row"}, {"x", "y"}, "in") == plot::heat_map(s, named));
}

TEST_CASE("named points: each group gets its points in order") {
  const std::vector<plot::WordGroup> groups{{"pets", {"dog", "cat"}}, {"rest", {"wolf"}}};
  const Tensor<float, 2> points({4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  const std::vector<plot::NamedPoints> all = plot::named_points(points, groups);
  REQUIRE(all.size() == 2);
  CHECK(all[0].labels == groups[0].words);
  CHECK(all[0].x == std::vector<double>{1, 3});
  CHECK(all[0].y == std::vector<double>{2, 4});
  CHECK(all[1].name == "rest");
  CHECK(all[1].x == std::vector<double>{5});
  CHECK_THROWS_AS(plot::named_points(Tensor<float, 2>({2, 2}), groups), ShapeError);
  CHECK_THROWS_AS(plot::named_points(Tensor<float, 2>({3, 1}), groups), ShapeError);
}
