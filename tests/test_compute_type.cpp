// Training with products of bfloat16: every product within the bound of its roundings, the same bytes with any number
// of threads, nothing rounded outside of the scope, and a small network learns as much as in float.
#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "inkling/autograd/loss_ops.hpp"
#include "inkling/nn/attention.hpp"
#include "inkling/train/trainer.hpp"
#include "support.hpp"

using namespace inkling;
using namespace inkling::kernels;
using inkling_test::TempDir;

namespace {

constexpr double u = 0x1p-24, u_bf16 = 0x1p-8;  // the largest relative error of one rounding

std::mt19937 generator;
template <std::size_t N>
Tensor<float, N> random(const Shape<N>& shape) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  Tensor<float, N> x(shape);
  for (float& v : x) v = uniform(generator);
  return x;
}
Index pick(std::initializer_list<Index> from) {
  return from.begin()[std::uniform_int_distribution<std::size_t>(0, from.size() - 1)(generator)];
}
template <std::size_t N>
Tensor<double, N> wide(const Tensor<float, N>& x) {
  return x.template cast<double>();
}
template <std::size_t N>
Tensor<double, N> magnitude(const Tensor<float, N>& x) {
  Tensor<double, N> y = wide(x);
  for (double& v : y) v = std::abs(v);
  return y;
}
template <std::size_t N>
bool same_bytes(const Tensor<float, N>& p, const Tensor<float, N>& q) {
  return p.shape() == q.shape() &&
         std::memcmp(p.data(), q.data(), static_cast<std::size_t>(p.size()) * sizeof(float)) == 0;
}

// A sum of `length` products of numbers rounded to bfloat16, added up in float: both factors are off by at most u_bf16,
// each addition by u of what is there. The largest share of that bound.
template <std::size_t N>
double share_of_bound(const Tensor<float, N>& got, const Tensor<double, N>& expected, const Tensor<double, N>& size,
                      Index length) {
  REQUIRE(to_string(got.shape()) == to_string(expected.shape()));
  const double each = 2 * u_bf16 + u_bf16 * u_bf16 + static_cast<double>(length + 2) * u;
  double worst = 0;
  for (Index i = 0; i < got.size(); ++i) {
    const double error = std::abs(double{got.data()[i]} - expected.data()[i]), bound = each * size.data()[i];
    if (!(error <= bound * std::max(worst, 1e-30))) worst = bound > 0 ? error / bound : 2;
  }
  return worst;
}

struct Threads {
  explicit Threads(int n) : before(num_threads()) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before;
};

// compute() with 1, 2 and 3 threads: the same bytes.
template <class F>
auto on_any_threads(const F& compute) {
  auto one = [&] {
    const Threads t(1);
    return compute();
  }();
  for (int n : {2, 3}) {
    const Threads t(n);
    CHECK(same_bytes(compute(), one));
  }
  return one;
}

}  // namespace

TEST_CASE("compute type: linear layers multiply bfloat16 within the bound of their roundings") {
  generator.seed(1);
  double worst = 0;
  for (int trial = 0; trial < 40; ++trial) {
    const Index rows = pick({4, 7, 16, 50, 333}), in = pick({1, 2, 15, 64, 97, 801});
    const Index out = pick({1, 3, 8, 49, 96, 130});
    const auto x = random(Shape<2>{rows, in}), w = random(Shape<2>{out, in}), dy = random(Shape<2>{rows, out});
    CAPTURE(rows);
    CAPTURE(in);
    CAPTURE(out);
    const ComputeIn compute(ComputeType::bf16);
    const auto y = on_any_threads([&] { return fast::linear<float>(x, w, nullptr); });
    const auto dx = on_any_threads([&] { return fast::linear_backward_input(dy, w); });
    const auto dw = on_any_threads([&] { return fast::linear_backward_weight(dy, x); });
    const double shares[] = {
        share_of_bound(y, reference::linear<double>(wide(x), wide(w), nullptr),
                       reference::linear<double>(magnitude(x), magnitude(w), nullptr), in),
        share_of_bound(dx, reference::linear_backward_input<double>(wide(dy), wide(w)),
                       reference::linear_backward_input<double>(magnitude(dy), magnitude(w)), out),
        share_of_bound(dw, reference::linear_backward_weight<double>(wide(dy), wide(x)),
                       reference::linear_backward_weight<double>(magnitude(dy), magnitude(x)), rows)};
    for (double share : shares) {
      CHECK(share <= 1);
      worst = std::max(worst, share);
    }
  }
  MESSAGE("largest share of the bound: " << worst);
  CHECK(worst > 0.01);  // something was rounded
}

