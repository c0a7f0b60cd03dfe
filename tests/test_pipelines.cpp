// From tokens to pictures: recorded runs of a small Stable Diffusion, and what the pipeline promises its users.
#include <doctest/doctest.h>

#include "golden_models.hpp"
#include "inkling/io/image.hpp"
#include "inkling/pipelines/load.hpp"
#include "inkling/pipelines/text_to_image.hpp"
#include "small_model.hpp"

using namespace inkling_test;

namespace {

void check_close(const std::string& name, const auto& got, const auto& expected) {
  const Worst worst = compare(got, expected);
  MESSAGE(name, ": ", to_string(worst));
  CHECK_MESSAGE(worst.relative() < model_tolerance, name, ": ", to_string(worst));
}

Tokenizer byte_tokenizer() {
  const SpecialTokens special;
  return Tokenizer(clip_vocabulary({}, special.start, special.end), special);
}

// The recorded checkpoint, loaded as a single file with CompVis' names. Its heads, which no shape shows, come from the
// settings recorded beside the runs. It has token ids of its own and no vocabulary.
struct RecordedRuns {
  SafetensorsFile runs{golden_dir() / "sd_mini_pipeline.safetensors"};
  ModelFiles files{golden_dir() / "sd_mini_checkpoint_f16.safetensors", overrides(runs)};
  StableDiffusion model{"sd_mini",
                        byte_tokenizer(),
                        load_part<ClipTextModel<float>>(files, "text_encoder", files.text_config()),
                        load_part<UNet<float>>(files, "unet", files.unet_config()),
                        load_part<AutoencoderKL<float>>(files, "vae", files.vae_config()),
                        {},
                        noise_schedule_options(files.scheduler_config()),
                        sampler_options(files.scheduler_config()),
                        32};
  Index steps = metadata_json(runs, "steps");
  double guidance = metadata_json(runs, "cfg");
  Tensor<float, 4> noise = runs.read<float, 4>("noise");

  static ModelOverrides overrides(const SafetensorsFile& runs) {
    ModelOverrides o;
    o.unet_heads = metadata_json(runs, "unet").at("num_heads").get<Index>();
    o.text_heads = metadata_json(runs, "text").at("num_attention_heads").get<Index>();
    o.scaling_factor = metadata_json(runs, "scale_factor").get<double>();
    return o;
  }
  // [2, L, D]: away from, towards
  Tensor<float, 3> context() const {
    return kernels::concat(model.encode_text(runs.read<std::int64_t, 2>("tokens_uncond")),
                           model.encode_text(runs.read<std::int64_t, 2>("tokens_cond")), 0);
  }
  // Compares x after every step with NAME.latents, and what the last step leaves with `picture`.
  void check_run(const std::string& name, Sampler<float>& sampler, Tensor<float, 4> x, const NoiseSource<float>& more,
                 Index first_call, const std::string& picture) {
    const auto latents = runs.read<float, 5>(name + ".latents");  // [steps, 1, 4, h, w]
    const std::size_t size = static_cast<std::size_t>(x.size());
    REQUIRE(latents.shape(0) == sampler.calls() - first_call);
    std::size_t compared = 0;
    x = denoise(
        model.unet, sampler, std::move(x), context(), guidance, more,
        [&](const DenoisingStep& step) {
          check_close(name + " step " + std::to_string(step.step), step.x_t,
                      std::span(latents.data() + size * static_cast<std::size_t>(step.step - 1), size));
          return ++compared > 0;
        },
        first_call);
    CHECK(compared == static_cast<std::size_t>(latents.shape(0)));
    if (!picture.empty()) check_close(picture, model.decode(x), runs.read<float, 4>(picture));
  }
};

}  // namespace

TEST_CASE("golden: sd_mini: tokens to context, and one call of the U-Net") {
  RecordedRuns r;
  check_close("context_cond", r.model.encode_text(r.runs.read<std::int64_t, 2>("tokens_cond")),
              r.runs.read<float, 3>("context_cond"));
  check_close("context_uncond", r.model.encode_text(r.runs.read<std::int64_t, 2>("tokens_uncond")),
              r.runs.read<float, 3>("context_uncond"));
  int calls = 0;
  NoGrad no_grad;
  for (const TensorEntry& e : r.runs.entries()) {  // unet_tT: one call at timestep T
    if (!e.name.starts_with("unet_t")) continue;
    const Tensor<float, 1> t({1}, std::stof(e.name.substr(6)));
    const Variable<float, 3> context(r.runs.read<float, 3>("context_cond"));
    check_close(e.name, r.model.unet.forward(Variable<float, 4>(r.noise), t, context).value(),
                r.runs.read<float, 4>(e.name));
    ++calls;
  }
  CHECK(calls > 0);
}

