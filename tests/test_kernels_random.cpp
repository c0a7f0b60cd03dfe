// Fast kernels against the reference on random operands: sizes that are no multiple of any block, float and double,
// and the same bytes with any number of threads.
// test: header-only
#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <map>
#include <random>

#include "backends.hpp"
#include "inkling/core/parallel.hpp"
#include "support.hpp"

using namespace inkling;
using namespace inkling::kernels;
using namespace inkling_test;

namespace {

std::mt19937 generator;

template <class T, std::size_t N>
Tensor<T, N> random(const Shape<N>& shape, double low = -1, double high = 1) {
  std::uniform_real_distribution<double> uniform(low, high);
  Tensor<T, N> x(shape);
  for (T& v : x) v = static_cast<T>(uniform(generator));
  return x;
}
Index pick(std::initializer_list<Index> from) {
  return from.begin()[std::uniform_int_distribution<std::size_t>(0, from.size() - 1)(generator)];
}

template <class T, std::size_t N>
Tensor<double, N> wide(const Tensor<T, N>& x) {
  return x.template cast<double>();
}
template <class T, std::size_t N>
Tensor<double, N> magnitude(const Tensor<T, N>& x) {
  Tensor<double, N> y = wide(x);
  for (double& v : y) v = std::abs(v);
  return y;
}
template <std::size_t N>
double largest(const Tensor<double, N>& x) {
  double most = 0;
  for (double v : x)
    if (std::isfinite(v)) most = std::max(most, std::abs(v));
  return most;
}

// The largest errors, and how much of its tolerance each used up.
struct Margins {
  // Every test case starts from the same seed, so that it tries the same operands alone and among others.
  Margins() { generator.seed(20220825); }

  std::map<std::string, std::array<double, 2>> worst;
  template <class T>
  void print(const char* what) const {
    std::ostringstream out;
    out << what << (sizeof(T) == 4 ? ", float" : ", double")
        << ": largest difference of fast from reference, as a share of the magnitude";
    for (const auto& [name, w] : worst)
      out << "\n  " << name << ": " << w[0] << " (" << static_cast<int>(100 * w[1] + 0.5) << " % of the tolerance)";
    MESSAGE(out.str());
  }
};

// `expected` comes from the reference in double on the same operands, so the whole difference is that of the fast
// kernel: at most half an epsilon for each of `length` roundings, times the size of what was added up. The 8 are for
// a handful of roundings outside the sum and for exp and log, which vector libraries give to a few epsilons.
template <class T, std::size_t N>
void agree(Margins& margins, const std::string& name, const Tensor<T, N>& got, const Tensor<double, N>& expected,
           Index length, double scale = -1) {
  INFO(name << " " << to_string(expected.shape()));
  CHECK(to_string(got.shape()) == to_string(expected.shape()));
  if (got.shape() != expected.shape()) return;
  const Worst w = compare(got, expected);
  if (scale < 0) scale = largest(expected);
  const double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
  const double tolerance = (static_cast<double>(length) / 2 + 8) * epsilon * scale;
  INFO(w << " = index " << index_text(w.at, got.shape()) << ", tolerance " << tolerance);
  CHECK(w.error <= tolerance);
  if (scale > 0) {
    auto& worst = margins.worst[name];
    worst = {std::max(worst[0], w.error / scale), std::max(worst[1], w.error / tolerance)};
  }
}
template <class T, std::size_t N>
void same(const std::string& name, const Tensor<T, N>& got, const Tensor<T, N>& expected) {
  INFO(name << " " << to_string(expected.shape()));
  CHECK(to_string(got.shape()) == to_string(expected.shape()));
  if (got.shape() == expected.shape()) CHECK(compare(got, expected).error == 0);
}

struct ConvCase {
  Shape<4> x, w;
  Conv2dOptions o;
  bool biased = true;
};
std::vector<ConvCase> conv_cases() {
  std::vector<ConvCase> cases = {
      {{2, 65, 17, 19}, {33, 65, 3, 3}, {.padding = Padding::all(1)}},
      {{1, 33, 16, 16}, {65, 33, 1, 1}, {}},
      {{2, 7, 17, 16}, {17, 7, 3, 3}, {.stride = 2, .padding = {.bottom = 1, .right = 1}}},  // the autoencoder's
      {{1, 7, 16, 15}, {17, 7, 3, 3}, {.stride = 2, .padding = Padding::all(1)}},
      {{0, 3, 8, 8}, {5, 3, 3, 3}, {.padding = Padding::all(1)}},
      {{2, 34, 9, 9}, {34, 1, 3, 3}, {.padding = Padding::all(1), .groups = 34}},  // depthwise
      {{1, 66, 7, 7}, {34, 33, 3, 3}, {.padding = Padding::all(1), .groups = 2}},
      {{1, 2, 1, 1}, {3, 2, 3, 3}, {.padding = Padding::all(1)}},
      {{1, 1, 33, 1}, {1, 1, 7, 1}, {.padding = {.top = 6, .bottom = 2}}},
      {{1, 3, 20, 20}, {8, 3, 8, 8}, {.stride = 8}},               // patches: 20 is not a multiple of 8
      {{1, 2, 5, 5}, {2, 2, 3, 3}, {.padding = Padding::all(6)}},  // windows that see nothing but padding
  };
  while (cases.size() < 60) {
    const Index groups = pick({1, 1, 1, 2, 3}), channels = groups * pick({1, 2, 3, 7, 8, 17});
    ConvCase c{.x = {pick({1, 1, 2, 3}), channels, pick({1, 2, 5, 7, 8, 16, 17, 33}), pick({1, 3, 4, 7, 16, 17, 33})},
               .w = {groups * pick({1, 2, 5, 8, 17}), channels / groups, pick({1, 1, 2, 3, 3, 4, 5}),
                     pick({1, 1, 2, 3, 3, 4, 7})},
               .o = {.stride = pick({1, 1, 1, 2, 3}),
                     .padding = {pick({0, 1, 2, 3}), pick({0, 1, 2, 3}), pick({0, 1, 2, 3}), pick({0, 1, 2, 3})},
                     .dilation = pick({1, 1, 2, 3}),
                     .groups = groups},
               .biased = pick({0, 1}) == 1};
    const bool fits = c.x[2] + c.o.padding.top + c.o.padding.bottom > c.o.dilation * (c.w[2] - 1) &&
                      c.x[3] + c.o.padding.left + c.o.padding.right > c.o.dilation * (c.w[3] - 1);
    if (fits) cases.push_back(c);
  }
  return cases;
}

std::string text(const ConvCase& c) {
  return "x " + to_string(c.x) + " w " + to_string(c.w) + " stride " + std::to_string(c.o.stride) + " padding " +
         std::to_string(c.o.padding.top) + " " + std::to_string(c.o.padding.bottom) + " " +
         std::to_string(c.o.padding.left) + " " + std::to_string(c.o.padding.right) + " dilation " +
         std::to_string(c.o.dilation) + " groups " + std::to_string(c.o.groups);
}

using R = Reference;
using F = Fast;

}  // namespace

