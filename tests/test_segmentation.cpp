// The 2015 U-Net: its size, its gradients, its loss, its training.
#include <doctest/doctest.h>

#include "inkling/autograd/gradient_check.hpp"
#include "inkling/train/segmentation.hpp"
#include "support.hpp"

using namespace inkling;
using inkling_test::TempDir;

namespace {

SegmentationUNetConfig small(bool skip, Index groups = 2) {
  SegmentationUNetConfig c;
  c.in_channels = 2, c.out_channels = 2, c.width = 4, c.depth = 2, c.norm_groups = groups, c.skip = skip;
  return c;
}
// Sum of random multiples of all outputs: depends on each of them differently.
Variable<double, 0> random_projection(const Variable<double, 4>& y) {
  Generator g(99);
  return scale(mean(mul(y, Variable<double, 4>(g.randn<double>(y.shape())))), static_cast<double>(y.value().size()));
}
template <class Module, class Forward>
GradientCheck check_module(Module& module, const Shape<4>& input, Forward&& forward) {
  Generator g(7);
  initialize(module, g);
  for_each_parameter(module, [&](const std::string&, auto& p) {
    for (double& v : p.value()) v += 0.1 * g.normal();  // no bias at 0, no gain at 1
    p.set_trainable(true);
  });
  Variable<double, 4> x(g.randn<double>(input));
  const auto loss = [&] { return random_projection(forward(x)); };
  constexpr double step = 2e-7;  // short: hardly a value crosses the corner of a ReLU or changes the winner of a pool
  GradientCheck check;
  check_gradient(check, "input", x, loss, 8, step);
  for_each_parameter(module, [&](const std::string& path, auto& p) { check_gradient(check, path, p.variable(), loss, 3, step); });
  return check;
}
// Bright discs on a dark, noisy ground.
SegmentationSet discs(Index count, Index side) {
  SegmentationSet set;
  for (Index n = 0; n < count; ++n) {
    SampleRandom random(11, static_cast<std::uint64_t>(n));
    SegmentationSample s{"disc " + std::to_string(n), Tensor<float, 3>({1, side, side}), Tensor<std::uint8_t, 2>({side, side})};
    const double y = random.uniform() * static_cast<double>(side), x = random.uniform() * static_cast<double>(side);
    for (Index i = 0; i < side; ++i)
      for (Index j = 0; j < side; ++j) {
        s.mask(i, j) = std::hypot(static_cast<double>(i) - y, static_cast<double>(j) - x) < 7;
        s.image(0, i, j) = (s.mask(i, j) ? 0.6f : 0.3f) + random.uniform(-0.3f, 0.3f);
      }
    set.push_back(std::move(s));
  }
  return set;
}

}  // namespace

TEST_CASE("segmentation: at full width the network of the paper") {
  SegmentationUNetConfig c;
  c.in_channels = 1, c.out_channels = 2, c.norm_groups = 0;
  SegmentationUNet<float> paper(c);
  // By hand from figure 1, weights and biases: a 3x3 convolution has 9 in out + out, an up-convolution 4 in out + out.
  const auto conv = [](Index in, Index out) { return 9 * in * out + out; };
  Index expected = 2 * 64 + 2;
  for (Index in = 1, out = 64; out <= 1024; in = out, out *= 2) expected += conv(in, out) + conv(out, out);
  for (Index out = 512; out >= 64; out /= 2) expected += 4 * 2 * out * out + out + conv(2 * out, out) + conv(out, out);
  CHECK(count_parameters(paper) == expected);
  CHECK(count_parameters(paper) == 31030658);  // "31 million"
  std::vector<Index> widths;
  for_each_parameter(paper, [&](const std::string& path, auto& p) {
    CHECK_FALSE(p.allocated());
    if (path.ends_with("conv2.weight")) widths.push_back(p.shape()[0]);
  });
  CHECK(widths == std::vector<Index>{64, 128, 256, 512, 1024, 512, 256, 128, 64});

  c.in_channels = 3, c.norm_groups = 4;
  SegmentationUNet<float> ours(c);
  const Index convolution_widths = 2 * (64 + 128 + 256 + 512 + 1024 + 512 + 256 + 128 + 64);
  CHECK(count_parameters(ours) == expected + 2 * 9 * 64 + 2 * convolution_widths);
}

