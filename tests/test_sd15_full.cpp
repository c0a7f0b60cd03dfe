// Stable Diffusion 1.5 at its full size, weights by formula, against the reference implementations. One part of the
// model after the other, so that at most the U-Net's 3.4 GB are held.
#include <doctest/doctest.h>

#include <chrono>
#include <fstream>
#include <map>
#include <set>

#include "golden_models.hpp"
#include "inkling/models/autoencoder_kl.hpp"
#include "inkling/models/clip_text.hpp"
#include "inkling/models/unet.hpp"

using namespace inkling_test;

namespace {

Json read_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  return Json::parse(in);
}

// The recorded file, and what of it has been compared: at the end that must be everything.
struct Golden {
  SafetensorsFile file{golden_dir() / "sd15_full.safetensors"};
  Json models = read_json(golden_dir() / "models.json").at("sd15_full");
  std::set<std::string> used, probed;
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  double rms_bound = 0;  // of packed weights, which are rounded; 0: float, within model_tolerance

  std::string lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - std::exchange(start, now)).count();
    return std::to_string(seconds) + " s";
  }

  template <class T, std::size_t N>
  Tensor<T, N> read(const std::string& name) {
    used.insert(name);
    return file.read<T, N>(name, Integers::to_any);
  }
  // Everything before the dot of the tensors "NAME.`member`" whose NAME begins with `part`.
  std::vector<std::string> cases(const std::string& part, const std::string& member) const {
    std::vector<std::string> names;
    for (const TensorEntry& e : file.entries())
      if (e.name.starts_with(part) && e.name.ends_with("." + member))
        names.push_back(e.name.substr(0, e.name.size() - member.size() - 1));
    return names;
  }

  void check(const Tensor<float, 4>& got, const std::string& name) { compare_with(got, read<float, 4>(name), name); }
  void check(const Tensor<float, 3>& got, const std::string& name) { compare_with(got, read<float, 3>(name), name); }

  template <std::size_t N>
  void compare_with(const Tensor<float, N>& got, const Tensor<float, N>& expected, const std::string& name) {
    REQUIRE(got.shape() == expected.shape());
    if (rms_bound > 0) return compare_rms(got, expected, name);
    const Worst worst = compare(got, expected);
    const std::string text = name + " " + to_string(got.shape()) + ": " + to_string(worst) + ", " + lap();
    MESSAGE(text);
    CHECK_MESSAGE(worst.relative() <= model_tolerance, text, ", at ", index_text(worst.at, got.shape()));
  }

  template <std::size_t N>
  void compare_rms(const Tensor<float, N>& got, const Tensor<float, N>& expected, const std::string& name) {
    double square = 0, error = 0;
    for (Index i = 0; i < expected.size(); ++i) {
      const double e = static_cast<double>(expected.data()[i]), d = static_cast<double>(got.data()[i]) - e;
      square += e * e, error += d * d;
    }
    const double rms = std::sqrt(error / square);
    const std::string text = name + ": relative rms error " + std::to_string(rms) + ", at most " +
                             std::to_string(rms_bound) + ", " + lap();
    MESSAGE(text);
    CHECK_MESSAGE(rms <= rms_bound, text);
  }

  // Runs the module as float tensors, then with its weights packed as each type. f32 loses nothing; the bounds of bf16
  // and 8 bits are those that the project sets itself, f16 rounds eight times as finely as bf16.
  template <class Module, class Run>
  void check_all_types(Module& module, const NameMap& names, const std::string& part, double bf16_bound, const Run& run) {
    using kernels::WeightType;
    fill(module, names, part);
    run();
    for (const auto& [type, bound] : {std::pair(WeightType::f32, 0.0), std::pair(WeightType::f16, bf16_bound / 8),
                                      std::pair(WeightType::bf16, bf16_bound), std::pair(WeightType::q8, 5e-2)}) {
      if (type != WeightType::f32)  // which changed no number
        fill_by_formula(module, names, file.metadata("salt"), models.at("prefix").at(part));
      pack_parameters(module, type);
      MESSAGE(part, " packed as ", to_string(type), ", ", std::to_string(parameter_bytes(module) >> 20), " MiB, ", lap());
      rms_bound = bound;
      run();
      rms_bound = 0;
      release_parameters(module);
    }
  }

  // Fills the module, and compares what models.json tells of its weights: first values and sums.
  template <class Module>
  void fill(Module& module, const NameMap& names, const std::string& part) {
    const std::string prefix = models.at("prefix").at(part);
    fill_by_formula(module, names, file.metadata("salt"), prefix);
    const Json& probes = models.at("probe");
    Index tensors = 0;
    for_each_parameter(module, [&](const std::string& path, auto& p) {
      ++tensors;
      const std::string name = prefix + names.to_compvis(path)->name;
      const auto probe = probes.find(name);
      if (probe == probes.end()) return;
      CAPTURE(name);
      probed.insert(name);
      CHECK(checked_size(probe->at("shape").template get<std::vector<Index>>(), name) == p.size());
      const auto first = probe->at("first").template get<std::vector<float>>();
      REQUIRE(static_cast<Index>(first.size()) <= p.size());
      double sum = 0, magnitudes = 0;
      for (const float w : p.value()) sum += static_cast<double>(w), magnitudes += std::abs(static_cast<double>(w));
      for (std::size_t i = 0; i < first.size(); ++i) CHECK(p.value().data()[i] == first[i]);
      // Both sums are in double; only their order may differ.
      const double expected = probe->at("sum").template get<double>();
      CHECK(std::abs(sum - expected) <= 1e-12 * magnitudes);
    });
    MESSAGE(part, ": ", std::to_string(tensors), " tensors, ", std::to_string(count_parameters(module)), " values, ",
            lap());
  }
};

