// Attention, its backward and the exponential under them: every width, extreme scores, any number of threads.
#include "inkling/kernels/fast/attention_bf16.hpp"  // first

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "inkling/kernels/fast/softmax.hpp"
#include "inkling/kernels/reference/attention_bf16.hpp"
#include "inkling/nn/attention.hpp"

using namespace inkling;
using namespace inkling::kernels;

namespace {

template <class T, std::size_t N>
Tensor<T, N> random(const Shape<N>& shape, unsigned seed, double size = 1) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> any(-size, size);
  Tensor<T, N> t(shape, uninitialized);
  for (T& x : t) x = static_cast<T>(any(generator));
  return t;
}
template <std::size_t N, class T>
Tensor<double, N> wide(const Tensor<T, N>& x) {
  Tensor<double, N> y(x.shape(), uninitialized);
  std::copy(x.begin(), x.end(), y.begin());
  return y;
}

// The largest |a - b|; infinity where just one of them is not a number or they are different infinities.
template <class T, std::size_t N>
double distance(const Tensor<T, N>& a, const Tensor<double, N>& b) {
  REQUIRE(a.shape() == b.shape());
  double most = 0;
  for (Index i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a.data()[i]), y = b.data()[i];
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    most = std::max(most, std::isfinite(x - y) ? std::abs(x - y) : std::numeric_limits<double>::infinity());
  }
  return most;
}
template <std::size_t N>
double largest(const Tensor<double, N>& x) {
  double most = 0;
  for (double v : x)
    if (std::isfinite(v)) most = std::max(most, std::abs(v));
  return most;
}

struct Threads {
  explicit Threads(int n) : before(num_threads()) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before;
};

// The root of the mean of (a - b)^2
template <class T, std::size_t N>
double rms_distance(const Tensor<T, N>& a, const Tensor<double, N>& b) {
  REQUIRE(a.shape() == b.shape());
  double sum = 0;
  for (Index i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a.data()[i]) - b.data()[i], 2);
  return std::sqrt(sum / static_cast<double>(std::max<Index>(1, a.size())));
}

double relative_error(double got, double want) { return std::abs(got / want - 1); }

}  // namespace

