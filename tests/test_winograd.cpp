// Winograd's convolution against the formula: every edge, every path through it, and how large its rounding errors are.
#include "inkling/kernels/fast/winograd.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "inkling/kernels/fast/conv.hpp"
#include "inkling/kernels/fast/weights.hpp"
#include "inkling/kernels/reference/conv.hpp"
#include "support.hpp"

using namespace inkling;
using namespace inkling::kernels;
using namespace inkling_test;
namespace winograd = inkling::kernels::fast::winograd;

namespace {

// Half the distance of 1 to the next float, or bfloat16: the largest relative error of one rounding
constexpr double u = 0x1p-24, u_bf16 = 0x1p-8;

template <std::size_t N>
Tensor<float, N> random(const Shape<N>& shape, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  Tensor<float, N> x(shape);
  for (float& v : x) v = uniform(generator);
  return x;
}

// The matrices from the definition, in double: with points p_j and N_j = product of p_j - p_k over the others,
//   A^T[i, j] = p_j^i     G[j, i] = p_j^i / N_j     B^T[j, i] = coefficient of x^i in the product of x - p_k
// and for infinity the leading coefficients.
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

// The convolution of a problem in double, by tiles, Y = A^T [ sum_c (G g G^T) .* (B^T d B) ] A with the absolute values
// of everything: what the roundings on the way are relative to. y [N, O, OH, OW]
Tensor<double, 4> magnitudes(const winograd::Problem& p, const Tensor<float, 4>& x, const Tensor<float, 4>& w) {
  const Matrices m;
  Tensor<double, 4> y(Shape<4>{p.N, p.O, p.OH, p.OW});
  std::vector<double> v(static_cast<std::size_t>(p.C * 36)), g(static_cast<std::size_t>(p.O * p.C * 36));
  const auto both = [](const auto& left, const auto& middle, int rows, int n, double* out) {  // |L| |M| |L^T|
    double half[6][6] = {};
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < n; ++j)
        for (int k = 0; k < n; ++k) half[i][j] += std::abs(left[i][k]) * std::abs(middle(k, j));
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < rows; ++j) {
        double sum = 0;
        for (int k = 0; k < n; ++k) sum += half[i][k] * std::abs(left[j][k]);
        out[i * rows + j] = sum;
      }
  };
  for (Index f = 0; f < p.O * p.C; ++f)
    both(m.g, [&](int k, int l) { return double{w.data()[f * 9 + k * 3 + l]}; }, 6, 3, g.data() + f * 36);
  for (Index n = 0; n < p.N; ++n)
    for (Index i = 0; i < p.OH; i += 4)
      for (Index j = 0; j < p.OW; j += 4) {
        for (Index c = 0; c < p.C; ++c)
          both(m.bt, [&](int k, int l) {
                 const Index h = i - p.top + k, e = j - p.left + l;
                 return h >= 0 && h < p.H && e >= 0 && e < p.W ? double{x(n, c, h, e)} : 0.0;
               }, 6, 6, v.data() + c * 36);
        for (Index o = 0; o < p.O; ++o) {
          double sum[36] = {}, out[16];
          for (Index c = 0; c < p.C; ++c)
            for (Index e = 0; e < 36; ++e)
              sum[e] += v[static_cast<std::size_t>(c * 36 + e)] * g[static_cast<std::size_t>((o * p.C + c) * 36 + e)];
          both(m.at, [&](int k, int l) { return sum[k * 6 + l]; }, 4, 6, out);
          for (Index k = 0; k < std::min<Index>(4, p.OH - i); ++k)
            for (Index l = 0; l < std::min<Index>(4, p.OW - j); ++l) y(n, o, i + k, j + l) = out[k * 4 + l];
        }
      }
  return y;
}

// The most that roundings can do to an output: each of n roundings on the way of a number adds at most u of it, and a
// number's way is 4 multiply-adds (B), 10 multiplications, additions and rounded constants (G), one multiply-add for
// each channel, 8 operations (A), one addition for each further slice of channels, and the bias.
double roundings(const winograd::Problem& p) {
  return static_cast<double>(4 + 10 + p.C + 8 + p.C / winograd::most_channels + 1 + 1);
}

