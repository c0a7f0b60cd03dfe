// Training speed: whole steps (forward, backward, clipping, AdamW, moving average) of two networks.
//
//   build/bench/bench_training                            with as many threads as OpenMP gives
//   OMP_NUM_THREADS=1 taskset -c 1 build/bench/bench_training
//   build/bench/bench_training --compute bf16             convolutions, linear layers and attention multiply bfloat16
//
// "images/s" takes the fastest step. "core_images/s" counts the seconds that the cores spent on this program instead of
// those on the clock: on a machine that others use too, that is the figure to look at (for several threads set
// OMP_WAIT_POLICY=passive, so that waiting threads do not count). "peak" is the share of what a loop of nothing but
// multiply-adds in registers reaches in the same run (of bfloat16 with --compute bf16; Winograd's algorithm can exceed
// either), by the clock, and "core_peak" the same by core seconds. The
// arithmetic counted is that of convolutions, linear layers and attention, three times the forward's.
#include "peaks.hpp"  // first: it reads the processor's intrinsics

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <string_view>

#include "inkling/core/parallel.hpp"
#include "inkling/models/autoencoder_kl.hpp"
#include "inkling/train/objectives.hpp"
#include "inkling/train/trainer.hpp"

namespace {

using namespace inkling;
using inkling_bench::processor_seconds;
using inkling_bench::wall_seconds;

double page_faults() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  return static_cast<double>(use.ru_minflt);
}

ComputeType compute = ComputeType::f32;  // --compute

// GFLOP/s of nothing but multiply-adds, measured once.
const inkling_bench::Rate& peak() {
  static const inkling_bench::Rate rate = [] {
#ifdef INKLING_BF16_DOT
    if (compute == ComputeType::bf16) return inkling_bench::arithmetic_peak<inkling_bench::DotBf16>();
#endif
    return inkling_bench::arithmetic_peak<inkling_bench::MultiplyAddF32>();
  }();
  return rate;
}

// ---- The U-Net of DDPM (Ho et al. 2020, appendix B), without a prompt: residual blocks with the time, one attention
// head over the pixels where the side is at most 16. ----

template <class T>
struct DdpmLevel {
  std::vector<ResnetBlock2D<T>> resnets;
  std::vector<SpatialSelfAttention<T>> attentions;
  std::vector<Downsample2D<T>> downsamplers;
  std::vector<Upsample2D<T>> upsamplers;
  template <class V>
  void visit(V&& v) {
    v("resnets", resnets);
    v("attentions", attentions);
    v("downsamplers", downsamplers);
    v("upsamplers", upsamplers);
  }
};

template <class T>
struct DdpmUNet {
  static constexpr Index groups = 32;
  static constexpr double eps = 1e-5;
  std::vector<Index> widths;
  Conv2d<T> conv_in;
  TimestepEmbeddingMlp<T> time_embedding;
  std::vector<DdpmLevel<T>> down, mid, up;
  GroupNorm<T> conv_norm_out;
  Conv2d<T> conv_out;

  DdpmUNet(Index channels, std::vector<Index> level_widths, Index blocks, std::vector<bool> attends)
      : widths(std::move(level_widths)),
        conv_in(channels, widths[0], 3, same_padding(3)),
        time_embedding(widths[0], 4 * widths[0]),
        conv_norm_out(widths[0], groups, eps),
        conv_out(widths[0], channels, 3, same_padding(3)) {
    const Index time = 4 * widths[0];
    std::vector<Index> skips{widths[0]};
    Index in = widths[0];
    for (std::size_t i = 0; i < widths.size(); ++i) {
      auto& level = down.emplace_back();
      for (Index j = 0; j < blocks; ++j, in = widths[i]) {
        level.resnets.emplace_back(in, widths[i], time, groups, eps);
        if (attends[i]) level.attentions.emplace_back(widths[i], groups, eps);
        skips.push_back(widths[i]);
      }
      if (i + 1 < widths.size()) {
        level.downsamplers.emplace_back(in, false);
        skips.push_back(in);
      }
    }
    mid.emplace_back();
    for (int j = 0; j < 2; ++j) mid[0].resnets.emplace_back(in, in, time, groups, eps);
    mid[0].attentions.emplace_back(in, groups, eps);
    for (std::size_t i = widths.size(); i-- > 0;) {
      auto& level = up.emplace_back();
      for (Index j = 0; j <= blocks; ++j, in = widths[i]) {
        level.resnets.emplace_back(in + skips.back(), widths[i], time, groups, eps);
        skips.pop_back();
        if (attends[i]) level.attentions.emplace_back(widths[i], groups, eps);
      }
      if (i > 0) level.upsamplers.emplace_back(in);
    }
  }