TEST_CASE_TEMPLATE("random: convolution", T, float, double) {
  Margins m;
  for (const ConvCase& c : conv_cases()) {
    CAPTURE(text(c));
    const auto x = random<T>(c.x), w = random<T>(c.w);
    const auto bias = random<T>(Shape<1>{c.w[0]});
    const auto wide_bias = wide(bias), big_bias = magnitude(bias);
    const Tensor<T, 4> y = F::conv2d(x, w, c.biased ? &bias : nullptr, c.o);
    const Index taps = c.w[1] * c.w[2] * c.w[3];
    // Sums of magnitudes: what the roundings are relative to.
    agree(m, "conv2d", y, R::conv2d(wide(x), wide(w), c.biased ? &wide_bias : nullptr, c.o), taps,
          largest(R::conv2d(magnitude(x), magnitude(w), c.biased ? &big_bias : nullptr, c.o)));
    const auto dy = random<T>(y.shape());
    const Index reach = c.w[0] / c.o.groups * c.w[2] * c.w[3], places = y.shape(0) * y.shape(2) * y.shape(3);
    agree(m, "conv2d_backward_input", F::conv2d_backward_input(dy, w, c.x, c.o),
          R::conv2d_backward_input(wide(dy), wide(w), c.x, c.o), reach,
          largest(R::conv2d_backward_input(magnitude(dy), magnitude(w), c.x, c.o)));
    agree(m, "conv2d_backward_weight", F::conv2d_backward_weight(dy, x, c.w, c.o),
          R::conv2d_backward_weight(wide(dy), wide(x), c.w, c.o), places,
          largest(R::conv2d_backward_weight(magnitude(dy), magnitude(x), c.w, c.o)));
    agree(m, "conv2d_backward_bias", F::conv2d_backward_bias(dy), R::conv2d_backward_bias(wide(dy)), places,
          largest(R::conv2d_backward_bias(magnitude(dy))));
  }
  m.print<T>("convolution");
}

TEST_CASE_TEMPLATE("random: transposed convolution", T, float, double) {
  Margins m;
  for (int i = 0; i < 40; ++i) {
    const Index groups = pick({1, 1, 2, 3}), channels = groups * pick({1, 2, 7, 17});
    const Shape<4> xs{i == 0 ? 0 : pick({1, 2}), channels, pick({1, 2, 5, 8, 17}), pick({1, 3, 7, 16})};
    const Shape<4> ws{channels, pick({1, 2, 5, 9}), pick({2, 3, 4, 5}), pick({2, 3, 4})};
    const ConvTranspose2dOptions o{.stride = pick({1, 2, 2, 3}),
                                   .padding = pick({0, 0, 1}),
                                   .output_padding = pick({0, 0, 1}),
                                   .dilation = pick({1, 1, 2}),
                                   .groups = groups};
    if (o.output_padding >= std::max(o.stride, o.dilation)) continue;
    if ((std::min(xs[2], xs[3]) - 1) * o.stride + o.dilation * (std::min(ws[2], ws[3]) - 1) < 2 * o.padding) continue;
    CAPTURE(to_string(xs));
    CAPTURE(to_string(ws));
    const auto x = random<T>(xs), w = random<T>(ws);
    const auto bias = random<T>(Shape<1>{ws[1] * groups});
    const auto wide_bias = wide(bias), big_bias = magnitude(bias);
    const bool biased = i % 2 == 0;
    const Tensor<T, 4> y = F::conv_transpose2d(x, w, biased ? &bias : nullptr, o);
    const Index reach = xs[1] / groups * ws[2] * ws[3];
    agree(m, "conv_transpose2d", y, R::conv_transpose2d(wide(x), wide(w), biased ? &wide_bias : nullptr, o), reach,
          largest(R::conv_transpose2d(magnitude(x), magnitude(w), biased ? &big_bias : nullptr, o)));
    const auto dy = random<T>(y.shape());
    agree(m, "conv_transpose2d_backward_input", F::conv_transpose2d_backward_input(dy, w, xs, o),
          R::conv_transpose2d_backward_input(wide(dy), wide(w), xs, o), ws[1] * ws[2] * ws[3],
          largest(R::conv_transpose2d_backward_input(magnitude(dy), magnitude(w), xs, o)));
    agree(m, "conv_transpose2d_backward_weight", F::conv_transpose2d_backward_weight(dy, x, ws, o),
          R::conv_transpose2d_backward_weight(wide(dy), wide(x), ws, o), xs[0] * xs[2] * xs[3],
          largest(R::conv_transpose2d_backward_weight(magnitude(dy), magnitude(x), ws, o)));
  }
  m.print<T>("transposed convolution");
}

TEST_CASE_TEMPLATE("random: linear and matmul", T, float, double) {
  Margins m;
  for (const Index rows : {0, 1, 2, 7, 17, 33, 65})
    for (const Index in : {1, 2, 7, 33, 65, 400})
      for (const Index out : {1, 2, 7, 17, 65}) {
        const auto x = random<T>(Shape<3>{rows == 65 ? 5 : 1, rows == 65 ? 13 : rows, in});
        const auto w = random<T>(Shape<2>{out, in});
        const auto bias = random<T>(Shape<1>{out});
        const auto wide_bias = wide(bias), big_bias = magnitude(bias);
        const bool biased = (rows + in + out) % 2 == 0;
        const Tensor<T, 3> y = F::linear(x, w, biased ? &bias : nullptr);
        agree(m, "linear", y, R::linear(wide(x), wide(w), biased ? &wide_bias : nullptr), in,
              largest(R::linear(magnitude(x), magnitude(w), biased ? &big_bias : nullptr)));
        const auto dy = random<T>(y.shape());
        agree(m, "linear_backward_input", F::linear_backward_input(dy, w), R::linear_backward_input(wide(dy), wide(w)),
              out, largest(R::linear_backward_input(magnitude(dy), magnitude(w))));
        agree(m, "linear_backward_weight", F::linear_backward_weight(dy, x),
              R::linear_backward_weight(wide(dy), wide(x)), rows,
              largest(R::linear_backward_weight(magnitude(dy), magnitude(x))));
        agree(m, "linear_backward_bias", F::linear_backward_bias(dy), R::linear_backward_bias(wide(dy)), rows,
              largest(R::linear_backward_bias(magnitude(dy))));
      }
  for (int i = 0; i < 60; ++i) {
    const bool ta = i % 2, tb = i / 2 % 2;
    const Index B = i == 0 ? 0 : pick({1, 2, 3}), M = pick({1, 2, 7, 17, 33, 65});
    const Index N = i < 56 ? pick({1, 2, 7, 17, 33, 65}) : 9001, K = i < 56 ? pick({1, 2, 7, 17, 65, 129, 400}) : 11;
    CAPTURE(ta);
    CAPTURE(tb);
    const auto a = random<T>(ta ? Shape<3>{B, K, M} : Shape<3>{B, M, K});
    const auto b = random<T>(tb ? Shape<3>{B, N, K} : Shape<3>{B, K, N});
    const auto expected = R::matmul(wide(a), wide(b), ta, tb);
    const double scale = largest(R::matmul(magnitude(a), magnitude(b), ta, tb));
    agree(m, "matmul", F::matmul(a, b, ta, tb), expected, K, scale);
    if (B == 1) {
      const auto a2 = a.reshaped(Shape<2>{a.shape(1), a.shape(2)}), b2 = b.reshaped(Shape<2>{b.shape(1), b.shape(2)});
      agree(m, "matmul", F::matmul(a2, b2, ta, tb), expected.reshaped(Shape<2>{M, N}), K, scale);
    }
  }
  m.print<T>("linear");
}

