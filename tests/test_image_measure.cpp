// Likeness and sharpness of pictures, and the windows of a photograph.
#include <doctest/doctest.h>

#include <limits>

#include "inkling/train/image_measure.hpp"
#include "inkling/train/photo_windows.hpp"

using namespace inkling;

TEST_CASE("image measures: 20 dB where every pixel is a tenth of the range off") {
  const Tensor<float, 4> original({1, 3, 4, 4}, 0.25f), off({1, 3, 4, 4}, 0.45f);
  CHECK(psnr(off, original) == doctest::Approx(20).epsilon(1e-5));  // 10 log10(2^2 / 0.2^2)
  CHECK(psnr(off, original, 0.0f, 1.0f) == doctest::Approx(10 * std::log10(1 / 0.04)).epsilon(1e-5));
  CHECK(psnr(original, original) == std::numeric_limits<double>::infinity());
  // A screen shows nothing brighter than white.
  CHECK(psnr(Tensor<float, 1>({2}, {3.0f, -7.0f}), Tensor<float, 1>({2}, {1.0f, -1.0f})) ==
        std::numeric_limits<double>::infinity());
  CHECK_THROWS_AS(psnr(off, original, 1.0f, 1.0f), ConfigError);
  CHECK_THROWS_AS(psnr(off, Tensor<float, 4>({1, 3, 4, 5})), ShapeError);
}

TEST_CASE("image measures: a flat picture has no sharpness, stripes that of their height") {
  Tensor<float, 4> x({2, 1, 5, 6}, 0.3f);
  CHECK(sharpness(x) == 0);
  for (Index n = 0; n < 2; ++n)
    for (Index h = 0; h < 5; ++h)
      for (Index w = 0; w < 6; ++w) x(n, 0, h, w) = w % 2 == 0 ? 0.0f : 0.5f;
  CHECK(sharpness(x) == doctest::Approx(0.125));  // 0.25 across, 0 down
  CHECK(sharpness(Tensor<float, 4>({1, 1, 1, 1})) == 0);
}

TEST_CASE("photo windows: the middle square, averaged") {
  Image photo(9, 4, 3);  // the middle square of 4 begins at column 2
  for (Index y = 0; y < 4; ++y)
    for (Index x = 0; x < 9; ++x)
      for (Index c = 0; c < 3; ++c) photo(x, y, c) = x >= 2 && x < 6 ? static_cast<std::uint8_t>(y < 2 ? 0 : 255) : 77;
  const Tensor<float, 4> small = small_square(photo, 2);
  REQUIRE(small.shape() == Shape<4>{1, 3, 2, 2});
  for (Index c = 0; c < 3; ++c)
    for (Index w = 0; w < 2; ++w) {
      CHECK(small(0, c, 0, w) == -1);
      CHECK(small(0, c, 1, w) == 1);
    }
  CHECK_THROWS_AS(small_square(photo, 5), ShapeError);
  CHECK_THROWS_AS(small_square(photo, 0), ShapeError);
}

TEST_CASE("photo windows: one for every place, and no other") {
  Tensor<float, 4> photo({1, 2, 3, 4}, uninitialized);
  for (Index i = 0; i < photo.size(); ++i) photo.data()[i] = static_cast<float>(i);
  const Tensor<float, 4> windows = all_windows(photo, 2);
  REQUIRE(windows.shape() == Shape<4>{6, 2, 2, 2});
  for (Index n = 0; n < 6; ++n)
    for (Index c = 0; c < 2; ++c)
      for (Index h = 0; h < 2; ++h)
        for (Index w = 0; w < 2; ++w) CHECK(windows(n, c, h, w) == photo(0, c, n / 3 + h, n % 3 + w));
  CHECK_THROWS_AS(all_windows(photo, 4), ShapeError);
  CHECK_THROWS_AS(all_windows(photo, 0), ShapeError);
}
