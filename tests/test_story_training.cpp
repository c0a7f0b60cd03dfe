// What the chapters on predicting noise and on latent diffusion train with.
#include <doctest/doctest.h>

#include "inkling/text/tokenizer_io.hpp"
#include "inkling/train/ink_denoiser.hpp"
#include "inkling/train/ink_judge.hpp"
#include "inkling/train/photo_denoiser.hpp"

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
  options.folder = std::filesystem::temp_directory_path() / "inkling_test_photo_denoiser";
  std::filesystem::remove_all(options.folder);
  std::filesystem::create_directories(options.folder);
  double first = 0, last = 0;
  train_photo_denoiser(model, Tensor<float, 4>({1, 3, 16, 16}, 0.5f), options, 4, 1, [&](const TrainStep& s) {
    (s.step <= 10 ? first : last) += s.step <= 10 || s.step > 30 ? s.loss / 10 : 0;
    return true;
  });
  std::filesystem::remove_all(options.folder);
  MESSAGE("loss ", first, " then ", last);
  CHECK(last < 0.8 * first);
}