TEST_CASE_TEMPLATE("exponential: 2^x and e^x to two units in the last place, 0 and infinity beyond the range", T, float,
                   double) {
  constexpr double epsilon = std::numeric_limits<T>::epsilon(), range = std::is_same_v<T, float> ? 125 : 1020;
  double of_two = 0, of_e = 0;
  for (int i = 0; i <= 200000; ++i) {
    const T x = static_cast<T>(range * (i - 100000) / 100000), y = x * static_cast<T>(0.69);
    std::array<T, static_cast<std::size_t>(fast::width<T>)> lane;
    fast::store(lane.data(), fast::power_of_two<T>(fast::Vec<T>(x)));
    of_two = std::max(of_two, relative_error(static_cast<double>(lane[0]), std::exp2(static_cast<double>(x))));
    fast::store(lane.data(), fast::exponential<T>(fast::Vec<T>(y)));
    of_e = std::max(of_e, relative_error(static_cast<double>(lane[0]), std::exp(static_cast<double>(y))));
  }
  MESSAGE("largest relative error, in epsilons: 2^x " << of_two / epsilon << ", e^x " << of_e / epsilon);
  CHECK(of_two <= 2 * epsilon);
  CHECK(of_e <= 2 * epsilon);
  const double infinity = std::numeric_limits<double>::infinity();
  for (const auto& [input, output] : {std::pair{-infinity, 0.0}, {-1e30, 0.0}, {-1e4, 0.0}, {0.0, 1.0}, {1e4, infinity},
                                      {1e30, infinity}, {infinity, infinity}}) {
    const double x = input, y = output;
    CAPTURE(x);
    std::array<T, static_cast<std::size_t>(fast::width<T>)> lane;
    fast::store(lane.data(), fast::power_of_two<T>(fast::Vec<T>(static_cast<T>(x))));
    CHECK(static_cast<double>(lane[0]) == y);
    fast::store(lane.data(), fast::exponential<T>(fast::Vec<T>(static_cast<T>(x))));
    CHECK(static_cast<double>(lane[0]) == y);
  }
  const auto of = [](const fast::Vec<T>& v) {
    std::array<T, static_cast<std::size_t>(fast::width<T>)> lane;
    fast::store(lane.data(), v);
    return static_cast<double>(lane[0]);
  };
  const T nan = std::numeric_limits<T>::quiet_NaN();
  CHECK(std::isnan(of(fast::power_of_two<T>(fast::Vec<T>(nan)))));
  CHECK(std::isnan(of(fast::exponential<T>(fast::Vec<T>(nan)))));
  // Close to the smallest normal float, and below it, a result may be 0, but none is negative or off by more than twice
  // that float; and none is NaN.
  if constexpr (std::is_same_v<T, float>) {
    double off = 0, below = 0;
    for (double x = -160; x <= 160; x += 1.0 / 64) {
      const double two = of(fast::power_of_two<T>(fast::Vec<T>(static_cast<T>(x))));
      const double e = of(fast::exponential<T>(fast::Vec<T>(static_cast<T>(x * fast::ln_2))));
      const double expected = std::exp2(x);
      below = std::min({below, two, e});
      if (std::isnan(two) || std::isnan(e)) off = std::numeric_limits<double>::infinity();
      if (x < -124) off = std::max({off, std::abs(two - expected), std::abs(e - expected)});
      if (x > 124 && x < 127) off = std::max(off, std::isfinite(two) && std::isfinite(e) ? 0.0 : 1.0);
      if (x > 128) off = std::max(off, std::isinf(two) && std::isinf(e) ? 0.0 : 1.0);
    }
    CHECK(off <= 2 * static_cast<double>(std::numeric_limits<float>::min()));
    CHECK(below == 0);
  }
}

TEST_CASE_TEMPLATE("attention: widths, lengths and masks against the reference in double", T, float, double) {
  struct Case {
    Index N, A, L, S, d, dv;
    bool causal, masked;
  };
  double used = 0;
  for (const Case& c : std::vector<Case>{{1, 1, 1, 1, 1, 1, false, false},   {1, 2, 1, 300, 3, 5, false, false},
                                         {2, 3, 77, 77, 64, 64, true, false}, {1, 2, 130, 77, 40, 40, false, false},
                                         {1, 2, 200, 500, 40, 24, false, false}, {1, 1, 64, 64, 160, 160, false, false},
                                         {1, 2, 70, 50, 80, 17, false, true}, {1, 1, 33, 97, 512, 512, false, false},
                                         {2, 1, 150, 400, 16, 16, true, true}, {1, 2, 300, 290, 3, 3, true, false},
                                         {1, 1, 490, 530, 8, 8, false, false}}) {
    CAPTURE(c.L);
    CAPTURE(c.S);
    CAPTURE(c.d);
    CAPTURE(c.dv);
    CAPTURE(c.causal);
    CAPTURE(c.masked);
    const AttentionOptions o{.heads = c.A, .causal = c.causal};
    const auto q = random<T>(Shape<3>{c.N, c.L, c.A * c.d}, 1, 2), k = random<T>(Shape<3>{c.N, c.S, c.A * c.d}, 2, 2);
    const auto v = random<T>(Shape<3>{c.N, c.S, c.A * c.dv}, 3);
    auto mask = random<T>(Shape<2>{c.L, c.S}, 4);
    for (Index i = 0; i < mask.size(); ++i)
      if (i % 3 == 0 || i / c.S == c.L / 2) mask.data()[i] = -std::numeric_limits<T>::infinity();
    const auto wide_mask = wide(mask);
    const auto r = fast::attention(q, k, v, o, c.masked ? &mask : nullptr);
    const auto e = reference::attention(wide(q), wide(k), wide(v), o, c.masked ? &wide_mask : nullptr);
    const auto dy = random<T>(r.y.shape(), 5);
    const auto g = fast::attention_backward(dy, q, k, v, r, o, c.masked ? &mask : nullptr);
    const auto f = reference::attention_backward(wide(dy), wide(q), wide(k), wide(v), e, o,
                                                 c.masked ? &wide_mask : nullptr);
    // Rounding errors add up like random steps, as the root of their number, and 4 times that holds for the largest
    // of many. A score, up to 4 sqrt(d), is off by eps of its size: a relative error of the weight. Sums run over d or
    // dv numbers, keys and queries.
    const double epsilon = std::numeric_limits<T>::epsilon();
    const double score = 4 * std::sqrt(static_cast<double>(c.d)), length = static_cast<double>(c.S + c.L + c.d + c.dv);
    const double weight = 4 * epsilon * (score + std::sqrt(length));
    const auto agree = [&](const char* name, const auto& got, const auto& want, double size) {
      CAPTURE(name);
      const double error = distance(got, want), tolerance = weight * std::max(1.0, size);
      used = std::max(used, error / tolerance);
      CHECK(error <= tolerance);
    };
    agree("y", r.y, e.y, 1);
    agree("lse", r.lse, e.lse, largest(e.lse));
    agree("dq", g.dq, f.dq, largest(f.dq));
    agree("dk", g.dk, f.dk, largest(f.dk));
    agree("dv", g.dv, f.dv, largest(f.dv));
  }
  MESSAGE("largest share of the tolerance: " << used);
}

