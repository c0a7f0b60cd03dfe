// What the chapters on predicting noise and on latent diffusion train with.
#include <doctest/doctest.h>

#include "inkling/text/tokenizer_io.hpp"
#include "inkling/train/ink_denoiser.hpp"
#include "inkling/train/ink_judge.hpp"
#include "inkling/train/photo_denoiser.hpp"
#include "support.hpp"

using namespace inkling;

namespace {

// Scans of a vertical stroke.
InkDigits strokes() {
  LabelledImages scans{Tensor<std::uint8_t, 3>({4, 28, 28}), Tensor<std::uint8_t, 1>({4})};
  for (Index n = 0; n < 4; ++n) {
    for (Index i = 5; i < 23; ++i)
      for (Index j = 12; j < 15; ++j) scans.images(n, i, j) = 255;
    scans.labels(n) = static_cast<std::uint8_t>(n);
  }
  return InkDigits(scans);
}

// What training leaves in the module is the moving average of its weights.
template <class Module>
void check_average(Module& module, const std::filesystem::path& checkpoint) {
  const SafetensorsFile file(checkpoint);
  for_each_parameter(module, [&](const std::string& path, auto& p) {
    INFO(path);
    std::vector<float> average(static_cast<std::size_t>(p.size()));
    file.read("average." + path, std::span(average));
    CHECK(std::equal(average.begin(), average.end(), p.value().begin()));
  });
}

}  // namespace

TEST_CASE("ink samples: the pictures of the data set, or what the autoencoder makes of them, scaled") {
  const InkDigits digits = strokes();
  const InkBatch batch = digits.batch(3, 0, 130);
  const InkSamples pixels = ink_samples(digits, nullptr, 3, 130);
  REQUIRE(pixels.x.shape() == batch.images.shape());
  CHECK(pixels.attributes == batch.attributes);
  for (Index i = 0; i < pixels.x.size(); ++i)
    REQUIRE(static_cast<float>(pixels.x.data()[i]) == static_cast<float>(static_cast<half>(batch.images.data()[i])));

  AutoencoderKLConfig config;
  config.block_out_channels = {8, 8}, config.layers_per_block = 1, config.norm_groups = 4, config.scaling_factor = 3;
  AutoencoderKL<float> vae(config);
  Generator generator(1);
  initialize(vae, generator);
  const InkSamples latents = ink_samples(digits, &vae, 3, 130);
  REQUIRE(latents.x.shape() == Shape<4>{130, 4, 16, 16});
  CHECK(latents.attributes == batch.attributes);
  const NoGrad no_grad;
  const Tensor<float, 4> z = vae.encode(Variable<float, 4>(batch.images)).mean().value();
  double worst = 0, most = 0;
  for (Index i = 0; i < z.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(static_cast<float>(latents.x.data()[i])) - 3.0 * z.data()[i]));
    most = std::max(most, std::abs(3.0 * z.data()[i]));
  }
  MESSAGE("largest difference ", worst, " of ", most);
  CHECK(worst < most * 0x1p-10);  // half precision has 11 bits
}

TEST_CASE("ink words: every text as the text encoder reads it, also the second time") {
  const SpecialTokens special;
  const Tokenizer tokenizer(clip_vocabulary({}, special.start, special.end), special);
  ClipTextConfig config;
  config.vocab_size = tokenizer.vocab_size();
  config.hidden_size = 16, config.intermediate_size = 32, config.layers = 1, config.heads = 2,
  config.max_positions = 20;
  config.bos_token_id = tokenizer.start_id(), config.eos_token_id = config.pad_token_id = tokenizer.end_id();
  ClipTextModel<float> encoder(config);
  Generator generator(2);
  initialize(encoder, generator);
  InkWords words(tokenizer, encoder);
  const Tensor<float, 3> first = words({"a red", "", "a red"}), again = words({"", "a blue"});
  REQUIRE(first.shape() == Shape<3>{3, InkWords::length, 16});
  const std::vector<std::int64_t> ids = tokenizer.encode_padded("a red", InkWords::length).ids;
  const NoGrad no_grad;
  const Tensor<float, 3> direct =
      encoder.forward(Tensor<std::int64_t, 2>({1, InkWords::length}, std::span<const std::int64_t>(ids))).value();
  const Index row = direct.size();
  CHECK(std::equal(direct.begin(), direct.end(), first.data()));
  CHECK(std::equal(direct.begin(), direct.end(), first.data() + 2 * row));
  CHECK(std::equal(again.data(), again.data() + row, first.data() + row));
  CHECK_FALSE(std::equal(again.data(), again.data() + row, again.data() + row));
}