  // x_t[N, C, H, W], t[N] -> [N, C, H, W]
  Variable<T, 4> forward(const Variable<T, 4>& x_t, const Tensor<T, 1>& t) const {
    const Variable<T, 2> sinusoids(
        kernels::timestep_embedding<T>(t, widths[0], kernels::TimestepEmbedding::ddpm));
    const Variable<T, 2> time = time_embedding.forward(sinusoids);
    Variable<T, 4> h = conv_in.forward(x_t);
    std::vector<Variable<T, 4>> skips{h};
    for (const auto& level : down) {
      for (std::size_t j = 0; j < level.resnets.size(); ++j) {
        h = level.resnets[j].forward(h, time);
        if (!level.attentions.empty()) h = level.attentions[j].forward(h);
        skips.push_back(h);
      }
      for (const auto& d : level.downsamplers) skips.push_back(h = d.forward(h));
    }
    h = mid[0].resnets[1].forward(mid[0].attentions[0].forward(mid[0].resnets[0].forward(h, time)), time);
    for (const auto& level : up) {
      for (std::size_t j = 0; j < level.resnets.size(); ++j) {
        h = concat(h, skips.back(), 1);
        skips.pop_back();
        h = level.resnets[j].forward(h, time);
        if (!level.attentions.empty()) h = level.attentions[j].forward(h);
      }
      for (const auto& u : level.upsamplers) h = u.forward(h);
    }
    return conv_out.forward(norm_silu(conv_norm_out, h));
  }
  template <class V>
  void visit(V&& v) {
    v("conv_in", conv_in);
    v("time_embedding", time_embedding);
    v("down", down);
    v("mid", mid);
    v("up", up);
    v("conv_norm_out", conv_norm_out);
    v("conv_out", conv_out);
  }
};

// ---- What both have in common ----

// Multiply-adds of one forward: every number that a convolution or linear layer puts out took as many as its weight has
// for one output channel; attention takes two for each pair of tokens and channel.
template <class Module, class Forward>
double multiply_adds_of(Module& module, const Forward& forward) {
  std::map<std::string, double> taps;
  for_each_parameter(module, [&](const std::string& path, auto& p) {
    if (p.shape().size() > 1) taps[path.substr(0, path.rfind('.'))] = static_cast<double>(p.size() / p.shape()[0]);
  });
  double sum = 0;
  Observer<float> observer;
  observer.watch(module);
  observer.on_output = [&](const std::string& path, auto, std::span<const float> values) {
    if (const auto found = taps.find(path); found != taps.end())
      sum += found->second * static_cast<double>(values.size());
  };
  observer.on_attention = [&](const std::string&, const auto& q, const auto& k, const auto&) {
    sum += 2 * static_cast<double>(q.size() * k.shape(1));
  };
  const Observation<float> watching(observer);
  NoGrad no_grad;
  forward();
  return sum;
}

Tensor<float, 4> noise(const Shape<4>& shape, std::uint64_t seed) {
  Generator generator(seed);
  return generator.randn<float>(shape);
}

// One step after another on the same batch: the arithmetic does not depend on the numbers.
template <class Module, class Output>
void train(benchmark::State& state, Module& module, const Tensor<float, 4>& target, const Output& output) {
  peak();
  Generator generator(1);
  initialize(module, generator);
  const double work = 3 * 2e-9 * multiply_adds_of(module, output);
  set_trainable(module, true);
  AdamW<float> optimizer;
  std::vector<std::vector<float>> average;
  for_each_parameter(module, [&](const std::string&, auto& p) {
    average.emplace_back(p.value().begin(), p.value().end());
  });
  const auto step = [&] {
    {
      const kernels::ComputeIn compute_in(compute);
      backward(mse_loss(output(), target));
    }
    auto parameters = parameter_views(module);
    clip_gradient_norm(parameters, 1.0);
    optimizer.step(parameters, 1e-4);
    std::vector<AveragedView<float>> averages;
    for (const auto& p : parameters) averages.push_back({average[averages.size()], p.value});
    ema_update(averages, 0.999);
    zero_grad(module);
  };
  for (int i = 0; i < 2; ++i) step();  // memory is there
  double fastest = 1e30, fastest_core = 1e30;
  const double faults = page_faults();
  for (auto _ : state) {
    const double start = wall_seconds(), core_start = processor_seconds();
    step();
    fastest = std::min(fastest, wall_seconds() - start);
    fastest_core = std::min(fastest_core, processor_seconds() - core_start);
  }
  const double images = static_cast<double>(target.shape(0));
  state.counters["parameters"] = static_cast<double>(count_parameters(module));
  state.counters["GFLOP"] = work;
  state.counters["images/s"] = images / fastest;
  state.counters["core_images/s"] = images / fastest_core;
  state.counters["peak"] = work / fastest / peak().all;
  state.counters["core_peak"] = work / fastest_core / peak().core;
  state.counters["page_faults"] = (page_faults() - faults) / static_cast<double>(state.iterations());
}

// 64 channels, multipliers 1, 2, 2, two blocks a level, attention at 16x16 and 8x8.
void ddpm(benchmark::State& state) {
  const Index batch = 32;
  DdpmUNet<float> unet(3, {64, 128, 128}, 2, {false, true, true});
  const Variable<float, 4> x_t(noise({batch, 3, 32, 32}, 2));
  const Tensor<float, 1> t({batch}, 500.0F);
  train(state, unet, noise(x_t.shape(), 3), [&] { return unet.forward(x_t, t); });
}

