// How near every kernel comes to the machine's limit, at the shapes of Stable Diffusion 1.5 painting 512 x 512.
//
//   build/bench/bench_kernels                                     the shapes that do most of the work, about 2 minutes
//   build/bench/bench_kernels --types=f32,bf16,q8                 how weights are stored (default f32,bf16)
//   build/bench/bench_kernels --all                               every shape
//   build/bench/bench_kernels --roofline=roofline.png             draws what was measured; on a busy machine
//   build/bench/bench_kernels --roofline-core=roofline.png        draws one core by processor time
//   build/bench/bench_kernels --benchmark_filter=attention        and all other options of Google Benchmark
//   OMP_NUM_THREADS=1 build/bench/bench_kernels                   one thread
//
// Each line is the median of five repetitions of at least some 20 ms, warm: rate, the share of the peak measured at the
// start of this run ("of peak": all threads, by the clock), and the best share of one core by processor time ("of core":
// right also on a busy machine; it counts waiting threads as busy unless OMP_WAIT_POLICY=passive). The peak of a
// convolution, linear layer or attention is that of its number type; a convolution by Winograd's algorithm may exceed
// it, because operations are counted as the formula has them. What only moves numbers is compared with a copy of as many
// bytes.
#include "operations.hpp"  // first

#include "measure.hpp"
#include "roofline.hpp"

