// Models whose weights are packed for the kernels: the same results as with tensors, within what their type rounds.
#include <doctest/doctest.h>

#include "golden_models.hpp"
#include "inkling/models/autoencoder_kl.hpp"
#include "inkling/models/clip_text.hpp"
#include "inkling/models/unet.hpp"
#include "inkling/pipelines/load.hpp"
#include "small_model.hpp"

using namespace inkling_test;
using kernels::WeightType;

namespace {

constexpr WeightType all_types[] = {WeightType::f32, WeightType::f16, WeightType::bf16, WeightType::q8};

// Root mean square of the difference, as a share of the root mean square of what is expected.
template <class Got, class Expected>
double relative_rms(const Got& got, const Expected& expected) {
  REQUIRE(got.size() == expected.size());
  double square = 0, error = 0;
  for (Index i = 0; i < static_cast<Index>(expected.size()); ++i) {
    const double e = static_cast<double>(expected.data()[i]), d = static_cast<double>(got.data()[i]) - e;
    square += e * e, error += d * d;
  }
  return std::sqrt(error / square);
}

// What a type may cost. f32 loses nothing: it must meet the tolerance of every float model. A weight as f16 is off by
// at most 2^-11 of itself, 3e-4 in the mean of squares; the errors of layers in a row add up as squares, and a network
// here has some thirty: 2e-3. bf16 and q8 are the bounds that the project sets itself.
struct Bounds {
  double f16, bf16, q8;
};
template <class Got, class Expected>
void check_type(const std::string& name, WeightType type, const Bounds& bounds, const Got& got,
                const Expected& expected) {
  const std::string text = name + " as " + to_string(type);
  if (type == WeightType::f32) {
    const Worst worst = compare(got, expected);
    MESSAGE(text << ": " << to_string(worst));
    CHECK_MESSAGE(worst.relative() <= model_tolerance, text);
    return;
  }
  const double rms = relative_rms(got, expected);
  const double bound = type == WeightType::f16 ? bounds.f16 : type == WeightType::bf16 ? bounds.bf16 : bounds.q8;
  MESSAGE(text << ": relative rms error " << rms << ", at most " << bound);
  CHECK_MESSAGE(rms <= bound, text);
  CHECK_MESSAGE(rms > 1e-5, text);  // ten times what float costs here: the weights really were rounded
}

template <class Module>
std::map<std::string, std::vector<float>> values_of(Module& module) {
  std::map<std::string, std::vector<float>> values;
  for_each_parameter(module, [&](const std::string& path, auto& p) {
    const auto copy = p.copy();
    values.emplace(path, std::vector<float>(copy.begin(), copy.end()));
  });
  return values;
}

ClipTextConfig small_text() {
  ClipTextConfig c;
  c.vocab_size = 50, c.hidden_size = 24, c.intermediate_size = 40, c.layers = 2, c.heads = 3, c.max_positions = 9;
  return c;
}
ClipTextModel<float> small_text_model(std::uint64_t seed = 1) {
  ClipTextModel<float> text(small_text());
  Generator generator(seed);
  initialize(text, generator);
  return text;
}
const Tensor<std::int64_t, 2> some_ids({2, 5}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10});

struct Net {
  Conv2d<float> conv{3, 5, 3, same_padding(3, 2)};
  Linear<float> linear{5, 4};
  template <class V>
  void visit(V&& v) {
    v("conv", conv);
    v("linear", linear);
  }
  Variable<float, 3> forward(const Variable<float, 4>& x) const {
    return linear.forward(image_to_sequence(conv.forward(x)));
  }
};

template <class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}
#define CHECK_MENTIONS(text, word) CHECK_MESSAGE((text).find(word) != std::string::npos, text)

}  // namespace

TEST_CASE("golden: the tiny U-Net with packed weights") {
  const SafetensorsFile file(golden_dir() / "unet_tiny.safetensors");
  const auto x = file.read<float, 4>("case0.x"), expected = file.read<float, 4>("case0.output");
  const auto t = file.read<float, 1>("case0.timesteps", Integers::to_any);
  const auto context = file.read<float, 3>("case0.context");
  NoGrad no_grad;
  for (const WeightType type : all_types) {
    UNet<float> unet(unet_config_from(metadata_json(file, "config")));
    fill_by_formula(unet, unet_names(unet.config), file.metadata("salt"), file.metadata("prefix"));
    pack_parameters(unet, type);
    CHECK(count_parameters(unet) == std::stoll(file.metadata("n_params")));
    const auto y = unet.forward(Variable<float, 4>(x), t, Variable<float, 3>(context));
    check_type("U-Net", type, {2e-3, 1.5e-2, 5e-2}, y.value(), expected);
    kernels::UseReference reference;  // packed weights are the same numbers there
    const auto slow = unet.forward(Variable<float, 4>(x), t, Variable<float, 3>(context));
    check_type("U-Net, reference kernels,", type, {2e-3, 1.5e-2, 5e-2}, slow.value(), expected);
  }
}