TEST_CASE("ink judge: names ink and paper of true pictures, and counts what is right") {
  const InkDigits digits = strokes();
  const InkBatch batch = digits.batch(5, 0, 40);
  DigitClassifier<float> judge;  // knows nothing of digits
  Generator generator(3);
  initialize(judge, generator);
  InkTally tally;
  const std::vector<InkJudgement> judged = judge_pictures(judge, batch.images);
  REQUIRE(judged.size() == 40);
  for (std::size_t n = 0; n < 40; ++n) tally.add(batch.attributes[n], judged[n]);
  CHECK(tally.count == 40);
  CHECK(tally.percent(&InkTally::ink) > 90);
  CHECK(tally.percent(&InkTally::background) > 90);
  CHECK(tally.all <= std::min(tally.digit, std::min(tally.ink, tally.background)));
  CHECK(InkTally().percent(&InkTally::all) == 0);
  CHECK(judge_pictures(judge, Tensor<float, 4>({0, 3, 32, 32})).empty());
}

TEST_CASE("photo denoiser: hears the level, or always the same; learns a little in a few steps") {
  Generator generator(4);
  const Tensor<float, 4> x = generator.randn<float>(Shape<4>{2, 3, 16, 16});
  for (const bool told : {true, false}) {
    PhotoDenoiser model(told);
    initialize(model.unet, generator);
    const Tensor<float, 4> low = model.predict(x, std::vector<std::int64_t>{10, 10}),
                           high = model.predict(x, std::vector<std::int64_t>{900, 900});
    REQUIRE(low.shape() == x.shape());
    CHECK(std::equal(low.begin(), low.end(), high.begin()) == !told);
  }
  PhotoDenoiser model(true);
  TrainOptions options;
  options.name = "photo", options.steps = 40, options.warmup_steps = 5, options.learning_rate = 3e-3;
  const inkling_test::TempDir folder;
  options.folder = folder.path();
  double first = 0, last = 0;
  train_photo_denoiser(model, Tensor<float, 4>({1, 3, 16, 16}, 0.5f), options, 4, 1, [&](const TrainStep& s) {
    (s.step <= 10 ? first : last) += s.step <= 10 || s.step > 30 ? s.loss / 10 : 0;
    return true;
  });
  check_average(model.unet, options.folder / "photo.checkpoint.safetensors");
  MESSAGE("loss ", first, " then ", last);
  CHECK(last < 0.8 * first);
}

TEST_CASE("photo denoiser: its loss is the mean square error of v, predicted from noisy pictures and their levels") {
  for (const bool told : {true, false}) {
    PhotoDenoiser model(told);
    Generator g(5);
    initialize(model.unet, g);
    const NoGrad no_grad;
    Tensor<float, 4> x = g.randn<float>(Shape<4>{8, 3, 16, 16});
    for (float& v : x) v = 0.3f * v + 0.5f;
    Generator same = g;
    const double loss = static_cast<double>(model.loss(x, g).value()());
    // x_t = sqrt(a) x_0 + sqrt(1 - a) eps,  v = sqrt(a) eps - sqrt(1 - a) x_0
    const Tensor<float, 4> x0 = to_patches(x, 2), eps = same.randn<float>(x0.shape());
    const std::vector<std::int64_t> t = spread_timesteps(8, 1000, same);
    Tensor<float, 4> x_t(x0.shape()), v(x0.shape());
    for (Index i = 0; i < x0.size(); ++i) {
      const double a = model.schedule.alpha_bar(t[static_cast<std::size_t>(i / (x0.size() / 8))]);
      const double clean = static_cast<double>(x0.data()[i]), noise = static_cast<double>(eps.data()[i]);
      x_t.data()[i] = static_cast<float>(std::sqrt(a) * clean + std::sqrt(1 - a) * noise);
      v.data()[i] = static_cast<float>(std::sqrt(a) * noise - std::sqrt(1 - a) * clean);
    }
    const Tensor<float, 4> answer = to_patches(model.predict(from_patches(x_t, 2), t), 2);
    double expected = 0;
    for (Index i = 0; i < v.size(); ++i)
      expected += std::pow(static_cast<double>(answer.data()[i]) - static_cast<double>(v.data()[i]), 2);
    CHECK(loss == doctest::Approx(expected / static_cast<double>(v.size())).epsilon(1e-5));
  }
}