TEST_CASE_TEMPLATE("random: normalisation", T, float, double) {
  Margins m;
  const T eps = T(1e-5);
  for (int i = 0; i < 40; ++i) {
    const Index groups = pick({1, 2, 3, 32}), C = groups * pick({1, 2, 3});
    const Shape<4> shape{i == 0 ? 0 : pick({1, 2, 3}), C, pick({1, 2, 7, 17}), pick({1, 3, 16, 33})};
    // A mean far from zero: subtracting a square from a square instead of centring first would lose every digit.
    const double centre = i % 4 == 0 ? 100 : 0;
    const auto x = random<T>(shape, centre - 1, centre + 1), dy = random<T>(shape);
    const auto gamma = random<T>(Shape<1>{C}), beta = random<T>(Shape<1>{C});
    const Index length = C / groups * shape[2] * shape[3];
    CAPTURE(to_string(shape));
    CAPTURE(groups);
    const auto r = F::group_norm(x, gamma, beta, groups, eps);
    const auto e = R::group_norm(wide(x), wide(gamma), wide(beta), groups, static_cast<double>(eps));
    // x - mu cannot be better than mu, whose last digit is worth |mu| epsilon; in units of x_hat that is times rstd.
    const double spread = largest(e.rstd), big = largest(magnitude(x)), condition = 1 + big * spread;
    agree(m, "group_norm", r.y, e.y, length, condition * std::max(1.0, largest(e.y)));
    agree(m, "group_norm mean", r.mean, e.mean, length, big);
    agree(m, "group_norm rstd", r.rstd, e.rstd, length, condition * spread);
    const auto d = F::group_norm_backward(dy, x, gamma, r.mean, r.rstd, groups);
    const auto f = R::group_norm_backward(wide(dy), wide(x), wide(gamma), e.mean, e.rstd, groups);
    agree(m, "group_norm_backward dx", d.dx, f.dx, length, condition * std::max(spread, largest(f.dx)));
    agree(m, "group_norm_backward dgamma", d.dgamma, f.dgamma, length * shape[0],
          condition * static_cast<double>(shape[0] * shape[2] * shape[3]));
    agree(m, "group_norm_backward dbeta", d.dbeta, f.dbeta, length * shape[0],
          static_cast<double>(shape[0] * shape[2] * shape[3]));
  }
  for (int i = 0; i < 40; ++i) {
    const Shape<3> shape{i == 0 ? 0 : pick({1, 2}), pick({1, 7, 33, 77}), pick({1, 2, 7, 17, 64, 65, 320})};
    const double centre = i % 4 == 0 ? 100 : 0;
    const auto x = random<T>(shape, centre - 1, centre + 1), dy = random<T>(shape);
    const auto gamma = random<T>(Shape<1>{shape[2]}), beta = random<T>(Shape<1>{shape[2]});
    CAPTURE(to_string(shape));
    const auto r = F::layer_norm(x, gamma, beta, eps);
    const auto e = R::layer_norm(wide(x), wide(gamma), wide(beta), static_cast<double>(eps));
    const double spread = largest(e.rstd), condition = 1 + largest(magnitude(x)) * spread;
    agree(m, "layer_norm", r.y, e.y, shape[2], condition * std::max(1.0, largest(e.y)));
    agree(m, "layer_norm mean", r.mean, e.mean, shape[2], largest(magnitude(x)));
    agree(m, "layer_norm rstd", r.rstd, e.rstd, shape[2], condition * spread);
    const auto d = F::layer_norm_backward(dy, x, gamma, r.mean, r.rstd);
    const auto f = R::layer_norm_backward(wide(dy), wide(x), wide(gamma), e.mean, e.rstd);
    const double rows = static_cast<double>(shape[0] * shape[1]);
    agree(m, "layer_norm_backward dx", d.dx, f.dx, shape[2], condition * std::max(spread, largest(f.dx)));
    agree(m, "layer_norm_backward dgamma", d.dgamma, f.dgamma, shape[0] * shape[1] + shape[2], condition * rows);
    agree(m, "layer_norm_backward dbeta", d.dbeta, f.dbeta, shape[0] * shape[1], rows);
  }
  for (int i = 0; i < 20; ++i) {
    const Shape<4> shape{pick({2, 3}), pick({1, 3, 17}), pick({1, 2, 7, 17}), pick({1, 3, 16})};
    const bool training = i % 2;
    const auto x = random<T>(shape), dy = random<T>(shape);
    const auto gamma = random<T>(Shape<1>{shape[1]}), beta = random<T>(Shape<1>{shape[1]});
    auto mean = random<T>(Shape<1>{shape[1]}), var = random<T>(Shape<1>{shape[1]}, 0.5, 2);
    auto wide_mean = wide(mean), wide_var = wide(var);
    const Index length = shape[0] * shape[2] * shape[3];
    CAPTURE(to_string(shape));
    const auto r = F::batch_norm(x, gamma, beta, mean, var, training, T(0.125), eps);
    const auto e =
        R::batch_norm(wide(x), wide(gamma), wide(beta), wide_mean, wide_var, training, 0.125, static_cast<double>(eps));
    const double spread = std::max(1.0, largest(e.rstd));
    agree(m, "batch_norm", r.y, e.y, length, 2 * spread);
    agree(m, "batch_norm running mean", mean, wide_mean, length, 1);
    agree(m, "batch_norm running var", var, wide_var, length, 2);
    const auto d = F::batch_norm_backward(dy, x, gamma, r.mean, r.rstd, training);
    const auto f = R::batch_norm_backward(wide(dy), wide(x), wide(gamma), e.mean, e.rstd, training);
    agree(m, "batch_norm_backward dx", d.dx, f.dx, length, spread * std::max(spread, largest(f.dx)));
    agree(m, "batch_norm_backward dgamma", d.dgamma, f.dgamma, length, 2 * spread * static_cast<double>(length));
    agree(m, "batch_norm_backward dbeta", d.dbeta, f.dbeta, length, static_cast<double>(length));
  }
  m.print<T>("normalisation");
}

TEST_CASE_TEMPLATE("random: activations", T, float, double) {
  Margins m;
  const std::map<std::string, Activation> kinds = {{"silu", Activation::silu},
                                                   {"gelu", Activation::gelu},
                                                   {"gelu_tanh", Activation::gelu_tanh},
                                                   {"quick_gelu", Activation::quick_gelu},
                                                   {"sigmoid", Activation::sigmoid},
                                                   {"tanh", Activation::tanh},
                                                   {"softplus", Activation::softplus},
                                                   {"leaky_relu", Activation::leaky_relu},
                                                   {"exp", Activation::exp},
                                                   {"relu", Activation::relu}};
  for (const auto& entry : kinds) {
    const std::string& name = entry.first;
    const Activation kind = entry.second;
    CAPTURE(name);
    // erf of a vector library is right to about a dozen epsilons.
    const Index roundings = kind == Activation::gelu ? 32 : 1;
    for (const Index n : {0, 1, 2, 7, 17, 33, 65, 1000, 40001})
      for (const double range : {0.001, 1.0, 6.0}) {
        const auto x = random<T>(Shape<2>{1, n}, -range, range), dy = random<T>(Shape<2>{1, n});
        // x (1 + erf x) loses digits where the two cancel, but never more than x has.
        const auto expected = R::activation(kind, wide(x));
        agree(m, name, F::activation(kind, x), expected, roundings, std::max(range, largest(expected)));
        agree(m, name + " backward", F::activation_backward(kind, dy, x),
              R::activation_backward(kind, wide(dy), wide(x)), roundings,
              kind == Activation::exp ? std::exp(range) : 1.2);  // no other slope exceeds 1.13
      }
    // Far out nothing may overflow into NaN, and a NaN must come through.
    const bool grows = kind == Activation::exp;
    const Tensor<T, 1> far(Shape<1>{9}, {T(-1e4), T(-200), T(-90), T(-30), T(0), T(30), T(grows ? 60 : 90),
                                         T(grows ? 60 : 200), T(grows ? 60 : 1e4)});
    const Tensor<T, 1> ones(far.shape(), T(1));
    const Tensor<T, 1> y = F::activation(kind, far), dy = F::activation_backward(kind, ones, far);
    for (Index i = 0; i < far.size(); ++i) {
      INFO("at " << far(i));
      const double e = R::activation(kind, wide(far))(i), de = R::activation_backward(kind, wide(ones), wide(far))(i);
      const double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
      CHECK(static_cast<double>(y(i)) == doctest::Approx(e).epsilon(64 * epsilon).scale(1));
      CHECK(static_cast<double>(dy(i)) == doctest::Approx(de).epsilon(64 * epsilon).scale(1));
    }
    const Tensor<T, 1> broken(Shape<1>{3}, {T(1), std::numeric_limits<T>::quiet_NaN(), T(2)});
    CHECK(std::isnan(R::activation(kind, broken)(1)));
    CHECK(std::isnan(F::activation(kind, broken)(1)));
  }
  for (const Index D : {1, 7, 17, 65, 2560}) {
    const auto x = random<T>(Shape<3>{2, 3, 2 * D}, -4, 4), dy = random<T>(Shape<3>{2, 3, D});
    agree(m, "geglu", F::geglu(x), R::geglu(wide(x)), 32, 16);
    agree(m, "geglu backward", F::geglu_backward(dy, x), R::geglu_backward(wide(dy), wide(x)), 32, 5);
  }
  m.print<T>("activations");
}