TEST_CASE("golden: the tiny autoencoder with packed weights") {
  const SafetensorsFile file(golden_dir() / "vae_tiny.safetensors");
  NoGrad no_grad;
  for (const WeightType type : all_types) {
    AutoencoderKL<float> vae(vae_config_from(metadata_json(file, "config")));
    fill_by_formula(vae, vae_names(vae.config), file.metadata("salt"), file.metadata("prefix"));
    pack_parameters(vae, type);
    const auto moments = vae.encode(Variable<float, 4>(file.read<float, 4>("image"))).moments;
    const auto decoded = vae.decode(Variable<float, 4>(file.read<float, 4>("latent")));
    check_type("encoder", type, {2e-3, 2.5e-2, 5e-2}, moments.value(), file.read<float, 4>("moments"));
    check_type("decoder", type, {2e-3, 2.5e-2, 5e-2}, decoded.value(), file.read<float, 4>("decoded"));
  }
}

TEST_CASE("golden: the tiny text model with packed weights") {
  const SafetensorsFile file(golden_dir() / "text_tiny.safetensors");
  NoGrad no_grad;
  for (const WeightType type : all_types) {
    ClipTextModel<float> text(text_config_from(metadata_json(file, "config")));
    fill_by_formula(text, file.metadata("salt"), file.metadata("prefix"));
    pack_parameters(text, type);
    const auto states = text.forward(file.read<std::int64_t, 2>("input_ids"));
    check_type("text", type, {2e-3, 1.5e-2, 5e-2}, states.value(), file.read<float, 3>("last_hidden_state"));
  }
}

TEST_CASE("a packed parameter: what is packed, its numbers, its memory") {
  ClipTextModel<float> text = small_text_model();
  const auto before = values_of(text);
  const Index bytes = parameter_bytes(text);
  CHECK(bytes == 4 * count_parameters(text));
  pack_parameters(text, WeightType::f32);
  Index packed = 0;
  for_each_parameter(text, [&](const std::string& path, auto& p) {
    CHECK_MESSAGE(p.allocated(), path);
    const bool of_linear = path.find("_proj.weight") != std::string::npos || path.find(".fc") != std::string::npos;
    CHECK_MESSAGE(p.packed() == (of_linear && path.ends_with("weight")), path);
    packed += p.packed();
  });
  CHECK(packed == 2 * 6);  // four of the attention and two of the mlp, in each layer
  CHECK(values_of(text) == before);
  pack_parameters(text, WeightType::f16);  // again, as another type
  const auto rounded = values_of(text);
  double worst = 0;
  for (const auto& [path, values] : before)
    for (std::size_t i = 0; i < values.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<double>(rounded.at(path)[i] - values[i])));
  MESSAGE("largest change by f16: " << worst);
  CHECK(worst > 0);
  CHECK(worst <= 0x1p-12);  // half a unit in the last place of numbers below 1
  release_parameters(text);
  CHECK(parameter_bytes(text) == 0);
  CHECK_MENTIONS(message_of([&] { text.forward(some_ids); }), "load a checkpoint");
}

TEST_CASE("a packed parameter: writing and training unpack it, reading its tensor is refused") {
  ClipTextModel<float> text = small_text_model();
  pack_parameters(text, WeightType::f16);
  const auto before = values_of(text);
  auto& weight = text.text_model.encoder.layers[0].mlp.fc1.weight;
  REQUIRE(weight.packed());
  const std::string message = message_of([&] { weight.variable(); });
  CHECK_MENTIONS(message, "packed as f16");
  CHECK_MENTIONS(message, "value() unpacks");
  weight.zero_grad();
  CHECK(weight.packed());
  weight.value()(0, 0) = 7;
  CHECK_FALSE(weight.packed());
  CHECK(weight.variable().value()(0, 0) == 7);
  weight.value()(0, 0) = before.at("text_model.encoder.layers.0.mlp.fc1.weight")[0];
  CHECK(values_of(text) == before);

  set_trainable(text, true);
  for_each_parameter(text, [&](const std::string& path, auto& p) { CHECK_MESSAGE(!p.packed(), path); });
  CHECK(values_of(text) == before);
  const auto loss = mean(mul(text.forward(some_ids), text.forward(some_ids)));
  backward(loss);
  CHECK(weight.variable().has_grad());
  CHECK_MENTIONS(message_of([&] { pack_parameters(text, WeightType::q8); }), "set_trainable(model, false)");
  set_trainable(text, false);
  pack_parameters(text, WeightType::q8);
  CHECK(weight.packed());
}

TEST_CASE("what cannot be packed says so") {
  Embedding<float> embedding(4, 3);
  Generator generator(1);
  initialize(embedding, generator);
  CHECK_FALSE(embedding.weight.packable());
  CHECK_MENTIONS(message_of([&] { embedding.weight.pack(embedding.weight.value().data(), WeightType::f32); }),
                 "linear layer");
  kernels::Conv2dOptions groups = same_padding(3);
  groups.groups = 2;
  Conv2d<float> grouped(4, 4, 3, groups);
  CHECK_FALSE(grouped.weight.packable());
  Linear<double> wide(3, 2);
  initialize(wide, generator);
  CHECK_FALSE(wide.weight.packable());
  pack_parameters(wide, WeightType::f32);  // does nothing
  CHECK(wide.forward(Variable<double, 2>(Tensor<double, 2>({1, 3}, 1.0))).value().size() == 2);
}

