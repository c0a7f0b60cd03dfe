// Points in a space, as codes, features or places on a map: where they lie, and whether like lies beside like.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "inkling/core/tensor.hpp"

namespace inkling {

struct Spread {
  double mean = 0, deviation = 0;
};
// Of coordinate `axis` of points[N, D].
inline Spread spread(const Tensor<float, 2>& points, Index axis) {
  const Index N = points.shape(0);
  if (N < 1 || axis < 0 || axis >= points.shape(1))
    throw ShapeError("spread", "points with a coordinate " + std::to_string(axis), to_string(points.shape()));
  double sum = 0, squares = 0;
  for (Index n = 0; n < N; ++n) sum += static_cast<double>(points(n, axis));
  const double mean = sum / static_cast<double>(N);
  for (Index n = 0; n < N; ++n) squares += std::pow(static_cast<double>(points(n, axis)) - mean, 2);
  return {mean, std::sqrt(squares / static_cast<double>(N))};
}
// Mean square distance of the elements of points[N, D] from the mean of their coordinate: the error of someone who knows
// no more than the mean of all points.
inline double mean_variance(const Tensor<float, 2>& points) {
  double sum = 0;
  for (Index d = 0; d < points.shape(1); ++d) sum += std::pow(spread(points, d).deviation, 2);
  return points.shape(1) ? sum / static_cast<double>(points.shape(1)) : 0;
}

// Of points[N, D], N of at least 2: the share whose nearest other point has the same label. Labels: anything with
// labels(n) that compares, as a tensor of numbers.
template <class Labels>
double neighbours_agree(const Tensor<float, 2>& points, const Labels& labels) {
  const auto [N, D] = points.shape();
  if (N < 2) throw ShapeError("neighbours_agree", "at least two points", to_string(points.shape()));
  Index agree = 0;
  for (Index a = 0; a < N; ++a) {
    Index best = -1;
    float least = std::numeric_limits<float>::infinity();
    for (Index b = 0; b < N; ++b) {
      if (a == b) continue;
      float square = 0;
      for (Index d = 0; d < D; ++d) square += (points(a, d) - points(b, d)) * (points(a, d) - points(b, d));
      if (best < 0 || square < least) least = square, best = b;
    }
    agree += labels(a) == labels(best);
  }
  return static_cast<double>(agree) / static_cast<double>(N);
}

// The mean cosine between any two of steps[N, D]: 1 where all go the same way, about 0 where each goes its own.
inline double mean_pair_cosine(const Tensor<float, 2>& steps) {
  const Index N = steps.shape(0), D = steps.shape(1);
  if (N < 2) throw ShapeError("mean_pair_cosine", "at least two steps", to_string(steps.shape()));
  const auto dot = [&](Index a, Index b) {
    double sum = 0;
    for (Index d = 0; d < D; ++d) sum += static_cast<double>(steps(a, d)) * static_cast<double>(steps(b, d));
    return sum;
  };
  double sum = 0;
  for (Index a = 0; a < N; ++a)
    for (Index b = 0; b < a; ++b) {
      const double squares = dot(a, a) * dot(b, b);
      sum += squares > 0 ? dot(a, b) / std::sqrt(squares) : 0;
    }
  return sum / static_cast<double>(N * (N - 1) / 2);
}

// From a[D] to b[D] in a straight line, both ends among the `count` points -> [count, D]
inline Tensor<float, 2> straight_line(std::span<const float> a, std::span<const float> b, Index count) {
  if (a.size() != b.size() || count < 2)
    throw ShapeError("straight_line", "two points of one space and at least 2 steps",
                     std::to_string(a.size()) + " and " + std::to_string(b.size()) + " numbers, " +
                         std::to_string(count) + " steps");
  Tensor<float, 2> line({count, static_cast<Index>(a.size())}, uninitialized);
  for (Index k = 0; k < count; ++k)
    for (std::size_t i = 0; i < a.size(); ++i)
      line(k, static_cast<Index>(i)) = a[i] + static_cast<float>(k) / static_cast<float>(count - 1) * (b[i] - a[i]);
  return line;
}
// side x side places that cover where points[N, 2] lie, from the share `margin` of them to that of 1 - margin along each
// axis. Row by row from the top, where the second coordinate is largest, as on a map -> [side side, 2]
inline Tensor<float, 2> places_on_map(const Tensor<float, 2>& points, Index side, double margin = 0.03) {
  require_shape(points.shape(), Shape<2>{points.shape(0), 2}, "places_on_map");
  if (points.shape(0) < 1 || side < 2 || !(margin >= 0 && margin < 0.5))
    throw ConfigError("places_on_map", "points, at least 2 places a side, a margin of 0 to 0.5",
                      std::to_string(points.shape(0)) + " points, " + std::to_string(side) + ", " +
                          std::to_string(margin));
  Tensor<float, 2> places({side * side, 2}, uninitialized);
  for (Index axis = 0; axis < 2; ++axis) {
    std::vector<float> sorted;
    for (Index n = 0; n < points.shape(0); ++n) sorted.push_back(points(n, axis));
    std::sort(sorted.begin(), sorted.end());
    const auto at = [&](double share) {
      return sorted[std::min(static_cast<std::size_t>(share * static_cast<double>(sorted.size())), sorted.size() - 1)];
    };
    const float low = at(margin), high = at(1 - margin);
    for (Index i = 0; i < side; ++i)
      for (Index j = 0; j < side; ++j)
        places(i * side + j, axis) =
            low + (high - low) * static_cast<float>(axis == 0 ? j : side - 1 - i) / static_cast<float>(side - 1);
  }
  return places;
}

}  // namespace inkling
