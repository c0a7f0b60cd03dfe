// Writes a checkpoint with the names, shapes and size of Stable Diffusion 1.5 in a single file (2.1 GB, F16) and
// weights made by a formula: the pictures it paints are nonsense, but loading, speed and memory can be tried without
// the real weights.
//
//   write_sd15 FILE.safetensors
#include <cstdio>
#include <exception>
#include <numeric>

#include "golden_models.hpp"
#include "inkling/models/autoencoder_kl.hpp"
#include "inkling/models/clip_text.hpp"
#include "inkling/models/unet.hpp"

namespace {

using namespace inkling;

// Calls function(name in the checkpoint, shape in the checkpoint) for every weight, in the order of the file.
template <class Function>
void for_each_weight(Function&& function) {
  const auto part = [&](auto module, const NameMap& names, const std::string& prefix) {
    for_each_parameter(module, [&](const std::string& path, auto& p) {
      const std::optional<MappedName> stored = names.to_compvis(path);
      if (!stored) throw LoadError("checkpoint", "a name for " + path, "none");
      std::vector<Index> shape(p.shape().begin(), p.shape().end());
      if (stored->change == WeightChange::conv_to_linear) shape.insert(shape.end(), {1, 1});
      function(prefix + stored->name, shape);
    });
  };
  const auto text = ClipTextConfig::sd15();
  const auto unet = UNetConfig::sd15();
  const auto vae = AutoencoderKLConfig::sd15();
  part(ClipTextModel<float>(text), clip_text_names(), "cond_stage_model.transformer.");
  part(AutoencoderKL<float>(vae), vae_names(vae), "first_stage_model.");
  part(UNet<float>(unet), unet_names(unet), "model.diffusion_model.");
}

void write(const std::filesystem::path& path) {
  const std::string positions = "cond_stage_model.transformer.text_model.embeddings.position_ids";  // in every real one
  std::vector<TensorSpec> specs{{positions, DType::i64, {1, ClipTextConfig::sd15().max_positions}}};
  for_each_weight([&](const std::string& name, const std::vector<Index>& shape) {
    specs.push_back({name, DType::f16, shape});
  });
  SafetensorsWriter writer(path, std::move(specs), {{"format", "pt"}});
  std::vector<std::int64_t> ids(static_cast<std::size_t>(ClipTextConfig::sd15().max_positions));
  std::iota(ids.begin(), ids.end(), 0);
  writer.write(std::span<const std::int64_t>(ids));
  std::vector<float> values;
  for_each_weight([&](const std::string& name, const std::vector<Index>& shape) {
    values.resize(static_cast<std::size_t>(checked_size(shape, name)));
    inkling_test::fill_tensor("dev", name, shape, values.data());
    writer.write(std::span<const float>(values));
  });
  writer.commit();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FILE.safetensors\n", argv[0]);
    return 2;
  }
  try {
    write(argv[1]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
  }
}
