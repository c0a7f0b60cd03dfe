// Winograd's gradient of the weights against the formula: every edge, in float and in bfloat16, and how large its
// errors are.
#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "inkling/kernels/fast/conv.hpp"
#include "inkling/kernels/reference/conv.hpp"
#include "support.hpp"

using namespace inkling;
using namespace inkling::kernels;
using namespace inkling_test;
namespace winograd = inkling::kernels::fast::winograd;

namespace {

// The largest relative error of one rounding to float, to bfloat16, and the root mean square of the latter: an error
// uniform in half a last place, 2^-7 / sqrt(12), for a significand m spread evenly on a logarithmic scale, where the
// mean of 1 / m^2 is 3 / (8 ln 2).
constexpr double u = 0x1p-24, u_bf16 = 0x1p-8;
const double rms_bf16 = 0x1p-7 * std::sqrt(3 / (8 * std::log(2.0)) / 12);

template <std::size_t N>
Tensor<float, N> random(const Shape<N>& shape, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  Tensor<float, N> x(shape);
  for (float& v : x) v = uniform(generator);
  return x;
}

// The matrices from the definition, as in test_winograd.cpp.
struct Matrices {
  double at[4][6] = {}, g[6][3] = {}, bt[6][6] = {};
  Matrices() {
    const double point[] = {0, 0.625, -0.625, 1.5, -1.5};
    for (int j = 0; j < 6; ++j) {
      double n = 1, poly[6] = {1};
      int degree = 0;
      for (int k = 0; k < 5; ++k) {
        if (k == j) continue;
        if (j < 5) n *= point[j] - point[k];
        ++degree;
        for (int i = degree; i >= 0; --i) poly[i] = (i > 0 ? poly[i - 1] : 0) - point[k] * (i < degree ? poly[i] : 0);
      }
      for (int i = 0; i < 6; ++i) bt[j][i] = poly[i];
      for (int i = 0; i < 4; ++i) at[i][j] = j < 5 ? std::pow(point[j], i) : i == 3;
      for (int i = 0; i < 3; ++i) g[j][i] = j < 5 ? std::pow(point[j], i) / n : i == 2;
    }
  }
};

// dg = G^T [ sum over tiles (A dy A^T) .* (B^T d B) ] G with the absolute values of everything: what the roundings on
// the way are relative to. dw [O, C, 3, 3]
Tensor<double, 4> magnitudes(const winograd::Problem& p, const Tensor<float, 4>& dy, const Tensor<float, 4>& x) {
  const Matrices m;
  Tensor<double, 4> dw(Shape<4>{p.O, p.C, 3, 3});
  const auto at = [](const Tensor<float, 4>& t, Index n, Index c, Index i, Index j) {
    return i >= 0 && i < t.shape(2) && j >= 0 && j < t.shape(3) ? std::abs(double{t(n, c, i, j)}) : 0.0;
  };
  std::vector<double> s(static_cast<std::size_t>(p.O * 36)), v(static_cast<std::size_t>(p.C * 36)),
      du(static_cast<std::size_t>(p.O * p.C * 36));
  for (Index n = 0; n < p.N; ++n)
    for (Index i = 0; i < p.OH; i += 4)
      for (Index j = 0; j < p.OW; j += 4) {
        for (std::size_t e = 0; e < 6; ++e)
          for (std::size_t f = 0; f < 6; ++f) {
            for (Index o = 0; o < p.O; ++o) {
              double sum = 0;
              for (Index k = 0; k < 4; ++k)
                for (Index l = 0; l < 4; ++l) sum += std::abs(m.at[k][e] * m.at[l][f]) * at(dy, n, o, i + k, j + l);
              s[static_cast<std::size_t>(o) * 36 + e * 6 + f] = sum;
            }
            for (Index c = 0; c < p.C; ++c) {
              double sum = 0;
              for (Index k = 0; k < 6; ++k)
                for (Index l = 0; l < 6; ++l)
                  sum += std::abs(m.bt[e][k] * m.bt[f][l]) * at(x, n, c, i + k - p.top, j + l - p.left);
              v[static_cast<std::size_t>(c) * 36 + e * 6 + f] = sum;
            }
          }
        for (std::size_t o = 0; o < static_cast<std::size_t>(p.O); ++o)
          for (std::size_t c = 0; c < static_cast<std::size_t>(p.C); ++c)
            for (std::size_t e = 0; e < 36; ++e)
              du[(o * static_cast<std::size_t>(p.C) + c) * 36 + e] += s[o * 36 + e] * v[c * 36 + e];
      }
  for (Index o = 0; o < p.O; ++o)
    for (Index c = 0; c < p.C; ++c)
      for (Index k = 0; k < 3; ++k)
        for (Index l = 0; l < 3; ++l)
          for (std::size_t e = 0; e < 6; ++e)
            for (std::size_t f = 0; f < 6; ++f)
              dw(o, c, k, l) +=
                  std::abs(m.g[e][k] * m.g[f][l]) * du[static_cast<std::size_t>(o * p.C + c) * 36 + e * 6 + f];
  return dw;
}

// The most roundings on a number's way: 4 multiply-adds (B), 6 operations (A), a multiply-add for each tile, an
// addition for each block of tiles (of at least one row), 10 operations and rounded constants (G).
double roundings(const winograd::Problem& p) {
  const Index rows = p.N * p.tile_rows();
  return static_cast<double>(4 + 6 + rows * ((p.OW + 3) / 4) + rows + 10);
}

// How much larger (rms) than the gradient the terms are whose sum it is, for operands of mean square 1: mean over the
// taps k of  sum_j G[j, k]^2 |A[j]|^2 |B^T[j]|^2  in each of two dimensions; the gradient has 4 for each tile.
double growth() {
  const Matrices m;
  double mean = 0;
  for (int k = 0; k < 3; ++k)
    for (int j = 0; j < 6; ++j) {
      double a2 = 0, b2 = 0;
      for (const auto& row : m.at) a2 += row[j] * row[j];
      for (double b : m.bt[j]) b2 += b * b;
      mean += m.g[j][k] * m.g[j][k] * a2 * b2 / 3;
    }
  return mean / 4;
}

Tensor<float, 4> run(ComputeType type, const winograd::Problem& p, const Tensor<float, 4>& dy,
                     const Tensor<float, 4>& x) {
  Tensor<float, 4> dw(Shape<4>{p.O, p.C, 3, 3}, std::numeric_limits<float>::quiet_NaN());
  if (type == ComputeType::bf16) winograd::weight_gradient<ComputeType::bf16>(p, dy.data(), x.data(), dw.data());
  else winograd::weight_gradient<ComputeType::f32>(p, dy.data(), x.data(), dw.data());
  return dw;
}
bool same_bytes(const Tensor<float, 4>& p, const Tensor<float, 4>& q) {
  return p.shape() == q.shape() &&
         std::memcmp(p.data(), q.data(), static_cast<std::size_t>(p.size()) * sizeof(float)) == 0;
}

struct Threads {
  explicit Threads(int n) : before(num_threads()) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before;
};

constexpr ComputeType both[] = {ComputeType::f32, ComputeType::bf16};

}  // namespace

