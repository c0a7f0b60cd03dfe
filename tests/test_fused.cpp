// Operations that do the work of several, against their parts: same numbers, same gradients, fewer passes over memory.
#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "inkling/autograd/gradient_check.hpp"
#include "inkling/autograd/loss_ops.hpp"
#include "inkling/models/blocks.hpp"
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
template <class T, std::size_t N>
Variable<T, N> leaf(const Shape<N>& shape, double low = -1, double high = 1) {
  return Variable<T, N>(random<T>(shape, low, high), true);
}
template <class T, std::size_t N>
Tensor<double, N> wide(const Tensor<T, N>& x) {
  return x.template cast<double>();
}

// `expected` is computed in double. `size`: the magnitude of what was added up for one element, `terms`: how many.
template <class T, std::size_t N>
void agree(const char* name, const Tensor<T, N>& got, const Tensor<double, N>& expected, Index terms, double size) {
  CHECK(to_string(got.shape()) == to_string(expected.shape()));
  if (got.shape() != expected.shape()) return;
  const Worst w = compare(got, expected);
  const double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
  const double tolerance = (static_cast<double>(terms) / 2 + 8) * epsilon * std::max(size, w.scale);
  CHECK_MESSAGE(w.error <= tolerance, name << ": " << w << ", tolerance " << tolerance);
}
template <class T, std::size_t N>
bool same_bytes(const Tensor<T, N>& a, const Tensor<T, N>& b) {
  return a.shape() == b.shape() &&
         std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(T)) == 0;
}

struct NormCase {
  Shape<4> shape;
  Index groups;
  double far;  // a mean far from zero: the statistics must not lose digits
};
const NormCase norm_cases[] = {{{2, 8, 5, 7}, 4, 0},   {{1, 6, 1, 1}, 2, 0}, {{3, 64, 8, 8}, 32, 0},
                               {{2, 12, 32, 32}, 3, 0}, {{1, 4, 37, 41}, 1, 0}, {{2, 4, 16, 16}, 2, 30}};

template <class T>
struct NormOperands {
  Tensor<T, 4> x, dy, before;
  Tensor<T, 2> shift;
  Tensor<T, 1> gamma, beta;
  explicit NormOperands(const NormCase& c)
      : x(random<T>(c.shape, c.far - 1, c.far + 1)),
        dy(random<T>(c.shape)),
        before(random<T>(c.shape)),
        shift(random<T>(Shape<2>{c.shape[0], c.shape[1]}, -2, 2)),
        gamma(random<T>(Shape<1>{c.shape[1]}, 0.5, 1.5)),
        beta(random<T>(Shape<1>{c.shape[1]})) {}
};

struct Holder {
  GroupNorm<float>& norm;
  template <class V>
  void visit(V&& v) {
    v("norm", norm);
  }
};

}  // namespace

TEST_CASE_TEMPLATE("group norm with SiLU is what its parts compute, forward and backward", T, float, double) {
  generator.seed(1);
  for (const NormCase& c : norm_cases)
    for (const bool shifted : {false, true})
      for (const bool add : {false, true}) {
        CAPTURE(to_string(c.shape));
        CAPTURE(shifted);
        CAPTURE(add);
        const NormOperands<T> o(c);
        const T eps = T(1e-5);
        const Tensor<double, 2> wide_shift = wide(o.shift);
        const auto r = fast::group_norm_silu(o.x, shifted ? &o.shift : nullptr, o.gamma, o.beta, c.groups, eps);
        const auto expected = reference::group_norm_silu(wide(o.x), shifted ? &wide_shift : nullptr, wide(o.gamma),
                                                         wide(o.beta), c.groups, static_cast<double>(eps));
        // A rounding of x is one of far / std after normalisation.
        const double lost = 1 + 4 * std::abs(c.far);
        // The reference adds a whole group in a row; where both compute in double its roundings count, too.
        const Index row = sizeof(T) == 8 ? c.shape[1] / c.groups * c.shape[2] * c.shape[3] : 0;
        agree("y", r.y, expected.y, row + 16, lost);
        agree("mean", r.mean, expected.mean, row + 4, lost);
        agree("rstd", r.rstd, expected.rstd, row + 16, 1);
        const auto d = fast::group_norm_silu_backward(o.dy, o.x, shifted ? &o.shift : nullptr, o.gamma, o.beta, r.mean,
                                                      r.rstd, c.groups, add ? o.before : Tensor<T, 4>());
        const auto e = reference::group_norm_silu_backward(
            wide(o.dy), wide(o.x), shifted ? &wide_shift : nullptr, wide(o.gamma), wide(o.beta), expected.mean,
            expected.rstd, c.groups, add ? wide(o.before) : Tensor<double, 4>());
        const Index pixels = c.shape[2] * c.shape[3], batch = c.shape[0];
        const double largest_rstd = compare(expected.rstd, expected.rstd).scale;
        agree("dx", d.dx, e.dx, row + 32, 4 * lost * largest_rstd);
        agree("dshift", d.dshift, e.dshift, row + 32, 4 * lost * largest_rstd * static_cast<double>(pixels));
        agree("dgamma", d.dgamma, e.dgamma, row + 32, 2 * lost * static_cast<double>(pixels * batch));
        agree("dbeta", d.dbeta, e.dbeta, row + 32, 2 * lost * static_cast<double>(pixels * batch));
      }
}