// How much larger than the output (rms) the terms are whose sum it is, for random operands of mean square 1:
//   mean over the outputs i of  sum_j A^T[i, j]^2 |G[j]|^2 |B^T[j]|^2  in each of two dimensions; the output has 9
// Roundings of random sign add up like sqrt(n). Of C multiply-adds, the k-th rounds a sum that is sqrt(k / C) of the
// last: together they count as C / 2 of full size, and there are 24 others.
double growth() {
  const Matrices m;
  double mean = 0;
  for (const auto& row : m.at)
    for (int j = 0; j < 6; ++j) {
      double g2 = 0, b2 = 0;
      for (double g : m.g[j]) g2 += g * g;
      for (double b : m.bt[j]) b2 += b * b;
      mean += row[j] * row[j] * g2 * b2 / 4;
    }
  return mean / 3;
}

// w [O, C, 3, 3] of the problem, turned: as it stands in the convolution whose gradient the problem is, [C, O, 3, 3]
Tensor<float, 4> transposed(const Tensor<float, 4>& w) {
  Tensor<float, 4> t(Shape<4>{w.shape(1), w.shape(0), 3, 3});
  for (Index o = 0; o < w.shape(0); ++o)
    for (Index c = 0; c < w.shape(1); ++c)
      for (Index k = 0; k < 3; ++k)
        for (Index l = 0; l < 3; ++l) t(c, o, 2 - k, 2 - l) = w(o, c, k, l);
  return t;
}

template <ComputeType type = ComputeType::f32>
Tensor<float, 4> run(const winograd::Problem& p, const Tensor<float, 4>& x, const Tensor<float, 4>& w,
                     const float* bias) {
  Tensor<float, 4> y(Shape<4>{p.N, p.O, p.OH, p.OW}, std::numeric_limits<float>::quiet_NaN());
  winograd::convolve<type>(p, x.data(), winograd::filters_at(w.data(), p.C * 9, 9), false, bias, y.data());
  return y;
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

}  // namespace

TEST_CASE("winograd: F(2, 3), the example in the header") {
  const double d[] = {3, -1, 4, 7}, g[] = {2, 5, -6};
  const double m0 = (d[0] - d[2]) * g[0], m1 = (d[1] + d[2]) * ((g[0] + g[1] + g[2]) / 2);
  const double m2 = (d[2] - d[1]) * ((g[0] - g[1] + g[2]) / 2), m3 = (d[1] - d[3]) * g[2];
  CHECK(m0 + m1 + m2 == d[0] * g[0] + d[1] * g[1] + d[2] * g[2]);
  CHECK(m1 - m2 - m3 == d[1] * g[0] + d[2] * g[1] + d[3] * g[2]);
}