// The U-Net of inkling-mini: latents of 8x8, a caption of 32 tokens.
void mini(benchmark::State& state) {
  const Index batch = 64;
  UNetConfig c;
  c.block_out_channels = {64, 112};
  c.layers_per_block = 1;
  c.attention_levels = {true, true};
  c.heads = 4;
  c.cross_attention_dim = 128;
  c.norm_groups = 16;
  c.sample_size = 8;
  UNet<float> unet(c);
  const Variable<float, 4> x_t(noise({batch, c.in_channels, 8, 8}, 2));
  const Variable<float, 3> context(noise({batch, 32, 128, 1}, 4).reshaped(Shape<3>{batch, 32, 128}));
  const Tensor<float, 1> t({batch}, 500.0F);
  train(state, unet, noise(x_t.shape(), 3), [&] { return unet.forward(x_t, t, context); });
}

// ---- What is bound by memory: bytes that must move, against a plain copy measured in the same run. 16.8 MB a tensor,
// three of which are more than the caches hold. ----

// GB/s of a plain copy of one such tensor.
double copy_rate() {
  static const double rate = inkling_bench::memory_rate(inkling_bench::Stream::copy, 2 * 16.8e6, 0.3).core;
  return rate;
}

// `kernel` reads and writes so many tensors in all; made for one thread.
template <class Kernel>
void memory(benchmark::State& state, double tensors, const Kernel& kernel) {
  static const Tensor<float, 4> x = noise({32, 128, 32, 32}, 5), dy = noise(x.shape(), 6);
  copy_rate();
  kernel(x, dy);
  double fastest = 1e30;
  for (auto _ : state) {
    const double start = processor_seconds();
    kernel(x, dy);
    fastest = std::min(fastest, processor_seconds() - start);
  }
  const double rate = 4e-9 * tensors * static_cast<double>(x.size()) / fastest;
  state.counters["best_ms"] = fastest * 1e3;
  state.counters["GB/s"] = rate;
  state.counters["of_copy"] = rate / copy_rate();
}
void register_memory_kernels() {
  using namespace kernels;
  using X = Tensor<float, 4>;
  const auto add = [](const char* name, double tensors, auto kernel) {
    benchmark::RegisterBenchmark((std::string("memory/") + name).c_str(), [=](benchmark::State& state) {
      memory(state, tensors, [&](const X& x, const X& dy) { benchmark::DoNotOptimize(kernel(x, dy)); });
    });
  };
  static constexpr Index groups = 32;
  static const Tensor<float, 1> gamma({128}, 1.5F), beta({128}, 0.5F);
  static const Tensor<float, 2> shift({32, 128}, 0.1F);
  static const Tensor<float, 1> mean({32 * groups}), rstd({32 * groups}, 1.0F);
  static const std::array<std::size_t, 4> to_tokens{0, 2, 3, 1};
  add("add", 3, [](const X& x, const X& dy) { return binary(Binary::add, x, dy); });
  add("silu", 2, [](const X& x, const X&) { return activation(Activation::silu, x); });
  add("silu_backward", 3, [](const X& x, const X& dy) { return activation_backward(Activation::silu, dy, x); });
  add("gelu", 2, [](const X& x, const X&) { return activation(Activation::gelu, x); });
  add("group_norm", 2, [](const X& x, const X&) { return group_norm(x, gamma, beta, groups, 1e-5F); });
  add("group_norm_backward", 3,
      [](const X& x, const X& dy) { return group_norm_backward(dy, x, gamma, mean, rstd, groups); });
  add("group_norm_silu", 2,
      [](const X& x, const X&) { return group_norm_silu(x, &shift, gamma, beta, groups, 1e-5F); });
  add("group_norm_silu_backward", 3, [](const X& x, const X& dy) {
    return group_norm_silu_backward(dy, x, &shift, gamma, beta, mean, rstd, groups);
  });
  add("permute_to_tokens", 2, [](const X& x, const X&) { return permute(x, to_tokens); });
  add("upsample_backward", 1.25, [](const X&, const X& dy) { return upsample_nearest_backward(dy, Index{2}); });
  add("concat", 4, [](const X& x, const X& dy) { return concat(x, dy, Index{1}); });
}

}  // namespace

BENCHMARK(ddpm)->Name("train/ddpm_6.8M_32x32_batch_32")->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(mini)->Name("train/inkling_mini_unet_batch_64")->Unit(benchmark::kMillisecond)->UseRealTime();

int main(int argc, char** argv) {
  register_memory_kernels();
  try {
    for (int i = 1; i + 1 < argc; ++i)
      if (std::string_view(argv[i]) == "--compute") {
        compute = compute_type_from_string(argv[i + 1]);
        std::rotate(argv + i, argv + i + 2, argv + argc);  // the rest is Google Benchmark's
        argc -= 2;
      }
  } catch (const Error& e) {
    std::cerr << "bench_training: " << e.what() << '\n';
    return 1;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