TEST_CASE_TEMPLATE("attention: extreme scores", T, float, double) {
  const Index L = 60, S = 250, d = 8;
  const AttentionOptions o{.scale = 1};
  auto q = random<T>(Shape<3>{1, L, d}, 1), k = random<T>(Shape<3>{1, S, d}, 2);
  const auto v = random<T>(Shape<3>{1, S, d}, 3);
  // Small whole numbers: scores are exact in any order of addition, so that 10^4 of them leaves no rounding to compare.
  for (T& x : q) x = std::round(x * 35);
  for (T& x : k) x = std::round(x * 35);
  SUBCASE("up to 10^4 in size, so that one key takes all") {}
  SUBCASE("each key larger than the one before: the maximum moves in every block") {
    for (T& x : q) x = 1;
    for (Index j = 0; j < S; ++j)
      for (Index c = 0; c < d; ++c) k(0, j, c) = static_cast<T>(j / 2);
  }
  SUBCASE("all equal") {
    for (T& x : k) x = 1;
  }
  SUBCASE("very negative throughout") {
    for (T& x : q) x = -30;
    for (T& x : k) x = 40;
  }
  const auto r = fast::attention(q, k, v, o);
  const auto e = reference::attention(wide(q), wide(k), wide(v), o);
  // log2(e) in the scale turns whole scores into fractions, off by eps/2 of their size.
  const double epsilon = std::numeric_limits<T>::epsilon(), score = largest(e.lse) + 1;
  CHECK(distance(r.y, e.y) <= 8 * epsilon * (score + static_cast<double>(S)));
  CHECK(distance(r.lse, e.lse) <= 4 * epsilon * score);
  for (T y : r.y) CHECK(std::isfinite(y));
}

TEST_CASE_TEMPLATE("attention: no key to see gives zero, a value that is not a number stays one", T, float, double) {
  const auto q = random<T>(Shape<3>{1, 40, 8}, 1), k = random<T>(Shape<3>{1, 120, 8}, 2);
  auto v = random<T>(Shape<3>{1, 120, 8}, 3);
  Tensor<T, 2> mask(Shape<2>{40, 120});
  std::fill_n(mask.data() + 7 * 120, 120, -std::numeric_limits<T>::infinity());
  const auto r = fast::attention(q, k, v, AttentionOptions{}, &mask);
  const auto g = fast::attention_backward(r.y, q, k, v, r, AttentionOptions{}, &mask);
  for (Index c = 0; c < 8; ++c) CHECK(r.y(0, 7, c) == 0);
  for (Index c = 0; c < 8; ++c) CHECK(g.dq(0, 7, c) == 0);
  CHECK(r.lse(0, 0, 7) == -std::numeric_limits<T>::infinity());
  auto bad = k;
  bad(0, 100, 3) = std::numeric_limits<T>::quiet_NaN();
  const auto n = fast::attention(q, bad, v, AttentionOptions{});
  for (T y : n.y) CHECK(std::isnan(y));
}