TEST_CASE("group norm with SiLU gives the same bytes with 1, 2 and 3 threads") {
  const int before = num_threads();
  for (const NormCase& c : norm_cases) {
    generator.seed(2);
    const NormOperands<float> o(c);
    const auto run = [&](int threads) {
      set_num_threads(threads);
      auto r = fast::group_norm_silu(o.x, &o.shift, o.gamma, o.beta, c.groups, 1e-5F);
      auto d = fast::group_norm_silu_backward(o.dy, o.x, &o.shift, o.gamma, o.beta, r.mean, r.rstd, c.groups, o.before);
      return std::pair(std::move(r), std::move(d));
    };
    const auto one = run(1);
    for (int threads : {2, 3}) {
      const auto many = run(threads);
      CHECK(same_bytes(one.first.y, many.first.y));
      CHECK(same_bytes(one.second.dx, many.second.dx));
      CHECK(same_bytes(one.second.dshift, many.second.dshift));
      CHECK(same_bytes(one.second.dgamma, many.second.dgamma));
      CHECK(same_bytes(one.second.dbeta, many.second.dbeta));
    }
  }
  set_num_threads(before);
}

TEST_CASE("group norm with SiLU: slopes as measured, in double") {
  generator.seed(3);
  const Shape<4> shape{2, 6, 3, 5};
  const auto x = leaf<double>(shape);
  const auto shift = leaf<double>(Shape<2>{2, 6});
  const auto gamma = leaf<double>(Shape<1>{6}, 0.5, 1.5), beta = leaf<double>(Shape<1>{6});
  const Tensor<double, 4> target = random<double>(shape);
  // x reaches the loss on two ways, as in a residual block
  const auto loss = [&] { return mse_loss(add(x, group_norm_silu(x, shift, gamma, beta, 3, 1e-5)), target); };
  GradientCheck check;
  check_gradient(check, "x", x, loss, 60);
  check_gradient(check, "shift", shift, loss, 12);
  check_gradient(check, "gamma", gamma, loss, 6);
  check_gradient(check, "beta", beta, loss, 6);
  CHECK(check.compared == 84);
  CHECK_MESSAGE(check.worst < 1e-8, check.where);  // h^2 = 1e-10, times third derivatives of a few
}

TEST_CASE("norm_silu falls apart into norm and SiLU while somebody looks at the norm") {
  generator.seed(4);
  GroupNorm<float> norm(8, 4, 1e-5);
  norm.weight.value() = random<float>(Shape<1>{8}, 0.5, 1.5);
  norm.bias.value() = random<float>(Shape<1>{8});
  const Variable<float, 4> x(random<float>(Shape<4>{2, 8, 4, 4}));
  const Variable<float, 2> shift(random<float>(Shape<2>{2, 8}));
  const Tensor<float, 4> fused = norm_silu(norm, x, shift).value();
  Holder holder{norm};
  Observer<float> observer;
  observer.watch(holder);
  int seen = 0;
  observer.on_output = [&](const std::string& path, auto, std::span<const float> values) {
    CHECK(path == "norm");
    const auto expected = kernels::group_norm(add_per_channel(x, shift).value(), norm.weight.value(),
                                              norm.bias.value(), 4, 1e-5F).y;
    CHECK(compare(values, expected).error == 0);
    ++seen;
  };
  const Observation<float> watching(observer);
  const Tensor<float, 4> parts = norm_silu(norm, x, shift).value();
  CHECK(seen == 1);
  const Worst w = compare(fused, parts);
  CHECK_MESSAGE(w.error <= 16 * std::numeric_limits<float>::epsilon() * w.scale, w);
}

