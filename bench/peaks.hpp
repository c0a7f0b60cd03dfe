// What this machine can do at most, measured in the same run as the kernels that are compared with it.
//
//   arithmetic   loops of nothing but one instruction in registers: fp32 multiply-adds; products of bfloat16 pairs summed
//                in fp32 (vdpbf16ps); products of four 8-bit integers summed in 32 bits (vpdpbusd)
//   memory       read (sum), write (fill), triad (a = b + s c), on arrays four times as large as the last cache; and a
//                copy of any size, because a tensor that fits into a cache is not bounded by memory
// Each is taken twice: of all threads together by the clock, and of one core by its processor time, which stays true
// while other programs take the core away.
#pragma once
#include "inkling/kernels/fast/simd.hpp"  // first: it reads the processor's intrinsics

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "inkling/core/parallel.hpp"

namespace inkling_bench {

using inkling::Index;
namespace fast = inkling::kernels::fast;

// --- Clocks ---------------------------------------------------------------------------------------------------------

inline double clock_seconds(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
inline double wall_seconds() { return clock_seconds(CLOCK_MONOTONIC); }
// Of all threads of this program, also those that wait (unless OMP_WAIT_POLICY=passive).
inline double processor_seconds() { return clock_seconds(CLOCK_PROCESS_CPUTIME_ID); }

// How fast something goes: all threads by the clock, and one core by its processor time.
struct Rate {
  double all = 0, core = 0;
};

// The fastest of many short runs, since other programs only ever take time away. body(t) is the part of thread t.
template <class Body>
Rate fastest(double work_of_a_thread, double seconds, const Body& body) {
  const Index threads = inkling::num_threads();
  Rate best;
  const double begin = wall_seconds();
  for (int run = 0; run < 10 || wall_seconds() - begin < seconds; ++run) {
    double start = wall_seconds();
    inkling::parallel_for(threads, Index{1} << 40, body);
    best.all = std::max(best.all, work_of_a_thread * static_cast<double>(threads) / (wall_seconds() - start));
    start = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
    body(0);
    best.core = std::max(best.core, work_of_a_thread / (clock_seconds(CLOCK_THREAD_CPUTIME_ID) - start));
  }
  return best;
}

// --- Arithmetic -----------------------------------------------------------------------------------------------------

struct MultiplyAddF32 {
  using V = fast::Vec<float>;
  static constexpr double operations = 2.0 * static_cast<double>(fast::width<float>);
  V a = V(0.999F), b = V(0.1F);
  static V start(float x) { return V(x); }
  V step(const V& sum) const { return fast::mul_add<float>(sum, a, b); }
};
#if defined(__AVX512BF16__)
struct DotBf16 {
  using V = __m512;
  static constexpr double operations = 2.0 * 32;
  __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(1.5F), _mm512_set1_ps(0.5F)), b = a;
  static V start(float x) { return _mm512_set1_ps(x); }
  V step(const V& sum) const { return _mm512_dpbf16_ps(sum, a, b); }
};
#endif
#if defined(__AVX512VNNI__)
struct DotI8 {
  using V = __m512i;
  static constexpr double operations = 2.0 * 64;
  __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-2);
  static V start(float x) { return _mm512_set1_epi32(static_cast<int>(x)); }
  V step(const V& sum) const { return _mm512_dpbusd_epi32(sum, a, b); }
};
#endif

// sum <- step(sum), `steps` times, for as many independent sums as there are I: the latency of one hides behind others.
template <class Instruction, std::size_t... I>
void repeat_instruction(Index steps, unsigned char* result, std::index_sequence<I...>) {
  const Instruction instruction;
  typename Instruction::V sum[] = {Instruction::start(static_cast<float>(I))...};
  for (Index i = 0; i < steps; ++i) ((sum[I] = instruction.step(sum[I])), ...);
  (std::memcpy(result + I * sizeof(sum[0]), &sum[I], sizeof(sum[0])), ...);
}
template <class Instruction>
Rate arithmetic_peak() {
  constexpr std::size_t chains = 12;
  constexpr Index steps = 100'000;
  constexpr std::size_t bytes = chains * sizeof(typename Instruction::V);
  std::vector<unsigned char> results(static_cast<std::size_t>(inkling::num_threads()) * bytes);
  const Rate rate = fastest(1e-9 * Instruction::operations * chains * static_cast<double>(steps), 0.3, [&](Index t) {
    repeat_instruction<Instruction>(steps, results.data() + static_cast<std::size_t>(t) * bytes,
                                    std::make_index_sequence<chains>{});
  });
  [[maybe_unused]] volatile unsigned char used = results[0];  // so that the loop is not left out
  return rate;
}

// --- Memory ---------------------------------------------------------------------------------------------------------

