// t-SNE: points of many dimensions on a plane, so that neighbours stay neighbours. L. van der Maaten, G. Hinton,
// "Visualizing data using t-SNE", JMLR 9, 2008. The exact form: time and memory grow with the square of the number of
// points, seconds for a few hundred.
#pragma once
#include <cmath>
#include <limits>
#include <vector>

#include "inkling/core/parallel.hpp"
#include "inkling/core/progress.hpp"
#include "inkling/train/pca.hpp"

namespace inkling {

struct TsneOptions {
  double perplexity = 30;  // about how many neighbours a point has
  Index iterations = 1000;
  double learning_rate = 100;  // section 3.4
  double exaggeration = 4;     // p times this at first, so that clusters form with room between them: section 3.4
  Index exaggerated_iterations = 100;
};

namespace detail {

// squared distances [N, N] of x [N, D]
inline std::vector<double> squared_distances(const Tensor<float, 2>& x) {
  const Index N = x.shape(0), D = x.shape(1);
  std::vector<double> d(static_cast<std::size_t>(N * N));
  parallel_for(N, N * D, [&](Index i) {
    for (Index j = 0; j < N; ++j) {
      double sum = 0;
      for (Index k = 0; k < D; ++k) {
        const double difference = static_cast<double>(x(i, k)) - static_cast<double>(x(j, k));
        sum += difference * difference;
      }
      d[static_cast<std::size_t>(i * N + j)] = sum;
    }
  });
  return d;
}

// p_{j|i} for one i, from its squared distances:                                                          equation (1)
//   p_{j|i} = exp(-d_ij / 2 sigma_i^2) / sum_{k != i} exp(-d_ik / 2 sigma_i^2)
// with sigma_i such that the perplexity 2^H(P_i) is the one asked for (section 2), found by halving.
inline void conditional_probabilities(const double* d, Index N, Index i, double perplexity, double* p) {
  double least = std::numeric_limits<double>::infinity();
  for (Index j = 0; j < N; ++j)
    if (j != i) least = std::min(least, d[j]);
  double beta = 1, low = 0, high = std::numeric_limits<double>::infinity();  // beta = 1 / 2 sigma^2
  for (int step = 0; step < 200; ++step) {
    double sum = 0, weighted = 0;
    for (Index j = 0; j < N; ++j) {
      p[j] = j == i ? 0 : std::exp(-beta * (d[j] - least));  // the least is subtracted only for stability
      sum += p[j], weighted += p[j] * (d[j] - least);
    }
    for (Index j = 0; j < N; ++j) p[j] /= sum;
    const double entropy = std::log(sum) + beta * weighted / sum, wanted = std::log(perplexity);
    if (std::abs(entropy - wanted) < 1e-9) break;
    if (entropy > wanted)
      low = beta, beta = std::isinf(high) ? 2 * beta : (low + high) / 2;
    else
      high = beta, beta = (low + high) / 2;
  }
}

// p_ij = (p_{j|i} + p_{i|j}) / 2N                                                                  section 3.1
inline std::vector<double> joint_probabilities(const Tensor<float, 2>& x, double perplexity) {
  const Index N = x.shape(0);
  const std::vector<double> d = squared_distances(x);
  std::vector<double> conditional(d.size()), p(d.size());
  parallel_for(N, N * 1000, [&](Index i) {
    conditional_probabilities(d.data() + i * N, N, i, perplexity, conditional.data() + i * N);
  });
  for (Index i = 0; i < N; ++i)
    for (Index j = 0; j < N; ++j)
      p[static_cast<std::size_t>(i * N + j)] =
          (conditional[static_cast<std::size_t>(i * N + j)] + conditional[static_cast<std::size_t>(j * N + i)]) /
          (2 * static_cast<double>(N));
  return p;
}

// The gradient [N, 2] of the divergence of the map's neighbourhoods from the points', and that divergence itself.
//   q_ij = (1 + |y_i - y_j|^2)^-1 / sum_{k != l} (1 + |y_k - y_l|^2)^-1                                equation (4)
//   dC/dy_i = 4 sum_j (factor p_ij - q_ij) (y_i - y_j) (1 + |y_i - y_j|^2)^-1                          equation (5)
//   C = sum_ij p_ij log(p_ij / q_ij)                                                                   equation (2)
inline double tsne_gradient(const std::vector<double>& p, double factor, const std::vector<double>& y,
                            std::vector<double>& gradient) {
  const Index N = static_cast<Index>(y.size()) / 2;
  gradient.assign(y.size(), 0);
  std::vector<double> sums(static_cast<std::size_t>(N)), costs(static_cast<std::size_t>(N));
  const auto nearness = [&](Index i, Index j) {
    const double dx = y[static_cast<std::size_t>(2 * i)] - y[static_cast<std::size_t>(2 * j)],
                 dy = y[static_cast<std::size_t>(2 * i + 1)] - y[static_cast<std::size_t>(2 * j + 1)];
    return 1 / (1 + dx * dx + dy * dy);
  };
  parallel_for(N, N * 10, [&](Index i) {
    double sum = 0;
    for (Index j = 0; j < N; ++j) sum += j == i ? 0 : nearness(i, j);
    sums[static_cast<std::size_t>(i)] = sum;
  });
  double whole = 0;
  for (const double s : sums) whole += s;
  parallel_for(N, N * 20, [&](Index i) {
    double gx = 0, gy = 0, cost = 0;
    for (Index j = 0; j < N; ++j) {
      if (j == i) continue;
      const double w = nearness(i, j), q = w / whole, p_ij = p[static_cast<std::size_t>(i * N + j)];
      const double pull = 4 * (factor * p_ij - q) * w;
      gx += pull * (y[static_cast<std::size_t>(2 * i)] - y[static_cast<std::size_t>(2 * j)]);
      gy += pull * (y[static_cast<std::size_t>(2 * i + 1)] - y[static_cast<std::size_t>(2 * j + 1)]);
      if (p_ij > 0) cost += p_ij * std::log(p_ij / q);
    }
    gradient[static_cast<std::size_t>(2 * i)] = gx, gradient[static_cast<std::size_t>(2 * i + 1)] = gy;
    costs[static_cast<std::size_t>(i)] = cost;
  });
  double cost = 0;
  for (const double c : costs) cost += c;
  return cost;
}

}  // namespace detail

struct TsneMap {
  Tensor<float, 2> y;  // [N, 2]
  double divergence;   // C of equation (2)
};

// x [N, D]. It starts from the two principal components, so there is nothing random in it.
inline TsneMap tsne(const Tensor<float, 2>& x, const TsneOptions& options = {}, const ProgressCallback& progress = {}) {
  const Index N = x.shape(0);
  constexpr Index most = 5000;  // 200 MB of distances
  if (N < 4 || N > most || x.shape(1) < 2)
    throw ShapeError("tsne", "4 to " + std::to_string(most) + " points of at least two numbers", to_string(x.shape()));
  for (const float v : x)
    if (!std::isfinite(v)) throw ConfigError("tsne", "finite numbers", std::to_string(v));
  if (!(options.perplexity > 1 && options.perplexity < static_cast<double>(N - 1)))
    throw ConfigError("TsneOptions.perplexity", "above 1, below the number of points less one",
                      std::to_string(options.perplexity));
  const std::vector<double> p = detail::joint_probabilities(x, options.perplexity);
  const Tensor<float, 2> start = principal_components(x, 2).project(x);
  const std::size_t size = static_cast<std::size_t>(2 * N);
  double spread = 0;
  for (Index n = 0; n < N; ++n) spread += static_cast<double>(start(n, 0)) * static_cast<double>(start(n, 0));
  spread = std::sqrt(spread / static_cast<double>(N));
  std::vector<double> y(size), step(size, 0), gain(size, 1), gradient;
  for (std::size_t i = 0; i < size; ++i)  // of spread 10^-2 at first: section 3.4
    y[i] = 1e-2 * static_cast<double>(start.data()[i]) / (spread > 0 ? spread : 1);
  double divergence = 0;
  for (Index t = 0; t < options.iterations; ++t) {
    const double momentum = t < 250 ? 0.5 : 0.8;  // section 3.4
    divergence = detail::tsne_gradient(p, t < options.exaggerated_iterations ? options.exaggeration : 1, y, gradient);
    // y(t) = y(t-1) + eta dC/dy + alpha(t) (y(t-1) - y(t-2)), with a rate of its own for each number (Jacobs 1988)
    for (std::size_t i = 0; i < size; ++i) {
      gain[i] = (gradient[i] > 0) == (step[i] > 0) ? std::max(0.8 * gain[i], 0.01) : gain[i] + 0.2;
      step[i] = momentum * step[i] - options.learning_rate * gain[i] * gradient[i];
      y[i] += step[i];
    }
    report(progress, {"t-SNE", t + 1, options.iterations});
  }
  TsneMap map{Tensor<float, 2>({N, 2}), divergence};
  for (std::size_t i = 0; i < size; ++i) map.y.data()[i] = static_cast<float>(y[i]);
  return map;
}

}  // namespace inkling