TEST_CASE_TEMPLATE("random: softmax", T, float, double) {
  Margins m;
  for (int i = 0; i < 60; ++i) {
    const Shape<3> shape{i == 0 ? 0 : pick({1, 2, 5}), pick({1, 7, 17, 33}), pick({1, 2, 17, 65, 77, 300})};
    const Index axis = i % 3;
    const double range = i % 5 == 0 ? 1000 : 4;  // e^1000 overflows unless the maximum is subtracted
    const auto x = random<T>(shape, -range, range), dy = random<T>(shape);
    const Index length = shape[static_cast<std::size_t>(axis)];
    CAPTURE(to_string(shape));
    CAPTURE(axis);
    const auto y = F::softmax(x, axis), l = F::log_softmax(x, axis);
    agree(m, "softmax", y, R::softmax(wide(x), axis), length, range);  // x itself carries range epsilon
    agree(m, "softmax_backward", F::softmax_backward(dy, y, axis), R::softmax_backward(wide(dy), wide(y), axis), length,
          1);
    agree(m, "log_softmax", l, R::log_softmax(wide(x), axis), length, 2 * range);
    agree(m, "log_softmax_backward", F::log_softmax_backward(dy, l, axis),
          R::log_softmax_backward(wide(dy), wide(l), axis), length, 1 + std::sqrt(static_cast<double>(length)));
  }
  m.print<T>("softmax");
}

TEST_CASE_TEMPLATE("random: attention", T, float, double) {
  Margins m;
  for (int i = 0; i < 58; ++i) {
    const bool large = i >= 50;  // several blocks of queries and of keys
    const Index N = i == 0 ? 0 : pick({1, 2}), d = large ? 5 : pick({1, 8, 17, 40, 64});
    const Index L = large ? pick({140, 600}) : pick({1, 2, 7, 17, 65, 130});
    const Index S = large ? pick({600, 1100}) : pick({1, 2, 7, 33, 77, 130}), dv = i % 3 ? d : pick({1, 8, 17, 40});
    AttentionOptions o{.heads = large ? 1 : pick({1, 2, 3, 8}), .causal = i % 4 == 1, .scale = i % 5 == 2 ? 0.5 : 0.0};
    const auto q = random<T>(Shape<3>{N, L, o.heads * d}), k = random<T>(Shape<3>{N, S, o.heads * d});
    const auto v = random<T>(Shape<3>{N, S, o.heads * dv});
    auto mask = random<T>(Shape<2>{L, S});
    for (T& value : mask)
      if (value > T(0.5)) value = -std::numeric_limits<T>::infinity();
    if (i % 8 == 3)  // a query that may look at nothing
      for (Index j = 0; j < S; ++j) mask(L / 2, j) = -std::numeric_limits<T>::infinity();
    const bool masked = i % 4 >= 2;
    const auto wide_mask = wide(mask);
    const Tensor<T, 2>* given = masked ? &mask : nullptr;
    const Tensor<double, 2>* wide_given = masked ? &wide_mask : nullptr;
    CAPTURE(to_string(q.shape()));
    CAPTURE(to_string(k.shape()));
    CAPTURE(o.heads);
    CAPTURE(o.causal);
    CAPTURE(masked);
    const AttentionResult<T> r = F::attention(q, k, v, o, given);
    const AttentionResult<double> e = R::attention(wide(q), wide(k), wide(v), o, wide_given);
    // Scores reach scale d; their roundings turn into relative errors of the weights.
    const double scale = o.scale != 0 ? o.scale : 1 / std::sqrt(static_cast<double>(d));
    const double score = 1 + scale * static_cast<double>(d);
    const Index length = S + d;
    agree(m, "attention", r.y, e.y, length, score);
    agree(m, "attention lse", r.lse, e.lse, length, score + std::log(static_cast<double>(S)));
    const auto dy = random<T>(r.y.shape());
    const auto g = F::attention_backward(dy, q, k, v, r, o, given);
    const auto f = R::attention_backward(wide(dy), wide(q), wide(k), wide(v), e, o, wide_given);
    const Index back = S + L + d + dv;
    agree(m, "attention_backward dq", g.dq, f.dq, back, score * std::max(scale, largest(f.dq)));
    agree(m, "attention_backward dk", g.dk, f.dk, back, score * std::max(scale, largest(f.dk)));
    agree(m, "attention_backward dv", g.dv, f.dv, back, score * std::max(1.0, largest(f.dv)));
    const auto p = F::attention_probabilities(q, k, o, given);
    agree(m, "attention_probabilities", p, R::attention_probabilities(wide(q), wide(k), o, wide_given), length, score);
  }
  m.print<T>("attention");
}