TEST_CASE("winograd: any shape, within the bound of its roundings") {
  std::mt19937 generator(7);
  const auto pick = [&](std::initializer_list<Index> from) {
    return from.begin()[std::uniform_int_distribution<std::size_t>(0, from.size() - 1)(generator)];
  };
  double used = 0, used_bf16 = 0;
  for (int trial = 0; trial < 120; ++trial) {
    winograd::Problem p{};
    p.N = pick({1, 1, 2, 3}), p.C = pick({1, 2, 3, 8, 15, 16, 17, 33}), p.O = pick({1, 3, 4, 5, 8, 9, 17, 24});
    p.H = pick({1, 2, 3, 4, 5, 8, 15, 16, 17, 34}), p.W = pick({1, 2, 3, 4, 7, 8, 16, 17, 33, 66});
    if (trial == 0) p.C = 1030, p.O = 9, p.H = 6, p.W = 7;   // three slices of channels, one vector of tiles
    if (trial == 1) p.C = 513, p.O = 9, p.H = 33, p.W = 34;  // two slices, several blocks of tiles
    if (trial == 2) p.N = 2, p.C = 201, p.O = 60, p.H = 5, p.W = 13;  // few tiles: outputs in two groups, three slices
    Padding pad{pick({0, 1, 1, 2, 3, 5}), pick({0, 1, 1, 2}), pick({0, 1, 1, 2, 3, 5}), pick({0, 1, 1, 2})};
    p.top = pad.top, p.left = pad.left;
    p.OH = p.H + pad.top + pad.bottom - 2, p.OW = p.W + pad.left + pad.right - 2;
    if (p.OH < 1 || p.OW < 1) continue;
    const auto seed = static_cast<unsigned>(trial);
    const auto x = random(Shape<4>{p.N, p.C, p.H, p.W}, seed), w = random(Shape<4>{p.O, p.C, 3, 3}, seed + 1000);
    const auto bias = random(Shape<1>{p.O}, seed + 2000);
    const bool biased = trial % 3 != 0;
    const auto y = run(p, x, w, biased ? bias.data() : nullptr);
    const auto wide_bias = bias.cast<double>();
    const auto expected = reference::conv2d<double>(x.cast<double>(), w.cast<double>(), biased ? &wide_bias : nullptr,
                                                    {.padding = pad});
    const auto size = magnitudes(p, x, w);
    Tensor<float, 4> turned(y.shape(), std::numeric_limits<float>::quiet_NaN());
    winograd::convolve(p, x.data(), winograd::filters_at(transposed(w).data(), 9, p.O * 9), true,
                       biased ? bias.data() : nullptr, turned.data());
    CHECK(same_bytes(y, turned));
    auto added = random(y.shape(), seed + 3000);  // to what is there: the sums differ by one rounding of each
    const auto before = added;
    winograd::convolve(p, x.data(), winograd::filters_at(w.data(), p.C * 9, 9), false, biased ? bias.data() : nullptr,
                       added.data(), added.data());
    double worst_sum = 0;
    for (Index i = 0; i < y.size(); ++i) {
      const double sum = double{y.data()[i]} + double{before.data()[i]};
      const double bound = roundings(p) * u * (size.data()[i] + std::abs(double{before.data()[i]}) + (biased ? 1 : 0));
      worst_sum = std::max(worst_sum, std::abs(double{added.data()[i]} - sum) / (2 * bound));
    }
    CHECK(worst_sum <= 1);
    const auto with_pairs = run<ComputeType::bf16>(p, x, w, biased ? bias.data() : nullptr);
    double worst = 0, worst_bf16 = 0;
    for (Index i = 0; i < y.size(); ++i) {
      const double bound = roundings(p) * u * (size.data()[i] + (biased ? 1 : 0));
      const double share = std::abs(double{y.data()[i]} - expected.data()[i]) / bound;
      if (!(share <= worst)) worst = share;
      // Both factors of every product are rounded once more. The magnitudes leave out what float has done to them.
      const double more = bound + (2 * u_bf16 + 1.01 * u_bf16 * u_bf16) * size.data()[i];
      const double share_bf16 = std::abs(double{with_pairs.data()[i]} - expected.data()[i]) / more;
      if (!(share_bf16 <= worst_bf16)) worst_bf16 = share_bf16;
    }
    INFO("trial " << trial << " x " << to_string(x.shape()) << " w " << to_string(w.shape()) << " top " << pad.top
                  << " bottom " << pad.bottom << " left " << pad.left << " right " << pad.right);
    CHECK(worst <= 1);
    CHECK(worst_bf16 <= 1);
    used = std::max(used, worst), used_bf16 = std::max(used_bf16, worst_bf16);
  }
  MESSAGE("largest share of the bound n u |A^T| (|U| |V|) |A|: " << used << ", U and V in bfloat16: " << used_bf16);
}

TEST_CASE("winograd: how large its errors are beside those of the direct sum") {
  const Conv2dOptions same{.padding = Padding::all(1)};
  for (const Shape<3>& c : {Shape<3>{16, 16, 64}, {128, 32, 32}, {512, 16, 16}, {1280, 16, 8}}) {
    const Index C = c[0], O = c[1], H = c[2];
    const auto x = random(Shape<4>{1, C, H, H}, 1), w = random(Shape<4>{O, C, 3, 3}, 2);
    const winograd::Problem p{1, C, H, H, O, H, H, 1, 1};
    const auto expected = reference::conv2d<double>(x.cast<double>(), w.cast<double>(), nullptr, same);
    const auto errors = [&](const Tensor<float, 4>& y) {
      double largest = 0, most = 0, squares = 0, all = 0;
      for (Index i = 0; i < y.size(); ++i) {
        const double e = double{y.data()[i]} - expected.data()[i];
        largest = std::max(largest, std::abs(e)), most = std::max(most, std::abs(expected.data()[i]));
        squares += e * e, all += expected.data()[i] * expected.data()[i];
      }
      return std::pair(largest / most, std::sqrt(squares / all));
    };
    const auto [most, rms] = errors(run(p, x, w, nullptr));
    const auto [direct_most, direct_rms] = errors(reference::conv2d<float>(x, w, nullptr, same));
    const double tolerance = growth() * u * std::sqrt(static_cast<double>(C) / 2 + 24);
    MESSAGE(C << " channels: max error / max " << most << ", rms error / rms " << rms << ", tolerance " << tolerance
              << " (sum in order: " << direct_most << ", " << direct_rms << ")");
    CHECK(rms <= tolerance);
  }
}