TEST_CASE("compute type: convolutions multiply bfloat16 within the bound of their roundings") {
  generator.seed(2);
  double worst = 0;
  for (int trial = 0; trial < 40; ++trial) {
    const Index kernel = pick({1, 1, 3, 4}), stride = kernel == 3 ? 2 : pick({1, 2});  // 3 x 3, stride 1: Winograd's
    const Index groups = pick({1, 1, 2}), C = groups * pick({1, 3, 8, 17}), O = groups * pick({1, 5, 8, 20});
    const Shape<4> xs{pick({1, 2, 5}), C, pick({5, 8, 13}), pick({5, 8, 16})}, ws{O, C / groups, kernel, kernel};
    const Conv2dOptions o{.stride = stride, .padding = Padding::all(pick({0, kernel / 2})), .groups = groups};
    const auto x = random(xs), w = random(ws), dy = random(conv2d_output_shape(xs, ws, o));
    CAPTURE(to_string(xs));
    CAPTURE(to_string(ws));
    CAPTURE(stride);
    const ComputeIn compute(ComputeType::bf16);
    const auto y = on_any_threads([&] { return fast::conv2d<float>(x, w, nullptr, o); });
    const auto dx = on_any_threads([&] { return fast::conv2d_backward_input(dy, w, xs, o); });
    const auto dw = on_any_threads([&] { return fast::conv2d_backward_weight(dy, x, ws, o); });
    const double shares[] = {
        share_of_bound(y, reference::conv2d<double>(wide(x), wide(w), nullptr, o),
                       reference::conv2d<double>(magnitude(x), magnitude(w), nullptr, o), C / groups * kernel * kernel),
        share_of_bound(dx, reference::conv2d_backward_input<double>(wide(dy), wide(w), xs, o),
                       reference::conv2d_backward_input<double>(magnitude(dy), magnitude(w), xs, o),
                       O / groups * kernel * kernel),
        share_of_bound(dw, reference::conv2d_backward_weight<double>(wide(dy), wide(x), ws, o),
                       reference::conv2d_backward_weight<double>(magnitude(dy), magnitude(x), ws, o),
                       dy.size() / O)};
    for (double share : shares) {
      CHECK(share <= 1);
      worst = std::max(worst, share);
    }
  }
  MESSAGE("largest share of the bound: " << worst);
  CHECK(worst > 0.01);
}

TEST_CASE("compute type: a scope ends, reference kernels and double do not care") {
  generator.seed(3);
  const auto x = random(Shape<2>{20, 30}), w = random(Shape<2>{10, 30});
  const auto exact = kernels::linear(x, w, nullptr);
  {
    const ComputeIn compute(ComputeType::bf16);
    CHECK_FALSE(same_bytes(kernels::linear(x, w, nullptr), exact));
    const UseReference reference;
    CHECK(same_bytes(kernels::linear(x, w, nullptr), reference::linear(x, w, nullptr)));
    CHECK(fast::linear<double>(wide(x), wide(w), nullptr)(0, 0) ==
          doctest::Approx(reference::linear<double>(wide(x), wide(w), nullptr)(0, 0)).epsilon(1e-14));
    CHECK(compute_type_in_force() == ComputeType::bf16);
  }
  CHECK(same_bytes(kernels::linear(x, w, nullptr), exact));
  CHECK(compute_type_from_string("bf16") == ComputeType::bf16);
  CHECK_THROWS_WITH_AS(compute_type_from_string("fp8"), doctest::Contains("f32 or bf16"), ConfigError);
}

// --- A small network with everything in it --------------------------------------------------------------------------

namespace {

struct Net {
  Conv2d<float> conv1{2, 32, 3, same_padding(3)}, conv2{32, 32, 3, same_padding(3)}, skip{32, 32, 1};
  GroupNorm<float> norm{32, 8, 1e-5};
  Attention<float> attention{32, 32, 2};
  Conv2d<float> out{32, 2, 3, same_padding(3)};

