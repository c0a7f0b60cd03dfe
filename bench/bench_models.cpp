// How long each network of Stable Diffusion 1.5 takes at full size, and how much memory. No file is needed: the weights
// are made up, which costs the same arithmetic.
//
//   build/bench/bench_models                                   all stages, weights in float and in bfloat16
//   build/bench/bench_models --types=f32,f16,bf16,q8
//   build/bench/bench_models --stages=unet,unet2,decode        of text, unet, unet2 (guidance), decode, encode
//   build/bench/bench_models --benchmark_repetitions=3         and all other options of Google Benchmark
//
// Each line is the median of five calls after one that does not count. "of peak" is the share of the peak of the number
// type, measured at the start of this run. "GB" is the most memory that was resident while the stage ran, weights
// included. A whole picture from the start of the process to the file:
//
//   build/tools/write_sd15 sd15.safetensors; time build/inkling txt2img --model sd15.safetensors ... --steps 20
#include "operations.hpp"  // first

#include <cstdio>
#include <fstream>
#include <memory>

#include "measure.hpp"

namespace {

using namespace inkling_bench;
using namespace inkling;

// The most memory that has been resident since the last reset(), in GB. Linux tells it; elsewhere it is 0.
struct PeakMemory {
  static void reset() { std::ofstream("/proc/self/clear_refs") << "5"; }
  static double gigabytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) * 1024e-9;
    return 0;
  }
};

// A network with its weights, and what calls it; stages that follow each other share it.
struct Prepared {
  std::string key;
  std::shared_ptr<void> model;
  double weight_gigabytes = 0;
};
Prepared prepared;

template <class Model, class Config>
std::shared_ptr<Model> model_of(const std::string& key, const Config& config, WeightType type) {
  if (prepared.key != key) {
    prepared = {};
    MemoryPool::instance().release();
    auto model = std::make_shared<Model>(config);
    fill_weights(*model, type);
    MemoryPool::instance().release();
    double bytes = 0;
    for_each_parameter(*model, [&](const std::string&, auto& p) { bytes += static_cast<double>(p.bytes()); });
    prepared = {key, model, 1e-9 * bytes};
    PeakMemory::reset();
  }
  return std::static_pointer_cast<Model>(prepared.model);
}

struct Stage {
  std::string name;
  std::vector<Work> work;
  std::function<std::function<void()>(WeightType)> make;
};

std::function<void()> unet_call(WeightType type, Index images) {
  const auto config = UNetConfig::sd15();
  const auto unet = model_of<UNet<float>>("unet " + to_string(type), config, type);
  return without_gradient([unet, t = Tensor<float, 1>({images}, 500.0F), x = input(Shape<4>{images, 4, 64, 64}),
                           context = input(Shape<3>{images, 77, config.cross_attention_dim})] {
    return unet->forward(x, t, context);
  });
}

std::vector<Stage> all_stages() {
  const auto autoencoder = AutoencoderKLConfig::sd15();
  const auto text = ClipTextConfig::sd15();
  return {
      {"text", text_work(text, 1),
       [text](WeightType type) {
         const auto model = model_of<ClipTextModel<float>>("text " + to_string(type), text, type);
         Tensor<std::int64_t, 2> ids({1, text.max_positions}, static_cast<std::int64_t>(text.eos_token_id));
         return without_gradient([model, ids] { return model->forward(ids); });
       }},
      {"unet", unet_work(UNetConfig::sd15(), 1, 64), [](WeightType type) { return unet_call(type, 1); }},
      {"unet2", unet_work(UNetConfig::sd15(), 2, 64), [](WeightType type) { return unet_call(type, 2); }},
      {"decode", decoder_work(autoencoder, 1, 64),
       [autoencoder](WeightType type) {
         const auto model = model_of<AutoencoderDecoder<float>>("decoder " + to_string(type), autoencoder, type);
         return without_gradient([model, z = input(Shape<4>{1, 4, 64, 64})] { return model->forward(z); });
       }},
      {"encode", encoder_work(autoencoder, 1, 64),
       [autoencoder](WeightType type) {
         const auto model = model_of<AutoencoderEncoder<float>>("encoder " + to_string(type), autoencoder, type);
         return without_gradient([model, x = input(Shape<4>{1, 3, 512, 512})] { return model->forward(x); });
       }},
  };
}

// A row for each stage and type: the table of measure.hpp, and the memory.
class MemoryTable : public Table {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    const std::size_t before = Session::instance().results.size();
    Table::ReportRuns(runs);
    if (Session::instance().results.size() == before) return;
    std::printf("%52s peak memory %.2f GB, of which weights %.2f GB\n", "", PeakMemory::gigabytes(),
                prepared.weight_gigabytes);
    PeakMemory::reset();
    std::fflush(stdout);
  }
};

}  // namespace

constexpr const char* usage =
    "How long each network of Stable Diffusion 1.5 takes at full size, with made-up weights, and how much memory.\n\n"
    "Usage: bench_models [--types=f32,bf16] [--stages=text,unet,unet2,decode,encode] [--benchmark_repetitions=5]\n\n"
    "  --types    how weights are stored: of f32, f16, bf16, q8\n"
    "  --stages   unet2: two images, as guidance needs them\n\n"
    "OMP_NUM_THREADS sets the number of threads.\n";

int main(int argc, char** argv) {
  std::string stages = ",text,unet,unet2,decode,encode,";
  std::vector<WeightType> types{WeightType::f32, WeightType::bf16};
  std::vector<std::string> others{argv[0]};
  try {
    for (int i = 1; i < argc; ++i) {
      const std::string a = argv[i];
      if (a == "--help" || a == "-h") {
        std::fputs(usage, stdout);
        return 0;
      }
      if (a.starts_with("--stages=")) stages = "," + a.substr(9) + ",";
      else if (a.starts_with("--types=")) types = parse_types(a.substr(8));
      else others.push_back(a);
    }
    for (const WeightType type : types)
      for (const Stage& s : all_stages()) {
        if (stages.find("," + s.name + ",") == std::string::npos) continue;
        const double flops = total_flops(s.work);
        Session::instance().add({s.name + " " + to_string(type), flops, roof_of(type), false,
                                 [s, type] { return s.make(type); }, flops, 0});
      }
    MemoryTable table;
    if (!run_benchmarks(others, table)) return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_models: %s\n", e.what());
    return 1;
  }
}
