// inkling bench: how long each network of a model takes on this machine, and how much of the machine it uses.
#pragma once
#include <iomanip>
#include <iostream>
#include <map>

#include "../../bench/peaks.hpp"
#include "inkling/pipelines/text_to_image.hpp"
#include "load_model.hpp"
#include "machine.hpp"

namespace app {

using namespace inkling;

// Counts the operations of a forward, two for a multiply-add: those of linear layers, convolutions and attention. What
// is left out (norms, activations, additions) is less than one in a hundred.
class OperationCounter {
 public:
  template <class Module>
  explicit OperationCounter(Module& module) {
    observer_.watch(module);
    for_each_module(module, [&]<class M>(const std::string& path, M& m) {
      if constexpr (std::is_same_v<M, Linear<float>> || std::is_same_v<M, Conv2d<float>>)
        each_[path] = 2 * static_cast<double>(m.weight.size() / m.weight.shape()[0]);
    });
    observer_.on_output = [this](const std::string& path, std::span<const Index>, std::span<const float> values) {
      if (const auto found = each_.find(path); found != each_.end())
        total_ += found->second * static_cast<double>(values.size());
    };
    // q k^T and then p v, for all heads together: L x S products of width D each
    observer_.on_attention = [this](const std::string&, const Tensor<float, 3>& q, const Tensor<float, 3>& k,
                                    const kernels::AttentionOptions&) {
      total_ += 4 * static_cast<double>(q.size()) * static_cast<double>(k.shape(1));
    };
  }
  template <class Run>
  double operator()(const Run& run) {
    const Observation<float> observation(observer_);
    total_ = 0;
    run();
    return total_;
  }

 private:
  Observer<float> observer_;
  std::map<std::string, double> each_;  // path -> operations for each number of the output
  double total_ = 0;
};

struct StageTimes {
  std::string stage;
  std::vector<double> seconds;  // ascending
  double operations = 0, memory_mib = 0;

  double median() const { return seconds[seconds.size() / 2]; }
};

// Forward after forward; the first, which counts operations and finds memory, is not timed.
template <class Module, class Run>
StageTimes time_stage(const std::string& stage, Module& module, Index repeat, const Run& run) {
  const NoGrad no_grad;
  MemoryPool::instance().release();
  PeakMemory memory;
  StageTimes times{stage, {}, OperationCounter(module)(run)};
  inkling::Stopwatch watch;
  for (Index r = 0; r < repeat; ++r) {
    if (console::interrupted()) throw Stopped("bench");
    watch.lap();
    run();
    times.seconds.push_back(watch.lap());
  }
  std::sort(times.seconds.begin(), times.seconds.end());
  times.memory_mib = memory.lap();
  return times;
}

// What the processor reaches at most with the instruction that such weights are multiplied by.
struct Peak {
  double rate = 0;  // operations a second, all threads
  const char* what = "";
};
inline Peak peak_for(const std::optional<kernels::WeightType>& type) {
#if defined(__AVX512BF16__)
  if (type == kernels::WeightType::bf16)
    return {1e9 * inkling_bench::arithmetic_peak<inkling_bench::DotBf16>().all, "products of bfloat16 pairs"};
#endif
#if defined(__AVX512VNNI__)
  if (type == kernels::WeightType::q8)
    return {1e9 * inkling_bench::arithmetic_peak<inkling_bench::DotI8>().all, "products of four 8-bit integers"};
#endif
  (void)type;
  return {1e9 * inkling_bench::arithmetic_peak<inkling_bench::MultiplyAddF32>().all, "multiply-adds of float"};
}

struct BenchTable {
  Peak peak;