TEST_CASE_TEMPLATE("attention: the same bytes with 1, 2 and 3 threads", T, float, double) {
  for (const auto& [A, L, S, d] : {std::array<Index, 4>{3, 400, 300, 20}, {1, 130, 700, 8}, {2, 1, 900, 40}}) {
    const AttentionOptions o{.heads = A};
    const auto q = random<T>(Shape<3>{2, L, A * d}, 1), k = random<T>(Shape<3>{2, S, A * d}, 2);
    const auto v = random<T>(Shape<3>{2, S, A * d}, 3);
    const auto all = [&](int threads) {
      const Threads t(threads);
      const auto r = fast::attention(q, k, v, o);
      const auto g = fast::attention_backward(r.y, q, k, v, r, o);
      std::vector<T> bytes;
      for (const auto* x : {&r.y, &r.lse, &g.dq, &g.dk, &g.dv}) bytes.insert(bytes.end(), x->begin(), x->end());
      return bytes;
    };
    const auto one = all(1);
    CHECK(all(2) == one);
    CHECK(all(3) == one);
  }
}

TEST_CASE("attention with bfloat16: the coarse power of two is right to 13 bits, 0 and infinity beyond the range") {
  const auto power = [](double x) {
    std::array<float, static_cast<std::size_t>(fast::width<float>)> lane;
    fast::store(lane.data(), fast::coarse_power_of_two(fast::Vec<float>(static_cast<float>(x))));
    return static_cast<double>(lane[0]);
  };
  double error = 0;
  for (int i = 0; i <= 200000; ++i) {
    const double x = static_cast<double>(static_cast<float>(0.00125 * (i - 100000)));
    error = std::max(error, relative_error(power(x), std::exp2(x)));
  }
  MESSAGE("largest relative error " << error << ", of a rounding to bfloat16: " << 0x1p-9);
  CHECK(error <= 1.03e-4);  // of the polynomial 1.01e-4, and the roundings of its four steps
  const double infinity = std::numeric_limits<double>::infinity();
  for (const auto& [x, y] : {std::pair{-infinity, 0.0}, {-1e30, 0.0}, {0.0, 1.0}, {3.0, 8.0}, {1e4, infinity}})
    CHECK(power(x) == y);
  CHECK(std::isnan(power(std::numeric_limits<double>::quiet_NaN())));
}

