// Masks and maps as pictures.
#include <doctest/doctest.h>

#include "inkling/plot/masks.hpp"

using namespace inkling;
using plot::Color;

TEST_CASE("plot: two masks compared, one colour for each way") {
  const Tensor<std::uint8_t, 2> found({1, 4}, {1, 1, 0, 0}), truth({1, 4}, {1, 0, 1, 0});
  const Image image = plot::mask_comparison(found, truth);
  CHECK(plot::pixel(image, 0, 0) == plot::white);
  CHECK(plot::pixel(image, 1, 0) == plot::only_found_color);
  CHECK(plot::pixel(image, 2, 0) == plot::only_true_color);
  CHECK(plot::pixel(image, 3, 0) == plot::black);
  CHECK_THROWS_AS(plot::mask_comparison(found, Tensor<std::uint8_t, 2>({4, 1})), ShapeError);
  const Image plain = plot::mask_image(found);
  CHECK(plain.pixels == std::vector<std::uint8_t>{255, 255, 0, 0});
}

TEST_CASE("plot: a map without frame, one pixel a value") {
  const Tensor<float, 2> values({2, 2}, {-1, 0, 1, 3});
  const Image free = plot::map_image(values);
  CHECK(plot::pixel(free, 0, 0) == plot::black);
  CHECK(plot::pixel(free, 1, 1) == plot::white);
  CHECK(plot::pixel(free, 0, 1) == Color{128, 128, 128});
  const Image clipped = plot::map_image(values, plot::ColorMap::grays, 0, 1);
  CHECK(plot::pixel(clipped, 0, 0) == plot::black);
  CHECK(plot::pixel(clipped, 0, 1) == plot::white);
  const Tensor<float, 3> planes({2, 1, 2}, {0, 1, 5, 9});
  CHECK(plot::map_image(planes, 1, plot::ColorMap::viridis, 0, 9) ==
        plot::map_image(Tensor<float, 2>({1, 2}, {5, 9}), plot::ColorMap::viridis, 0, 9));
  CHECK_THROWS_AS(plot::map_image(planes, 2), ShapeError);
  CHECK_THROWS_AS(plot::map_image(planes, -1), ShapeError);
}

TEST_CASE("plot: a part of a picture") {
  Image image(4, 3, 2);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<std::uint8_t>(i);
  const Image part = plot::cropped(image, 1, 1, 2, 2);
  CHECK(part.width == 2);
  for (Index y = 0; y < 2; ++y)
    for (Index x = 0; x < 2; ++x)
      for (Index c = 0; c < 2; ++c) CHECK(part(x, y, c) == image(x + 1, y + 1, c));
  CHECK(plot::cropped(image, 0, 0, 4, 3) == image);
  for (const auto& [x, y, w, h] : {std::tuple(0, 0, 5, 3), {1, 0, 4, 1}, {-1, 0, 1, 1}, {0, 3, 1, 1}, {0, 0, 0, 1}})
    CHECK_THROWS_AS(plot::cropped(image, x, y, w, h), ShapeError);
}
