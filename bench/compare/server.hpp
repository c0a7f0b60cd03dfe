// What the programs of bench/compare.sh have in common. Each reads one line a shape from its standard input and answers
// with one line: the median seconds of five calls after one that does not count, or "-" where it has no such thing.
//
//   conv f32 N C H W O kernel stride        x [N, C, H, W], "same" padding
//   linear f32 rows in out
//   attention f32 N queries keys heads width
//   group_norm f32 N C H W groups
//   layer_norm f32 rows width               also gelu, silu, softmax (of each row)
// The second word is the type of the numbers: f32, bf16 or q8. With COMPARE_CLOCK=processor in the environment the clock
// is the processor time of the program.
#pragma once
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace compare {

struct Shape {
  std::string kind, type;
  std::vector<long> size;
};
// What to time; empty: not offered.
using Call = std::function<void()>;

inline double median_of_five(const Call& call) {
  const char* which = std::getenv("COMPARE_CLOCK");
  const clockid_t clock = which && std::string(which) == "processor" ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
  const auto now = [clock] {
    timespec t{};
    clock_gettime(clock, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  call();
  std::vector<double> seconds;
  for (int r = 0; r < 5; ++r) {
    // Short calls are repeated until a clock can tell their time.
    int calls = 0;
    const double start = now();
    double passed = 0;
    do {
      call();
      ++calls;
      passed = now() - start;
    } while (passed < 0.01);
    seconds.push_back(passed / calls);
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[2];
}

inline int serve(const std::function<Call(const Shape&)>& prepare) {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    Shape shape;
    words >> shape.kind >> shape.type;
    for (long n = 0; words >> n;) shape.size.push_back(n);
    try {
      if (const Call call = prepare(shape)) {
        std::printf("%.9f\n", median_of_five(call));
      } else {
        std::puts("-");
      }
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s: %s\n", line.c_str(), e.what());
      std::puts("-");
    }
    std::fflush(stdout);
  }
  return 0;
}

// Numbers in [-scale, scale)
inline std::vector<float> numbers(long count, float scale = 1) {
  std::vector<float> v(static_cast<std::size_t>(count));
  std::uint32_t state = 1;
  for (float& x : v) {
    state = state * 1664525U + 1013904223U;
    x = scale * (static_cast<float>(state >> 8) * 0x1p-23F - 1.0F);
  }
  return v;
}

}  // namespace compare