TEST_CASE("golden: sd_mini: DDIM, with and without fresh noise") {
  RecordedRuns r;
  const NoiseSchedule schedule(r.model.schedule);
  const auto ddim = make_sampler<float>("ddim", schedule, r.model.sampler, r.steps);
  auto timesteps = metadata_json(r.runs, "ddim_timesteps").get<std::vector<double>>();
  std::reverse(timesteps.begin(), timesteps.end());
  CHECK(ddim->timesteps() == timesteps);
  r.check_run("ddim", *ddim, r.noise, {}, 0, "ddim.image");

  SamplerOptions options = r.model.sampler;
  options.eta = metadata_json(r.runs, "eta");
  const auto noises = r.runs.read<float, 5>("ddim_eta.noises");
  Index used = 0;
  const NoiseSource<float> recorded = [&](const Shape<4>& shape) {
    Tensor<float, 4> z(shape, uninitialized);
    REQUIRE(used < noises.shape(0));
    std::copy_n(noises.data() + used++ * z.size(), z.size(), z.data());
    return z;
  };
  r.check_run("ddim_eta", *make_sampler<float>("ddim", schedule, options, r.steps), r.noise, recorded, 0, "");
  CHECK(used == r.steps);
}

TEST_CASE("golden: sd_mini: Euler") {
  RecordedRuns r;
  SamplerOptions options = r.model.sampler;
  options.spacing = TimestepSpacing::linspace;
  const auto euler = make_sampler<float>("euler", NoiseSchedule(r.model.schedule), options, r.steps);
  check_close("timesteps", euler->timesteps(), metadata_json(r.runs, "euler_timesteps").get<std::vector<double>>());
  check_close("sigmas", euler->sigmas(), metadata_json(r.runs, "euler_sigmas").get<std::vector<double>>());
  Tensor<float, 4> x = r.noise;
  for (float& v : x) v *= static_cast<float>(euler->init_noise_sigma());
  r.check_run("euler", *euler, std::move(x), {}, 0, "euler.image");
}

TEST_CASE("golden: sd_mini: image to image") {
  RecordedRuns r;
  NoGrad no_grad;
  const Index t_enc = metadata_json(r.runs, "img2img").at("t_enc").get<Index>();
  const auto ddim = make_sampler<float>("ddim", NoiseSchedule(r.model.schedule), r.model.sampler, r.steps);
  Tensor<float, 4> z0 =
      r.model.vae.encode(Variable<float, 4>(r.runs.read<float, 4>("img2img.image"))).mean().value();
  for (float& v : z0) v *= static_cast<float>(r.model.vae.config.scaling_factor);
  check_close("img2img.z0", z0, r.runs.read<float, 4>("img2img.z0"));
  // The recorded run counts its timesteps from the clean end, and noises to number t_enc of them, from 0.
  const Tensor<float, 4> noised = ddim->add_noise(z0, r.noise, r.steps - 1 - t_enc);
  check_close("img2img.z_noised", noised, r.runs.read<float, 4>("img2img.z_noised"));
  r.check_run("img2img", *ddim, noised, {}, r.steps - t_enc, "img2img.result");
}

namespace {
StableDiffusion small_model() {
  const TempDir folder;
  save_small_model(folder.path());
  return load_stable_diffusion(folder.path());
}
TextToImageOptions small_options() {
  TextToImageOptions o;
  o.prompt = "a red seven", o.steps = 3, o.guidance = 3, o.seed = 5;
  return o;
}
std::string message_of(const auto& work) {
  try {
    work();
  } catch (const Error& e) {
    return e.what();
  }
  return {};
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
}  // namespace

TEST_CASE("a picture does not depend on the number of threads, and depends on the seed") {
  StableDiffusion model = small_model();
  const int before = num_threads();
  std::optional<TextToImageResult> first;
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    TextToImageResult r = text_to_image(model, small_options());
    CHECK(r.image.shape() == Shape<4>{1, 3, 16, 16});
    if (!first) first = std::move(r);
    else {
      CHECK(compare(r.image, first->image).error == 0);
      CHECK(compare(r.latents.back(), first->latents.back()).error == 0);
    }
  }
  set_num_threads(before);
  TextToImageOptions other = small_options();
  other.seed = 6;
  CHECK(compare(text_to_image(model, other).image, first->image).error > 0);
}