TEST_CASE_TEMPLATE("random: resampling", T, float, double) {
  Margins m;
  for (int i = 0; i < 40; ++i) {
    const Shape<4> shape{i == 0 ? 0 : pick({1, 2}), pick({1, 3, 5}), pick({1, 2, 7, 17, 33}), pick({1, 2, 9, 16, 65})};
    const auto x = random<T>(shape);
    const Index factor = pick({1, 2, 3, 4});
    CAPTURE(to_string(shape));
    CAPTURE(factor);
    const auto y = F::upsample_nearest(x, factor);
    same("upsample_nearest", y, R::upsample_nearest(x, factor));
    const auto dy = random<T>(y.shape());
    const double square = static_cast<double>(factor * factor);
    agree(m, "upsample_nearest_backward", F::upsample_nearest_backward(dy, factor),
          R::upsample_nearest_backward(wide(dy), factor), factor * factor, square);
    for (const bool align : {false, true}) {
      CAPTURE(align);
      // The weight of a neighbour is the fraction of a position that may be as large as the image.
      const double position = static_cast<double>(std::max(shape[2], shape[3]));
      agree(m, "upsample_bilinear", F::upsample_bilinear(x, factor, align),
            R::upsample_bilinear(wide(x), factor, align), 4, position);
      agree(m, "upsample_bilinear_backward", F::upsample_bilinear_backward(dy, shape, factor, align),
            R::upsample_bilinear_backward(wide(dy), shape, factor, align), 4 * factor * factor, position * square);
    }
    const PoolOptions o{.kernel = pick({1, 2, 3, 5}), .stride = pick({1, 2, 3}), .padding = pick({0, 1})};
    if (2 * o.padding > o.kernel || std::min(shape[2], shape[3]) + 2 * o.padding < o.kernel) continue;
    CAPTURE(o.kernel);
    CAPTURE(o.stride);
    CAPTURE(o.padding);
    agree(m, "avg_pool", F::avg_pool(x, o), R::avg_pool(wide(x), o), o.kernel * o.kernel, 1);
    const auto r = F::max_pool(x, o);
    const auto e = R::max_pool(x, o);
    same("max_pool", r.y, e.y);
    same("max_pool argmax", r.argmax, e.argmax);
    const auto dp = random<T>(r.y.shape());
    agree(m, "avg_pool_backward", F::avg_pool_backward(dp, shape, o), R::avg_pool_backward(wide(dp), shape, o),
          o.kernel * o.kernel, 1);
    agree(m, "max_pool_backward", F::max_pool_backward(dp, r.argmax, shape),
          R::max_pool_backward(wide(dp), e.argmax, shape), o.kernel * o.kernel,
          static_cast<double>(o.kernel * o.kernel));
  }
  // Equal values: the first one wins; a NaN is never hidden by a number.
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const Tensor<T, 4> flat(Shape<4>{1, 1, 2, 4}, {T(5), T(5), T(1), nan, T(5), T(5), T(2), T(3)});
  for (const auto& r : {R::max_pool(flat, PoolOptions{}), F::max_pool(flat, PoolOptions{})}) {
    CHECK(r.argmax(0, 0, 0, 0) == 0);
    CHECK(std::isnan(r.y(0, 0, 0, 1)));
    CHECK(r.argmax(0, 0, 0, 1) == 3);
  }
  m.print<T>("resampling");
}

TEST_CASE_TEMPLATE("random: embedding", T, float, double) {
  Margins m;
  for (const Index V : {1, 2, 33, 500})
    for (const Index D : {1, 7, 17, 65}) {
      const auto table = random<T>(Shape<2>{V, D});
      Tensor<std::int64_t, 2> ids(Shape<2>{3, 77});
      for (auto& id : ids) id = std::uniform_int_distribution<std::int64_t>(0, V - 1)(generator);
      same("embedding", F::embedding(table, ids), R::embedding(table, ids));
      const auto dy = random<T>(Shape<3>{3, 77, D});
      agree(m, "embedding_backward", F::embedding_backward(dy, ids, table.shape()),
            R::embedding_backward(wide(dy), ids, table.shape()), ids.size(), static_cast<double>(3 * 77));
    }
  for (const Index dim : {4, 5, 32, 33, 320})
    for (const TimestepEmbedding kind : {TimestepEmbedding::ldm, TimestepEmbedding::ddpm}) {
      const auto t = random<T>(Shape<1>{7}, 0, 1000);
      // In the same type on both sides: the angle's rounding is part of the definition.
      const double scale = 1000;
      agree(m, "timestep_embedding", F::timestep_embedding(t, dim, kind), wide(R::timestep_embedding(t, dim, kind)), 1,
            scale);
    }
  m.print<T>("embedding");
}

TEST_CASE_TEMPLATE("random: losses", T, float, double) {
  Margins m;
  for (const Index n : {1, 2, 7, 17, 65, 1000, 100003}) {
    CAPTURE(n);
    const auto x = random<T>(Shape<2>{1, n}, -3, 3), target = random<T>(Shape<2>{1, n}, -3, 3);
    const auto probability = random<T>(Shape<2>{1, n}, 0, 1);
    const T dloss = T(1.5), setting = T(0.75);
    const double wide_setting = 0.75, slope = 1.5 * 12 / static_cast<double>(n);
    const auto wx = wide(x), wt = wide(target), wp = wide(probability);
    agree(m, "mse", F::mse(x, target), R::mse(wx, wt), n);
    agree(m, "mse_backward", F::mse_backward(dloss, x, target), R::mse_backward(1.5, wx, wt), 1, slope);
    agree(m, "l1", F::l1(x, target), R::l1(wx, wt), n);
    agree(m, "l1_backward", F::l1_backward(dloss, x, target), R::l1_backward(1.5, wx, wt), 1, slope);
    agree(m, "huber", F::huber(x, target, setting), R::huber(wx, wt, wide_setting), n);
    agree(m, "huber_backward", F::huber_backward(dloss, x, target, setting),
          R::huber_backward(1.5, wx, wt, wide_setting), 1, slope);
    agree(m, "smooth_l1", F::smooth_l1(x, target, setting), R::smooth_l1(wx, wt, wide_setting), n);
    agree(m, "smooth_l1_backward", F::smooth_l1_backward(dloss, x, target, setting),
          R::smooth_l1_backward(1.5, wx, wt, wide_setting), 1, slope);
    agree(m, "bce_with_logits", F::bce_with_logits(x, probability), R::bce_with_logits(wx, wp), n, 4);
    agree(m, "bce_with_logits_backward", F::bce_with_logits_backward(dloss, x, probability),
          R::bce_with_logits_backward(1.5, wx, wp), 1, slope);
  }
  for (const Index C : {1, 2, 10, 65}) {
    const auto logits = random<T>(Shape<4>{2, C, 5, 7}, -9, 9);
    Tensor<std::int64_t, 3> ids(Shape<3>{2, 5, 7});
    for (auto& id : ids) id = std::uniform_int_distribution<std::int64_t>(0, C - 1)(generator);
    for (const T smoothing : {T(0), T(0.125)}) {
      const double s = static_cast<double>(smoothing);
      agree(m, "cross_entropy", F::cross_entropy(logits, ids, smoothing), R::cross_entropy(wide(logits), ids, s),
            logits.size(), 18);
      agree(m, "cross_entropy_backward", F::cross_entropy_backward(T(1.5), logits, ids, smoothing),
            R::cross_entropy_backward(1.5, wide(logits), ids, s), C + 18, 1.5 / static_cast<double>(ids.size()));
    }
  }
  for (const Index n : {0, 1, 3}) {
    const auto moments = random<T>(Shape<4>{n, 8, 7, 9}, -3, 3);
    const auto dkl = random<T>(Shape<1>{n});
    agree(m, "kl_diagonal_gaussian", F::kl_diagonal_gaussian(moments), R::kl_diagonal_gaussian(wide(moments)), 252);
    agree(m, "kl_diagonal_gaussian_backward", F::kl_diagonal_gaussian_backward(dkl, moments),
          R::kl_diagonal_gaussian_backward(wide(dkl), wide(moments)), 1, 10);
  }
  Tensor<T, 4> beyond(Shape<4>{1, 2, 1, 3});  // logvar beyond both clamps: no gradient comes through
  beyond(0, 1, 0, 0) = T(-40);
  beyond(0, 1, 0, 1) = T(25);
  beyond(0, 1, 0, 2) = T(2);
  const Tensor<T, 1> one(Shape<1>{1}, T(1));
  for (const auto& d : {R::kl_diagonal_gaussian_backward(one, beyond), F::kl_diagonal_gaussian_backward(one, beyond)}) {
    CHECK(d(0, 1, 0, 0) == T(0));
    CHECK(d(0, 1, 0, 1) == T(0));
    CHECK(static_cast<double>(d(0, 1, 0, 2)) == doctest::Approx((std::exp(2.0) - 1) / 2));
  }
  m.print<T>("losses");
}

