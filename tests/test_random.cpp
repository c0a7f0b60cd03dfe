// Random numbers: the same as PyTorch's (recorded by scripts/record_torch_randn.py), saved and restored, and children.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numbers>
#include <set>

#include "inkling/core/random.hpp"
#include "support.hpp"

using inkling::Generator;
using inkling::Index;
using inkling::Shape;
using nlohmann::json;

namespace {

const json& recorded() {
  static const json values = [] {
    std::ifstream in(inkling_test::source_dir() / "tests" / "data" / "torch_randn.json");
    REQUIRE(in.good());
    return json::parse(in);
  }();
  return values;
}

std::uint64_t seed_of(const json& entry) { return std::stoull(entry.at("seed").get<std::string>()); }

template <class T>
std::uint64_t fnv1a(const std::vector<T>& values) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (T v : values) {
    std::array<unsigned char, sizeof(T)> bytes = std::bit_cast<std::array<unsigned char, sizeof(T)>>(v);
    for (unsigned char b : bytes) hash = (hash ^ b) * 0x100000001b3u;
  }
  return hash;
}

// Draws what a recorded call has drawn, and returns the largest difference.
template <class T>
double difference_from(const json& call, Generator& generator) {
  std::size_t n = 1;
  for (Index d : call.at("shape").get<std::vector<Index>>()) n *= static_cast<std::size_t>(d);
  std::vector<T> got(n);
  const bool normal = call.at("call") == "randn";
  if (normal)
    generator.fill_normal(std::span<T>(got));
  else
    generator.fill_uniform(std::span<T>(got));
  double worst = 0;
  const auto compare = [&](const json& expected, std::size_t from) {
    for (std::size_t i = 0; i < expected.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<double>(got.at(from + i)) -
                                       static_cast<double>(static_cast<T>(expected.at(i).get<double>()))));
  };
  if (call.contains("values")) {
    REQUIRE(call.at("values").size() == n);
    compare(call.at("values"), 0);
  } else {
    compare(call.at("first"), 0);
    compare(call.at("last"), n - call.at("last").size());
    double sum = 0, squares = 0;
    for (T v : got) sum += static_cast<double>(v), squares += static_cast<double>(v) * static_cast<double>(v);
    // Each value may be off by 2e-6, at random: the sum of n by much less than n times that.
    CHECK(std::abs(sum - call.at("sum").get<double>()) < 1e-7 * static_cast<double>(n));
    CHECK(std::abs(squares - call.at("sum_of_squares").get<double>()) < 1e-6 * static_cast<double>(n));
  }
  if (!normal) CHECK(std::to_string(fnv1a(got)) == call.at("fnv1a").get<std::string>());
  return worst;
}

}  // namespace

TEST_CASE("random: the 32-bit words are PyTorch's") {
  for (const json& entry : recorded().at("raw")) {
    Generator generator(seed_of(entry));
    std::vector<std::uint32_t> words(1000);
    for (auto& w : words) w = generator.random();
    const auto first = entry.at("first").get<std::vector<std::uint32_t>>();
    const auto later = entry.at("from_992").get<std::vector<std::uint32_t>>();
    INFO("seed " << seed_of(entry));
    CHECK(std::equal(first.begin(), first.end(), words.begin()));
    CHECK(std::equal(later.begin(), later.end(), words.begin() + 992));
  }
}

TEST_CASE("random: randn and rand are PyTorch's") {
  double worst_float = 0, worst_double = 0, worst_uniform = 0;
  int sequences = 0;
  for (const json& entry : recorded().at("sequences")) {
    Generator generator(seed_of(entry));
    int n = 0;
    for (const json& call : entry.at("calls")) {
      const bool is_float = call.at("dtype") == "float32";
      const double error =
          is_float ? difference_from<float>(call, generator) : difference_from<double>(call, generator);
      INFO("seed " << seed_of(entry) << ", call " << n++ << ": " << call.at("call") << call.at("shape") << " "
                   << call.at("dtype") << ", difference " << error);
      if (call.at("call") == "rand") {
        worst_uniform = std::max(worst_uniform, error);
        CHECK(error == 0);
      } else if (is_float) {
        worst_float = std::max(worst_float, error);
        CHECK(error <= 2e-6);
      } else {
        worst_double = std::max(worst_double, error);
        CHECK(error <= 1e-14);
      }
    }
    ++sequences;
  }
  REQUIRE(sequences > 0);
  MESSAGE(sequences << " sequences of PyTorch " << recorded().at("pytorch") << ": largest difference of normal floats "
                    << worst_float << ", normal doubles " << worst_double << ", uniform numbers " << worst_uniform);
}

TEST_CASE("random: integers and permutations are PyTorch's") {
  for (const json& entry : recorded().at("integers")) {
    Generator generator(seed_of(entry));
    INFO("randint from " << entry.at("low") << " to " << entry.at("high"));
    for (const json& expected : entry.at("values"))
      CHECK(generator.integer(entry.at("low").get<std::int64_t>(), entry.at("high").get<std::int64_t>()) ==
            expected.get<std::int64_t>());
  }
  for (const json& entry : recorded().at("permutations")) {
    Generator generator(seed_of(entry));
    CHECK(generator.permutation(entry.at("n").get<Index>()) == entry.at("values").get<std::vector<std::int64_t>>());
  }
  CHECK(Generator(1).permutation(0).empty());
  CHECK_THROWS_AS(Generator(1).permutation(-1), inkling::ConfigError);
  CHECK_THROWS_AS(Generator(1).integer(0), inkling::ConfigError);
  CHECK_THROWS_AS(Generator(1).integer(5, 5), inkling::ConfigError);
}

