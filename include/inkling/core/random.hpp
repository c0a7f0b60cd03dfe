// Random numbers that are the same on every machine, and the same as PyTorch's.
//
// Generator follows PyTorch's CPU generator: after torch.manual_seed(s), torch.randn(shape) and
// Generator(s).randn(shape) are built from the same 32-bit words, so that a seed gives the starting latent that
// diffusers gives on a CPU. The words and the uniform numbers are equal bit for bit; normal numbers differ by
// rounding, because PyTorch's vectorised logarithm and cosine differ between processors in their last bits.
#pragma once
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "inkling/core/tensor.hpp"

namespace inkling {

// Mersenne Twister: M. Matsumoto, T. Nishimura, "Mersenne Twister: a 623-dimensionally equidistributed uniform
// pseudo-random number generator", ACM TOMACS 8(1), 1998. (std::mt19937 gives the same words, but its state can
// only be saved as text and its size is not fixed.)
class Mt19937 {
 public:
  static constexpr std::size_t n = 624, m = 397;
  using State = std::array<std::uint32_t, n>;

  explicit Mt19937(std::uint32_t seed) {
    state_[0] = seed;
    // x_j = 1812433253 (x_{j-1} xor (x_{j-1} >> 30)) + j                        (the authors' init_genrand, 2002)
    for (std::uint32_t j = 1; j < n; ++j) state_[j] = 1812433253u * (state_[j - 1] ^ (state_[j - 1] >> 30)) + j;
  }
  Mt19937(const State& state, std::uint32_t next) : state_(state), next_(next) {}

  std::uint32_t operator()() {
    if (next_ == n) twist();
    std::uint32_t y = state_[next_++];
    // tempering, equations (2.2) to (2.5)
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    y ^= y >> 18;
    return y;
  }

  const State& state() const noexcept { return state_; }
  std::uint32_t next() const noexcept { return next_; }  // which word of the state comes next; n: none is left
  bool operator==(const Mt19937&) const = default;

 private:
  void twist() {
    // x_{k+n} = x_{k+m} xor (upper bit of x_k | lower 31 bits of x_{k+1}) A                         equation (2.1)
    for (std::size_t k = 0; k < n; ++k) {
      const std::uint32_t y = (state_[k] & 0x80000000u) | (state_[(k + 1) % n] & 0x7fffffffu);
      state_[k] = state_[(k + m) % n] ^ (y >> 1) ^ ((y & 1u) ? 0x9908b0dfu : 0u);
    }
    next_ = 0;
  }

  State state_{};
  std::uint32_t next_ = n;
};

class Generator {
 public:
  // Like torch.manual_seed(seed): a 64-bit seed is accepted, but the Mersenne Twister sees its low 32 bits only.
  explicit Generator(std::uint64_t seed = 0) : seed_(seed), engine_(static_cast<std::uint32_t>(seed)) {}

  std::uint64_t seed() const noexcept { return seed_; }

  // A generator of its own for item `index`, so that data prepared in parallel does not depend on who prepares it.
  // It depends on (seed, index) alone, not on what this one has already drawn. All 624 words of its state are filled
  // from all 128 bits: with 32-bit seeds, two of 80,000 items would get the same numbers more likely than not.
  Generator child(std::uint64_t index) const {
    std::uint64_t z = mix(mix(seed_) ^ index);
    Generator g(z);
    Mt19937::State state{};
    for (std::size_t j = 0; j < state.size(); j += 2) {
      const std::uint64_t bits = mix(z += 0x9e3779b97f4a7c15u);
      state[j] = static_cast<std::uint32_t>(bits >> 32);
      state[j + 1] = static_cast<std::uint32_t>(bits);
    }
    g.engine_ = Mt19937(state, Mt19937::n);
    return g;
  }

  // The raw stream.
  std::uint32_t random() { return engine_(); }
  std::uint64_t random64() {  // the first word is the upper half, as in PyTorch
    const std::uint64_t high = engine_();
    return high << 32 | engine_();
  }

  // Uniform in [0, 1): as many random bits as the mantissa of T holds, 24 or 53.
  template <std::floating_point T>
  T uniform() {
    if constexpr (sizeof(T) == 4)
      return static_cast<T>(random() & ((std::uint32_t{1} << 24) - 1)) * static_cast<T>(0x1p-24);
    else
      return static_cast<T>(random64() & ((std::uint64_t{1} << 53) - 1)) * static_cast<T>(0x1p-53);
  }
  template <std::floating_point T>
  T uniform(T from, T to) {
    return uniform<T>() * (to - from) + from;
  }

  // An integer in [low, high), as torch.randint draws it: word modulo range. The remainder favours small values by
  // at most range / 2^32 (2^64 for ranges from 2^32 on), which is below 2e-5 for 80,000 items.
  std::int64_t integer(std::int64_t low, std::int64_t high) {
    if (low >= high)
      throw ConfigError("Generator::integer", "low < high", std::to_string(low) + " and " + std::to_string(high));
    const std::uint64_t range = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
    const std::uint64_t drawn = range >= (std::uint64_t{1} << 32) ? random64() : random();
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + drawn % range);
  }
  std::int64_t integer(std::int64_t n) { return integer(0, n); }

  // One normal number, as PyTorch draws them when it fills fewer than 16. Two come out of one transform, so every
  // second call takes what the first has left over, even if other numbers were drawn in between.
  double normal() {
    if (waiting_normal_) return *std::exchange(waiting_normal_, std::nullopt);
    const double u1 = uniform<double>();
    const double u2 = uniform<double>();
    // r = sqrt(-2 ln(1 - u2)), theta = 2 pi u1;  z1 = r cos(theta), z2 = r sin(theta)
    //                 G. Box, M. Muller, "A note on the generation of random normal deviates", 1958, equation (1);
    //                 1 - u2, because u2 may be 0 but not 1
    const double r = std::sqrt(-2.0 * std::log1p(-u2));
    const double theta = two_pi * u1;
    waiting_normal_ = r * std::sin(theta);
    return r * std::cos(theta);
  }

