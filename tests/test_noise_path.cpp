// One path of noise for every number of steps, and the best answer for a world that is known.
#include <doctest/doctest.h>

#include "inkling/diffusion/ddpm.hpp"
#include "inkling/diffusion/ideal_denoiser.hpp"
#include "inkling/diffusion/noise_path.hpp"

using namespace inkling;

namespace {

constexpr Shape<4> shape{1, 1, 80, 80};
constexpr double count = 6400;

double mean_product(const Tensor<double, 4>& a, const Tensor<double, 4>& b) {
  double sum = 0;
  for (Index i = 0; i < a.size(); ++i) sum += a.data()[i] * b.data()[i];
  return sum / count;
}

}  // namespace

TEST_CASE("noise path: every step draws standard normal numbers, independent of those of other steps") {
  const NoiseSchedule schedule;
  Generator generator(1);
  const NoisePath<double> path(schedule, shape, generator);
  const Tensor<double, 4> one(shape, 1.0);
  const std::vector<Tensor<double, 4>> steps{path.between(999, 900), path.between(900, 899), path.between(899, 300),
                                             path.between(300, 0)};
  // A mean of 6,400 products of standard normal numbers has a standard deviation of 1 / 80, of squares sqrt(2) / 80.
  const double most = 4.5 / std::sqrt(count);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    CHECK(std::abs(mean_product(steps[i], one)) < most);
    CHECK(std::abs(mean_product(steps[i], steps[i]) - 1) < std::sqrt(2.0) * most);
    for (std::size_t j = 0; j < i; ++j) CHECK(std::abs(mean_product(steps[i], steps[j])) < most);
  }
}

TEST_CASE("noise path: with the picture known, few long steps of DDPM and many short ones pass the same places") {
  const NoiseSchedule schedule;
  Generator generator(2);
  const NoisePath<double> path(schedule, shape, generator);
  const Tensor<double, 4> picture = generator.randn<double>(shape), start = generator.randn<double>(shape);
  SamplerOptions options;
  options.spacing = TimestepSpacing::trailing;
  options.prediction = PredictionType::sample;  // the network answers the picture itself
  // x at timestep t, on the way from 999
  const auto at = [&](Index steps, double t) {
    DdpmSampler<double> sampler(schedule, options, steps);
    const NoiseSource<double> noise = path.source(sampler);
    Tensor<double, 4> x = start;
    for (Index i = 0; i < sampler.calls(); ++i) {
      if (sampler.timesteps()[static_cast<std::size_t>(i)] == t) return x;
      x = sampler.step(picture, i, x, noise).x_prev;
    }
    throw ConfigError("test", "a timestep of the sampler", std::to_string(t));
  };
  double worst = 0;
  for (const double t : {899.0, 499.0, 99.0}) {
    const Tensor<double, 4> many = at(1000, t), few = at(10, t);
    for (Index i = 0; i < many.size(); ++i) worst = std::max(worst, std::abs(many.data()[i] - few.data()[i]));
  }
  // 900 roundings in double, each of numbers of size 1, magnified by no more than the picture is (1 / sqrt(alpha_bar)).
  MESSAGE("largest difference ", worst);
  CHECK(worst < 900 * 15 * 1e-15);
}

TEST_CASE("noise path: refuses steps that do not go down, and timesteps outside the schedule") {
  const NoiseSchedule schedule;
  Generator generator(3);
  const NoisePath<float> path(schedule, {1, 1, 2, 2}, generator);
  CHECK_THROWS_AS(path.between(10, 20), ConfigError);
  CHECK_THROWS_AS(path.between(10, 10), ConfigError);
  CHECK_THROWS_AS(path.between(1000, 10), ConfigError);
  CHECK_THROWS_AS(path.between(10, -1), ConfigError);
}

TEST_CASE("ideal denoiser: the mean of what is possible, weighted by how likely it is") {
  // Two pictures of one pixel, 1 and -1: w_1 = 1 / (1 + exp(-2 sqrt(alpha_bar) x / (1 - alpha_bar))), and the mean is a
  // hyperbolic tangent.
  const Tensor<double, 4> world({2, 1, 1, 1}, {1.0, -1.0});
  const Tensor<double, 4> x({3, 1, 1, 1}, {0.0, 0.3, -2.0});
  for (const double alpha_bar : {0.01, 0.5, 0.99}) {
    const Tensor<double, 4> y = expected_x0(world, x, alpha_bar);
    for (Index n = 0; n < 3; ++n)
      CHECK(y(n, 0, 0, 0) ==
            doctest::Approx(std::tanh(std::sqrt(alpha_bar) * x(n, 0, 0, 0) / (1 - alpha_bar))).epsilon(1e-12));
  }
}

TEST_CASE("ideal denoiser: one picture where the noise is low, the mean of all where it is high") {
  Generator generator(4);
  const Tensor<float, 4> world = generator.randn<float>(Shape<4>{5, 3, 8, 8});
  Tensor<float, 4> x({1, 3, 8, 8}), mean({1, 3, 8, 8});
  for (Index i = 0; i < 192; ++i) {
    x.data()[i] = std::sqrt(0.999f) * world.data()[2 * 192 + i];
    for (Index n = 0; n < 5; ++n) mean.data()[i] += world.data()[n * 192 + i] / 5;
  }
  const Tensor<float, 4> low = expected_x0(world, x, 0.999), high = expected_x0(world, x, 1e-16);
  for (Index i = 0; i < 192; ++i) {
    CHECK(low.data()[i] == world.data()[2 * 192 + i]);
    // Exponents differ by sqrt(1e-16) |x| |y|, about 2e-6; numbers of size 3 and their rounding
    CHECK(std::abs(high.data()[i] - mean.data()[i]) < 1e-5f);
  }
  CHECK_THROWS_AS(expected_x0(world, Tensor<float, 4>({1, 3, 8, 9}), 0.5), ShapeError);
  CHECK_THROWS_AS(expected_x0(world, x, 0.0), ConfigError);
  CHECK_THROWS_AS(expected_x0(world, x, 1.0), ConfigError);
}