// What differs between the fast version and the formula in double, both rounded alike: scores off by 4 eps of their
// size (up to 4 sqrt(d) log2(e), as random steps add up) and weights by 1.02e-4 before they are rounded. So a weight
// near the middle between two bfloat16 may go to the other one, 2^-8 of it away: few do, but where one key has nearly
// all the weight that is the error of y, at most |v| = 1.
TEST_CASE("attention with bfloat16: widths, lengths and masks against the formula with rounded factors") {
  struct Case {
    Index N, A, L, S, d, dv;
    bool causal, masked;
  };
  double used = 0;
  for (const Case& c : std::vector<Case>{{1, 1, 1, 1, 1, 1, false, false},   {1, 2, 1, 300, 3, 5, false, false},
                                         {2, 3, 77, 77, 64, 64, true, false}, {1, 2, 130, 77, 40, 40, false, false},
                                         {1, 2, 200, 501, 40, 24, false, false}, {1, 1, 64, 64, 160, 160, false, false},
                                         {1, 2, 70, 51, 80, 17, false, true}, {1, 1, 33, 97, 512, 512, false, false},
                                         {2, 1, 150, 401, 16, 16, true, true}, {1, 2, 300, 291, 3, 3, true, false},
                                         {1, 1, 490, 530, 8, 9, false, false}, {1, 1, 20, 3, 7, 1, true, false}}) {
    CAPTURE(c.L);
    CAPTURE(c.S);
    CAPTURE(c.d);
    CAPTURE(c.dv);
    CAPTURE(c.causal);
    CAPTURE(c.masked);
    const AttentionOptions o{.heads = c.A, .causal = c.causal};
    const auto q = random<float>(Shape<3>{c.N, c.L, c.A * c.d}, 1, 2);
    const auto k = random<float>(Shape<3>{c.N, c.S, c.A * c.d}, 2, 2);
    const auto v = random<float>(Shape<3>{c.N, c.S, c.A * c.dv}, 3);
    auto mask = random<float>(Shape<2>{c.L, c.S}, 4);
    for (Index i = 0; i < mask.size(); ++i)
      if (i % 3 == 0 || i / c.S == c.L / 2) mask.data()[i] = -std::numeric_limits<float>::infinity();
    const auto wide_mask = wide(mask);
    const auto r = fast::attention_bf16(q, k, v, o, c.masked ? &mask : nullptr);
    const auto e = reference::attention_bf16(wide(q), wide(k), wide(v), o, c.masked ? &wide_mask : nullptr);
    constexpr double epsilon = std::numeric_limits<float>::epsilon();
    const double score = 4 * epsilon * 4 * std::sqrt(static_cast<double>(c.d)) * 1.45, power = 1.03e-4;
    const double y_error = distance(r.y, e.y), y_tolerance = 0x1p-8 + score + 2 * power;
    used = std::max(used, y_error / y_tolerance);
    CHECK(y_error <= y_tolerance);
    CHECK(distance(r.lse, e.lse) <= score + power + 4 * epsilon * largest(e.lse));
  }
  MESSAGE("largest share of the tolerance: " << used);
}

// Errors of a picture's attention: against the exact formula what rounding costs, against the rounded formula what is
// left when the roundings are the same.
TEST_CASE("attention with bfloat16: rounding costs less than 2^-8, and the formula explains it") {
  const AttentionOptions o{.heads = 2};
  const auto q = random<float>(Shape<3>{1, 256, 80}, 1, 3), k = random<float>(Shape<3>{1, 300, 80}, 2, 3);
  const auto v = random<float>(Shape<3>{1, 300, 80}, 3);
  const auto y = fast::attention_bf16(q, k, v, o).y;
  const auto exact = reference::attention(wide(q), wide(k), wide(v), o).y;
  const auto rounded = reference::attention_bf16(wide(q), wide(k), wide(v), o).y;
  const double size = rms_distance(Tensor<double, 3>(exact.shape()), exact);
  const double cost = rms_distance(y, exact) / size, unexplained = rms_distance(y, rounded) / size;
  MESSAGE("relative rms error " << cost << ", not explained by rounding " << unexplained);
  CHECK(cost <= 2 * 0x1p-8);  // roundings of q, k, v and p, 2^-9 each, the first two times scores of a few units
  CHECK(unexplained <= cost / 8);
}

TEST_CASE("attention with bfloat16: extreme scores") {
  const Index L = 60, S = 251, d = 8;
  const AttentionOptions o{.scale = 1};
  auto q = random<float>(Shape<3>{1, L, d}, 1), k = random<float>(Shape<3>{1, S, d}, 2);
  const auto v = random<float>(Shape<3>{1, S, d}, 3);
  for (float& x : q) x = std::round(x * 35);
  for (float& x : k) x = std::round(x * 35);
  SUBCASE("up to 10^4 in size, so that one key takes all") {}
  SUBCASE("each key larger than the one before: the maximum moves in every block") {
    for (float& x : q) x = 1;
    for (Index j = 0; j < S; ++j)
      for (Index c = 0; c < d; ++c) k(0, j, c) = static_cast<float>(j / 2);
  }
  SUBCASE("all equal") {
    for (float& x : k) x = 1;
  }
  SUBCASE("very negative throughout") {
    for (float& x : q) x = -30;
    for (float& x : k) x = 40;
  }
  const auto r = fast::attention_bf16(q, k, v, o);
  const auto e = reference::attention_bf16(wide(q), wide(k), wide(v), o);
  const double epsilon = std::numeric_limits<float>::epsilon(), score = 1.45 * (largest(e.lse) + 1);
  CHECK(distance(r.y, e.y) <= 0x1p-8 + 2.1e-4 + 8 * epsilon * score);
  CHECK(distance(r.lse, e.lse) <= 1.03e-4 + 4 * epsilon * score);
}