TEST_CASE("segmentation: gradients in double against measured slopes, on both sets of kernels") {
  for (const bool reference : {true, false}) {
    std::optional<kernels::UseReference> use;
    if (reference) use.emplace();
    ConvTranspose2d<double> up(3, 2, 2, {.stride = 2});
    GradientCheck check = check_module(up, {2, 3, 4, 3}, [&](auto& x) { return up.forward(x); });
    CHECK(check.compared > 10);
    CHECK_MESSAGE(check.worst < 1e-6, check.where);
    for (const SegmentationUNetConfig& c : {small(true), small(false), small(true, 0)}) {
      SegmentationUNet<double> model(c);
      check = check_module(model, {2, 2, 8, 12}, [&](auto& x) { return model.forward(x); });
      MESSAGE("worst ", check.worst, " of ", check.compared, " at ", check.where);
      CHECK(check.compared > 80);
      CHECK(check.worst < 1e-6);
    }
  }
}

TEST_CASE("segmentation: the output is as large as the input, on any picture") {
  SegmentationUNetConfig c = small(true);
  c.out_channels = 3;
  SegmentationUNet<float> model(c);
  Generator g(1);
  initialize(model, g);
  const Tensor<float, 4> x = g.randn<float>(Shape<4>{1, 2, 8, 12});
  const Tensor<float, 4> y = model.forward(Variable<float, 4>(x)).value();
  CHECK(y.shape() == Shape<4>{1, 3, 8, 12});
  const Tensor<float, 3> same = segment(model, x.reshaped(Shape<3>{2, 8, 12}));
  CHECK(std::equal(y.begin(), y.end(), same.begin()));
  // 6x11 of it, the rest mirrored by hand: rows 6, 7 are 4, 3; column 11 is 9.
  Tensor<float, 3> part({2, 6, 11});
  Tensor<float, 4> whole({1, 2, 8, 12});
  for (Index k = 0; k < 2; ++k)
    for (Index i = 0; i < 8; ++i)
      for (Index j = 0; j < 12; ++j) {
        whole(0, k, i, j) = x(0, k, i < 6 ? i : 10 - i, j < 11 ? j : 9);
        if (i < 6 && j < 11) part(k, i, j) = x(0, k, i, j);
      }
  const Tensor<float, 4> expected = model.forward(Variable<float, 4>(whole)).value();
  const Tensor<float, 3> got = segment(model, part);
  REQUIRE(got.shape() == Shape<3>{3, 6, 11});
  for (Index k = 0; k < 3; ++k)
    for (Index i = 0; i < 6; ++i)
      for (Index j = 0; j < 11; ++j) CHECK(got(k, i, j) == expected(0, k, i, j));
  CHECK(segment(model, Tensor<float, 3>({2, 1, 1}, 0.5f)).shape() == Shape<3>{3, 1, 1});
  CHECK(mask_of(got, 1).shape() == Shape<2>{6, 11});

  CHECK_THROWS_WITH_AS(model.forward(Variable<float, 4>(Tensor<float, 4>({1, 2, 8, 10}))),
                       doctest::Contains("multiples of 4"), ShapeError);
  CHECK_THROWS_AS(model.forward(Variable<float, 4>(Tensor<float, 4>({1, 3, 8, 8}))), ShapeError);
  CHECK_THROWS_AS(segment(model, Tensor<float, 3>({2, 0, 4})), ShapeError);
  CHECK_THROWS_AS(segment(model, Tensor<float, 3>({1, 4, 4})), ShapeError);
  CHECK_THROWS_AS(mask_of(got, 3), ShapeError);
  for (const auto spoil : {+[](SegmentationUNetConfig& k) { k.depth = 40; }, +[](SegmentationUNetConfig& k) { k.width = 0; },
                           +[](SegmentationUNetConfig& k) { k.norm_groups = 3; }, +[](SegmentationUNetConfig& k) { k.in_channels = -1; },
                           +[](SegmentationUNetConfig& k) { k.width = Index{1} << 60; }}) {
    SegmentationUNetConfig bad = small(true);
    spoil(bad);
    CHECK_THROWS_AS(SegmentationUNet<float>{bad}, ConfigError);
  }
}