  // x [N, 2, 8, 8] -> [N, 2, 8, 8]
  Variable<float, 4> forward(const Variable<float, 4>& x) const {
    const Variable<float, 4> a = silu(conv1.forward(x));
    const Variable<float, 4> b = add(silu(norm.forward(conv2.forward(a))), skip.forward(a));
    const Variable<float, 3> tokens = image_to_sequence(b);
    return out.forward(sequence_to_image(add(tokens, attention.forward(tokens, tokens)), 8, 8));
  }
  template <class V>
  void visit(V&& v) {
    v("conv1", conv1);
    v("conv2", conv2);
    v("skip", skip);
    v("norm", norm);
    v("attention", attention);
    v("out", out);
  }
};

// The picture from a noisy one: squares of random place and sign, blurred by noise of half their size.
Variable<float, 0> loss_of(const Net& net, Index step) {
  Generator g = Generator(5).child(static_cast<std::uint64_t>(step));
  const Shape<4> shape{16, 2, 8, 8};
  Tensor<float, 4> clean(shape), noisy = g.randn<float>(shape);
  for (Index n = 0; n < shape[0]; ++n)
    for (Index c = 0; c < 2; ++c) {
      const auto at = [&] { return static_cast<Index>(5 * g.uniform<double>()); };
      const Index top = at(), left = at();
      const float sign = g.uniform<double>() < 0.5 ? -1.0F : 1.0F;
      for (Index i = 0; i < 4; ++i)
        for (Index j = 0; j < 4; ++j) clean(n, c, top + i, left + j) = sign;
    }
  for (Index i = 0; i < clean.size(); ++i) noisy.data()[i] = clean.data()[i] + 0.5F * noisy.data()[i];
  return mse_loss(net.forward(Variable<float, 4>(noisy)), clean);
}

struct Outcome {
  std::vector<float> losses, weights;
};
Outcome train(ComputeType type, Index steps) {
  const TempDir folder;
  Net net;
  Generator g(1);
  initialize(net, g);
  TrainOptions o;
  o.name = "net", o.folder = folder.path(), o.steps = steps, o.learning_rate = 3e-3, o.warmup_steps = 5;
  o.compute = type;
  Trainer<Net> trainer(net, o);
  trainer.run([&](Index step) { return loss_of(net, step); }, {});
  CHECK(compute_type_in_force() == ComputeType::f32);
  Outcome outcome{trainer.losses(), {}};
  for_each_parameter(net, [&](const std::string&, auto& p) {
    outcome.weights.insert(outcome.weights.end(), p.value().begin(), p.value().end());
  });
  return outcome;
}

}  // namespace

TEST_CASE("compute type: the gradient of a network is that of float but for its roundings") {
  Net net;
  Generator g(1);
  initialize(net, g);
  set_trainable(net, true);
  const auto gradient = [&](ComputeType type) {
    const ComputeIn compute(type);
    backward(loss_of(net, 0));
    std::vector<double> all;
    for_each_parameter(net, [&](const std::string&, auto& p) {
      all.insert(all.end(), p.variable().grad().begin(), p.variable().grad().end());
    });
    zero_grad(net);
    return all;
  };
  const auto exact = gradient(ComputeType::f32), rounded = gradient(ComputeType::bf16);
  double error = 0, size = 0;
  for (std::size_t i = 0; i < exact.size(); ++i)
    error += std::pow(rounded[i] - exact[i], 2), size += exact[i] * exact[i];
  // A product on Winograd's points is off by about 1.2e-2 at most (test_winograd_gradient.cpp); between the loss and a
  // weight there are 7 products one behind the other and the weight's own, whose errors are independent.
  const double relative = std::sqrt(error / size), tolerance = 1.2e-2 * std::sqrt(8.0);
  MESSAGE("relative difference of the gradients " << relative << ", tolerance " << tolerance);
  CHECK(relative > 1e-5);
  CHECK(relative <= tolerance);
}

TEST_CASE("compute type: a network learns as much with bfloat16 as with float") {
  constexpr Index steps = 200;
  const Outcome f32 = train(ComputeType::f32, steps), bf16 = train(ComputeType::bf16, steps);
  const auto end = [](const Outcome& o) {
    double sum = 0;
    for (std::size_t i = o.losses.size() - 50; i < o.losses.size(); ++i) sum += o.losses[i];
    return sum / 50;
  };
  MESSAGE("loss at the start " << f32.losses[0] << ", mean of the last 50 steps: float " << end(f32) << ", bfloat16 "
                               << end(bf16) << ", difference " << 100 * (end(bf16) / end(f32) - 1) << " %");
  CHECK(end(f32) < 0.2 * f32.losses[0]);
  CHECK(f32.losses != bf16.losses);
  CHECK(std::abs(end(bf16) / end(f32) - 1) < 0.03);
}

TEST_CASE("compute type: trained with any number of threads, the same weights") {
  std::vector<float> one;
  for (int threads : {1, 2, 3}) {
    const Threads t(threads);
    const Outcome outcome = train(ComputeType::bf16, 3);
    if (threads == 1) one = outcome.weights;
    CAPTURE(threads);
    CHECK(outcome.weights == one);
  }
}
