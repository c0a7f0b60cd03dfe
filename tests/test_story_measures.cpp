// What the examples measure, by numbers that can be worked out by hand.
#include <doctest/doctest.h>

#include "inkling/diffusion/denoise_from.hpp"
#include "inkling/diffusion/forward_process.hpp"
#include "inkling/io/cifar.hpp"
#include "inkling/text/analogies.hpp"
#include "inkling/train/class_captions.hpp"
#include "inkling/train/image_measure.hpp"
#include "inkling/train/ink_measure.hpp"
#include "inkling/train/nearest.hpp"
#include "inkling/train/photo_windows.hpp"

using namespace inkling;

TEST_CASE("measures: the nearest picture of a world, in decibels") {
  const Tensor<float, 4> world({2, 1, 1, 2}, {1, 1, -1, -1});
  // 0.9 from the first picture in one pixel: 10 log10(4 / (0.01 / 2)) = 29.03; the second itself: 60 at most
  const std::vector<double> decibels = psnr_to_nearest(Tensor<float, 4>({3, 1, 1, 2}, {0.9f, 1, -1, -1, 7, 1}), world);
  REQUIRE(decibels.size() == 3);
  CHECK(decibels[0] == doctest::Approx(10 * std::log10(800)).epsilon(1e-5));
  CHECK(decibels[1] == 60);
  CHECK(decibels[2] == 60);  // clipped as a screen clips it
  CHECK_THROWS_AS(psnr_to_nearest(Tensor<float, 4>({1, 1, 1, 3}), world), ShapeError);
}

TEST_CASE("measures: pictures drawn from a world are of it, and all of them come") {
  const Tensor<float, 4> world({3, 1, 1, 1}, {1, 2, 3});
  Generator generator(1);
  const Tensor<float, 4> drawn = draw_pictures(world, 60, generator);
  for (const float wanted : world) CHECK(std::count(drawn.begin(), drawn.end(), wanted) > 5);
  CHECK_THROWS_AS(draw_pictures(world, 0, generator), ConfigError);
  CHECK_THROWS_AS(draw_pictures(Tensor<float, 4>({0, 1, 1, 1}), 1, generator), ConfigError);
}

TEST_CASE("forward process: a whole batch at one level is each item at that level") {
  const NoiseSchedule schedule{NoiseScheduleOptions{}};
  Generator generator(2);
  const Tensor<float, 4> x = generator.randn<float>(Shape<4>{2, 1, 2, 2}), eps = generator.randn<float>(x.shape());
  const Tensor<float, 4> one = q_sample(schedule, x, eps, Index{300});
  const Tensor<float, 4> each = q_sample(schedule, x, eps, std::vector<std::int64_t>{300, 300});
  CHECK(std::equal(one.begin(), one.end(), each.begin()));
}

// Whoever knows the picture finds it from any level, in any number of steps; the levels fall.
TEST_CASE("denoise from: the last step ends at the picture that was expected") {
  const NoiseSchedule schedule{NoiseScheduleOptions{}};
  const Tensor<float, 4> picture({1, 1, 1, 2}, {0.5f, -0.25f});
  for (const Index steps : {1, 2, 7}) {
    Generator generator(3);
    std::vector<Index> levels;
    const NoiseAnswer knows = [&](const Tensor<float, 4>& x, Index t) {
      levels.push_back(t);
      return predicted_eps(PredictionType::sample, picture, x, schedule.alpha_bar(t));
    };
    const Tensor<float, 4> begin = q_sample(schedule, picture, generator.randn<float>(picture.shape()), Index{600});
    const Tensor<float, 4> x = denoise_from(schedule, 600, steps, begin, knows, generator);
    // eps and back: a few roundings of 2^-24, enlarged by sqrt(1 / alpha_bar - 1), below 20 at t = 600
    for (Index i = 0; i < 2; ++i) CHECK(std::abs(x.data()[i] - picture.data()[i]) < 64 * 20 * 0x1p-24f);
    REQUIRE(static_cast<Index>(levels.size()) == steps);
    CHECK(levels.front() == 600);
    CHECK(std::is_sorted(levels.rbegin(), levels.rend()));
  }
  Generator generator(3);
  CHECK_THROWS_AS(denoise_from(schedule, schedule.size(), 1, picture, {}, generator), ConfigError);
}

