// The training loop: it learns, and a run that was stopped goes on to the same weights, bit for bit.
#include <doctest/doctest.h>

#include "inkling/nn/layers.hpp"
#include "inkling/autograd/loss_ops.hpp"
#include "inkling/train/objectives.hpp"
#include "inkling/train/trainer.hpp"
#include "support.hpp"

using namespace inkling;
using inkling_test::TempDir;

namespace {

struct Net {
  Linear<float> fc1{4, 16}, fc2{16, 2};
  Variable<float, 2> forward(const Variable<float, 2>& x) const { return fc2.forward(silu(fc1.forward(x))); }
  template <class V>
  void visit(V&& v) {
    v("fc1", fc1);
    v("fc2", fc2);
  }
};

// y = (x0 x1, x2 - x3): the batch depends on nothing but the step
Variable<float, 0> loss_of(const Net& net, Index step) {
  Generator g = Generator(5).child(static_cast<std::uint64_t>(step));
  const Tensor<float, 2> x = g.randn<float>(Shape<2>{32, 4});
  Tensor<float, 2> y({32, 2});
  for (Index n = 0; n < 32; ++n) y(n, 0) = x(n, 0) * x(n, 1), y(n, 1) = x(n, 2) - x(n, 3);
  return mse_loss(net.forward(Variable<float, 2>(x)), y);
}

TrainOptions options(const std::filesystem::path& folder, Index steps) {
  TrainOptions o;
  o.name = "net", o.folder = folder, o.steps = steps, o.learning_rate = 1e-2, o.warmup_steps = 5;
  return o;
}

Net fresh() {
  Net net;
  Generator g(1);
  initialize(net, g);
  return net;
}

std::vector<float> weights(Net& net) {
  std::vector<float> all;
  for_each_parameter(net, [&](const std::string&, auto& p) { all.insert(all.end(), p.value().begin(), p.value().end()); });
  return all;
}

}  // namespace

TEST_CASE("trainer: the loss falls") {
  const TempDir folder;
  Net net = fresh();
  Trainer<Net> trainer(net, options(folder.path(), 300));
  trainer.run([&](Index step) { return loss_of(net, step); }, {});
  CHECK(trainer.finished());
  REQUIRE(trainer.losses().size() == 300);
  double first = 0, last = 0;
  for (std::size_t i = 0; i < 20; ++i) first += trainer.losses()[i], last += trainer.losses()[280 + i];
  MESSAGE("mean loss of 20 steps: ", first / 20, " -> ", last / 20);
  CHECK(last < 0.2 * first);
}

TEST_CASE("trainer: stopped and taken up again, it ends at the same weights") {
  const TempDir whole_folder, cut_folder;
  Net whole = fresh();
  Trainer<Net> one(whole, options(whole_folder.path(), 40));
  one.run([&](Index step) { return loss_of(whole, step); }, {});

  Net cut = fresh();
  {
    Trainer<Net> two(cut, options(cut_folder.path(), 40));
    CHECK_THROWS_AS(two.run([&](Index step) { return loss_of(cut, step); },
                            [](const TrainStep& s) { return s.step < 17; }),
                    Stopped);
  }
  Net again;  // other weights, all of which the checkpoint replaces
  Generator other(2);
  initialize(again, other);
  Trainer<Net> three(again, options(cut_folder.path(), 40));
  CHECK(three.done() == 17);
  three.run([&](Index step) { return loss_of(again, step); }, {});
  CHECK(weights(again) == weights(whole));
  CHECK(three.losses() == one.losses());
  one.use_average();
  three.use_average();
  CHECK(weights(again) == weights(whole));
}

TEST_CASE("trainer: a checkpoint of another model is refused, a loss that is no number stops the run") {
  const TempDir folder;
  Net net = fresh();
  Trainer<Net>(net, options(folder.path(), 2)).run([&](Index step) { return loss_of(net, step); }, {});
  Linear<float> other(3, 3);
  Generator g(1);
  initialize(other, g);
  CHECK_THROWS_AS(Trainer<Linear<float>>(other, options(folder.path(), 2)), Error);

  const TempDir empty;
  Trainer<Net> trainer(net, options(empty.path(), 5));
  CHECK_THROWS_WITH_AS(trainer.run([&](Index step) { return scale(loss_of(net, step), std::nanf("")); }, {}),
                       doctest::Contains("finite loss"), Error);
}

TEST_CASE("objectives: timesteps are spread over the whole range") {
  Generator g(3);
  for (const Index batch : {1, 7, 128}) {
    std::vector<std::int64_t> t = spread_timesteps(batch, 1000, g);
    REQUIRE(static_cast<Index>(t.size()) == batch);
    std::sort(t.begin(), t.end());
    CHECK(t.front() >= 0);
    CHECK(t.back() < 1000);
    for (std::size_t i = 0; i + 1 < t.size(); ++i)  // distances of 1000 / batch, up to rounding
      CHECK(std::abs(static_cast<double>(t[i + 1] - t[i]) - 1000.0 / static_cast<double>(batch)) <= 1.0);
  }
}