void check_text(Golden& golden) {
  ClipTextModel<float> text(text_config_from(metadata_json(golden.file, "text")));
  golden.check_all_types(text, clip_text_names(), "text", 1.5e-2, [&] {
    for (const std::string& name : golden.cases("text", "input_ids"))
      golden.check(text.forward(golden.read<std::int64_t, 2>(name + ".input_ids")).value(),
                   name + ".last_hidden_state");
  });
}

void check_vae(Golden& golden) {
  AutoencoderKL<float> vae(vae_config_from(metadata_json(golden.file, "vae")));
  golden.check_all_types(vae, vae_names(vae.config), "vae", 2.5e-2, [&] {
    for (const std::string& name : golden.cases("vae", "latent"))
      golden.check(vae.decode(Variable<float, 4>(golden.read<float, 4>(name + ".latent"))).value(), name + ".decoded");
    for (const std::string& name : golden.cases("vae", "image"))
      golden.check(vae.encode(Variable<float, 4>(golden.read<float, 4>(name + ".image"))).moments.value(),
                   name + ".moments");
  });
}

void check_unet(Golden& golden) {
  UNet<float> unet(unet_config_from(metadata_json(golden.file, "unet")));
  golden.check_all_types(unet, unet_names(unet.config), "unet", 1.5e-2, [&] {
    for (const std::string& name : golden.cases("unet", "timesteps")) {
      const auto x = golden.read<float, 4>(name + ".x");
      const auto t = golden.read<float, 1>(name + ".timesteps");
      // A case without a context of its own has the first rows of unet.context.
      const bool own = golden.file.contains(name + ".context");
      const auto context = golden.read<float, 3>(own ? name + ".context" : "unet.context");
      const Variable<float, 3> rows(kernels::slice(context, 0, 0, x.shape(0)));
      golden.check(unet.forward(Variable<float, 4>(x), t, rows).value(), name + ".output");
    }
  });
}

}  // namespace

TEST_CASE("golden: SD 1.5 at full size") {
  Golden golden;
  NoGrad no_grad;
  check_text(golden);
  check_vae(golden);
  check_unet(golden);
  for (const TensorEntry& e : golden.file.entries())
    CHECK_MESSAGE(golden.used.contains(e.name), "not compared: ", e.name);
  for (const auto& probe : golden.models.at("probe").items())
    CHECK_MESSAGE(golden.probed.contains(probe.key()), "no such weight: ", probe.key());
}