TEST_CASE("the callback sees every step and can stop the work") {
  StableDiffusion model = small_model();
  TextToImageOptions o = small_options();
  o.keep_latents = true;
  std::vector<Tensor<float, 4>> seen;
  std::vector<double> timesteps;
  const TextToImageResult r = text_to_image(model, o, [&](const DenoisingStep& s) {
    seen.push_back(s.x_t);
    timesteps.push_back(s.t);
    CHECK(s.x0.shape() == s.x_t.shape());
    CHECK(s.steps == 3);
    return true;
  });
  CHECK(timesteps == std::vector<double>{667, 334, 1});  // leading: multiples of 1000 / 3, moved up by 1
  REQUIRE(seen.size() == 3);
  REQUIRE(r.latents.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(compare(seen[i], r.latents[i]).error == 0);
  CHECK(compare(r.noise, Generator(5).randn<float>(Shape<4>{1, 4, 8, 8})).error == 0);

  int calls = 0;
  CHECK_THROWS_AS(text_to_image(model, o, [&](const DenoisingStep&) { return ++calls < 2; }), Stopped);
  CHECK(calls == 2);
}

TEST_CASE("noise that is given takes the place of the seed's") {
  StableDiffusion model = small_model();
  TextToImageOptions o = small_options();
  const Tensor<float, 4> noise = Generator(o.seed).randn<float>(Shape<4>{1, 4, 8, 8});
  const TextToImageResult with_seed = text_to_image(model, o);
  o.seed = 99;
  CHECK(compare(text_to_image(model, o, {}, &noise).image, with_seed.image).error == 0);
  const Tensor<float, 4> wrong({1, 4, 8, 9});
  CHECK_THROWS_AS(text_to_image(model, o, {}, &wrong), ShapeError);
}

TEST_CASE("guidance 1 asks the network once, and is what guidance near 1 tends to") {
  StableDiffusion model = small_model();
  TextToImageOptions o = small_options();
  o.guidance = 1;
  const TextToImageResult once = text_to_image(model, o);
  o.guidance = 1.000001;
  const TextToImageResult twice = text_to_image(model, o);
  const Worst worst = compare(twice.image, once.image);
  MESSAGE("guidance 1.000001 against 1: ", to_string(worst));
  CHECK(worst.relative() < 1e-3);
  o.guidance = 7;
  CHECK(compare(text_to_image(model, o).image, once.image).relative() > 1e-3);
}

TEST_CASE("many prompts at once paint what each paints alone, fresh noise included") {
  StableDiffusion model = small_model();
  model.sampler.eta = 0.5;
  TextToImageOptions o = small_options();
  o.negative_prompt = "blue";
  const std::vector<PromptAndSeed> prompts{{"a red seven", 1}, {"8", 2}, {"", 3}};
  const Tensor<float, 4> all = text_to_image_batch(model, prompts, o);
  REQUIRE(all.shape() == Shape<4>{3, 3, 16, 16});
  for (std::size_t n = 0; n < prompts.size(); ++n) {
    o.prompt = prompts[n].prompt, o.seed = prompts[n].seed;
    const Tensor<float, 4> alone = text_to_image(model, o).image;
    const Worst worst = compare(std::span(all.data() + static_cast<Index>(n) * alone.size(), alone.span().size()), alone);
    MESSAGE("prompt ", n, ": ", to_string(worst));
    CHECK(worst.relative() < model_tolerance);
  }
  CHECK_THROWS_AS(text_to_image_batch(model, {}, o), ConfigError);
}

TEST_CASE("attention maps share out each pixel among the tokens") {
  StableDiffusion model = small_model();
  TextToImageOptions o = small_options();
  o.attention_maps = true;
  const TextToImageResult r = text_to_image(model, o);
  REQUIRE(r.attention.shape() == Shape<3>{40, 8, 8});
  for (Index y = 0; y < 8; ++y)
    for (Index x = 0; x < 8; ++x) {
      double sum = 0;
      for (Index s = 0; s < 40; ++s) sum += static_cast<double>(r.attention(s, y, x));
      CHECK(sum == doctest::Approx(1).epsilon(1e-4));
    }
  CHECK(compare(text_to_image(model, small_options()).image, r.image).error == 0);  // watching changes nothing
}

TEST_CASE("prompts that are too long are cut, with a notice") {
  StableDiffusion model = small_model();
  TextToImageOptions o = small_options();
  o.prompt = "this prompt is far too long for a model that reads forty bytes";
  const TextToImageResult r = text_to_image(model, o);
  CHECK(has(r.notice, "left out"));
  CHECK(text_to_image(model, small_options()).notice.empty());
}

TEST_CASE("options that make no sense are refused") {
  StableDiffusion model = small_model();
  const auto refused = [&](auto change) {
    TextToImageOptions o = small_options();
    change(o);
    return message_of([&] { text_to_image(model, o); });
  };
  CHECK(has(refused([](auto& o) { o.width = 20; }), "width: expected a multiple of 8"));
  CHECK(has(refused([](auto& o) { o.height = -8; }), "height"));
  CHECK(has(refused([](auto& o) { o.width = Index{1} << 60; }), "width"));
  CHECK(has(refused([](auto& o) { o.guidance = std::nan(""); }), "guidance"));
  CHECK(has(refused([](auto& o) { o.sampler = "ddin"; }), "did you mean \"ddim\"?"));
  CHECK(has(refused([](auto& o) { o.steps = 0; }), "steps"));
  CHECK(has(refused([](auto& o) { o.steps = Index{1} << 60; }), "steps"));
}

TEST_CASE("loading: what was saved comes back, and what does not fit is refused") {
  const TempDir folder;
  save_small_model(folder.path());
  StableDiffusion model = load_stable_diffusion(folder.path());
  CHECK(model.default_size == 16);
  CHECK(model.unet.config.sample_size == 8);
  CHECK(model.pixels_per_latent() == 2);
  CHECK(model.tokenizer.pad_id() == model.text_encoder.config().pad_token_id);
  StableDiffusion again = load_stable_diffusion(folder.path());
  CHECK(compare(text_to_image(model, small_options()).image, text_to_image(again, small_options()).image).error == 0);

  std::vector<Index> done;
  LoadOptions watched;
  watched.progress = [&](const Progress& p) { return done.push_back(p.done), p.done < 2; };
  CHECK_THROWS_AS(load_stable_diffusion(folder.path(), watched), Stopped);
  CHECK(done == std::vector<Index>{1, 2});

  const auto refused = [&](const LoadOptions& o = {}) {
    return message_of([&] { load_stable_diffusion(folder.path(), o); });
  };
  CHECK(has(message_of([&] { load_stable_diffusion(folder / "nowhere"); }), "nothing of that name"));
  LoadOptions o;
  o.vae = "tiny";
  CHECK(has(refused(o), "\"taesd\""));
  o.vae = "taesd";
  CHECK(has(refused(o), "taesd_decoder.safetensors"));
  o.vae = "", o.taesd_folder = folder.path();
  CHECK(has(refused(o), "taesd_folder: expected vae \"taesd\" with it"));

  // A vocabulary of another size; another width of the text encoder; no vocabulary.
  auto tokens = byte_tokenizer().vocabulary();
  tokens.tokens.insert(tokens.tokens.begin() + 512, "ab");
  save_tokenizer(Tokenizer(tokens), folder / "other");
  o = {};
  o.vocab = folder / "other";
  CHECK(has(refused(o), "expected 514 tokens, as the text encoder has, got 515"));
  UNetConfig unet = model.unet.config;
  unet.cross_attention_dim = 48;
  save_config(folder / "unet" / "config.json", unet);
  CHECK(has(refused(), "a text encoder of width 48"));
  unet = model.unet.config, unet.in_channels = 9;
  save_config(folder / "unet" / "config.json", unet);
  CHECK(has(refused(), "inpainting"));
  save_config(folder / "unet" / "config.json", model.unet.config);
  CHECK(refused().empty());
  std::filesystem::remove_all(folder / "tokenizer");
  CHECK(has(refused(), "--vocab"));
}

TEST_CASE("data: TAESD decodes instead of the model's autoencoder") {
  const TempDir folder;
  save_small_model(folder.path());
  LoadOptions o;
  o.vae = "taesd", o.taesd_folder = data_dir() / "taesd";
  StableDiffusion model = load_stable_diffusion(folder.path(), o);
  CHECK(model.default_size == 64);
  const TextToImageResult r = text_to_image(model, small_options());
  CHECK(r.image.shape() == Shape<4>{1, 3, 64, 64});
  // A latent of zeros is a plain middle picture, in the range of the model's own autoencoder.
  const Tensor<float, 4> plain = model.decode(Tensor<float, 4>({1, 4, 8, 8}));
  double sum = 0;
  for (const float v : plain) sum += static_cast<double>(v);
  CHECK(std::abs(sum / static_cast<double>(plain.size())) < 0.5);
}