TEST_CASE("a gradient passes through packed weights to the input and the bias") {
  Generator generator(3);
  Net net;
  initialize(net, generator);
  pack_parameters(net, WeightType::f16);
  const Tensor<float, 4> start = generator.randn<float>(Shape<4>{2, 3, 7, 6});
  const auto gradients = [&] {
    net.conv.bias->set_trainable(true);
    net.conv.bias->zero_grad();
    const Variable<float, 4> x(start, true);
    const auto y = net.forward(x);
    backward(mean(mul(y, y)));
    return std::pair(x.grad(), net.conv.bias->variable().grad());
  };
  const auto packed = gradients();
  REQUIRE(net.conv.weight.packed());
  net.conv.weight.unpack();
  net.linear.weight.unpack();
  const auto plain = gradients();
  const Worst dx = compare(packed.first, plain.first), db = compare(packed.second, plain.second);
  MESSAGE("dx: " << dx << "; db: " << db);
  CHECK(dx.relative() < 1e-5);  // sums of up to 27 products, a few roundings of 2^-24 each
  CHECK(db.relative() < 1e-5);
}

TEST_CASE("loading packs straight from the file, and a packed model can be saved") {
  TempDir folder;
  ClipTextModel<float> original = small_text_model();
  const auto exact = values_of(original);
  save_parameters(original, folder / "f32.safetensors");
  save_parameters(original, folder / "f16.safetensors", DType::f16);
  save_parameters(original, folder / "bf16.safetensors", DType::bf16);
  const auto load = [&](const std::string& name, std::optional<WeightType> type) {
    ClipTextModel<float> text(small_text());
    load_packed_parameters(text, plain_weights(folder / name), type);
    return text;
  };
  const auto type_of = [](ClipTextModel<float>& text) {
    const auto& weight = text.text_model.encoder.layers[1].mlp.fc2.weight;
    REQUIRE(weight.packed());
    return weight.packed_weight().type();
  };
  // As the file has them: nothing is lost, whatever it has.
  for (const auto& entry : {std::pair("f32.safetensors", WeightType::f32), std::pair("f16.safetensors", WeightType::f16),
                            std::pair("bf16.safetensors", WeightType::f32)}) {
    const std::string name = entry.first;
    const WeightType kept = entry.second;
    CAPTURE(name);
    ClipTextModel<float> text = load(name, {}), plain(small_text());
    CHECK(type_of(text) == kept);
    load_parameters(plain, plain_weights(folder / name));
    CHECK(values_of(text) == values_of(plain));
    NoGrad no_grad;
    const Worst worst = compare(text.forward(some_ids).value(), plain.forward(some_ids).value());
    MESSAGE(name << ", packed against tensors: " << worst);
    CHECK(worst.relative() < 1e-5);
    load_parameters(text, plain_weights(folder / name));  // over the packed ones
    CHECK_FALSE(text.text_model.encoder.layers[1].mlp.fc2.weight.packed());
    CHECK(values_of(text) == values_of(plain));
  }
  for (const WeightType type : all_types) {
    CAPTURE(to_string(type));
    ClipTextModel<float> text = load("f32.safetensors", type);
    CHECK(type_of(text) == type);
    const auto values = values_of(text);
    CHECK((values == exact) == (type == WeightType::f32));
    save_parameters(text, folder / "again.safetensors");
    CHECK(type_of(text) == type);  // saving changes nothing
    ClipTextModel<float> again = load("again.safetensors", WeightType::f32);
    CHECK(values_of(again) == values);
  }
  ClipTextConfig other = small_text();
  other.hidden_size = 12;
  ClipTextModel<float> wrong(other);
  CHECK_MENTIONS(message_of([&] { load_packed_parameters(wrong, plain_weights(folder / "f32.safetensors")); }),
                 "of another shape");
  CHECK(parameter_bytes(wrong) == 0);
}

TEST_CASE("load_stable_diffusion keeps weights in the type asked for") {
  TempDir folder;
  save_small_model(folder / "model");
  const auto loaded = [&](std::optional<WeightType> type) {
    LoadOptions options;
    options.weights = type;
    return load_stable_diffusion(folder / "model", options);
  };
  const Tensor<float, 4> z({1, 4, 4, 4}, 0.3F);
  const Tensor<float, 4> expected = loaded({}).decode(z);
  for (const WeightType type : all_types) {
    StableDiffusion model = loaded(type);
    CHECK(model.unet.conv_in.weight.packed_weight().type() == type);
    CHECK(model.vae.decoder.conv_out.weight.packed_weight().type() == type);
    const double rms = relative_rms(model.decode(z), expected);
    MESSAGE(to_string(type) << ": relative rms error " << rms);
    CHECK(rms <= 5e-2);
  }
}