TEST_CASE("winograd gradient: any shape, within the bound of its roundings") {
  std::mt19937 generator(7);
  const auto pick = [&](std::initializer_list<Index> from) {
    return from.begin()[std::uniform_int_distribution<std::size_t>(0, from.size() - 1)(generator)];
  };
  for (ComputeType type : both) {
    double used = 0;
    for (int trial = 0; trial < 60; ++trial) {
      winograd::Problem p{};
      p.N = pick({1, 1, 2, 3}), p.C = pick({1, 2, 8, 15, 16, 17, 33, 50}), p.O = pick({1, 3, 4, 5, 8, 9, 17, 24});
      p.H = pick({1, 2, 3, 4, 5, 8, 15, 17}), p.W = pick({1, 2, 3, 4, 7, 8, 16, 17, 33});
      if (trial == 0) p.N = 3, p.C = 500, p.O = 9, p.H = 37, p.W = 35;  // several blocks of tiles, odd rows
      Padding pad{pick({0, 1, 1, 2, 3, 5}), pick({0, 1, 1, 2}), pick({0, 1, 1, 2, 3, 5}), pick({0, 1, 1, 2})};
      p.top = pad.top, p.left = pad.left;
      p.OH = p.H + pad.top + pad.bottom - 2, p.OW = p.W + pad.left + pad.right - 2;
      if (p.OH < 1 || p.OW < 1) continue;
      const auto seed = static_cast<unsigned>(trial);
      const auto x = random(Shape<4>{p.N, p.C, p.H, p.W}, seed), dy = random(Shape<4>{p.N, p.O, p.OH, p.OW}, seed + 99);
      const auto dw = run(type, p, dy, x);
      const auto expected = reference::conv2d_backward_weight<double>(dy.cast<double>(), x.cast<double>(), dw.shape(),
                                                                      {.padding = pad});
      const auto size = magnitudes(p, dy, x);
      double worst = 0;
      const double each = roundings(p) * u + (type == ComputeType::bf16 ? 2 * u_bf16 + u_bf16 * u_bf16 : 0);
      for (Index i = 0; i < dw.size(); ++i) {
        const double share = std::abs(double{dw.data()[i]} - expected.data()[i]) / (each * size.data()[i]);
        if (!(share <= worst)) worst = size.data()[i] > 0 ? share : double{dw.data()[i]} == 0 ? worst : 2;
      }
      INFO("trial " << trial << " x " << to_string(x.shape()) << " dy " << to_string(dy.shape()) << " top " << pad.top
                    << " left " << pad.left);
      CHECK(worst <= 1);
      used = std::max(used, worst);
    }
    MESSAGE(to_string(type) << ": largest share of the bound |G^T| (|S| |V|) |G|: " << used);
  }
}

