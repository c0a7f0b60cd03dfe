// How near the heavy kernels come to the machine's limit.
//
//   build/bench/bench_kernels                             all shapes, with as many threads as OpenMP gives
//   OMP_NUM_THREADS=1 build/bench/bench_kernels --benchmark_filter=conv
//
// "GFLOP/s" counts two operations a multiply-add and takes the fastest of all repetitions; "peak" is that as a share
// of what a loop of nothing but multiply-adds in registers reaches in the same run. On a machine that others use too,
// look at "core_peak" instead: the same share by the seconds that the cores spent on this program. (It counts waiting
// threads as busy unless OMP_WAIT_POLICY=passive.)
#include "inkling/kernels/fast/attention.hpp"  // first: it reads the processor's intrinsics

#include <benchmark/benchmark.h>

#include <chrono>
#include <ctime>

#include "inkling/core/parallel.hpp"
#include "inkling/kernels/fast/conv.hpp"
#include "inkling/kernels/fast/linear.hpp"

namespace {

using namespace inkling;
using namespace inkling::kernels;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

template <std::size_t... I>
float multiply_adds(Index steps, std::index_sequence<I...>) {
  const fast::Vec<float> x(0.999F), y(0.1F);
  fast::Vec<float> sum[] = {(void(I), fast::Vec<float>(static_cast<float>(I)))...};
  for (Index i = 0; i < steps; ++i) ((sum[I] = fast::mul_add<float>(sum[I], x, y)), ...);
  float total = 0;
  ((total += static_cast<float>(fast::lane_sum<float>(sum[I]))), ...);
  return total;
}

double core_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// GFLOP/s of independent multiply-adds: 12 of them at a time hide the latency of each.
struct Peak {
  double all_threads = 0, core = 0;
};
const Peak& peak() {
  static const Peak best = [] {
    constexpr Index steps = 200000;
    const Index threads = num_threads();
    const double work = 2e-9 * 12 * static_cast<double>(fast::width<float> * steps);
    std::vector<float> sink(static_cast<std::size_t>(threads));
    Peak p;
    for (int repetition = 0; repetition < 200; ++repetition) {
      const auto run = [&](Index t) {
        sink[static_cast<std::size_t>(t)] = multiply_adds(steps, std::make_index_sequence<12>{});
      };
      const auto start = Clock::now();
      parallel_for(threads, steps, run);
      p.all_threads = std::max(p.all_threads, work * static_cast<double>(threads) / seconds_since(start));
      const double core_start = core_seconds();
      run(0);
      p.core = std::max(p.core, work / (core_seconds() - core_start));
    }
    benchmark::DoNotOptimize(sink);
    return p;
  }();
  return best;
}

template <std::size_t N>
Tensor<float, N> filled(const Shape<N>& shape) {
  Tensor<float, N> t(shape, uninitialized);
  std::uint32_t state = 1;  // numerical recipes' generator: any numbers will do
  for (float& v : t) {
    state = state * 1664525U + 1013904223U;
    v = static_cast<float>(state >> 8) / static_cast<float>(1 << 24) - 0.5F;
  }
  return t;
}

template <class Kernel>
void measure(benchmark::State& state, double multiply_adds, const Kernel& kernel) {
  peak();
  kernel();  // memory is there
  double fastest = 1e30;
  const double core_start = core_seconds();
  for (auto _ : state) {
    const auto start = Clock::now();
    kernel();
    fastest = std::min(fastest, seconds_since(start));
  }
  const double core = (core_seconds() - core_start) / static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = 2e-9 * multiply_adds / fastest;
  state.counters["peak"] = 2e-9 * multiply_adds / fastest / peak().all_threads;
  state.counters["core_peak"] = 2e-9 * multiply_adds / core / peak().core;
  state.counters["best_ms"] = fastest * 1e3;
}

void gemm(benchmark::State& state, Index M, Index N, Index K) {
  const auto a = filled(Shape<2>{M, K}), b = filled(Shape<2>{K, N});
  measure(state, static_cast<double>(M * N * K), [&] { benchmark::DoNotOptimize(fast::matmul(a, b)); });
}

void linear(benchmark::State& state, Index rows, Index Out, Index In) {
  const auto x = filled(Shape<2>{rows, In}), w = filled(Shape<2>{Out, In});
  const auto bias = filled(Shape<1>{Out});
  measure(state, static_cast<double>(rows * In * Out), [&] { benchmark::DoNotOptimize(fast::linear(x, w, &bias)); });
}

enum class Pass { forward, input, weight };
void conv(benchmark::State& state, Pass pass, Index N, Index C, Index O, Index H, Index K) {
  const auto x = filled(Shape<4>{N, C, H, H}), w = filled(Shape<4>{O, C, K, K}), dy = filled(Shape<4>{N, O, H, H});
  const Conv2dOptions o{.padding = Padding::all(K / 2)};
  measure(state, static_cast<double>(dy.size() * C * K * K), [&] {
    if (pass == Pass::forward) benchmark::DoNotOptimize(fast::conv2d<float>(x, w, nullptr, o));
    if (pass == Pass::input) benchmark::DoNotOptimize(fast::conv2d_backward_input(dy, w, x.shape(), o));
    if (pass == Pass::weight) benchmark::DoNotOptimize(fast::conv2d_backward_weight(dy, x, w.shape(), o));
  });
}

void attention(benchmark::State& state, Index N, Index L, Index S, Index heads, Index width) {
  const auto q = filled(Shape<3>{N, L, heads * width}), k = filled(Shape<3>{N, S, heads * width});
  const AttentionOptions o{.heads = heads};
  measure(state, 2.0 * static_cast<double>(q.size() * S),
          [&] { benchmark::DoNotOptimize(fast::attention(q, k, k, o)); });
}

void attention_backward(benchmark::State& state, Index N, Index L, Index heads, Index width) {
  const auto q = filled(Shape<3>{N, L, heads * width});
  const AttentionOptions o{.heads = heads};
  const auto result = fast::attention(q, q, q, o);
  measure(state, 5.0 * static_cast<double>(q.size() * L),
          [&] { benchmark::DoNotOptimize(fast::attention_backward(q, q, q, q, result, o)); });
}

}  // namespace