namespace {

using namespace inkling_bench;

// The same shape in another model is measured once.
bool known(const std::string& name) {
  const auto shape = [](const std::string& n) { return n.substr(n.find(' ')); };
  for (const Case& c : Session::instance().cases)
    if (shape(c.name) == shape(name)) return true;
  return false;
}

void add_forward(const std::string& where, const Work& w, const std::vector<WeightType>& types) {
  const auto add = [&](const std::string& name, double work, const Rate& roof, std::optional<WeightType> type,
                       double bytes) {
    if (known(name)) return;
    Session::instance().add(
        {name, work, roof, w.flops() == 0, [w, type] { return forward_call(w, type); }, w.flops(), bytes});
  };
  const std::string name = where + " " + w.text();
  if (w.kind == Kind::conv || w.kind == Kind::linear)
    for (const WeightType type : types)
      add(name + " " + to_string(type), w.flops(), roof_of(type), type,
          w.bytes(type == WeightType::f32 ? 4 : type == WeightType::q8 ? 1 + 2.0 / 64 : 2));
  else if (w.kind == Kind::attention) {
    add(name, w.flops(), Peaks::measured().f32, {}, w.bytes());
    if (std::find(types.begin(), types.end(), WeightType::bf16) != types.end())
      add(name + " bf16", w.flops(), roof_of(WeightType::bf16), WeightType::bf16, w.bytes());
  } else
    add(name, w.bytes(), Peaks::copy(w.bytes()), {}, w.bytes());
}
void add_backward(const std::string& where, const Work& w) {
  const auto add = [&](const char* what, Gradient of) {
    const std::string name = where + " " + w.text() + what;
    if (known(name)) return;
    const double work = backward_flops(w);
    Session::instance().add(
        {name, work, Peaks::measured().f32, false, [w, of] { return backward_call(w, of); }, work, 1.5 * w.bytes()});
  };
  if (w.kind == Kind::attention) return add(" backward", Gradient::input);
  add(" dx", Gradient::input);
  add(" dw", Gradient::weight);
}

// U-Net of the training benchmark: 6.8 M parameters, pictures of 32 x 32.
inkling::UNetConfig training_config() {
  inkling::UNetConfig c;
  c.in_channels = c.out_channels = 3;
  c.block_out_channels = {64, 128, 128};
  c.attention_levels = {false, true, true};
  c.heads = 4;
  return c;
}

struct Selection {
  const char* where;
  Kind kind;
  std::size_t most;
  Index kernel = 0;  // of convolutions
};

void register_cases(bool all, const std::vector<WeightType>& types) {
  const auto unet = unet_work(inkling::UNetConfig::sd15(), 1, 64);
  const auto decoder = decoder_work(inkling::AutoencoderKLConfig::sd15(), 1, 64);
  const auto encoder = encoder_work(inkling::AutoencoderKLConfig::sd15(), 1, 64);
  const auto text = text_work(inkling::ClipTextConfig::sd15(), 1);
  const auto training = unet_work(training_config(), 32, 32, 1);
  const auto of = [&](const std::string& where) {
    return where == "unet" ? unet : where == "decoder" ? decoder : where == "encoder" ? encoder : text;
  };
  const std::vector<Selection> selection{
      {"unet", Kind::conv, 12, 3},    {"unet", Kind::conv, 4, 1},      {"decoder", Kind::conv, 6, 3},
      {"decoder", Kind::conv, 2, 1},  {"encoder", Kind::conv, 6, 3},   {"unet", Kind::linear, 10},
      {"text", Kind::linear, 3},      {"unet", Kind::attention, 8},    {"decoder", Kind::attention, 1},
      {"unet", Kind::norm_silu, 3},   {"unet", Kind::group_norm, 2},   {"unet", Kind::layer_norm, 3},
      {"unet", Kind::geglu, 3},       {"unet", Kind::upsample, 3},     {"unet", Kind::add, 2},
      {"decoder", Kind::upsample, 2}, {"decoder", Kind::norm_silu, 2},
      {"text", Kind::attention, 1},   {"text", Kind::layer_norm, 1},   {"text", Kind::gelu, 1}};
  for (const Selection& s : selection) {
    std::vector<Work> works = of(s.where);
    if (s.kernel) std::erase_if(works, [&](const Work& w) { return w.size[4] != s.kernel; });
    for (const Work& w : heaviest(works, s.kind, all ? 1000 : s.most)) add_forward(s.where, w, types);
  }
  add_forward("alone", Work{Kind::silu, {1, 320, 64}}, types);
  add_forward("alone", Work{Kind::silu, {1, 128, 512}}, types);
  add_forward("scores", Work{Kind::softmax, {8 * 1024, 1024}}, types);  // attention itself never stores them
  for (const auto& [kind, most] : {std::pair{Kind::conv, 4}, {Kind::linear, 2}, {Kind::attention, 1}})
    for (const Work& w : heaviest(training, kind, all ? 1000 : static_cast<std::size_t>(most)))
      add_backward("training", w);
}

// Layers that do what follows them in the same pass (kernels/fast/fused.hpp): only the product's operations count, so a
// share of the peak as that of the layer alone says that the rest costs nothing.
void register_fused(const std::vector<WeightType>& types) {
  using namespace inkling;
  struct Fused {
    const char* what;
    Index rows, in, out;
  };
  for (const Fused& f : {Fused{"geglu", 4096, 320, 2560}, Fused{"geglu", 256, 1280, 10240},
                         Fused{"residual", 4096, 1280, 320}, Fused{"residual", 256, 5120, 1280},
                         Fused{"quick_gelu", 77, 768, 3072}})
    for (const WeightType type : types) {
      const std::string what = f.what;
      const double rows = static_cast<double>(f.rows), in = static_cast<double>(f.in), out = static_cast<double>(f.out);
      const auto make = [f, what, type]() -> std::function<void()> {
        const auto use = what == "geglu" ? kernels::WeightUse::gated : kernels::WeightUse::linear;
        const auto layer = std::make_shared<Linear<float>>(f.in, f.out, true, use);
        fill_weights(*layer, type);
        const auto x = input(Shape<3>{1, f.rows, f.in});
        if (what == "geglu") return without_gradient([layer, x] { return layer->forward_geglu(x); });
        if (what == "quick_gelu")
          return without_gradient([layer, x] { return layer->forward_activation(x, Activation::quick_gelu); });
        return without_gradient(
            [layer, x, residual = input(Shape<3>{1, f.rows, f.out})] { return layer->forward_add(x, residual); });
      };
      Session::instance().add({"fused linear+" + what + " " + std::to_string(f.rows) + " rows " + std::to_string(f.in) +
                                   "->" + std::to_string(f.out) + " " + to_string(type),
                               2 * rows * in * out, roof_of(type), false, make, 2 * rows * in * out,
                               4 * rows * (in + out) + (type == WeightType::f32 ? 4 : 2) * in * out});
    }
}

// The products that the table in gemm.hpp follows, on matrices that are not packed before.
void register_products() {
  using namespace inkling;
  for (const auto& s : std::vector<Shape<3>>{
           {1024, 1024, 1024}, {4096, 320, 320}, {4096, 2560, 320}, {320, 4096, 2880}, {64, 64, 64}, {16, 16, 16}}) {
    const Index M = s[0], N = s[1], K = s[2];
    const double m = static_cast<double>(M), n = static_cast<double>(N), k = static_cast<double>(K);
    const auto make = [M, N, K]() -> std::function<void()> {
      return [a = filled(Shape<3>{1, M, K}), b = filled(Shape<3>{1, K, N})] {
        used(kernels::matmul(a, b, false, false));
      };
    };
    Session::instance().add(
        {"gemm " + std::to_string(M) + "x" + std::to_string(N) + "x" + std::to_string(K), 2 * m * n * k,
         Peaks::measured().f32, false, make, 2 * m * n * k, 4 * (m * n + n * k + m * k)});
  }
}

// Kernels as points under the roofs: all threads by the clock, or one core by its processor time.
void draw(const std::string& file, bool core) {
  std::vector<RooflinePoint> points;
  for (const Result& r : Session::instance().results) {
    if (r.what.flops == 0) continue;
    const auto has = [&](const char* part) { return r.what.name.find(part) != std::string::npos; };
    const std::string type = has(" bf16") ? "bfloat16" : has(" q8") ? "8 bit" : "fp32";
    const std::string kind = has("attention") ? "attention" : has(" k3") ? "3x3 convolution" : "linear, 1x1, GEMM";
    const double rate = core ? r.of_core * r.what.roof.core : 1e-9 * r.what.flops / r.seconds;
    points.push_back({kind + ", " + type, r.what.flops / r.what.bytes, rate});
  }
  draw_roofline(file, Peaks::measured(), points, core);
}

}  // namespace