TEST_CASE("winograd: the same bytes with any number of threads") {
  // few tiles; one block and two slices; several blocks; several blocks and slices
  for (const Shape<4>& c :
       {Shape<4>{1, 40, 170, 16}, {2, 200, 100, 8}, {2, 600, 40, 17}, {1, 64, 33, 130}, {1, 515, 24, 60}}) {
    const Index N = c[0], C = c[1], O = c[2], H = c[3];
    const auto x = random(Shape<4>{N, C, H, H}, 1), w = random(Shape<4>{O, C, 3, 3}, 2);
    const winograd::Problem p{N, C, H, H, O, H, H, 1, 1};
    Tensor<float, 4> one, one_bf16;
    for (int threads : {1, 2, 3}) {
      const Threads t(threads);
      const auto y = run(p, x, w, nullptr), y_bf16 = run<ComputeType::bf16>(p, x, w, nullptr);
      if (threads == 1) one = y, one_bf16 = y_bf16;
      CAPTURE(threads);
      CAPTURE(C);
      CHECK(same_bytes(y, one));
      CHECK(same_bytes(y_bf16, one_bf16));
    }
  }
}

TEST_CASE("winograd: convolutions take this way where it pays, and no other") {
  const auto x = random(Shape<4>{2, 48, 30, 29}, 1), w = random(Shape<4>{56, 48, 3, 3}, 2);
  const auto bias = random(Shape<1>{56}, 3);
  const Conv2dOptions o{.padding = {.top = 1, .bottom = 0, .left = 2, .right = 1}};
  const auto y = fast::conv2d(x, w, &bias, o);
  const winograd::Problem p{2, 48, 30, 29, 56, 29, 30, 1, 2};
  REQUIRE(winograd::pays(p));
  CHECK(same_bytes(y, run(p, x, w, bias.data())));
  const auto dy = random(y.shape(), 4);
  const winograd::Problem back{2, 56, 29, 30, 48, 30, 29, 1, 0};
  CHECK(same_bytes(fast::conv2d_backward_input(dy, w, x.shape(), o), run(back, dy, transposed(w), nullptr)));
  {
    const ComputeIn compute(ComputeType::bf16);
    CHECK(same_bytes(fast::conv2d_backward_input(dy, w, x.shape(), o),
                     run<ComputeType::bf16>(back, dy, transposed(w), nullptr)));
  }
  SUBCASE("packed weights") {
    const auto wide_x = random(Shape<4>{1, 320, 32, 32}, 5), wide_w = random(Shape<4>{100, 320, 3, 3}, 6);
    for (WeightType type : {WeightType::f32, WeightType::f16, WeightType::bf16, WeightType::q8}) {
      using Quad = fast::Unit<WeightType::q8, WeightUse::convolution>;
      if (type == WeightType::q8 && fast::Arithmetic<Quad>::numbers > 1) continue;  // multiplied as integers, directly
      CAPTURE(to_string(type));
      const PackedWeight packed(100, 320 * 9, wide_w.data(), type, WeightUse::convolution);
      const auto stored = unpacked(packed, wide_w.shape(), WeightUse::convolution, "test");
      CHECK(same_bytes(fast::conv2d(wide_x, packed, wide_w.shape(), nullptr, {.padding = Padding::all(1)}),
                       fast::conv2d<float>(wide_x, stored, nullptr, {.padding = Padding::all(1)})));
    }
  }
  const auto taken = [](const Shape<4>& xs, const Shape<4>& ws, const Conv2dOptions& options) {
    return winograd::problem(xs, ws, conv2d_output_shape(xs, ws, options), options).has_value();
  };
  const Padding one = Padding::all(1);
  CHECK(taken({1, 512, 64, 64}, {512, 512, 3, 3}, {.padding = one}));
  CHECK(taken({1, 1280, 16, 16}, {1280, 1280, 3, 3}, {.padding = one}));
  CHECK(taken({2, 1280, 8, 8}, {1280, 1280, 3, 3}, {.padding = one}));
  if (winograd::W >= 4) CHECK(taken({1, 1280, 8, 8}, {1280, 1280, 3, 3}, {.padding = one}));
  CHECK_FALSE(taken({1, 64, 64, 64}, {64, 64, 3, 3}, {.stride = 2, .padding = one}));
  CHECK_FALSE(taken({1, 64, 64, 64}, {64, 64, 3, 3}, {.padding = Padding::all(2), .dilation = 2}));
  CHECK_FALSE(taken({1, 64, 64, 64}, {64, 32, 3, 3}, {.padding = one, .groups = 2}));
  CHECK_FALSE(taken({1, 64, 64, 64}, {64, 64, 1, 3}, {.padding = one}));
  CHECK_FALSE(taken({0, 64, 64, 64}, {64, 64, 3, 3}, {.padding = one}));
}