  void title(const std::string& part, double load_seconds, Index bytes) const {
    std::cout << part << ": weights " << std::fixed << std::setprecision(0) << static_cast<double>(bytes) / (1 << 20)
              << " MiB, loaded in " << std::setprecision(2) << load_seconds << " s" << std::endl;
  }
  void row(const StageTimes& t) const {
    const double rate = t.operations / t.median();
    std::cout << "  " << std::left << std::setw(16) << t.stage << std::right << std::fixed << std::setprecision(3)
              << std::setw(10) << t.median() << std::setw(10) << t.seconds.front() << std::setprecision(1)
              << std::setw(10) << t.operations * 1e-9 << std::setw(10) << rate * 1e-9 << std::setw(8)
              << 100 * rate / peak.rate << " %" << std::setprecision(0) << std::setw(10) << t.memory_mib << std::endl;
  }
};

inline void bench_text(const ModelFiles& files, const Bench& s, const BenchTable& table) {
  inkling::Stopwatch watch;
  const ClipTextConfig config = files.text_config();
  ClipTextModel<float> text(config);
  load_packed_parameters(text, files.weights("text_encoder"), weights_from(s.model));
  table.title("text encoder", watch.lap(), parameter_bytes(text));
  const Tensor<std::int64_t, 2> ids({1, config.max_positions}, static_cast<std::int64_t>(config.eos_token_id));
  table.row(time_stage(std::to_string(config.max_positions) + " tokens", text, s.repeat, [&] { text.forward(ids); }));
}

inline void bench_unet(const ModelFiles& files, const Bench& s, Index side, Index tokens, const BenchTable& table) {
  inkling::Stopwatch watch;
  const UNetConfig config = files.unet_config();
  UNet<float> unet(config);
  load_packed_parameters(unet, files.weights("unet"), weights_from(s.model));
  table.title("U-Net", watch.lap(), parameter_bytes(unet));
  Generator generator(0);
  for (const Index batch : {1, 2}) {  // 2: with guidance, prompt and negative prompt together
    const Variable<float, 4> x(generator.randn<float>(Shape<4>{batch, config.in_channels, side, side}));
    const Variable<float, 3> context(generator.randn<float>(Shape<3>{batch, tokens, config.cross_attention_dim}));
    const Tensor<float, 1> t({batch}, 500.0F);
    table.row(time_stage("batch " + std::to_string(batch), unet, s.repeat, [&] { unet.forward(x, t, context); }));
  }
}

inline void bench_vae(const ModelFiles& files, const Bench& s, Index side, Index size, const BenchTable& table) {
  inkling::Stopwatch watch;
  const AutoencoderKLConfig config = files.vae_config();
  AutoencoderKL<float> vae(config);
  load_packed_parameters(vae, files.weights("vae"), weights_from(s.model));
  table.title("autoencoder", watch.lap(), parameter_bytes(vae));
  Generator generator(0);
  const Variable<float, 4> z(generator.randn<float>(Shape<4>{1, config.latent_channels, side, side}));
  table.row(time_stage("decode", vae, s.repeat, [&] { vae.decode(z); }));
  const Variable<float, 4> image(generator.randn<float>(Shape<4>{1, config.in_channels, size, size}));
  table.row(time_stage("encode", vae, s.repeat, [&] { vae.encode(image); }));
}

// The networks one after the other, so that at most one is in memory. A file of one part is measured by that part.
int bench(const Bench& s) {
  use_threads(s.threads);
  if (s.repeat < 1 || s.repeat > 1000) throw ConfigError("repeat", "from 1 to 1000", std::to_string(s.repeat));
  weights_from(s.model);
  std::error_code error;
  if (!fs::exists(s.model.path, error))
    throw LoadError(s.model.path, "a model: a diffusers folder, or a .safetensors checkpoint", "nothing of that name");
  const ModelFiles files(s.model.path, overrides_from(s.model));
  const Index unit = files.has("vae") ? files.vae_config().downsampling() : 8;
  const Index size = s.size ? s.size : files.has("unet") ? files.unet_config().sample_size * unit : 512;
  check_picture_side("size", size, std::max<Index>(8, unit));

  std::cout << machine_line() << std::endl;
  warn_of_slow_build();
  const BenchTable table{peak_for(weights_from(s.model))};
  std::cout << "peak " << std::fixed << std::setprecision(1) << table.peak.rate * 1e-9 << " GFLOP/s: nothing but "
            << table.peak.what << " in registers, in this run\n"
            << s.model.path << ", " << size << " x " << size << " pixels, weights " << s.model.weights << ", " << s.repeat
            << (s.repeat == 1 ? " run" : " runs") << " after one to warm up\n"
            << "                      median   fastest     GFLOP   GFLOP/s   of peak  peak MiB" << std::endl;
  if (files.has("text_encoder")) bench_text(files, s, table);
  MemoryPool::instance().release();
  const Index tokens = files.has("text_encoder") ? files.text_config().max_positions : clip_context_length;
  if (files.has("unet")) bench_unet(files, s, size / unit, tokens, table);
  MemoryPool::instance().release();
  if (files.has("vae")) bench_vae(files, s, size / unit, size, table);
  return 0;
}

}  // namespace app