  // Standard normal numbers, as torch.Tensor.normal_() fills a contiguous tensor.
  template <std::floating_point T>
  void fill_normal(std::span<T> out) {
    if (out.size() < 16) {
      for (T& v : out) v = static_cast<T>(normal());
      return;
    }
    fill_uniform(out);
    for (std::size_t i = 0; i + 16 <= out.size(); i += 16) uniform_to_normal(out.subspan(i).template first<16>());
    if (out.size() % 16 != 0) {
      // The rest gets no shorter block: the last 16 values are drawn anew, overlapping the block before.
      const auto last = out.template last<16>();
      for (T& v : last) v = uniform<T>();
      uniform_to_normal(last);
    }
  }
  template <std::floating_point T>
  void fill_uniform(std::span<T> out) {
    for (T& v : out) v = uniform<T>();
  }

  // torch.randn(shape) and torch.rand(shape): generator.randn<float>(Shape<4>{1, 4, 64, 64}).
  template <std::floating_point T, std::size_t N>
  Tensor<T, N> randn(const Shape<N>& shape) {
    Tensor<T, N> out(shape, uninitialized);
    fill_normal(out.span());
    return out;
  }
  template <std::floating_point T, std::size_t N>
  Tensor<T, N> rand(const Shape<N>& shape) {
    Tensor<T, N> out(shape, uninitialized);
    fill_uniform(out.span());
    return out;
  }

  // The numbers 0..n-1 in random order, as torch.randperm(n): Fisher-Yates from the front.
  std::vector<std::int64_t> permutation(Index n) {
    if (n < 0) throw ConfigError("Generator::permutation", "n of at least 0", std::to_string(n));
    std::vector<std::int64_t> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    shuffle(std::span<std::int64_t>(order));
    return order;
  }
  template <class T>
  void shuffle(std::span<T> items) {
    for (std::size_t i = 0; i + 1 < items.size(); ++i) {
      const std::size_t left = items.size() - i;  // words of 64 bits where 32 would be visibly uneven, as PyTorch does
      const std::uint64_t drawn = items.size() < 0xffffffffu / 20 ? random() : random64();
      std::swap(items[i], items[i + static_cast<std::size_t>(drawn % left)]);
    }
  }

  // Everything that decides what comes next, as plain integers, so that a checkpoint can hold it.
  // [seed, next, 1 if a normal number waits, its bits, 624 words]
  static constexpr std::size_t state_size = 4 + Mt19937::n;
  std::vector<std::int64_t> state() const {
    std::vector<std::int64_t> s{static_cast<std::int64_t>(seed_), static_cast<std::int64_t>(engine_.next()),
                                waiting_normal_ ? 1 : 0, std::bit_cast<std::int64_t>(waiting_normal_.value_or(0.0))};
    s.insert(s.end(), engine_.state().begin(), engine_.state().end());
    return s;
  }
  static Generator from_state(std::span<const std::int64_t> s) {
    constexpr auto where = "Generator::from_state";
    if (s.size() != state_size)
      throw FormatError(where, std::to_string(state_size) + " numbers", std::to_string(s.size()));
    if (s[1] < 0 || s[1] > static_cast<std::int64_t>(Mt19937::n))
      throw FormatError(where, "a position from 0 to 624", std::to_string(s[1]));
    if (s[2] != 0 && s[2] != 1) throw FormatError(where, "a flag of 0 or 1", std::to_string(s[2]));
    Mt19937::State words{};
    for (std::size_t j = 0; j < words.size(); ++j) {
      const std::int64_t word = s[4 + j];
      if (word < 0 || word > 0xffffffffLL) throw FormatError(where, "32-bit words", std::to_string(word));
      words[j] = static_cast<std::uint32_t>(word);
    }
    Generator g(static_cast<std::uint64_t>(s[0]));
    g.engine_ = Mt19937(words, static_cast<std::uint32_t>(s[1]));
    if (s[2] == 1) g.waiting_normal_ = std::bit_cast<double>(s[3]);
    return g;
  }
  bool operator==(const Generator&) const = default;

 private:
  static constexpr double two_pi = 6.283185307179586;

  // Box-Muller on 16 uniform numbers in place: the first eight are radii, the last eight angles.
  template <class T>
  static void uniform_to_normal(std::span<T, 16> block) {
    for (std::size_t j = 0; j < 8; ++j) {
      const T u1 = T{1} - block[j];  // [0, 1) -> (0, 1]: the logarithm must not see 0
      const T u2 = block[j + 8];
      const T theta = static_cast<T>(two_pi) * u2;  // rounded to T, as PyTorch does: theta reaches 2 pi
      // The functions themselves in double, so that libraries that differ in a last bit still round to one float.
      const double radius = std::sqrt(-2.0 * std::log(static_cast<double>(u1)));
      block[j] = static_cast<T>(radius * std::cos(static_cast<double>(theta)));
      block[j + 8] = static_cast<T>(radius * std::sin(static_cast<double>(theta)));
    }
  }

  // splitmix64's output function (G. Steele, D. Lea, C. Flood, OOPSLA 2014): every input bit reaches every output bit.
  static constexpr std::uint64_t mix(std::uint64_t z) {
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  std::uint64_t seed_;
  Mt19937 engine_;
  std::optional<double> waiting_normal_;
};

}  // namespace inkling
