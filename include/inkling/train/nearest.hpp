// Is it new? The nearest of what is known already.
#pragma once
#include "inkling/core/eigen.hpp"  // first

#include <algorithm>
#include <string>
#include <vector>

#include "inkling/core/parallel.hpp"

namespace inkling {

struct Nearest {
  Index index = -1;
  double distance = 0;  // root of the mean square difference
};

// For each row of queries[M, D] the nearest row of known[N, D].
inline std::vector<Nearest> nearest_rows(const Tensor<float, 2>& queries, const Tensor<float, 2>& known) {
  const Index M = queries.shape(0), N = known.shape(0), D = known.shape(1);
  if (N == 0 || queries.shape(1) != D)
    throw ShapeError("nearest_rows", "rows of " + std::to_string(D) + " numbers to look among",
                     to_string(queries.shape()) + " among " + to_string(known.shape()));
  // |q - k|^2 = |q|^2 - 2 q k + |k|^2 finds the nearest; its distance is then measured without that rounding.
  const Eigen::VectorXf squares = known.matrix().rowwise().squaredNorm();
  std::vector<Nearest> found(static_cast<std::size_t>(M));
  parallel_for((M + 15) / 16, 1, [&](Index part) {
    const Index first = part * 16, count = std::min<Index>(16, M - first);
    const Eigen::MatrixXf products = known.matrix() * queries.matrix().middleRows(first, count).transpose();  // [N, 16]
    for (Index m = 0; m < count; ++m) {
      Nearest& best = found[static_cast<std::size_t>(first + m)];
      (squares - 2 * products.col(m)).minCoeff(&best.index);
      double sum = 0;
      for (Index d = 0; d < D; ++d) {
        const double difference = static_cast<double>(queries(first + m, d)) - static_cast<double>(known(best.index, d));
        sum += difference * difference;
      }
      best.distance = std::sqrt(sum / static_cast<double>(D));
    }
  });
  return found;
}
// Their distances, the smallest first: the median is in the middle.
inline std::vector<double> sorted_distances(const std::vector<Nearest>& found) {
  std::vector<double> distances;
  for (const Nearest& f : found) distances.push_back(f.distance);
  std::sort(distances.begin(), distances.end());
  return distances;
}

}  // namespace inkling