TEST_CASE("attention with bfloat16: no key to see gives zero, a value that is not a number stays one") {
  const auto q = random<float>(Shape<3>{1, 40, 8}, 1), k = random<float>(Shape<3>{1, 121, 8}, 2);
  const auto v = random<float>(Shape<3>{1, 121, 8}, 3);
  Tensor<float, 2> mask(Shape<2>{40, 121});
  std::fill_n(mask.data() + 7 * 121, 121, -std::numeric_limits<float>::infinity());
  const auto r = fast::attention_bf16(q, k, v, AttentionOptions{}, &mask);
  for (Index c = 0; c < 8; ++c) CHECK(r.y(0, 7, c) == 0);
  CHECK(r.lse(0, 0, 7) == -std::numeric_limits<float>::infinity());
  auto bad = k;
  bad(0, 120, 3) = std::numeric_limits<float>::quiet_NaN();
  for (float y : fast::attention_bf16(q, bad, v, AttentionOptions{}).y) CHECK(std::isnan(y));
}

TEST_CASE("attention with bfloat16: the same bytes with 1, 2 and 3 threads") {
  for (const auto& [A, L, S, d] : {std::array<Index, 4>{3, 400, 301, 21}, {1, 130, 700, 8}, {2, 1, 900, 40}}) {
    const AttentionOptions o{.heads = A};
    const auto q = random<float>(Shape<3>{2, L, A * d}, 1), k = random<float>(Shape<3>{2, S, A * d}, 2);
    const auto v = random<float>(Shape<3>{2, S, A * d}, 3);
    const auto all = [&](int threads) {
      const Threads t(threads);
      const auto r = fast::attention_bf16(q, k, v, o);
      std::vector<float> bytes(r.y.begin(), r.y.end());
      bytes.insert(bytes.end(), r.lse.begin(), r.lse.end());
      return bytes;
    };
    const auto one = all(1);
    CHECK(all(2) == one);
    CHECK(all(3) == one);
  }
}

TEST_CASE("attention multiplies in the type of the weights around it") {
  const NoGrad no_grad;
  Generator generator(3);
  const Variable<float, 3> x(generator.randn<float>(Shape<3>{2, 9, 32}));
  const Variable<float, 3> words(generator.randn<float>(Shape<3>{2, 5, 24}));
  for (const auto type : {WeightType::f32, WeightType::f16, WeightType::bf16, WeightType::q8}) {
    CAPTURE(to_string(type));
    Attention<float> layer(32, 24, 4);
    initialize(layer, generator);
    pack_parameters(layer, type);
    const auto q = layer.to_q.forward(x), k = layer.to_k.forward(words), v = layer.to_v.forward(words);
    const auto exact = layer.to_out.forward(inkling::attention(q, k, v, layer.options));
    const auto rounded = layer.to_out.forward(inkling::attention_bf16(q, k, v, layer.options));
    const auto y = layer.forward(x, words);
    const auto same_as = [&](const auto& other) {
      return std::equal(y.value().begin(), y.value().end(), other.value().begin());
    };
    const bool bf16 = type == WeightType::bf16 || type == WeightType::q8;
    CHECK(same_as(bf16 ? rounded : exact));
    CHECK(!same_as(bf16 ? exact : rounded));
  }
}
