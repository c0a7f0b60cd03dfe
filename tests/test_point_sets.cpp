// Points, their spread and their neighbours; places on a map and on a line.
#include <doctest/doctest.h>

#include "inkling/train/point_sets.hpp"

using namespace inkling;

TEST_CASE("point sets: mean and deviation of each coordinate, and the error of the mean") {
  const Tensor<float, 2> points({4, 2}, {1, 0, 3, 0, 1, 10, 3, 10});
  CHECK(spread(points, 0).mean == 2);
  CHECK(spread(points, 0).deviation == 1);
  CHECK(spread(points, 1).mean == 5);
  CHECK(spread(points, 1).deviation == 5);
  CHECK(mean_variance(points) == doctest::Approx((1.0 + 25.0) / 2).epsilon(1e-12));
  CHECK_THROWS_AS(spread(points, 2), ShapeError);
  CHECK_THROWS_AS(spread(Tensor<float, 2>({0, 2}), 0), ShapeError);
}

TEST_CASE("point sets: the share whose nearest other point is of the same kind") {
  const Tensor<float, 2> points({5, 1}, {0, 1, 10, 11, 12.5});
  const Tensor<std::uint8_t, 1> kinds({5}, {1, 1, 2, 2, 1});  // the last stands beside another kind
  CHECK(neighbours_agree(points, kinds) == doctest::Approx(0.8));
  CHECK(neighbours_agree(points, [](Index) { return 0; }) == 1);
  CHECK_THROWS_AS(neighbours_agree(Tensor<float, 2>({1, 2}), kinds), ShapeError);
}

TEST_CASE("point sets: steps that go the same way, and steps that do not") {
  CHECK(mean_pair_cosine(Tensor<float, 2>({3, 2}, {1, 1, 2, 2, 5, 5})) == doctest::Approx(1).epsilon(1e-12));
  // (1, 0), (0, 1), (-1, 0): cosines 0, -1, 0
  CHECK(mean_pair_cosine(Tensor<float, 2>({3, 2}, {1, 0, 0, 1, -1, 0})) == doctest::Approx(-1.0 / 3).epsilon(1e-12));
  CHECK(mean_pair_cosine(Tensor<float, 2>({2, 2}, {0, 0, 1, 1})) == 0);  // no step, no way
  CHECK_THROWS_AS(mean_pair_cosine(Tensor<float, 2>({1, 2})), ShapeError);
}

TEST_CASE("point sets: a straight line with both its ends") {
  const std::vector<float> a{0, 4}, b{8, 0};
  const Tensor<float, 2> line = straight_line(a, b, 5);
  CHECK(line.shape() == Shape<2>{5, 2});
  for (Index k = 0; k < 5; ++k) {
    CHECK(line(k, 0) == static_cast<float>(2 * k));
    CHECK(line(k, 1) == static_cast<float>(4 - k));
  }
  CHECK_THROWS_AS(straight_line(a, std::vector<float>{1}, 5), ShapeError);
  CHECK_THROWS_AS(straight_line(a, b, 1), ShapeError);
}

TEST_CASE("point sets: places cover where points lie, rows from the top") {
  Tensor<float, 2> points({101, 2});
  for (Index n = 0; n <= 100; ++n) points(n, 0) = static_cast<float>(n), points(n, 1) = static_cast<float>(-n);
  points(100, 0) = 1e6f;  // one that lies far away does not stretch the map
  const Tensor<float, 2> places = places_on_map(points, 3, 0.1);
  const float x[] = {10, 50, 90}, y[] = {-10, -50, -90};
  for (Index i = 0; i < 3; ++i)
    for (Index j = 0; j < 3; ++j) {
      CHECK(places(i * 3 + j, 0) == doctest::Approx(x[j]).epsilon(1e-6));
      CHECK(places(i * 3 + j, 1) == doctest::Approx(y[i]).epsilon(1e-6));
    }
  CHECK_THROWS_AS(places_on_map(points, 1), ConfigError);
  CHECK_THROWS_AS(places_on_map(points, 3, 0.5), ConfigError);
  CHECK_THROWS_AS(places_on_map(Tensor<float, 2>({4, 3}), 3), ShapeError);
}