TEST_CASE("segmentation: without skips nothing but the bottom reaches the output") {
  for (const bool skip : {true, false}) {
    SegmentationUNet<float> model(small(skip));
    Generator g(1);
    initialize(model, g);
    for (const char* name : {"weight", "bias"})  // the bottom says 0 everywhere
      for_each_parameter(model.bottom, [&](const std::string& path, auto& p) {
        if (path == std::string("norm2.") + name) p.value().fill(0);
      });
    const auto out = [&](std::uint64_t seed) {
      return model.forward(Variable<float, 4>(Generator(seed).randn<float>(Shape<4>{1, 2, 8, 8}))).value();
    };
    const Tensor<float, 4> a = out(1), b = out(2);
    CHECK(std::equal(a.begin(), a.end(), b.begin()) == !skip);
  }
}

TEST_CASE("segmentation: Dice loss is V-Net's formula, with its gradient") {
  Generator g(3);
  const Variable<double, 4> x(g.randn<double>(Shape<4>{2, 1, 3, 4}), true);
  Tensor<double, 4> target(x.shape());
  for (Index i = 0; i < target.size(); i += 3) target.data()[i] = 1;
  double both = 0, below = 1;
  for (Index i = 0; i < target.size(); ++i) {
    const double p = 1 / (1 + std::exp(-x.value().data()[i])), t = target.data()[i];
    both += p * t, below += p * p + t * t;
  }
  CHECK(dice_loss(x, target).value()() == doctest::Approx(1 - (2 * both + 1) / below).epsilon(1e-12));
  CHECK(segmentation_loss(x, target).value()() ==
        doctest::Approx(bce_with_logits_loss(x, target).value()() + 1 - (2 * both + 1) / below).epsilon(1e-12));
  GradientCheck check;
  check_gradient(check, "logits", x, [&] { return dice_loss(x, target); }, 24);
  check_gradient(check, "logits of both", x, [&] { return segmentation_loss(x, target); }, 24);
  MESSAGE("worst ", check.worst, " at ", check.where);
  CHECK(check.worst < 1e-9);

  Tensor<double, 4> sure(target.shape());
  for (Index i = 0; i < target.size(); ++i) sure.data()[i] = target.data()[i] > 0 ? 40 : -40;
  CHECK(dice_loss(Variable<double, 4>(sure), target).value()() == doctest::Approx(0).epsilon(1e-12));
  const Tensor<double, 4> nothing(target.shape()), black(target.shape(), -40.0);
  CHECK(dice_loss(Variable<double, 4>(black), nothing).value()() == doctest::Approx(0).epsilon(1e-12));
  CHECK_THROWS_AS(dice_loss(x, Tensor<double, 4>({1, 1, 3, 4})), ShapeError);
}

TEST_CASE("segmentation: it learns discs, and a run that was stopped goes on as if it had not been") {
  const SegmentationSet set = discs(24, 40), unseen = [] {
    SegmentationSet all = discs(32, 40);
    return SegmentationSet(all.begin() + 24, all.end());
  }();
  SegmentationUNetConfig c;
  c.in_channels = 1, c.width = 4, c.depth = 2;
  CropOptions crops;
  crops.size = 32;
  const TempDir folder;
  TrainOptions options;
  options.folder = folder.path(), options.steps = 60, options.warmup_steps = 5, options.learning_rate = 1e-2, options.ema_decay = 0.9;

  SegmentationUNet<float> once(c), twice(c);
  options.name = "once";
  train_segmentation(once, set, crops, options);
  options.name = "twice";
  CHECK_THROWS_AS(train_segmentation(twice, set, crops, options, 1, [](const TrainStep& s) { return s.step < 20; }), Stopped);
  train_segmentation(twice, set, crops, options);
  std::vector<float> a, b;
  for_each_parameter(once, [&](const std::string&, auto& p) { a.insert(a.end(), p.value().begin(), p.value().end()); });
  for_each_parameter(twice, [&](const std::string&, auto& p) { b.insert(b.end(), p.value().begin(), p.value().end()); });
  CHECK(a == b);

  const SegmentationScore score = evaluate_segmentation(once, unseen);
  MESSAGE("Dice ", score.mean_dice, " (all pixels ", score.all.dice(), "), band ", score.band.dice());
  CHECK(score.all.pixels() == 8 * 40 * 40);
  CHECK(score.all.dice() > 0.9);
  CHECK(score.band.pixels() < score.all.pixels());
  CHECK(evaluate_segmentation(once, {unseen[0]}).mean_band_dice == evaluate_segmentation(once, {unseen[0]}).band.dice());
  c.out_channels = 2;
  SegmentationUNet<float> two(c);
  CHECK_THROWS_AS(train_segmentation(two, set, crops, options), ConfigError);
}