TEST_CASE("ink digits: what changed, on the strokes, on the paper, and of the shape") {
  const auto picture_of = [](Index left, float ink, float paper) {  // a bar four pixels wide, gray
    Tensor<float, 3> x({3, 16, 16}, paper);
    for (Index c = 0; c < 3; ++c)
      for (Index i = 4; i < 12; ++i)
        for (Index j = left; j < left + 4; ++j) x(c, i, j) = ink;
    return x;
  };
  const Tensor<float, 3> a = picture_of(4, 1, -1);
  const InkChange none = ink_change(a, a), lighter = ink_change(a, picture_of(4, 1, -0.5f)),
                  moved = ink_change(a, picture_of(8, 1, -1));
  CHECK(none.ink == 0);
  CHECK(none.paper == 0);
  CHECK(none.shape == 0);
  CHECK(lighter.ink == doctest::Approx(0).epsilon(1e-6));
  CHECK(lighter.paper == doctest::Approx(0.25));  // 0.5 of the 2 from black to white
  CHECK(lighter.shape == doctest::Approx(0).epsilon(1e-6));
  CHECK(moved.shape == doctest::Approx(64.0 / 256));  // 32 pixels of ink gone, 32 come
  CHECK(moved.paper == doctest::Approx(0).epsilon(1e-6));
  CHECK(moved.ink == doctest::Approx(1));
}

TEST_CASE("CIFAR: one of each class, and all but one class") {
  LabelledColorImages set{Tensor<std::uint8_t, 4>({5, 3, 1, 1}), Tensor<std::uint8_t, 1>({5}, {1, 0, 1, 2, 0})};
  for (Index i = 0; i < set.images.size(); ++i) set.images.data()[i] = static_cast<std::uint8_t>(10 * (i / 3) + i % 3);
  const LabelledColorImages one = one_of_each_class(set, 3), others = without_class(set, 1), ones = only_class(set, 1);
  for (Index c = 0; c < 3; ++c) {
    CHECK(one.labels(c) == c);
    for (Index n = 0; n < 3; ++n) CHECK(one.images(n, c, 0, 0) == (n == 0 ? 10 : n == 1 ? 0 : 30) + c);
  }
  REQUIRE(others.size() == 3);
  const int rest[] = {1, 3, 4}, kinds[] = {0, 2, 0};
  for (Index n = 0; n < 3; ++n) {
    CHECK(others.labels(n) == kinds[n]);
    CHECK(others.images(n, 2, 0, 0) == 10 * rest[n] + 2);
  }
  REQUIRE(ones.size() == 2);
  CHECK(ones.labels(1) == 1);
  CHECK(ones.images(1, 0, 0, 0) == 20);
  CHECK_THROWS_AS(one_of_each_class(set, 4), ConfigError);
  CHECK(cifar10_captions().usual_names()[1] == "automobile");
  CHECK(cifar10_captions().usual_names().size() == 10);
}

TEST_CASE("nearest: distances in order, the smallest first") {
  CHECK(sorted_distances({{0, 3.0}, {1, 1.0}, {2, 2.0}}) == std::vector<double>{1, 2, 3});
}

TEST_CASE("word vectors: rows of length 1, cosines between two lists, sums over sections") {
  const WordVectors a{Vocabulary({"up", "right"}), Tensor<float, 2>({2, 2}, {0, 5, 2, 0})};
  const WordVectors b{Vocabulary({"up", "slant"}), Tensor<float, 2>({2, 2}, {0, 1, 3, 4})};
  const Tensor<float, 2> rows = unit_rows(a, {"right", "up"});
  CHECK(std::vector<float>(rows.begin(), rows.end()) == std::vector<float>{1, 0, 0, 1});
  const Tensor<float, 2> s = cosine_similarities(a, {"up", "right"}, b, {"slant"});
  CHECK(s.shape() == Shape<2>{2, 1});
  CHECK(s(0, 0) == doctest::Approx(0.8).epsilon(1e-6));
  CHECK(s(1, 0) == doctest::Approx(0.6).epsilon(1e-6));
  CHECK(cosine_similarities(a, {"right"}, b, {"up"})(0, 0) == 0);
  CHECK_THROWS(unit_rows(a, {"down"}));

  const AnalogyTotals t = analogy_totals({{"family", 3, 4, 5}, {"gram1-adverb", 1, 4, 4}, {"capitals", 0, 2, 2}});
  CHECK(t.all.correct == 4);
  CHECK(t.all.seen == 10);
  CHECK(t.semantic.share() == 0.5);
  CHECK(t.syntactic.share() == 0.25);
}