TEST_CASE("ink denoiser: learns which words belong to which picture") {
  const SpecialTokens special;
  const Tokenizer tokenizer(clip_vocabulary({}, special.start, special.end), special);
  ClipTextConfig text;
  text.vocab_size = tokenizer.vocab_size();
  text.hidden_size = 16, text.intermediate_size = 32, text.layers = 1, text.heads = 2, text.max_positions = 20;
  text.bos_token_id = tokenizer.start_id(), text.eos_token_id = text.pad_token_id = tokenizer.end_id();
  ClipTextModel<float> encoder(text);
  Generator generator(2);
  initialize(encoder, generator);
  InkWords words(tokenizer, encoder);

  // Red is bright and blue dark. A picture of 16 numbers, so that much noise leaves only the words to tell them apart.
  InkSamples samples{Tensor<half, 4>({2, 1, 4, 4}, static_cast<half>(1.0f)), std::vector<InkDigit>(2)};
  std::fill_n(&samples.x(1, 0, 0, 0), 16, static_cast<half>(-1.0f));
  samples.attributes[0].ink = Ink::red, samples.attributes[1].ink = Ink::blue;
  UNetConfig config;
  config.in_channels = config.out_channels = 1, config.block_out_channels = {16, 16}, config.layers_per_block = 1;
  config.heads = 2, config.cross_attention_dim = 16, config.norm_groups = 4, config.attention_levels = {true, true};
  config.sample_size = 4;
  UNet<float> unet(config);
  const NoiseSchedule schedule;
  const inkling_test::TempDir folder;
  TrainOptions options;
  options.name = "words", options.folder = folder.path(), options.steps = 200, options.learning_rate = 4e-3;
  options.warmup_steps = 10, options.ema_decay = 0.95;
  train_ink_denoiser(unet, samples, words, schedule, options, 32);
  check_average(unet, folder / "words.checkpoint.safetensors");

  const NoGrad no_grad;
  const auto loss_with = [&](std::size_t red, std::size_t blue) {
    Tensor<float, 4> x0({100, 1, 4, 4}, 1.0f);
    std::fill_n(&x0(50, 0, 0, 0), 50 * 16, -1.0f);
    std::vector<std::string> texts(50, canonical_prompt(samples.attributes[red]));
    texts.resize(100, canonical_prompt(samples.attributes[blue]));
    Generator g(6);
    const std::vector<std::int64_t> t(100, 700);
    const Tensor<float, 4> eps = g.randn<float>(x0.shape());
    const Variable<float, 4> x_t(q_sample(schedule, x0, eps, t));
    const Tensor<float, 4> said =
        unet.forward(x_t, Tensor<float, 1>({100}, 700.0f), Variable<float, 3>(words(texts))).value();
    double sum = 0;
    for (Index i = 0; i < eps.size(); ++i)
      sum += std::pow(static_cast<double>(said.data()[i]) - static_cast<double>(eps.data()[i]), 2);
    return sum / static_cast<double>(eps.size());
  };
  const double right = loss_with(0, 1), wrong = loss_with(1, 0);
  // eps = (x_t - sqrt(a) x_0) / sqrt(1 - a): who takes -1 for 1 is (2 sqrt(a / (1 - a)))^2 = 0.36 off at a = 0.083.
  MESSAGE("alpha ", schedule.alpha_bar(700), ": loss ", right, " with the right words, ", wrong, " with the wrong");
  CHECK(right < 0.5 * wrong);
}
