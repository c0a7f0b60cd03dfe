// How far apart two sets of pictures are: the Frechet distance between the normal distributions that have the means and
// covariances of their features (Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", section 3).
#pragma once
#include "inkling/core/eigen.hpp"  // first

#include <Eigen/Eigenvalues>
#include <string>

namespace inkling {

struct FeatureStatistics {
  Index count = 0;
  Eigen::VectorXd mean;        // [D]
  Eigen::MatrixXd covariance;  // [D, D]

  // features[N, D], one row a picture
  static FeatureStatistics of(const Tensor<float, 2>& features) {
    const Index N = features.shape(0);
    if (N < 2) throw ConfigError("FeatureStatistics", "at least 2 rows of features", std::to_string(N));
    FeatureStatistics s;
    s.count = N;
    const Eigen::MatrixXd x = features.matrix().cast<double>();
    if (!x.allFinite()) throw Error("FeatureStatistics", "finite features", "infinities or NaN");
    s.mean = x.colwise().mean().transpose();
    const Eigen::MatrixXd centered = x.rowwise() - s.mean.transpose();
    s.covariance = centered.transpose() * centered / static_cast<double>(N - 1);
    return s;
  }
};

// d^2 = |mu_1 - mu_2|^2 + Tr(S_1 + S_2 - 2 (S_1 S_2)^{1/2})                       Heusel et al. 2017, equation (6)
//
// Of few pictures it comes out too large, since means and covariances are off by chance: two sets of n from the same
// N(0, 1) in D dimensions are about (2 D + D (D + 1) / 2) / n apart. Only distances of sets of equal size compare.
inline double frechet_distance(const FeatureStatistics& a, const FeatureStatistics& b) {
  if (a.mean.size() != b.mean.size())
    throw ShapeError("frechet_distance", std::to_string(a.mean.size()) + " features", std::to_string(b.mean.size()));
  // Tr (S_1 S_2)^{1/2} = Tr (S_1^{1/2} S_2 S_1^{1/2})^{1/2}: the product on the right is symmetric, so that its root is
  // that of its eigenvalues, and rounding cannot make them complex.
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> of_a(a.covariance);
  const Eigen::MatrixXd root =
      of_a.eigenvectors() * of_a.eigenvalues().cwiseMax(0).cwiseSqrt().asDiagonal() * of_a.eigenvectors().transpose();
  const Eigen::MatrixXd product = root * b.covariance * root;
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> of_product(product, Eigen::EigenvaluesOnly);
  const double trace_of_root = of_product.eigenvalues().cwiseMax(0).cwiseSqrt().sum();
  return (a.mean - b.mean).squaredNorm() + a.covariance.trace() + b.covariance.trace() - 2 * trace_of_root;
}

}  // namespace inkling
