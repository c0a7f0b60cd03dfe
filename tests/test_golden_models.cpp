// The models against the reference implementations: outputs, activations inside, losses and gradients.
#include <doctest/doctest.h>

#include <map>
#include <set>

#include "golden_models.hpp"
#include "inkling/models/autoencoder_kl.hpp"
#include "inkling/models/clip.hpp"
#include "inkling/models/unet.hpp"
#include "inkling/train/objectives.hpp"

using namespace inkling_test;

namespace {

// Some true gradients are exactly 0: softmax does not see a key's bias, a norm with one channel a group does not see
// the bias before it. What is computed there is rounding, of the size of the other gradients' rounding: it is compared
// with 1 % of the largest gradient of the model.
template <class Module>
double zero_gradient_floor(Module& module) {
  float largest = 0;
  for_each_parameter(module, [&](const std::string&, auto& p) {
    for (const float g : p.variable().grad()) largest = std::max(largest, std::abs(g));
  });
  return 0.01 * static_cast<double>(largest);
}

#define CHECK_CLOSE(name, got, expected)                             \
  do {                                                               \
    const Worst worst_ = compare(got, expected);                     \
    MESSAGE(std::string(name), ": ", to_string(worst_));             \
    CHECK_MESSAGE(worst_.relative() < model_tolerance, std::string(name), ": ", to_string(worst_)); \
  } while (false)

// Outputs of all modules by path, in the order in which they were computed.
struct Recorder {
  Observer<float> observer;
  std::multimap<std::string, std::pair<std::vector<Index>, std::vector<float>>> outputs;

