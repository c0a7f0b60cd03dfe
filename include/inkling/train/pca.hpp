// Principal component analysis: the directions along which points differ most (Pearson 1901; Hotelling 1933).
#pragma once
#include "inkling/core/eigen.hpp"  // first

#include <Eigen/Eigenvalues>
#include <cmath>
#include <vector>

namespace inkling {

struct Pca {
  Tensor<float, 1> mean;        // [D]
  Tensor<float, 2> directions;  // [K, D], of length 1 and at right angles, the one of greatest variance first
  std::vector<double> shares;   // of the whole variance, for each direction

  // x [N, D] -> [N, K]
  Tensor<float, 2> project(const Tensor<float, 2>& x) const {
    require_shape(x.shape(), Shape<2>{x.shape(0), mean.shape(0)}, "Pca::project");
    const Index N = x.shape(0), D = x.shape(1), K = directions.shape(0);
    Tensor<float, 2> y({N, K});
    for (Index n = 0; n < N; ++n)
      for (Index k = 0; k < K; ++k) {
        double sum = 0;
        for (Index i = 0; i < D; ++i)
          sum += (static_cast<double>(x(n, i)) - static_cast<double>(mean(i))) * static_cast<double>(directions(k, i));
        y(n, k) = static_cast<float>(sum);
      }
    return y;
  }
};

// x [N, D]; K directions at most D
inline Pca principal_components(const Tensor<float, 2>& x, Index K) {
  const auto [N, D] = x.shape();
  if (N < 2 || K < 1 || K > D)
    throw ShapeError("principal_components", "at least two points and 1 to " + std::to_string(D) + " directions",
                     std::to_string(N) + " points, " + std::to_string(K) + " directions");
  const Eigen::MatrixXd points =
      Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(x.data(), N, D)
          .cast<double>();
  const Eigen::RowVectorXd mean = points.colwise().mean();
  const Eigen::MatrixXd centred = points.rowwise() - mean;
  // C = 1/(N-1) sum_n (x_n - mean)(x_n - mean)^T = sum_k lambda_k v_k v_k^T, lambda rising
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(centred.transpose() * centred /
                                                              static_cast<double>(N - 1));
  const double whole = solver.eigenvalues().cwiseMax(0).sum();
  Pca out{Tensor<float, 1>({D}), Tensor<float, 2>({K, D}), {}};
  for (Index i = 0; i < D; ++i) out.mean(i) = static_cast<float>(mean(i));
  for (Index k = 0; k < K; ++k) {
    const Eigen::VectorXd v = solver.eigenvectors().col(D - 1 - k);
    Index largest = 0;
    v.cwiseAbs().maxCoeff(&largest);
    const double sign = v(largest) < 0 ? -1 : 1;  // either would do; this one makes the same picture everywhere
    for (Index i = 0; i < D; ++i) out.directions(k, i) = static_cast<float>(sign * v(i));
    out.shares.push_back(whole > 0 ? std::max(0.0, solver.eigenvalues()(D - 1 - k)) / whole : 0);
  }
  return out;
}

}  // namespace inkling