TEST_CASE("random: a tensor is filled in row-major order") {
  const auto x = Generator(7).randn<float>(Shape<4>{1, 4, 8, 8});
  std::vector<float> flat(256);
  Generator(7).fill_normal(std::span<float>(flat));
  CHECK(std::equal(flat.begin(), flat.end(), x.begin()));
  CHECK(x(0, 1, 2, 3) == flat[1 * 64 + 2 * 8 + 3]);
  CHECK(Generator(7).rand<double>(Shape<1>{0}).empty());
}

TEST_CASE("random: a restored generator goes on as if nothing had happened") {
  Generator original(123);
  original.randn<float>(Shape<1>{100});
  original.normal();  // the second value of the pair waits now
  const std::vector<std::int64_t> saved = original.state();
  CHECK(saved.size() == Generator::state_size);
  Generator restored = Generator::from_state(saved);
  CHECK(restored == original);
  for (int i = 0; i < 3; ++i) CHECK(restored.normal() == original.normal());
  for (int i = 0; i < 2000; ++i) REQUIRE(restored.random() == original.random());
  CHECK(restored.child(5) == original.child(5));

  auto broken = saved;
  broken.pop_back();
  CHECK_THROWS_AS(Generator::from_state(broken), inkling::FormatError);
  for (std::size_t at : {std::size_t{1}, std::size_t{2}, std::size_t{4}, Generator::state_size - 1}) {
    broken = saved;
    broken[at] = -1;
    CHECK_THROWS_AS(Generator::from_state(broken), inkling::FormatError);
    broken[at] = std::int64_t{1} << 40;
    CHECK_THROWS_AS(Generator::from_state(broken), inkling::FormatError);
  }
}

TEST_CASE("random: children depend on seed and index alone, and differ") {
  Generator used(9);
  used.randn<float>(Shape<1>{33});
  CHECK(used.child(3) == Generator(9).child(3));
  CHECK_FALSE(Generator(9).child(3) == Generator(9).child(4));
  CHECK_FALSE(Generator(9).child(3) == Generator(10).child(3));
  // Seeds that the Mersenne Twister alone cannot tell apart.
  CHECK(Generator(1).random() == Generator((std::uint64_t{1} << 32) + 1).random());
  CHECK(Generator(1).child(0).random64() != Generator((std::uint64_t{1} << 32) + 1).child(0).random64());
  CHECK_FALSE(Generator(9).child(1).child(2) == Generator(9).child(2).child(1));

  // First values over many children: all different, and spread like one good stream (mean 1/2, variance 1/12).
  std::set<std::uint64_t> seen;
  double sum = 0, squares = 0, neighbours = 0, last = 0.5;
  constexpr int n = 20000;
  for (int i = 0; i < n; ++i) {
    Generator child = Generator(9).child(static_cast<std::uint64_t>(i));
    seen.insert(Generator(child).random64());
    const double u = child.uniform<double>() - 0.5;
    sum += u, squares += u * u, neighbours += u * last, last = u;
  }
  CHECK(seen.size() == n);
  // Five standard deviations: of the mean sqrt(1/12/n), of the variance sqrt(1/180/n), of neighbours' product
  // 1/12/sqrt(n)
  const double root = std::sqrt(static_cast<double>(n));
  CHECK(std::abs(sum / n) < 5 * std::sqrt(1.0 / 12) / root);
  CHECK(std::abs(squares / n - 1.0 / 12) < 5 * std::sqrt(1.0 / 180) / root);
  CHECK(std::abs(neighbours / n) < 5 / 12.0 / root);
}

TEST_CASE("random: normal numbers have the moments of a normal distribution") {
  constexpr Index n = 200000;
  const auto x = Generator(2).randn<float>(Shape<1>{n});
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
  Index beyond_two = 0;
  for (float f : x) {
    const double v = static_cast<double>(f);
    m1 += v, m2 += v * v, m3 += v * v * v, m4 += v * v * v * v;
    if (std::abs(v) > 2) ++beyond_two;
  }
  // E[x^k] = 0, 1, 0, 3 with variances 1, 2, 15, 96; five standard deviations
  const double root = std::sqrt(static_cast<double>(n));
  CHECK(std::abs(m1 / n) < 5 * 1 / root);
  CHECK(std::abs(m2 / n - 1) < 5 * std::sqrt(2.0) / root);
  CHECK(std::abs(m3 / n) < 5 * std::sqrt(15.0) / root);
  CHECK(std::abs(m4 / n - 3) < 5 * std::sqrt(96.0) / root);
  const double p = std::erfc(2 / std::numbers::sqrt2);  // 4.55 % lie beyond two standard deviations
  CHECK(std::abs(static_cast<double>(beyond_two) / n - p) < 5 * std::sqrt(p * (1 - p)) / root);
}

TEST_CASE("random: shuffle keeps the items and is decided by the seed") {
  std::vector<int> items(50);
  std::iota(items.begin(), items.end(), 0);
  auto a = items, b = items;
  Generator(4).shuffle(std::span<int>(a));
  Generator(4).shuffle(std::span<int>(b));
  CHECK(a == b);
  CHECK(a != items);
  std::sort(a.begin(), a.end());
  CHECK(a == items);
}