  template <class Module>
  explicit Recorder(Module& module) {
    observer.watch(module);
    observer.on_output = [this](const std::string& path, std::span<const Index> shape, std::span<const float> values) {
      outputs.emplace(path, std::pair(std::vector<Index>(shape.begin(), shape.end()),
                                      std::vector<float>(values.begin(), values.end())));
    };
  }
};

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> parts{""};
  for (const char c : path) {
    if (c == '.')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

// The module here that computes the activation `name` of the reference's module tree. A container (a stage, half a
// residual block) stands for its last member; anything else is the longest path shared by all its weights.
std::string module_path(const std::string& name, const std::vector<std::string>& compvis_names, const NameMap& map) {
  const std::vector<std::string> parts = split(name);
  const std::string& last = parts.back();
  const bool stage = parts.size() == 2 && (parts[0] == "input_blocks" || parts[0] == "output_blocks");
  if (stage || name == "middle_block" || last == "in_layers" || last == "emb_layers" || name == "out" ||
      name == "time_embed") {
    int child = -1;
    for (const std::string& n : compvis_names)
      if (n.starts_with(name + ".")) child = std::max(child, std::stoi(n.substr(name.size() + 1)));
    REQUIRE(child >= 0);
    return module_path(name + "." + std::to_string(child), compvis_names, map);
  }
  std::vector<std::string> shared;
  bool first = true;
  for (const std::string& n : compvis_names) {
    if (!n.starts_with(name + ".")) continue;
    const std::vector<std::string> p = split(map.to_diffusers(n).at(0).name);
    if (std::exchange(first, false)) shared.assign(p.begin(), p.end() - 1);
    const auto differ = std::mismatch(shared.begin(), shared.end(), p.begin(), p.end() - 1).first;
    shared.erase(differ, shared.end());
  }
  REQUIRE_FALSE(first);
  if (last == "0" && shared.back() == "proj") shared.pop_back();  // ff.net.0 = GEGLU around its single linear layer
  if (last == "ff" && shared.back() == "net") shared.pop_back();   // all members of ff lie in its list `net`
  std::string path = shared[0];
  for (std::size_t i = 1; i < shared.size(); ++i) path += "." + shared[i];
  return path;
}

template <class Module>
std::vector<std::string> compvis_names(Module& module, const NameMap& map) {
  std::vector<std::string> names;
  for_each_parameter(module, [&](const std::string& path, auto&) { names.push_back(map.to_compvis(path)->name); });
  return names;
}

// Every recorded activation "PREFIXact.NAME" of the file against what the model computed.
void check_activations(const SafetensorsFile& file, const std::string& prefix, const Recorder& recorder,
                       const std::vector<std::string>& names, const NameMap& map) {
  double worst = 0;
  int compared = 0;
  for (const TensorEntry& e : file.entries()) {
    if (!e.name.starts_with(prefix + "act.")) continue;
    const std::string name = e.name.substr(prefix.size() + 4), path = module_path(name, names, map);
    CAPTURE(name);
    CAPTURE(path);
    const auto [first, last] = recorder.outputs.equal_range(path);
    const std::vector<float>* found = nullptr;
    for (auto it = first; it != last; ++it)
      if (it->second.first == e.shape) found = &it->second.second;  // the outermost module of that path comes last
    REQUIRE_MESSAGE(found, name, " = ", path);
    std::vector<float> expected(static_cast<std::size_t>(e.size()));
    file.read(e.name, std::span<float>(expected));
    const Worst w = compare(*found, expected);
    CHECK_MESSAGE(w.relative() < model_tolerance, name, " = ", path, ": ", to_string(w));
    worst = std::max(worst, w.relative());
    ++compared;
  }
  MESSAGE(prefix, std::to_string(compared), " activations, worst ", worst);
  CHECK(compared > 0);
}

void check_unet_tiny(bool reference) {
  const SafetensorsFile file(golden_dir() / "unet_tiny.safetensors");
  UNet<float> unet(unet_config_from(metadata_json(file, "config")));
  const NameMap map = unet_names(unet.config);
  CHECK(count_parameters(unet) == std::stoll(file.metadata("n_params")));
  fill_by_formula(unet, map, file.metadata("salt"), file.metadata("prefix"));
  const auto names = compvis_names(unet, map);
  CHECK(std::to_string(names.size()) == file.metadata("n_tensors"));
  NoGrad no_grad;
  std::optional<kernels::UseReference> use;
  if (reference) use.emplace();
  int cases = 0;
  for (; file.contains("case" + std::to_string(cases) + ".x"); ++cases) {
    const std::string prefix = "case" + std::to_string(cases) + ".";
    Recorder recorder(unet);
    Observation<float> observation(recorder.observer);
    const auto t = file.read<float, 1>(prefix + "timesteps", Integers::to_any);
    const auto y = unet.forward(Variable<float, 4>(file.read<float, 4>(prefix + "x")), t,
                                Variable<float, 3>(file.read<float, 3>(prefix + "context")));
    CHECK_CLOSE(prefix + "output", y.value(), (file.read<float, 4>(prefix + "output")));
    CHECK_CLOSE(prefix + "timestep_embedding", unet.sinusoids(t), (file.read<float, 2>(prefix + "timestep_embedding")));
    check_activations(file, prefix, recorder, names, map);
  }
  CHECK(cases > 0);
}

}  // namespace

TEST_CASE("golden: the tiny U-Net and its activations, fast kernels") { check_unet_tiny(false); }
TEST_CASE("golden: the tiny U-Net and its activations, reference kernels") { check_unet_tiny(true); }

TEST_CASE("golden: the tiny autoencoder and its activations") {
  const SafetensorsFile file(golden_dir() / "vae_tiny.safetensors");
  AutoencoderKL<float> vae(vae_config_from(metadata_json(file, "config")));
  const NameMap map = vae_names(vae.config);
  CHECK(count_parameters(vae) == std::stoll(file.metadata("n_params")));
  fill_by_formula(vae, map, file.metadata("salt"), file.metadata("prefix"));
  NoGrad no_grad;
  Recorder recorder(vae);
  std::optional<Observation<float>> observation(recorder.observer);
  const auto posterior = vae.encode(Variable<float, 4>(file.read<float, 4>("image")));
  const auto decoded = vae.decode(Variable<float, 4>(file.read<float, 4>("latent")));
  observation.reset();
  CHECK_CLOSE("moments", posterior.moments.value(), (file.read<float, 4>("moments")));
  CHECK_CLOSE("mean", posterior.mean().value(), (file.read<float, 4>("mean")));
  CHECK_CLOSE("logvar", posterior.log_variance().value(), (file.read<float, 4>("logvar_clamped")));
  CHECK_CLOSE("std", posterior.standard_deviation().value(), (file.read<float, 4>("std")));
  CHECK_CLOSE("kl", posterior.kl().value(), (file.read<float, 1>("kl")));
  CHECK_CLOSE("sample", posterior.sample(file.read<float, 4>("sample_noise")).value(), (file.read<float, 4>("sample")));
  CHECK_CLOSE("decoded", decoded.value(), (file.read<float, 4>("decoded")));
  CHECK_CLOSE("reconstruction", vae.decode(posterior.mean()).value(), (file.read<float, 4>("reconstruction_of_mode")));
  check_activations(file, "", recorder, compvis_names(vae, map), map);
}

TEST_CASE("golden: the tiny text model and its states") {
  const SafetensorsFile file(golden_dir() / "text_tiny.safetensors");
  ClipTextModel<float> text(text_config_from(metadata_json(file, "config")));
  CHECK(count_parameters(text) == std::stoll(file.metadata("n_params")));
  fill_by_formula(text, file.metadata("salt"), file.metadata("prefix"));
  NoGrad no_grad;
  Recorder recorder(text);
  std::optional<Observation<float>> observation(recorder.observer);
  const auto ids = file.read<std::int64_t, 2>("input_ids");
  const auto last = text.forward(ids);
  observation.reset();
  CHECK_CLOSE("last_hidden_state", last.value(), (file.read<float, 3>("last_hidden_state")));
  CHECK_CLOSE("pooler_output", pool_at_end_token(last, ids, text.config().eos_token_id).value(),
              (file.read<float, 2>("pooler_output")));
  CHECK_CLOSE("penultimate", text.text_model.forward(ids, 1).value(),
              (file.read<float, 3>("penultimate_final_layer_norm")));
  CHECK_CLOSE("short", text.forward(file.read<std::int64_t, 2>("short.input_ids")).value(),
              (file.read<float, 3>("short.last_hidden_state")));
  int states = 0;
  for (; file.contains("hidden_states." + std::to_string(states)); ++states) {
    const std::string path = states == 0 ? "text_model.embeddings"
                                         : "text_model.encoder.layers." + std::to_string(states - 1);
    REQUIRE(recorder.outputs.contains(path));
    std::vector<float> expected(recorder.outputs.find(path)->second.second.size());
    file.read("hidden_states." + std::to_string(states), std::span<float>(expected));
    CHECK_CLOSE("hidden state " + std::to_string(states), recorder.outputs.find(path)->second.second, expected);
  }
  CHECK(states > 0);
}

TEST_CASE("golden: contrastive CLIP, all gradients") {
  const SafetensorsFile file(golden_dir() / "clip_contrastive.safetensors");
  ClipTextConfig text = text_config_from(metadata_json(file, "text_config"));
  text.projection_dim = std::stoll(file.metadata("projection_dim"));
  const Json v = metadata_json(file, "vision_config");
  ClipVisionConfig vision;
  vision.image_size = v.at("image_size"), vision.patch_size = v.at("patch_size"), vision.hidden_size = v.at("hidden_size");
  vision.intermediate_size = v.at("intermediate_size"), vision.layers = v.at("num_hidden_layers");
  vision.heads = v.at("num_attention_heads"), vision.activation = v.at("hidden_act");
  ClipModel<float> clip(text, vision);
  CHECK(count_parameters(clip) == std::stoll(file.metadata("n_params")));
  fill_by_formula(clip, file.metadata("salt"), file.metadata("prefix"));
  set_trainable(clip, true);
  const auto ids = file.read<std::int64_t, 2>("input_ids");
  const Variable<float, 4> pixels(file.read<float, 4>("pixel_values"));
  const auto image_states = clip.vision_model.forward(pixels);
  CHECK_CLOSE("vision states", image_states.value(), (file.read<float, 3>("vision_last_hidden_state")));
  CHECK_CLOSE("vision pooled", clip.vision_model.pooled(image_states).value(), (file.read<float, 2>("vision_pooler_output")));
  const auto image = clip.image_embeds(pixels), words = clip.text_embeds(ids);
  const auto logits = clip.logits_per_image(image, words);
  const auto loss = clip.contrastive_loss(logits);
  CHECK_CLOSE("image_embeds", image.value(), (file.read<float, 2>("image_embeds")));
  CHECK_CLOSE("text_embeds", words.value(), (file.read<float, 2>("text_embeds")));
  CHECK_CLOSE("logits_per_image", logits.value(), (file.read<float, 2>("logits_per_image")));
  CHECK_CLOSE("loss", loss.value(), (file.read<float, 0>("loss")));
  backward(loss);
  double worst = 0;
  int compared = 0;
  const double floor = zero_gradient_floor(clip);
  for_each_parameter(clip, [&](const std::string& path, auto& p) {
    std::vector<float> expected(static_cast<std::size_t>(p.size()));
    file.read("grad." + path, std::span<float>(expected));
    REQUIRE(p.variable().has_grad());
    const Worst w = compare(p.variable().grad(), expected);
    const double error = w.error / std::max(w.scale, floor);
    CHECK_MESSAGE(error < model_tolerance, path, ": ", to_string(w));
    worst = std::max(worst, error);
    ++compared;
  });
  MESSAGE(std::to_string(compared), " gradients, worst ", worst);
}

namespace {
template <class Module>
void check_gradients(Module& module, const NameMap& map, const SafetensorsFile& file, const std::string& prefix,
                     const std::string& grad_prefix, const std::vector<std::string>& order) {
  std::map<std::string, std::size_t> position;
  for (std::size_t i = 0; i < order.size(); ++i) position[order[i]] = i;
  std::vector<float> norms(order.size());
  const double floor = zero_gradient_floor(module);
  double worst = 0;
  int whole = 0;
  for_each_parameter(module, [&](const std::string& path, auto& p) {
    const std::string name = map.to_compvis(path)->name;
    REQUIRE(position.contains(name));
    double squares = 0;
    for (const float g : p.variable().grad()) squares += static_cast<double>(g) * g;
    norms[position[name]] = static_cast<float>(std::sqrt(squares));
    const std::string stored = prefix + grad_prefix + name;
    if (!file.contains(stored)) return;
    std::vector<float> expected(static_cast<std::size_t>(p.size()));
    file.read(stored, std::span<float>(expected));
    const Worst w = compare(p.variable().grad(), expected);
    const double error = w.error / std::max(w.scale, floor);
    CHECK_MESSAGE(error < model_tolerance, stored, ": ", to_string(w));
    worst = std::max(worst, error);
    ++whole;
  });
  CHECK_CLOSE(prefix + "grad_norms", norms, (file.read<float, 1>(prefix + "grad_norms")));
  MESSAGE(prefix, std::to_string(whole), " whole gradients, worst ", worst);
}

template <class Module>
void load_sd_mini(Module& module, const NameMap& map, const std::string& prefix) {
  const SafetensorsFile checkpoint(golden_dir() / "sd_mini_checkpoint_f16.safetensors");
  for_each_parameter(module, [&](const std::string& path, auto& p) {
    checkpoint.read(prefix + map.to_compvis(path)->name, p.value().span());
  });
}
}  // namespace

TEST_CASE("golden: one training step of the U-Net, losses and gradients") {
  const SafetensorsFile file(golden_dir() / "training_mini.safetensors");
  UNet<float> unet(unet_config_from(metadata_json(file, "unet")));
  const NameMap map = unet_names(unet.config);
  load_sd_mini(unet, map, "model.diffusion_model.");
  set_trainable(unet, true);
  const auto order = metadata_json(file, "param_order").get<std::vector<std::string>>();
  const auto timesteps = file.read<std::int64_t, 1>("timesteps");
  const auto x0 = file.read<float, 4>("x0"), noise = file.read<float, 4>("noise");
  const Variable<float, 3> context(file.read<float, 3>("context"));
  NoisePredictionLoss objective;
  CHECK_CLOSE("x_t", q_sample(objective.schedule, x0, noise, timesteps.span()), (file.read<float, 4>("x_t")));
  CHECK_CLOSE("v", velocity(objective.schedule, x0, noise, timesteps.span()), (file.read<float, 4>("v_target")));
  for (const std::string name : {"eps", "v", "eps_minsnr5"}) {
    objective.prediction = name == "v" ? PredictionType::v_prediction : PredictionType::epsilon;
    objective.min_snr_gamma = name == "eps_minsnr5" ? std::stod(file.metadata("min_snr_gamma")) : 0;
    zero_grad(unet);
    const auto loss = objective(unet, x0, context, noise, timesteps.span());
    CHECK_CLOSE(name + ".loss", loss.value(), (file.read<float, 0>(name + ".loss")));
    backward(loss);
    check_gradients(unet, map, file, name + ".", "grad.", order);
  }
}

TEST_CASE("golden: one training step of the autoencoder, loss and gradients") {
  const SafetensorsFile file(golden_dir() / "training_mini.safetensors");
  const SafetensorsFile pipeline(golden_dir() / "sd_mini_pipeline.safetensors");
  AutoencoderKL<float> vae(vae_config_from(metadata_json(pipeline, "vae")));
  const NameMap map = vae_names(vae.config);
  load_sd_mini(vae, map, "first_stage_model.");
  set_trainable(vae, true);
  const auto image = file.read<float, 4>("vae.image"), noise = file.read<float, 4>("vae.noise");
  {
    NoGrad no_grad;
    const auto posterior = vae.encode(Variable<float, 4>(image));
    const auto reconstruction = vae.decode(posterior.sample(noise));
    CHECK_CLOSE("vae.reconstruction", reconstruction.value(), (file.read<float, 4>("vae.reconstruction")));
    CHECK_CLOSE("vae.mse", mse_loss(reconstruction, image).value(), (file.read<float, 0>("vae.mse")));
    CHECK_CLOSE("vae.kl", posterior.kl().value(), (file.read<float, 0>("vae.kl")));
  }
  backward(autoencoder_loss(vae, image, noise, 1e-3f));
  check_gradients(vae, map, file, "vae.", "grad.", metadata_json(file, "vae_param_order").get<std::vector<std::string>>());
}
