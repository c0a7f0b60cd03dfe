// The Frechet distance against distributions of which it is known, and the nearest rows against a search by hand.
#include <doctest/doctest.h>

#include <cmath>

#include "inkling/core/random.hpp"
#include "inkling/train/frechet.hpp"
#include "inkling/train/nearest.hpp"
#include "support.hpp"

namespace {

using namespace inkling;

FeatureStatistics normal(Eigen::VectorXd mean, Eigen::MatrixXd covariance) {
  return {1000, std::move(mean), std::move(covariance)};
}
Eigen::MatrixXd random_matrix(Index rows, Index columns, std::uint64_t seed) {
  Eigen::MatrixXd m(rows, columns);
  Generator g(seed);
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < columns; ++j) m(i, j) = g.normal();
  return m;
}
Eigen::MatrixXd orthogonal(Index n, std::uint64_t seed) {  // the eigenvectors of something symmetric
  const Eigen::MatrixXd m = random_matrix(n, n, seed);
  return Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(m + m.transpose()).eigenvectors();
}

TEST_CASE("one dimension: (mu_1 - mu_2)^2 + (sigma_1 - sigma_2)^2") {
  const auto one = [](double mean, double sigma) {
    return normal(Eigen::VectorXd::Constant(1, mean), Eigen::MatrixXd::Constant(1, 1, sigma * sigma));
  };
  CHECK(frechet_distance(one(3, 2), one(-1, 5)) == doctest::Approx(16 + 9).epsilon(1e-12));
  CHECK(frechet_distance(one(0, 0), one(0, 3)) == doctest::Approx(9).epsilon(1e-12));  // all pictures the same
}

TEST_CASE("covariances with the same eigenvectors: sum (sqrt(l_i) - sqrt(m_i))^2") {
  const Index D = 12;
  const Eigen::MatrixXd u = orthogonal(D, 1);
  Eigen::VectorXd l(D), m(D), mean(D);
  double expected = 0;
  for (Index i = 0; i < D; ++i) {
    l(i) = static_cast<double>(i), m(i) = 20.0 / static_cast<double>(1 + i), mean(i) = 0.1 * static_cast<double>(i);
    expected += std::pow(std::sqrt(l(i)) - std::sqrt(m(i)), 2) + mean(i) * mean(i);
  }
  const auto a = normal(mean, u * l.asDiagonal() * u.transpose());
  const auto b = normal(Eigen::VectorXd::Zero(D), u * m.asDiagonal() * u.transpose());
  // The eigenvalues of the product S_1^{1/2} S_2 S_1^{1/2} reach 121: rounding, 1e-16 of that, is 1e-7 in the root of one
  // that is 0. The sum of 12 roots is then off by a few times as much.
  CHECK(frechet_distance(a, b) == doctest::Approx(expected).epsilon(1e-6));
  CHECK(frechet_distance(b, a) == doctest::Approx(expected).epsilon(1e-6));
  CHECK(std::abs(frechet_distance(a, a)) < 1e-5);
}

TEST_CASE("covariances that do not commute: against the root found by iteration") {
  const Index D = 8;
  const Eigen::MatrixXd p = random_matrix(D, 2 * D, 2), q = random_matrix(D, 2 * D, 3);
  const Eigen::MatrixXd a = p * p.transpose(), b = q * q.transpose();
  // Y -> (S_1 S_2)^{1/2} (Denman & Beavers 1976), which asks for no symmetry
  Eigen::MatrixXd y = a * b, z = Eigen::MatrixXd::Identity(D, D);
  for (int i = 0; i < 60; ++i) {
    const Eigen::MatrixXd next = (y + z.inverse()) / 2;
    z = (z + y.inverse()) / 2;
    y = next;
  }
  REQUIRE((y * y - a * b).norm() < 1e-8 * (a * b).norm());
  const double expected = (a + b - 2 * y).trace();
  CHECK(frechet_distance(normal(Eigen::VectorXd::Zero(D), a), normal(Eigen::VectorXd::Zero(D), b)) ==
        doctest::Approx(expected).epsilon(1e-8));
}

TEST_CASE("statistics of features, and what chance adds") {
  Tensor<float, 2> few({3, 2}, 0.0f);
  few(0, 0) = 1, few(1, 0) = 2, few(2, 0) = 6, few(2, 1) = 3;
  const FeatureStatistics s = FeatureStatistics::of(few);
  CHECK(s.mean(0) == doctest::Approx(3));
  CHECK(s.mean(1) == doctest::Approx(1));
  CHECK(s.covariance(0, 0) == doctest::Approx(7));  // (4 + 1 + 9) / 2
  CHECK(s.covariance(0, 1) == doctest::Approx(4.5));
  CHECK(s.covariance(1, 1) == doctest::Approx(3));

  const Index D = 16, n = 4000;
  const auto sample = [&](std::uint64_t seed, float shift) {
    Generator g(seed);
    Tensor<float, 2> x = g.randn<float>(Shape<2>{n, D});
    for (float& v : x) v += shift;
    return FeatureStatistics::of(x);
  };
  // The bias of two sets of n from N(0, 1): means 2 D / n apart; the roots of the covariances D (D + 1) / (4 n) for each
  // set (an entry of a covariance is off by 1/sqrt(n), that of its root by half of that, over D (D + 1) / 2 entries of
  // which those off the diagonal count twice).
  const double chance = 2.0 * D / n + 2.0 * D * (D + 1) / (4.0 * n);
  const double same = frechet_distance(sample(1, 0), sample(2, 0));
  MESSAGE("two samples of the same: " << same << ", expected by chance " << chance);
  CHECK(same > 0.5 * chance);
  CHECK(same < 2 * chance);
  CHECK(frechet_distance(sample(1, 0), sample(2, 0.5f)) == doctest::Approx(0.25 * D + chance).epsilon(0.05));

  CHECK_THROWS_AS(FeatureStatistics::of(Tensor<float, 2>({1, 4})), ConfigError);
  CHECK_THROWS_AS(frechet_distance(s, sample(1, 0)), ShapeError);
  few(0, 0) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(FeatureStatistics::of(few), Error);
}

TEST_CASE("nearest rows") {
  Generator g(5);
  const Tensor<float, 2> known = g.randn<float>(Shape<2>{203, 33});
  Tensor<float, 2> queries = g.randn<float>(Shape<2>{37, 33});
  for (Index d = 0; d < 33; ++d) queries(4, d) = known(77, d);
  const std::vector<Nearest> found = nearest_rows(queries, known);
  REQUIRE(found.size() == 37);
  for (Index m = 0; m < 37; ++m) {
    Index best = -1;
    double least = 1e30;
    for (Index n = 0; n < 203; ++n) {
      double sum = 0;
      for (Index d = 0; d < 33; ++d) sum += std::pow(double{queries(m, d)} - double{known(n, d)}, 2);
      if (sum < least) least = sum, best = n;
    }
    CHECK(found[static_cast<std::size_t>(m)].index == best);
    CHECK(found[static_cast<std::size_t>(m)].distance == doctest::Approx(std::sqrt(least / 33)));
  }
  CHECK(found[4].index == 77);
  CHECK(found[4].distance == 0);
  CHECK_THROWS_AS(nearest_rows(queries, Tensor<float, 2>({0, 33})), ShapeError);
  CHECK_THROWS_AS(nearest_rows(queries, Tensor<float, 2>({5, 32})), ShapeError);
}

}  // namespace
