// Principal components, t-SNE, and the map of words drawn from them.
#include <doctest/doctest.h>

#include "inkling/core/random.hpp"
#include "inkling/plot/word_map.hpp"
#include "inkling/train/tsne.hpp"
#include "support.hpp"

using namespace inkling;

namespace {

// Three clouds of `each` points in D dimensions, far from each other.
Tensor<float, 2> clouds(Index each, Index D) {
  Tensor<float, 2> x = Generator(3).randn<float>(Shape<2>{3 * each, D});
  for (Index n = 0; n < 3 * each; ++n) x(n, n / each) += 12;
  return x;
}

}  // namespace

TEST_CASE("principal components: a stretched cloud gives back its axes") {
  // x = mean + 5 a u + 2 b v + noise of 0.1, u and v at right angles
  constexpr Index N = 4000;
  const std::array<double, 4> u{0.5, 0.5, 0.5, 0.5}, v{0.5, -0.5, 0.5, -0.5};
  Generator random(1);
  Tensor<float, 2> x({N, 4});
  for (Index n = 0; n < N; ++n) {
    const double a = 5 * random.normal(), b = 2 * random.normal();
    for (std::size_t i = 0; i < 4; ++i)
      x(n, static_cast<Index>(i)) = static_cast<float>(10 + a * u[i] + b * v[i] + 0.1 * random.normal());
  }
  const Pca pca = principal_components(x, 3);
  for (std::size_t i = 0; i < 4; ++i) {
    // The axes are known to about (2/5) / sqrt(N) = 0.006.
    const Index k = static_cast<Index>(i);
    CHECK(std::abs(std::abs(static_cast<double>(pca.directions(0, k))) - 0.5) < 0.03);
    CHECK(static_cast<double>(pca.directions(0, k)) * static_cast<double>(pca.directions(0, 0)) > 0);
    CHECK(static_cast<double>(pca.directions(1, k) * pca.directions(1, 0)) * v[i] * v[0] > 0);
  }
  CHECK(pca.shares[0] == doctest::Approx(25 / 29.04).epsilon(0.02));
  CHECK(pca.shares[1] == doctest::Approx(4 / 29.04).epsilon(0.1));
  CHECK(pca.shares[2] < 1e-3);
  const Tensor<float, 2> y = pca.project(x);
  double sum = 0, squares = 0;
  for (Index n = 0; n < N; ++n)
    sum += static_cast<double>(y(n, 0)), squares += std::pow(static_cast<double>(y(n, 0)), 2);
  CHECK(std::abs(sum / N) < 1e-4);
  CHECK(std::sqrt(squares / N) == doctest::Approx(5).epsilon(0.05));
  CHECK_THROWS_AS(principal_components(x, 5), ShapeError);
  CHECK_THROWS_AS(principal_components(Tensor<float, 2>({1, 3}), 1), ShapeError);
  CHECK_THROWS_AS(pca.project(Tensor<float, 2>({2, 3})), ShapeError);
}

TEST_CASE("t-SNE: every point has as many neighbours as the perplexity says") {
  const Tensor<float, 2> x = clouds(20, 5);
  const Index N = x.shape(0);
  const auto d = detail::squared_distances(x);
  std::vector<double> p(static_cast<std::size_t>(N));
  for (const double perplexity : {2.0, 10.0, 40.0})
    for (const Index i : {Index{0}, Index{33}}) {
      detail::conditional_probabilities(d.data() + i * N, N, i, perplexity, p.data());
      double sum = 0, entropy = 0;
      for (const double v : p) sum += v, entropy -= v > 0 ? v * std::log2(v) : 0;
      CHECK(sum == doctest::Approx(1));
      CHECK(p[static_cast<std::size_t>(i)] == 0);
      CHECK(std::exp2(entropy) == doctest::Approx(perplexity).epsilon(1e-6));
    }
}