TEST_CASE_TEMPLATE("random: elementwise", T, float, double) {
  Margins m;
  for (int i = 0; i < 40; ++i) {
    const Shape<4> shape{i == 0 ? 0 : pick({1, 2, 3}), pick({1, 3, 17}), pick({1, 5, 33}), pick({1, 4, 7, 65})};
    const auto a = random<T>(shape), b = random<T>(shape, 0.5, 2), dy = random<T>(shape);
    Shape<3> narrow{shape[1], shape[2], shape[3]};
    for (Index& size : narrow) size = pick({0, 1}) ? 1 : size;
    const auto c = random<T>(narrow, 0.5, 2);
    CAPTURE(to_string(shape));
    CAPTURE(to_string(narrow));
    const Index repeats = a.size() / c.size();
    for (const Binary op : {Binary::add, Binary::sub, Binary::mul, Binary::div}) {
      agree(m, "binary", F::binary(op, a, b), R::binary(op, wide(a), wide(b)), 1);
      agree(m, "binary_broadcast", F::binary_broadcast(op, a, c), R::binary_broadcast(op, wide(a), wide(c)), 1);
      const auto g = F::binary_broadcast_backward(op, dy, a, c);
      const auto e = R::binary_broadcast_backward(op, wide(dy), wide(a), wide(c));
      agree(m, "binary_broadcast_backward da", g.da, e.da, 1);
      agree(m, "binary_broadcast_backward db", g.db, e.db, repeats, 4 * static_cast<double>(repeats));
    }
    const Index axis = i % 4, length = shape[static_cast<std::size_t>(axis)];
    const double terms = static_cast<double>(length);
    const auto s = F::sum(a, axis);
    agree(m, "sum", s, R::sum(wide(a), axis), length, terms);
    same("sum_backward", F::sum_backward(s, shape, axis), R::sum_backward(s, shape, axis));
    if (length > 0) {
      agree(m, "mean", F::mean(a, axis), R::mean(wide(a), axis), length, 1);
      agree(m, "mean_backward", F::mean_backward(s, shape, axis), R::mean_backward(wide(s), shape, axis), 1);
    }
    agree(m, "scale", F::scale(a, T(0.375)), R::scale(wide(a), 0.375), 1);
    auto into = a;
    F::accumulate(into, dy);
    agree(m, "accumulate", into, R::binary(Binary::add, wide(a), wide(dy)), 1);
    const auto joined = F::concat(a, dy, axis);
    same("concat", joined, R::concat(a, dy, axis));
    same("slice", F::slice(joined, axis, length, 2 * length), dy);
    same("slice", F::slice(joined, axis, length / 2, length), R::slice(joined, axis, length / 2, length));
    same("slice_backward", F::slice_backward(a, joined.shape(), axis, length / 2),
         R::slice_backward(a, joined.shape(), axis, length / 2));
    std::array<std::size_t, 4> order{0, 1, 2, 3};
    std::shuffle(order.begin(), order.end(), generator);
    same("permute", F::permute(a, order), R::permute(a, order));
    agree(m, "normalize_l2", F::normalize_l2(b), R::normalize_l2(wide(b)), shape[3], 1);
    agree(m, "normalize_l2_backward", F::normalize_l2_backward(dy, b), R::normalize_l2_backward(wide(dy), wide(b)),
          shape[3], 4);
  }
  for (const auto& y : {R::normalize_l2(Tensor<T, 2>(Shape<2>{1, 5})), F::normalize_l2(Tensor<T, 2>(Shape<2>{1, 5}))})
    for (const T v : y) CHECK(v == T(0));  // a zero vector has no direction: it stays zero, not NaN
  m.print<T>("elementwise");
}

namespace {

using Bytes = std::map<std::string, std::vector<unsigned char>>;
template <class T, std::size_t N>
void keep(Bytes& all, const std::string& name, const Tensor<T, N>& x) {
  std::vector<unsigned char> bytes(static_cast<std::size_t>(x.size()) * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), x.data(), bytes.size());
  all[name] = std::move(bytes);
}