TEST_CASE("winograd gradient: how large its errors are beside those of the direct sum") {
  MESSAGE("expected of a direct sum of bfloat16: " << rms_bf16 * std::sqrt(2.0));
  for (const Shape<3>& c : {Shape<3>{16, 16, 64}, {128, 32, 16}, {64, 64, 8}}) {
    const Index C = c[0], O = c[1], H = c[2], N = 8;
    const auto x = random(Shape<4>{N, C, H, H}, 1), dy = random(Shape<4>{N, O, H, H}, 2);
    const winograd::Problem p{N, C, H, H, O, H, H, 1, 1};
    const auto expected = reference::conv2d_backward_weight<double>(dy.cast<double>(), x.cast<double>(),
                                                                    {O, C, 3, 3}, {.padding = Padding::all(1)});
    for (ComputeType type : both) {
      const auto dw = run(type, p, dy, x);
      double squares = 0, all = 0;
      for (Index i = 0; i < dw.size(); ++i) {
        squares += std::pow(double{dw.data()[i]} - expected.data()[i], 2);
        all += expected.data()[i] * expected.data()[i];
      }
      // Of `tiles` multiply-adds the k-th rounds a sum that is sqrt(k / tiles) of the last; there are 20 others.
      const double tiles = static_cast<double>(N * H * H / 16), rms = std::sqrt(squares / all);
      const double tolerance =
          growth() * (type == ComputeType::f32 ? u * std::sqrt(tiles / 2 + 20) : 1.1 * rms_bf16 * std::sqrt(2.0));
      MESSAGE(C << " to " << O << " channels, " << to_string(type) << ": rms error / rms " << rms << ", tolerance "
                << tolerance);
      CHECK(rms <= tolerance);
    }
  }
}

TEST_CASE("winograd gradient: the same bytes with any number of threads") {
  for (const Shape<4>& c : {Shape<4>{1, 40, 70, 16}, {3, 300, 40, 33}, {16, 64, 33, 8}}) {
    const Index N = c[0], C = c[1], O = c[2], H = c[3];
    const auto x = random(Shape<4>{N, C, H, H}, 1), dy = random(Shape<4>{N, O, H, H}, 2);
    const winograd::Problem p{N, C, H, H, O, H, H, 1, 1};
    for (ComputeType type : both) {
      Tensor<float, 4> one;
      for (int threads : {1, 2, 3}) {
        const Threads t(threads);
        const auto dw = run(type, p, dy, x);
        if (threads == 1) one = dw;
        CAPTURE(threads);
        CAPTURE(C);
        CHECK(same_bytes(dw, one));
      }
    }
  }
}

TEST_CASE("winograd gradient: convolutions take this way where it pays, and no other") {
  const auto x = random(Shape<4>{4, 64, 16, 15}, 1), dy = random(Shape<4>{4, 48, 15, 16}, 2);
  const Conv2dOptions o{.padding = {.top = 1, .bottom = 0, .left = 2, .right = 1}};
  const winograd::Problem p{4, 64, 16, 15, 48, 15, 16, 1, 2};
  REQUIRE(winograd::gradient_pays(p));
  for (ComputeType type : both) {
    const ComputeIn compute(type);
    CHECK(same_bytes(fast::conv2d_backward_weight(dy, x, {48, 64, 3, 3}, o), run(type, p, dy, x)));
  }
  const auto taken = [](const Shape<4>& xs, const Shape<4>& ws, const Conv2dOptions& options) {
    return winograd::gradient_problem(conv2d_output_shape(xs, ws, options), xs, ws, options).has_value();
  };
  const Padding one = Padding::all(1);
  CHECK(taken({32, 64, 32, 32}, {64, 64, 3, 3}, {.padding = one}));
  CHECK(taken({32, 128, 8, 8}, {128, 128, 3, 3}, {.padding = one}));
  CHECK_FALSE(taken({32, 64, 32, 32}, {64, 64, 3, 3}, {.stride = 2, .padding = one}));
  CHECK_FALSE(taken({32, 64, 32, 32}, {64, 64, 1, 1}, {}));
  CHECK_FALSE(taken({32, 64, 32, 32}, {64, 32, 3, 3}, {.padding = one, .groups = 2}));
  CHECK_FALSE(taken({32, 128, 2, 2}, {128, 128, 3, 3}, {.padding = one}));  // a quarter of each tile
}