BENCHMARK_CAPTURE(gemm, 1024x1024x1024, 1024, 1024, 1024);
BENCHMARK_CAPTURE(gemm, 4096x320x320, 4096, 320, 320);
BENCHMARK_CAPTURE(gemm, 4096x2560x320, 4096, 2560, 320);
BENCHMARK_CAPTURE(gemm, 320x4096x2880, 320, 4096, 2880);
BENCHMARK_CAPTURE(gemm, 64x64x64, 64, 64, 64);
BENCHMARK_CAPTURE(gemm, 16x16x16, 16, 16, 16);
BENCHMARK_CAPTURE(linear, tokens_77x3072x768, 77, 3072, 768);
BENCHMARK_CAPTURE(linear, one_row_1280x1280, 1, 1280, 1280);
BENCHMARK_CAPTURE(conv, unet_320_64x64, Pass::forward, 1, 320, 320, 64, 3);
BENCHMARK_CAPTURE(conv, unet_1280_8x8_batch_2, Pass::forward, 2, 1280, 1280, 8, 3);
BENCHMARK_CAPTURE(conv, unet_640_32x32_kernel_1, Pass::forward, 1, 640, 640, 32, 1);
BENCHMARK_CAPTURE(conv, decoder_512_64x64, Pass::forward, 1, 512, 512, 64, 3);
BENCHMARK_CAPTURE(conv, train_64_8x8_batch_128_forward, Pass::forward, 128, 64, 64, 8, 3);
BENCHMARK_CAPTURE(conv, train_64_8x8_batch_128_input, Pass::input, 128, 64, 64, 8, 3);
BENCHMARK_CAPTURE(conv, train_64_8x8_batch_128_weight, Pass::weight, 128, 64, 64, 8, 3);
BENCHMARK_CAPTURE(conv, train_192_4x4_batch_128_forward, Pass::forward, 128, 192, 192, 4, 3);
BENCHMARK_CAPTURE(conv, train_192_4x4_batch_128_weight, Pass::weight, 128, 192, 192, 4, 3);
BENCHMARK_CAPTURE(conv, train_32_32x32_batch_64_forward, Pass::forward, 64, 32, 32, 32, 3);
BENCHMARK_CAPTURE(attention, unet_8_heads_4096x4096x40, 1, 4096, 4096, 8, 40);
BENCHMARK_CAPTURE(attention, unet_8_heads_4096x77x40, 1, 4096, 77, 8, 40);
BENCHMARK_CAPTURE(attention, train_4_heads_64x64x32_batch_128, 128, 64, 64, 4, 32);
BENCHMARK_CAPTURE(attention_backward, train_4_heads_64x64x32_batch_128, 128, 64, 4, 32);