// Every fast kernel, at sizes where its work is shared out.
template <class T>
Bytes every_kernel() {
  generator.seed(7);
  Bytes all;
  {
    const auto x = random<T>(Shape<4>{2, 34, 33, 31}), w = random<T>(Shape<4>{66, 34, 3, 3});
    const auto bias = random<T>(Shape<1>{66});
    const Conv2dOptions o{.padding = Padding::all(1)};
    const Tensor<T, 4> y = F::conv2d(x, w, &bias, o);
    keep(all, "conv2d", y);
    keep(all, "conv2d_backward_input", F::conv2d_backward_input(y, w, x.shape(), o));
    keep(all, "conv2d_backward_weight", F::conv2d_backward_weight(y, x, w.shape(), o));
    keep(all, "conv2d_backward_bias", F::conv2d_backward_bias(y));
    const auto w1 = random<T>(Shape<4>{65, 34, 1, 1});
    keep(all, "conv2d 1x1", F::conv2d(x, w1, nullptr, Conv2dOptions{}));
    const auto grouped = random<T>(Shape<4>{34, 17, 3, 3});
    const Conv2dOptions og{.stride = 2, .padding = {.bottom = 1, .right = 1}, .groups = 2};
    const Tensor<T, 4> yg = F::conv2d(x, grouped, nullptr, og);
    keep(all, "conv2d groups", yg);
    keep(all, "conv2d_backward_input groups", F::conv2d_backward_input(yg, grouped, x.shape(), og));
    keep(all, "conv2d_backward_weight groups", F::conv2d_backward_weight(yg, x, grouped.shape(), og));
    const auto wt = random<T>(Shape<4>{34, 17, 4, 4});
    const ConvTranspose2dOptions ot{.stride = 2, .padding = 1};
    const Tensor<T, 4> yt = F::conv_transpose2d(x, wt, nullptr, ot);
    keep(all, "conv_transpose2d", yt);
    keep(all, "conv_transpose2d_backward_input", F::conv_transpose2d_backward_input(yt, wt, x.shape(), ot));
    keep(all, "conv_transpose2d_backward_weight", F::conv_transpose2d_backward_weight(yt, x, wt.shape(), ot));
    const auto gamma = random<T>(Shape<1>{34}), beta = random<T>(Shape<1>{34});
    const auto g = F::group_norm(x, gamma, beta, 17, T(1e-5));
    keep(all, "group_norm", g.y);
    const auto dg = F::group_norm_backward(x, x, gamma, g.mean, g.rstd, 17);
    keep(all, "group_norm_backward", dg.dx);
    keep(all, "group_norm_backward dgamma", dg.dgamma);
    keep(all, "group_norm_backward dbeta", dg.dbeta);
    auto mean = beta, var = F::binary(Binary::mul, gamma, gamma);
    const auto b = F::batch_norm(x, gamma, beta, mean, var, true, T(0.1), T(1e-5));
    keep(all, "batch_norm", b.y);
    keep(all, "batch_norm running", var);
    const auto db = F::batch_norm_backward(x, x, gamma, b.mean, b.rstd, true);
    keep(all, "batch_norm_backward", db.dx);
    keep(all, "batch_norm_backward dgamma", db.dgamma);
    keep(all, "upsample_nearest", F::upsample_nearest(x, 2));
    keep(all, "upsample_nearest_backward", F::upsample_nearest_backward(F::upsample_nearest(x, 2), 2));
    keep(all, "upsample_bilinear", F::upsample_bilinear(x, 2, false));
    keep(all, "upsample_bilinear_backward",
         F::upsample_bilinear_backward(F::upsample_nearest(x, 2), x.shape(), 2, false));
    const PoolOptions p{.kernel = 3, .stride = 2, .padding = 1};
    const auto mp = F::max_pool(x, p);
    keep(all, "max_pool", mp.y);
    keep(all, "max_pool argmax", mp.argmax);
    keep(all, "max_pool_backward", F::max_pool_backward(mp.y, mp.argmax, x.shape()));
    keep(all, "avg_pool", F::avg_pool(x, p));
    keep(all, "avg_pool_backward", F::avg_pool_backward(mp.y, x.shape(), p));
    keep(all, "kl_diagonal_gaussian", F::kl_diagonal_gaussian(x));
    keep(all, "permute", F::permute(x, std::array<std::size_t, 4>{0, 2, 3, 1}));
    keep(all, "concat", F::concat(x, x, 1));
    keep(all, "slice", F::slice(x, 1, 3, 30));
    keep(all, "binary", F::binary(Binary::mul, x, x));
    const auto narrow = random<T>(Shape<3>{34, 1, 1}, 0.5, 2);
    keep(all, "binary_broadcast", F::binary_broadcast(Binary::div, x, narrow));
    keep(all, "binary_broadcast_backward", F::binary_broadcast_backward(Binary::div, x, x, narrow).db);
    for (const Index axis : {0, 1, 2, 3}) {
      keep(all, "sum " + std::to_string(axis), F::sum(x, axis));
      keep(all, "softmax " + std::to_string(axis), F::softmax(x, axis));
      keep(all, "softmax_backward " + std::to_string(axis), F::softmax_backward(x, x, axis));
      keep(all, "log_softmax " + std::to_string(axis), F::log_softmax(x, axis));
      keep(all, "log_softmax_backward " + std::to_string(axis), F::log_softmax_backward(x, x, axis));
    }
    for (const Activation kind : {Activation::silu, Activation::gelu, Activation::quick_gelu, Activation::exp}) {
      keep(all, "activation " + std::to_string(static_cast<int>(kind)), F::activation(kind, x));
      keep(all, "activation_backward " + std::to_string(static_cast<int>(kind)), F::activation_backward(kind, x, x));
    }
    keep(all, "mse", F::mse(x, F::scale(x, T(0.5))));
    keep(all, "l1", F::l1(x, F::scale(x, T(0.5))));
    keep(all, "huber", F::huber(x, F::scale(x, T(0.5)), T(0.1)));
    keep(all, "bce_with_logits", F::bce_with_logits(x, x));
    Tensor<std::int64_t, 3> ids(Shape<3>{2, 33, 31});
    for (auto& id : ids) id = pick({0, 5, 33});
    keep(all, "cross_entropy", F::cross_entropy(x, ids, T(0.1)));
    keep(all, "cross_entropy_backward", F::cross_entropy_backward(T(1), x, ids, T(0.1)));
  }
  {
    const auto x = random<T>(Shape<3>{2, 130, 160});
    const auto w = random<T>(Shape<2>{322, 160});
    const auto bias = random<T>(Shape<1>{322});
    const Tensor<T, 3> y = F::linear(x, w, &bias);
    keep(all, "linear", y);
    keep(all, "linear_backward_input", F::linear_backward_input(y, w));
    keep(all, "linear_backward_weight", F::linear_backward_weight(y, x));
    keep(all, "linear_backward_bias", F::linear_backward_bias(y));
    keep(all, "matmul", F::matmul(x, x, false, true));
    keep(all, "geglu", F::geglu(y));
    const auto gamma = random<T>(Shape<1>{160}), beta = random<T>(Shape<1>{160});
    const auto l = F::layer_norm(x, gamma, beta, T(1e-5));
    keep(all, "layer_norm", l.y);
    const auto dl = F::layer_norm_backward(x, x, gamma, l.mean, l.rstd);
    keep(all, "layer_norm_backward", dl.dx);
    keep(all, "layer_norm_backward dgamma", dl.dgamma);
    keep(all, "layer_norm_backward dbeta", dl.dbeta);
    const AttentionOptions o{.heads = 4};
    const auto k = random<T>(Shape<3>{2, 77, 160}), v = random<T>(Shape<3>{2, 77, 160});
    const auto a = F::attention(x, k, v, o);
    keep(all, "attention", a.y);
    keep(all, "attention lse", a.lse);
    const auto d = F::attention_backward(x, x, k, v, a, o);
    keep(all, "attention_backward dq", d.dq);
    keep(all, "attention_backward dk", d.dk);
    keep(all, "attention_backward dv", d.dv);
    keep(all, "attention_probabilities", F::attention_probabilities(x, k, o));
    Tensor<std::int64_t, 2> ids(Shape<2>{2, 130});
    for (auto& id : ids) id = pick({0, 1, 2, 321});
    keep(all, "embedding", F::embedding(w, ids));
    keep(all, "embedding_backward", F::embedding_backward(x, ids, w.shape()));
    keep(all, "normalize_l2", F::normalize_l2(x));
    keep(all, "normalize_l2_backward", F::normalize_l2_backward(x, k.shape() == x.shape() ? k : x));
  }
  return all;
}

}  // namespace

TEST_CASE_TEMPLATE("fast kernels give the same bytes with 1, 2 and 3 threads", T, float, double) {
  const int before = num_threads();
  set_num_threads(1);
  const Bytes one = every_kernel<T>();
  for (const int threads : {2, 3}) {
    set_num_threads(threads);
    const Bytes other = every_kernel<T>();
    for (const auto& entry : one) {
      CAPTURE(threads);
      CHECK_MESSAGE(other.at(entry.first) == entry.second, entry.first);
    }
  }
  set_num_threads(before);
}

