// The processor's limit: what a loop of nothing but multiply-adds in registers reaches.
#pragma once
#include "inkling/kernels/fast/simd.hpp"  // first

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "inkling/core/parallel.hpp"

namespace inkling::kernels::fast {

// x <- a x + b, `steps` times, for as many independent x as there are I
template <std::size_t... I>
float multiply_adds(Index steps, std::index_sequence<I...>) {
  const Vec<float> a(0.999F), b(0.1F);
  Vec<float> x[] = {(void(I), Vec<float>(static_cast<float>(I)))...};
  for (Index i = 0; i < steps; ++i) ((x[I] = mul_add<float>(x[I], a, b)), ...);
  Vec<float> sum = x[0];
  ((sum = sum + x[I]), ...);
  float lanes[static_cast<std::size_t>(width<float>)];
  store(lanes, sum);
  return lanes[0];
}

// Operations a second of all threads together, two for a multiply-add: the best of `repetitions` short runs, as other
// programs only ever take time away.
inline double multiply_add_peak(int repetitions = 100) {
  constexpr std::size_t chains = 12;  // a multiply-add takes 4 cycles and two can start in each: 8 keep it busy
  constexpr Index steps = 100'000;
  const Index threads = num_threads();
  std::vector<float> results(static_cast<std::size_t>(threads));  // used, so that the loop is not left out
  double best = 0;
  for (int r = 0; r < repetitions; ++r) {
    const auto start = std::chrono::steady_clock::now();
    parallel_for(threads, steps * Index{chains}, [&](Index t) {
      results[static_cast<std::size_t>(t)] = multiply_adds(steps, std::make_index_sequence<chains>{});
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    const double work = 2.0 * static_cast<double>(threads * width<float> * steps) * static_cast<double>(chains);
    if (*std::max_element(results.begin(), results.end()) > 0) best = std::max(best, work / seconds.count());
  }
  return best;
}

}  // namespace inkling::kernels::fast