constexpr const char* usage =
    "How near every kernel comes to the machine's limit, at the shapes of Stable Diffusion 1.5.\n\n"
    "Usage: bench_kernels [--types=f32,bf16] [--all] [--roofline=FILE.png] [--roofline-core=FILE.png]\n"
    "                     [--benchmark_filter=REGEX] [--benchmark_repetitions=5] [--benchmark_out=FILE.json]\n\n"
    "  --types           how weights are stored: of f32, f16, bf16, q8\n"
    "  --all             every shape, not only those that do most of the work\n"
    "  --roofline        draws what was measured, all threads by the clock\n"
    "  --roofline-core   the same for one core by its processor time, for a busy machine\n\n"
    "OMP_NUM_THREADS sets the number of threads. A filter that begins with - leaves out what matches.\n";

int main(int argc, char** argv) {
  bool all = false;
  std::string roofline, roofline_core;
  std::vector<WeightType> types{WeightType::f32, WeightType::bf16};
  std::vector<std::string> others{argv[0]};
  try {
    for (int i = 1; i < argc; ++i) {
      const std::string a = argv[i];
      if (a == "--help" || a == "-h") {
        std::fputs(usage, stdout);
        return 0;
      } else if (a == "--all") {
        all = true;
      } else if (a.starts_with("--roofline=")) {
        roofline = a.substr(11);
      } else if (a.starts_with("--roofline-core=")) {
        roofline_core = a.substr(16);
      } else if (a.starts_with("--types=")) {
        types = parse_types(a.substr(8));
      } else {
        others.push_back(a);
      }
    }
    Peaks::measured();
    register_products();
    register_cases(all, types);
    register_fused(types);
    Table table;
    if (!run_benchmarks(others, table)) return 2;
    if (!roofline.empty()) draw(roofline, false);
    if (!roofline_core.empty()) draw(roofline_core, true);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_kernels: %s\n", e.what());
    return 1;
  }
}