enum class Stream { read, write, copy, triad };

// GB/s of plain loops over arrays of `bytes` in all, each thread its own part.
inline Rate memory_rate(Stream stream, double bytes, double seconds) {
  constexpr Index W = fast::width<float>;
  const Index threads = inkling::num_threads();
  const int arrays = stream == Stream::triad ? 3 : stream == Stream::copy ? 2 : 1;
  const Index n = std::max<Index>(4 * W, static_cast<Index>(bytes / 4 / arrays) / threads / (4 * W) * (4 * W));
  std::vector<std::vector<float>> memory(static_cast<std::size_t>(threads));
  inkling::parallel_for(threads, Index{1} << 40, [&](Index t) {  // each thread touches its part first
    memory[static_cast<std::size_t>(t)].assign(static_cast<std::size_t>(n * arrays), 1.0F);
  });
  const int passes = std::max(1, static_cast<int>(1e6 / static_cast<double>(n)));  // a run of at least some 0.1 ms
  return fastest(4e-9 * passes * static_cast<double>(n * arrays), seconds, [&](Index t) {
    float *a = memory[static_cast<std::size_t>(t)].data(), *b = a + n, *c = b + n;
    fast::Vec<float> sum[4] = {fast::Vec<float>(0.0F), fast::Vec<float>(0.0F), fast::Vec<float>(0.0F),
                               fast::Vec<float>(0.0F)};
    const fast::Vec<float> s(0.5F);
    for (int pass = 0; pass < passes; ++pass)
      for (Index i = 0; i < n; i += 4 * W)
        for (Index j = 0; j < 4; ++j) {
          const Index at = i + j * W;
          switch (stream) {
            case Stream::read: sum[j] = sum[j] + fast::load(a + at); break;
            case Stream::write: fast::store(a + at, s); break;
            case Stream::copy: fast::store(a + at, fast::load(b + at)); break;
            case Stream::triad: fast::store(a + at, fast::mul_add<float>(s, fast::load(c + at), fast::load(b + at)));
          }
        }
    if (stream == Stream::read) fast::store(a, (sum[0] + sum[1]) + (sum[2] + sum[3]));  // so that it is not left out
  });
}

// Bytes of the last cache, 32 MiB where the system does not say.
inline double last_cache_bytes() {
#ifdef _SC_LEVEL3_CACHE_SIZE
  if (const long size = sysconf(_SC_LEVEL3_CACHE_SIZE); size > 0) return static_cast<double>(size);
#endif
  return 32.0 * 1024 * 1024;
}

// --- Everything together --------------------------------------------------------------------------------------------

struct Peaks {
  Rate f32, bf16, i8;       // GFLOP/s; 0 where the instruction is not compiled in
  Rate read, write, triad;  // GB/s

  static const Peaks& measured() {
    static const Peaks peaks = [] {
      Peaks p;
      p.f32 = arithmetic_peak<MultiplyAddF32>();
#if defined(__AVX512BF16__)
      p.bf16 = arithmetic_peak<DotBf16>();
#endif
#if defined(__AVX512VNNI__)
      p.i8 = arithmetic_peak<DotI8>();
#endif
      const double large = std::clamp(4 * last_cache_bytes(), 64e6, 512e6);
      p.read = memory_rate(Stream::read, large, 0.3);
      p.write = memory_rate(Stream::write, large, 0.3);
      p.triad = memory_rate(Stream::triad, large, 0.3);
      return p;
    }();
    return peaks;
  }
  // GB/s of a copy that reads and writes so many bytes in all, measured once for each power of two.
  static const Rate& copy(double bytes) {
    static std::map<double, Rate> known;
    const double rounded = std::exp2(std::round(std::log2(std::clamp(bytes, 65536.0, 512e6))));
    const auto found = known.find(rounded);
    return found != known.end() ? found->second
                                : known.emplace(rounded, memory_rate(Stream::copy, rounded, 0.1)).first->second;
  }

  void print(std::FILE* to) const {
    const auto row = [to](const char* what, const Rate& r, const char* unit) {
      if (r.all > 0) std::fprintf(to, "  %-28s %8.1f %8.1f %s\n", what, r.all, r.core, unit);
      else std::fprintf(to, "  %-28s %8s %8s\n", what, "-", "-");
    };
    std::fprintf(to, "peaks of this run               threads      one core  (%d threads)\n", inkling::num_threads());
    row("fp32 multiply-add", f32, "GFLOP/s");
    row("bfloat16 dot product", bf16, "GFLOP/s");
    row("8-bit dot product", i8, "GOP/s");
    row("memory, read", read, "GB/s");
    row("memory, write", write, "GB/s");
    row("memory, triad", triad, "GB/s");
  }
};

}  // namespace inkling_bench