TEST_CASE("t-SNE: neighbourhood is mutual, and of all pairs sums to 1") {
  const Tensor<float, 2> x = clouds(20, 5);
  const Index N = x.shape(0);
  const auto p = detail::joint_probabilities(x, 10);
  double sum = 0;
  for (Index i = 0; i < N; ++i) {
    double row = 0;
    for (Index j = 0; j < N; ++j) {
      CHECK(p[static_cast<std::size_t>(i * N + j)] == p[static_cast<std::size_t>(j * N + i)]);
      row += p[static_cast<std::size_t>(i * N + j)];
    }
    CHECK(row >= 0.5 / static_cast<double>(N));  // so that no point goes unheard: section 3.1
    sum += row;
  }
  CHECK(sum == doctest::Approx(1));
}

TEST_CASE("t-SNE: the gradient against measured slopes") {
  const auto p = detail::joint_probabilities(clouds(4, 3), 3);
  Generator random(2);
  std::vector<double> y(24), gradient, other;
  for (double& v : y) v = random.normal();
  detail::tsne_gradient(p, 1, y, gradient);
  double worst = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double at = y[i], d = 1e-5;
    y[i] = at + d;
    const double up = detail::tsne_gradient(p, 1, y, other);
    y[i] = at - d;
    const double slope = (up - detail::tsne_gradient(p, 1, y, other)) / (2 * d);
    y[i] = at;
    worst = std::max(worst, std::abs(slope - gradient[i]));
  }
  MESSAGE("worst difference " << worst);  // d^2 + rounding / d: 1e-10
  CHECK(worst < 1e-8);
}

TEST_CASE("t-SNE: clouds stay apart, whatever the number of threads") {
  const Tensor<float, 2> x = clouds(40, 8);
  TsneOptions options;
  options.perplexity = 10, options.iterations = 500;
  const TsneMap map = tsne(x, options);
  for (Index a = 0; a < x.shape(0); ++a) {
    Index nearest = -1;
    double least = 1e30;
    for (Index b = 0; b < x.shape(0); ++b) {
      const double away = std::hypot(map.y(a, 0) - map.y(b, 0), map.y(a, 1) - map.y(b, 1));
      if (a != b && away < least) least = away, nearest = b;
    }
    CHECK(nearest / 40 == a / 40);
  }
  CHECK(map.divergence > 0);
  CHECK(map.divergence < 1);
  const int before = num_threads();
  set_num_threads(before == 1 ? 2 : 1);
  const TsneMap same = tsne(x, options);
  set_num_threads(before);
  CHECK(std::equal(map.y.begin(), map.y.end(), same.y.begin()));

  options.perplexity = 500;
  CHECK_THROWS_AS(tsne(x, options), ConfigError);
  CHECK_THROWS_AS(tsne(Tensor<float, 2>({2, 3})), ShapeError);
  Tensor<float, 2> nan = x;
  nan(1, 1) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(tsne(nan), ConfigError);
}

TEST_CASE("word map: names stand clear of each other, also where points are crowded") {
  plot::NamedPoints group;
  group.name = "words";
  std::vector<plot::Point> points;
  std::vector<plot::detail::Box> sizes;
  for (int i = 0; i < 30; ++i) {
    points.push_back({300.0 + 9 * (i % 6), 300.0 + 9 * (i / 6)});
    sizes.push_back({0, 0, 40, 12});
  }
  const auto boxes = plot::detail::place_labels(points, sizes, {0, 0, 600, 600}, 6);
  double overlap = 0;
  for (std::size_t i = 0; i < boxes.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) overlap += boxes[i].overlap(boxes[j]);
  MESSAGE("names over names: " << overlap << " of " << 30 * 40 * 12 << " square pixels");
  CHECK(overlap < 0.05 * 30 * 40 * 12);  // at their first places it is more than half of them
  group.x = {0, 1, 2}, group.y = {0, 1, 0}, group.labels = {"one", "two", "three"};
  const Image image = plot::word_map({group});
  CHECK(image.width == 900);
  CHECK(image.height == 760);
  Index inked = 0;
  for (const std::uint8_t v : image.pixels) inked += v < 128;
  CHECK(inked > 300);
  CHECK(plot::word_map({}).width == 900);
  group.labels.pop_back();
  CHECK_THROWS_AS(plot::word_map({group}), ShapeError);
  group.labels.push_back("x"), group.x[0] = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(plot::word_map({group}), ConfigError);
}