namespace {

// What a kernel says when it refuses its operands.
std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const ShapeError& e) {
    return std::string("ShapeError: ") + e.what();
  } catch (const ConfigError& e) {
    return std::string("ConfigError: ") + e.what();
  }
  return "nothing: it ran";
}
template <class K>
std::map<std::string, std::string> refusals() {
  const auto x = random<float>(Shape<4>{1, 4, 5, 5}), y = random<float>(Shape<4>{1, 4, 5, 6});
  const auto w = random<float>(Shape<4>{4, 4, 3, 3});
  const auto v4 = random<float>(Shape<1>{4}), v3 = random<float>(Shape<1>{3});
  const auto s = random<float>(Shape<3>{1, 7, 12}), t = random<float>(Shape<3>{1, 8, 12});
  const auto table = random<float>(Shape<2>{10, 4});
  const auto mask = random<float>(Shape<2>{7, 7});
  const Tensor<float, 2> none(Shape<2>{0, 3});
  const Tensor<std::int64_t, 2> low(Shape<2>{1, 1}, {-1}), high(Shape<2>{1, 1}, {10});
  const Tensor<std::int64_t, 1> label(Shape<1>{10}, std::int64_t{4});
  const Tensor<Index, 4> lost(Shape<4>{1, 4, 5, 5}, Index{25});
  Tensor<float, 1> mean = v4, var = v4;
  const std::map<std::string, std::function<void()>> calls = {
      {"conv2d channels",
       [&] {
         K::conv2d(y, random<float>(Shape<4>{4, 3, 3, 3}), nullptr, Conv2dOptions{});
       }},
      {"conv2d bias", [&] { K::conv2d(x, w, &v3, Conv2dOptions{}); }},
      {"conv2d stride", [&] { K::conv2d(x, w, nullptr, Conv2dOptions{.stride = 0}); }},
      {"conv2d dilation", [&] { K::conv2d(x, w, nullptr, Conv2dOptions{.dilation = 0}); }},
      {"conv2d groups 0", [&] { K::conv2d(x, w, nullptr, Conv2dOptions{.groups = 0}); }},
      {"conv2d groups 3", [&] { K::conv2d(x, w, nullptr, Conv2dOptions{.groups = 3}); }},
      {"conv2d padding", [&] { K::conv2d(x, w, nullptr, Conv2dOptions{.padding = {.left = -1}}); }},
      {"conv2d kernel", [&] { K::conv2d(x, w, nullptr, Conv2dOptions{.dilation = 3}); }},
      {"conv2d huge", [&] { K::conv2d(x, w, nullptr, Conv2dOptions{.dilation = Index{1} << 62}); }},
      {"conv2d empty kernel",
       [&] {
         K::conv2d(x, Tensor<float, 4>(Shape<4>{4, 4, 0, 3}), nullptr, Conv2dOptions{});
       }},
      {"conv2d_backward_input", [&] { K::conv2d_backward_input(y, w, x.shape(), Conv2dOptions{}); }},
      {"conv2d_backward_weight", [&] { K::conv2d_backward_weight(y, x, w.shape(), Conv2dOptions{}); }},
      {"conv_transpose2d output_padding",
       [&] { K::conv_transpose2d(x, w, nullptr, ConvTranspose2dOptions{.output_padding = 1}); }},
      {"conv_transpose2d padding", [&] { K::conv_transpose2d(x, w, nullptr, ConvTranspose2dOptions{.padding = 4}); }},
      {"conv_transpose2d_backward_input",
       [&] { K::conv_transpose2d_backward_input(x, w, x.shape(), ConvTranspose2dOptions{}); }},
      {"conv_transpose2d_backward_weight",
       [&] { K::conv_transpose2d_backward_weight(x, x, w.shape(), ConvTranspose2dOptions{}); }},
      {"linear", [&] { K::linear(s, table, nullptr); }},
      {"linear bias",
       [&] {
         K::linear(random<float>(Shape<2>{2, 4}), table, &v3);
       }},
      {"linear_backward_input", [&] { K::linear_backward_input(s, table); }},
      {"linear_backward_weight", [&] { K::linear_backward_weight(s, t); }},
      {"matmul", [&] { K::matmul(table, table); }},
      {"group_norm groups", [&] { K::group_norm(x, v4, v4, 3, 1e-5f); }},
      {"group_norm gamma", [&] { K::group_norm(x, v3, v4, 2, 1e-5f); }},
      {"group_norm_backward", [&] { K::group_norm_backward(y, x, v4, v4, v4, 4); }},
      {"layer_norm", [&] { K::layer_norm(x, v4, v4, 1e-5f); }},
      {"layer_norm_backward", [&] { K::layer_norm_backward(x, y, v4, v4, v4); }},
      {"batch_norm one value",
       [&] {
         K::batch_norm(random<float>(Shape<4>{1, 4, 1, 1}), v4, v4, mean, var, true, 0.1f, 1e-5f);
       }},
      {"activation_backward", [&] { K::activation_backward(Activation::silu, x, y); }},
      {"geglu", [&] { K::geglu(x); }},
      {"softmax axis", [&] { K::softmax(x, 4); }},
      {"softmax_backward", [&] { K::softmax_backward(x, y, 0); }},
      {"attention heads", [&] { K::attention(s, s, s, AttentionOptions{.heads = 5}); }},
      {"attention values", [&] { K::attention(s, s, t, AttentionOptions{}); }},
      {"attention mask", [&] { K::attention(s, t, t, AttentionOptions{}, &mask); }},
      {"attention no keys",
       [&] {
         const Tensor<float, 3> nothing(Shape<3>{1, 0, 12});
         K::attention(s, nothing, nothing, AttentionOptions{});
       }},
      {"attention hidden throughout by a number",
       [&] {
         const Tensor<float, 2> hidden(Shape<2>{7, 7}, -1e9f);
         K::attention_backward(s, s, s, s, K::attention(s, s, s, AttentionOptions{}, &hidden), AttentionOptions{}, &hidden);
       }},
      {"upsample factor", [&] { K::upsample_nearest(x, 0); }},
      {"upsample_nearest_backward", [&] { K::upsample_nearest_backward(x, 2); }},
      {"upsample_bilinear_backward", [&] { K::upsample_bilinear_backward(x, y.shape(), 2, false); }},
      {"avg_pool kernel", [&] { K::avg_pool(x, PoolOptions{.kernel = 6}); }},
      {"max_pool padding", [&] { K::max_pool(x, PoolOptions{.kernel = 2, .stride = 2, .padding = 2}); }},
      {"max_pool_backward", [&] { K::max_pool_backward(x, lost, x.shape()); }},
      {"embedding low", [&] { K::embedding(table, low); }},
      {"embedding high", [&] { K::embedding(table, high); }},
      {"embedding_backward",
       [&] {
         K::embedding_backward(random<float>(Shape<3>{1, 1, 4}), high, table.shape());
       }},
      {"timestep_embedding", [&] { K::timestep_embedding(v4, 3, TimestepEmbedding::ddpm); }},
      {"mse", [&] { K::mse(x, y); }},
      {"mse empty", [&] { K::mse(none, none); }},
      {"huber delta", [&] { K::huber(x, x, 0.0f); }},
      {"cross_entropy id", [&] { K::cross_entropy(table, label); }},
      {"cross_entropy ids", [&] { K::cross_entropy(table, Tensor<std::int64_t, 1>(Shape<1>{9})); }},
      {"cross_entropy smoothing", [&] { K::cross_entropy(table, label, 2.0f); }},
      {"bce_with_logits", [&] { K::bce_with_logits(x, y); }},
      {"kl_diagonal_gaussian",
       [&] {
         K::kl_diagonal_gaussian(random<float>(Shape<4>{1, 3, 2, 2}));
       }},
      {"binary", [&] { K::binary(Binary::add, x, y); }},
      {"binary_broadcast", [&] { K::binary_broadcast(Binary::add, x, v4); }},
      {"sum", [&] { K::sum(x, -5); }},
      {"mean", [&] { K::mean(none, 0); }},
      {"accumulate",
       [&] {
         auto into = x;
         K::accumulate(into, y);
       }},
      {"concat", [&] { K::concat(x, y, 1); }},
      {"slice", [&] { K::slice(x, 1, 2, 5); }},
      {"slice_backward", [&] { K::slice_backward(x, x.shape(), 1, 1); }},
      {"permute",
       [&] {
         K::permute(x, std::array<std::size_t, 4>{0, 1, 1, 3});
       }},
      {"normalize_l2_backward", [&] { K::normalize_l2_backward(x, y); }},
  };
  std::map<std::string, std::string> all;
  for (const auto& [name, call] : calls) all[name] = refusal(call);
  return all;
}

}  // namespace

TEST_CASE("both sets of kernels refuse the same operands in the same words") {
  const auto reference = refusals<Reference>(), fast = refusals<Fast>();
  for (const auto& entry : reference) {
    const std::string &name = entry.first, &words = entry.second;
    CAPTURE(name);
    CHECK(words.find("Error: ") != std::string::npos);
    CHECK(words.find(": expected ") != std::string::npos);
    CHECK(words.find(", got ") != std::string::npos);
    CHECK(fast.at(name) == words);
  }
}