TEST_CASE("add writes over a result that nobody else sees, and over nothing else") {
  generator.seed(5);
  const auto x = leaf<double>(Shape<2>{3, 5}), y = leaf<double>(Shape<2>{3, 5});
  const Tensor<double, 2> x0 = x.value(), y0 = y.value();
  const auto expect_sum = [](const Variable<double, 2>& sum, const Tensor<double, 2>& a, const Tensor<double, 2>& b) {
    for (Index i = 0; i < a.size(); ++i) CHECK(sum.value().data()[i] == a.data()[i] + b.data()[i]);
  };
  expect_sum(add(x, y), x0, y0);  // leaves: nothing may be overwritten
  expect_sum(add(x, x), x0, x0);
  const Variable<double, 2> kept = silu(y);
  const Tensor<double, 2> kept0 = kept.value();
  expect_sum(add(x, kept), x0, kept0);  // the handle `kept` still sees it
  CHECK(compare(kept.value(), kept0).error == 0);
  expect_sum(add(x, silu(y)), x0, kept0);  // a passing result
  expect_sum(add(silu(y), x), kept0, x0);
  expect_sum(add(Variable<double, 2>(x), Variable<double, 2>(y)), x0, y0);  // second handles of the leaves
  CHECK(compare(x.value(), x0).error == 0);
  CHECK(compare(y.value(), y0).error == 0);
  const double* where = nullptr;
  Variable<double, 2> passing = silu(y);
  where = passing.value().data();
  CHECK(add(x, std::move(passing)).value().data() == where);
  {
    NoGrad no_grad;
    expect_sum(add(x, silu(y)), x0, kept0);
    expect_sum(add(x, kept), x0, kept0);
    CHECK(compare(kept.value(), kept0).error == 0);
  }
  // What a backward still reads is not given away: silu(v) reads v = scale(y, 2) again.
  const Tensor<double, 2> target = random<double>(Shape<2>{3, 5});
  const auto loss = [&] {
    Variable<double, 2> v = scale(y, 2.0);
    const Variable<double, 2> s = silu(v);
    return mse_loss(add(add(s, std::move(v)), x), target);
  };
  GradientCheck check;
  check_gradient(check, "x", x, loss, 15);
  check_gradient(check, "y", y, loss, 15);
  CHECK_MESSAGE(check.worst < 1e-8, check.where);
}

TEST_CASE("one gradient handed to several variables is never changed under another's feet") {
  generator.seed(6);
  const auto a = leaf<double>(Shape<1>{4}), b = leaf<double>(Shape<1>{4});
  const Tensor<double, 1> seed({4}, {1, 2, 3, 4});
  // y = (a + b) + a: a receives the seed twice, b once
  backward(add(add(a, b), a), seed);
  for (Index i = 0; i < 4; ++i) {
    CHECK(a.grad()(i) == 2 * seed(i));
    CHECK(b.grad()(i) == seed(i));
  }
  // The next backward adds to the leaves' gradients, which still are their own.
  backward(add(a, b), seed);
  for (Index i = 0; i < 4; ++i) {
    CHECK(a.grad()(i) == 3 * seed(i));
    CHECK(b.grad()(i) == 2 * seed(i));
  }
  auto c = leaf<double>(Shape<1>{4}), d = leaf<double>(Shape<1>{4});
  backward(add(c, d), seed);  // both hold the same gradient now
  backward(scale(c, 10.0), seed);
  for (Index i = 0; i < 4; ++i) {
    CHECK(c.grad()(i) == 11 * seed(i));
    CHECK(d.grad()(i) == seed(i));
  }
  c.zero_grad();
  CHECK_FALSE(c.has_grad());
  CHECK(d.has_grad());
}

TEST_CASE("a kernel that adds to the gradient so far leaves a shared one alone") {
  generator.seed(7);
  const Shape<4> shape{1, 4, 3, 3};
  const auto x = leaf<double>(shape), other = leaf<double>(shape);
  const Variable<double, 1> gamma(Tensor<double, 1>({4}, 1.0)), beta(Tensor<double, 1>({4}, 0.5));
  const Tensor<double, 4> seed = random<double>(shape);
  // x + other gives both the seed; then the norm's backward adds to that of x.
  const Variable<double, 4> normed = group_norm_silu(x, Variable<double, 2>(), gamma, beta, 2, 1e-5);
  backward(add(add(x, other), normed), seed);
  CHECK(same_bytes(other.grad(), seed));
  const auto r = reference::group_norm(x.value(), gamma.value(), beta.value(), 2, 1e-5);
  const Tensor<double, 4> dx = reference::group_norm_silu_backward<double>(seed, x.value(), nullptr, gamma.value(),
                                                                           beta.value(), r.mean, r.rstd, 2, seed).dx;
  CHECK(compare(x.grad(), dx).error < 1e-13);
}

TEST_CASE("permute of any order, with dimensions of one and of none") {
  generator.seed(8);
  for (const Shape<4>& shape : {Shape<4>{2, 3, 4, 5}, Shape<4>{1, 17, 8, 8}, Shape<4>{2, 64, 1, 33},
                                Shape<4>{3, 1, 20, 1}, Shape<4>{2, 0, 3, 4}, Shape<4>{1, 1, 1, 1}}) {
    const Tensor<float, 4> x = random<float>(shape);
    std::array<std::size_t, 4> order{0, 1, 2, 3};
    do {
      CAPTURE(to_string(shape));
      CAPTURE(order[0] * 1000 + order[1] * 100 + order[2] * 10 + order[3]);
      const Tensor<float, 4> expected = reference::permute(x, order);
      CHECK(same_bytes(fast::permute(x, order), expected));
    } while (std::next_permutation(order.begin(), order.end()));
  }
  const Variable<float, 4> image(random<float>(Shape<4>{2, 5, 3, 4}));
  const Variable<float, 3> tokens = image_to_sequence(image);
  CHECK(to_string(tokens.shape()) == "(2, 12, 5)");
  CHECK(tokens.value()(1, 7, 3) == image.value()(1, 3, 1, 3));  // pixel 7 of lines of 4: line 1, column 3
  CHECK(same_bytes(sequence_to_image(tokens, 3, 4).value(), image.value()));
}
