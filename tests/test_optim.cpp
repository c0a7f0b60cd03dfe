// Optimisers, gradient clipping, moving averages and learning rates.
#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "inkling/io/safetensors.hpp"
#include "inkling/train/ema.hpp"
#include "inkling/train/learning_rate.hpp"
#include "inkling/train/optimizer.hpp"
#include "support.hpp"

namespace {

using namespace inkling;
using inkling_test::Worst;

// A few dozen roundings of numbers near 1 lie between the recorded trajectories and these.
constexpr double tolerance = 1e-13;

struct Recorded {
  SafetensorsFile file{inkling_test::golden_dir() / "optim.safetensors"};
  nlohmann::json cases;
  Recorded() {
    std::ifstream in(inkling_test::golden_dir() / "optim.json");
    cases = nlohmann::json::parse(in);
  }
  std::vector<double> values(const std::string& name) const {
    std::vector<double> v(static_cast<std::size_t>(file.entry(name).size()));
    file.read(name, std::span<double>(v));
    return v;
  }
  // The names of the tensors "prefix/NAME".
  std::vector<std::string> names(const std::string& prefix) const {
    std::vector<std::string> all;
    for (const TensorEntry& e : file.entries())
      if (e.name.starts_with(prefix + "/")) all.push_back(e.name.substr(prefix.size() + 1));
    return all;
  }
};

void check(const std::string& what, std::span<const double> got, std::span<const double> expected) {
  const Worst w = inkling_test::compare(got, expected);
  MESSAGE(what << ": " << w);
  CHECK_MESSAGE(w.relative() <= tolerance, what << ": " << w);
}

// Runs one recorded case with any optimiser and compares every step.
template <class Optimizer>
void follow(const Recorded& r, const nlohmann::json& entry, Optimizer optimizer) {
  const std::string name = entry.at("name");
  const nlohmann::json& options = entry.at("options");
  const std::size_t steps = entry.at("steps");
  const std::vector<std::string> parameters = r.names("init");
  REQUIRE(!parameters.empty());
  std::map<std::string, std::vector<double>> value, grads, path;
  for (const std::string& p : parameters) {
    value[p] = r.values("init/" + p);
    grads[p] = r.values("grads/" + p);
  }
  std::vector<double> norms;
  for (std::size_t t = 0; t < steps; ++t) {
    std::vector<ParameterView<double>> views;
    for (const std::string& p : parameters) {
      const std::size_t n = value[p].size();
      views.push_back({p, std::span<double>(value[p]), std::span<const double>(grads[p]).subspan(t * n, n)});
    }
    if (options.contains("max_norm")) norms.push_back(clip_gradient_norm(views, options.at("max_norm").get<double>()));
    optimizer.step(views, options.at("lr"));
    for (const std::string& p : parameters) path[p].insert(path[p].end(), value[p].begin(), value[p].end());
  }
  for (const std::string& p : parameters) check(name + "/" + p, path[p], r.values(name + "/" + p));
  if (!norms.empty()) check(name + "/total_norms", norms, r.values(name + "/total_norms"));
}

template <class Options>
Options adam_options(const nlohmann::json& o) {
  return {o.at("betas").at(0), o.at("betas").at(1), o.at("eps"), o.at("weight_decay")};
}

TEST_CASE("golden: optim trajectories of every recorded optimiser, moving average and learning rate") {
  const Recorded r;
  int optimisers = 0, averages = 0, rates = 0;
  for (const nlohmann::json& entry : r.cases) {
    const std::string name = entry.at("name");
    const nlohmann::json options = entry.value("options", nlohmann::json::object());
    if (entry.contains("optimizer")) {
      const std::string kind = entry.at("optimizer");
      ++optimisers;
      if (kind.starts_with("AdamW"))
        follow(r, entry, AdamW<double>(adam_options<AdamWOptions>(options)));
      else if (kind == "Adam")
        follow(r, entry, Adam<double>(adam_options<AdamOptions>(options)));
      else if (kind == "SGD")
        follow(r, entry, Sgd<double>({options.at("momentum"), options.at("weight_decay")}));
      else
        FAIL("no optimiser for " << kind);
    } else if (options.contains("decay")) {
      ++averages;
      const bool warm = options.at("warm_up") != "none";
      std::vector<double> average = r.values("init/w"), path;
      const std::vector<double> values = r.values("ema/params");
      const std::size_t n = average.size();
      for (std::size_t t = 0; t < values.size() / n; ++t) {
        const double decay = options.at("decay");
        ema_update(std::span<double>(average), std::span<const double>(values).subspan(t * n, n),
                   warm ? ema_warm_decay(decay, static_cast<Index>(t) + 1) : decay);
        path.insert(path.end(), average.begin(), average.end());
      }
      check(name, path, r.values(name + "/w"));
    } else if (entry.contains("warmup")) {
      for (const std::string& curve : r.names(name)) {
        ++rates;
        const std::vector<double> expected = r.values(name + "/" + curve);
        std::vector<double> got;
        for (std::size_t t = 0; t < expected.size(); ++t) {
          const Index step = static_cast<Index>(t), warmup = entry.at("warmup"), total = entry.at("total");
          if (curve == "cosine_with_warmup")
            got.push_back(cosine_with_warmup(step, warmup, total));
          else if (curve == "linear_with_warmup")
            got.push_back(linear_with_warmup(step, warmup, total));
          else
            FAIL("no learning rate for " << curve);
        }
        check(curve, got, expected);
      }
    } else {
      FAIL("a case of an unknown kind: " << name);
    }
  }
  CHECK(optimisers > 0);
  CHECK(averages > 0);
  CHECK(rates > 0);
}

// Weights in a bowl of known shape: f = 1/2 sum a_i (w_i - c_i)^2.
struct Bowl {
  std::vector<float> w, grad;
  explicit Bowl(std::size_t n) : w(n, 0.0F), grad(n) {}
  float centre(std::size_t i) const { return static_cast<float>(i % 7) - 3; }
  std::vector<ParameterView<float>> view() {
    for (std::size_t i = 0; i < w.size(); ++i) grad[i] = (1 + static_cast<float>(i % 3)) * (w[i] - centre(i));
    return {{"w", std::span<float>(w), std::span<const float>(grad)}};
  }
  float distance() const {
    float d = 0;
    for (std::size_t i = 0; i < w.size(); ++i) d = std::max(d, std::abs(w[i] - centre(i)));
    return d;
  }
};

template <class Optimizer>
std::vector<float> descend(Optimizer& optimizer, Bowl& bowl, int from, int to, double rate) {
  for (int t = from; t < to; ++t) optimizer.step(bowl.view(), rate);
  return bowl.w;
}

TEST_CASE("optimisers reach the bottom of a bowl, at any number of threads the same") {
  const int before = num_threads();
  std::vector<std::vector<float>> ends;
  for (int threads : {1, 3}) {
    set_num_threads(threads);
    Bowl a(10007), b(10007), c(10007);
    Adam<float> adam;
    AdamW<float> adamw({0.9, 0.999, 1e-8, 0});
    Sgd<float> sgd({0.9, 0});
    ends.push_back(descend(adam, a, 0, 500, 0.05));
    ends.push_back(descend(adamw, b, 0, 500, 0.05));
    ends.push_back(descend(sgd, c, 0, 500, 0.05));
    CHECK(a.distance() < 1e-2F);
    CHECK(b.distance() < 1e-2F);
    CHECK(c.distance() < 1e-4F);
  }
  set_num_threads(before);
  for (std::size_t i = 0; i < 3; ++i) CHECK(ends[i] == ends[i + 3]);
}

TEST_CASE("an optimiser goes on from its state as if it had never stopped") {
  Bowl whole(1000), half(1000);
  AdamW<float> a, first;
  const std::vector<float> expected = descend(a, whole, 0, 40, 0.01);
  descend(first, half, 0, 20, 0.01);
  AdamW<float> second;
  for (const auto& [name, values] : first.state()) second.state()[name] = values;
  CHECK(second.state().size() == 3);
  CHECK(descend(second, half, 20, 40, 0.01) == expected);

  Bowl forgetful(1000);
  AdamW<float> third, fourth;
  descend(third, forgetful, 0, 20, 0.01);
  CHECK(descend(fourth, forgetful, 20, 40, 0.01) != expected);  // the state is what made the difference

  AdamW<float> wrong;
  wrong.state()["m.w"] = {1, 2, 3};
  Bowl other(1000);
  CHECK_THROWS_AS(descend(wrong, other, 0, 1, 0.01), LoadError);
}

TEST_CASE("a parameter without a gradient stays as it is, and its steps are not counted") {
  std::vector<double> w{1.0}, u{1.0}, g{0.5};
  AdamW<double> adam;
  std::vector<ParameterView<double>> views{{"w", w, g}, {"u", u, {}}};
  adam.step(views, 0.1);
  CHECK(w[0] != 1.0);
  CHECK(u[0] == 1.0);
  CHECK(!adam.state().contains("m.u"));
  views[1].grad = g;
  adam.step(views, 0.1);
  // The first step of Adam has the length of the learning rate, whatever the gradient; the weight decay adds 1 %.
  CHECK(u[0] == doctest::Approx(1.0 - 0.1 * 0.01 - 0.1).epsilon(1e-7));
}

TEST_CASE("clipping keeps the direction and leaves short gradients alone") {
  std::vector<float> a(3000, 3.0F), b(1, 4.0F), ga(3000, 0.0F), gb{4.0F};
  ga[2999] = 3.0F;
  std::vector<ParameterView<float>> views{{"a", a, ga}, {"b", b, gb}};
  CHECK(clip_gradient_norm(views, 10.0) == doctest::Approx(5.0));
  CHECK(views[0].grad_factor == 1.0F);
  CHECK(clip_gradient_norm(views, 1.0) == doctest::Approx(5.0));
  CHECK(views[1].grad_factor == doctest::Approx(0.2));
  Sgd<float> sgd;
  sgd.step(views, 1.0);
  CHECK(a[2999] == doctest::Approx(3.0F - 0.6F));
  CHECK(b[0] == doctest::Approx(4.0F - 0.8F));
  ga[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(clip_gradient_norm(views, 1.0), Error);
}

TEST_CASE("learning rates start at 0, peak at the end of the warm-up and stay at 0 when all is done") {
  CHECK(cosine_with_warmup(0, 10, 100) == 0);
  CHECK(cosine_with_warmup(10, 10, 100) == 1);
  CHECK(cosine_with_warmup(55, 10, 100) == doctest::Approx(0.5));
  CHECK(linear_with_warmup(55, 10, 100) == doctest::Approx(0.5));
  for (Index step : {100, 101, 250}) {
    CHECK(cosine_with_warmup(step, 10, 100) == 0);
    CHECK(linear_with_warmup(step, 10, 100) == 0);
  }
  CHECK(cosine_with_warmup(0, 0, 1) == 1);
  CHECK_THROWS_AS(cosine_with_warmup(-1, 0, 10), ConfigError);
  CHECK_THROWS_AS(linear_with_warmup(1, 0, 0), ConfigError);
}

TEST_CASE("optimisers refuse what makes no sense") {
  std::vector<double> w{1.0}, g{0.5}, two{1.0, 2.0};
  Sgd<double> sgd;
  const std::vector<ParameterView<double>> good{{"w", w, g}}, twice{{"w", w, g}, {"w", w, g}}, odd{{"w", w, two}};
  CHECK_THROWS_AS(sgd.step(good, std::nan("")), ConfigError);
  CHECK_THROWS_AS(sgd.step(twice, 0.1), ConfigError);
  CHECK_THROWS_AS(sgd.step(odd, 0.1), ShapeError);
  CHECK_THROWS_AS(AdamW<double>({1.0, 0.999, 1e-8, 0}), ConfigError);
  CHECK_THROWS_AS(Sgd<double>({-0.1, 0}), ConfigError);
  CHECK_THROWS_AS(ema_update(std::span<double>(w), std::span<const double>(two), 0.9), ShapeError);
  CHECK_THROWS_AS(ema_update(std::span<double>(w), std::span<const double>(g), 1.5), ConfigError);
}

}  // namespace
