// Randomness for made samples: what sample number 1,000,000 looks like is decided without making those before it.
#pragma once
#include <cstdint>

#include "inkling/core/shape.hpp"

namespace inkling {

// Random numbers that are a function of (seed, index) alone, so that sample 1,000,000 needs none of those before it
// and threads may make samples in any order. SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
// generators", OOPSLA 2014, figure 16.
class SampleRandom {
 public:
  SampleRandom(std::uint64_t seed, std::uint64_t index) : state_(mix(seed ^ mix(index + golden_gamma))) {}

  std::uint64_t next() { return mix(state_ += golden_gamma); }
  // In [0, 1).
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  float uniform(float low, float high) { return low + (high - low) * static_cast<float>(uniform()); }
  // In {0, .., n-1}. The bias of the product against the exact method is n / 2^32: nothing here.
  Index below(Index n) { return static_cast<Index>(((next() >> 32) * static_cast<std::uint64_t>(n)) >> 32); }
  bool chance(double p) { return uniform() < p; }

 private:
  static constexpr std::uint64_t golden_gamma = 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio, odd
  static std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::uint64_t state_;
};

}  // namespace inkling
