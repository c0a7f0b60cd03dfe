// What the examples measure and take from the library beside it: each by numbers that can be worked out by hand.
#include "support.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>

#include "inkling/core/stopwatch.hpp"
#include "inkling/diffusion/denoise_from.hpp"
#include "inkling/diffusion/forward_process.hpp"
#include "inkling/io/cifar.hpp"
#include "inkling/models/sentence_reader.hpp"
#include "inkling/nn/record_attention.hpp"
#include "inkling/pipelines/attention_pictures.hpp"
#include "inkling/pipelines/load.hpp"
#include "inkling/pipelines/load_taesd.hpp"
#include "inkling/text/analogies.hpp"
#include "inkling/train/class_captions.hpp"
#include "inkling/train/digit_autoencoder.hpp"
#include "inkling/train/image_measure.hpp"
#include "inkling/train/ink_judge.hpp"
#include "inkling/train/load_or_train.hpp"
#include "inkling/train/nearest.hpp"
#include "inkling/train/photo_windows.hpp"
#include "inkling/train/segmentation_features.hpp"
#include "inkling/train/sentence_training.hpp"
#include "inkling/train/small_clip.hpp"
#include "small_model.hpp"

using namespace inkling;
using inkling_test::TempDir;

TEST_CASE("ink digits: what to ask, in words, and how much of it came true") {
  const std::vector<InkDigit> asked = digits_to_ask(23, 5);
  REQUIRE(asked.size() == 23);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    CHECK(asked[i].digit == static_cast<int>(i % 10));
    CHECK_FALSE(is_held_out(asked[i]));
  }
  CHECK(digits_to_ask(12, 5)[11] == asked[11]);  // of its number and the seed alone
  CHECK_FALSE(digits_to_ask(23, 6) == asked);
  CHECK(is_held_out(digits_to_ask(1, 5, Combinations::held_out)[0]));
  CHECK(brief({7, Ink::red, Ink::blue}) == "red seven on blue");
  const InkTally tally = tally_of({{7, Ink::red, Ink::blue}, {1, Ink::red, Ink::blue}},
                                  {{7, Ink::red, Ink::blue}, {2, Ink::red, Ink::blue}});
  CHECK(tally.percent(&InkTally::digit) == 50);
  CHECK(tally.percent(&InkTally::ink) == 100);
  CHECK(tally.percent(&InkTally::all) == 50);
  CHECK_THROWS_AS(tally_of({{7, Ink::red, Ink::blue}}, {}), ShapeError);
}

TEST_CASE("contrastive: how much a row prefers its own column") {
  CHECK(diagonal_preference(Tensor<float, 2>({2, 2}, {1, 0.5f, 0.25f, 0.75f})) == doctest::Approx(0.875 - 0.375));
  CHECK_THROWS_AS(diagonal_preference(Tensor<float, 2>({2, 3})), ShapeError);
  CHECK_THROWS_AS(diagonal_preference(Tensor<float, 2>({1, 1})), ShapeError);
}

TEST_CASE("attention recorded: the shares that a layer gave, and how much of them goes where") {
  SentenceReader<float> model{SentenceReaderConfig{}};
  Generator generator(1);
  initialize(model, generator);
  const SentenceBatch batch = NegationSentences::batch(1, 0, 3);
  const auto all = recorded_attention<float>(model, [&] { model.forward(batch.words); });
  REQUIRE(all.size() == 1);
  const Tensor<float, 4>& p = all.at("attention");
  CHECK(p.shape() == Shape<4>{3, 2, NegationSentences::length, NegationSentences::length});
  for (Index l = 0; l < NegationSentences::length; ++l) {
    double sum = 0;
    for (Index s = 0; s < NegationSentences::length; ++s) sum += static_cast<double>(p(1, 1, l, s));
    CHECK(sum == doctest::Approx(1).epsilon(1e-5));
  }
  // p[l, s] = exp(q_l k_s / sqrt(D)) / sum, so two shares of a row compare as exp(q_l (k_0 - k_1) / sqrt(D)).
  Observer<float> observer;
  observer.watch(model);
  double expected = 0;
  observer.on_attention = [&](const std::string&, const Tensor<float, 3>& q, const Tensor<float, 3>& k,
                              const kernels::AttentionOptions& options) {
    const Index D = q.shape(2) / options.heads;
    for (Index d = D; d < 2 * D; ++d)  // the second head's numbers
      expected += static_cast<double>(q(1, 2, d)) * static_cast<double>(k(1, 0, d) - k(1, 1, d));
    expected = std::exp(expected / std::sqrt(static_cast<double>(D)));
  };
  {
    const NoGrad no_grad;
    const Observation<float> watching(observer);
    model.forward(batch.words);
  }
  CHECK(static_cast<double>(p(1, 1, 2, 0) / p(1, 1, 2, 1)) == doctest::Approx(expected).epsilon(1e-4));
  const Tensor<float, 4> two({1, 2, 2, 2}, {0.9f, 0.1f, 0.2f, 0.8f, 0.5f, 0.5f, 0.6f, 0.4f});
  CHECK(attention_on(two, Tensor<std::int64_t, 2>({1, 2}, {-1, 0})) == doctest::Approx(0.6));
  CHECK(attention_on(two, Tensor<std::int64_t, 2>({1, 2}, {0, 1})) == doctest::Approx((0.9 + 0.8) / 2));
  CHECK(attention_on(two, Tensor<std::int64_t, 2>({1, 2}, {-1, -1})) == 0);
  CHECK_THROWS_AS(attention_on(two, Tensor<std::int64_t, 2>({1, 2}, {-1, 2})), ShapeError);
}

TEST_CASE("sentences: a few steps of training lower the error on sentences not seen") {
  const TempDir folder;
  TrainOptions options;
  options.name = "reader", options.folder = folder.path(), options.steps = 60, options.learning_rate = 3e-3;
  options.warmup_steps = 10, options.ema_decay = 0.9;
  SentenceReader<float> model{SentenceReaderConfig{}};
  Generator generator(1);
  initialize(model, generator);
  const SentenceBatch unseen = NegationSentences::batch(2, 0, 100);
  const double before = sentence_error(model, unseen);
  const std::vector<float> losses = train_sentence_reader(model, options);
  CHECK(losses.size() == 60);
  CHECK(losses.back() < losses.front());
  MESSAGE("mean square error ", before, " before, ", sentence_error(model, unseen), " after");
  CHECK(sentence_error(model, unseen) < 0.8 * before);
}

TEST_CASE("load or train: what is used is what lies in the file") {
  const TempDir folder;
  const auto file = folder.path() / "new" / "weights.safetensors";
  SentenceReader<float> model{SentenceReaderConfig{}}, other{SentenceReaderConfig{}};
  int trained = 0;
  const auto train = [&] {
    CHECK(std::filesystem::is_directory(folder.path() / "work"));
    Generator generator(4);
    initialize(model, generator);
    ++trained;
  };
  CHECK_THROWS(load_or_train(model, file, false, folder.path() / "work", train));  // nothing there yet
  load_or_train(model, file, true, folder.path() / "work", train);
  load_or_train(other, file, false, folder.path() / "work", train);
  CHECK(trained == 1);
  const Tensor<float, 2>&a = model.fc2.weight.value(), &b = other.fc2.weight.value();
  CHECK(std::equal(a.begin(), a.end(), b.begin()));
  bool rounded = true;  // to half precision
  for (const float v : a) rounded = rounded && v == static_cast<float>(static_cast<half>(v));
  CHECK(rounded);
}

TEST_CASE("digits: through the code and back, and rows as squares") {
  MlpAutoencoderConfig config;
  config.pixels = 9, config.widths = {6}, config.variational = true;
  MlpAutoencoder<float> model(config);
  Generator generator(4);
  initialize(model, generator);
  const Tensor<float, 2> x({2, 9}, 0.25f), z = encode_digits(model, x);
  CHECK(z.shape() == Shape<2>{2, 2});
  const Tensor<float, 2> encoded = model.encode(Variable<float, 2>(x)).value();
  CHECK(z(1, 1) == encoded(1, 1));
  const Tensor<float, 2> y = decode_digits(model, z), logits = model.decode(Variable<float, 2>(z)).value();
  CHECK(y(0, 3) == doctest::Approx(1 / (1 + std::exp(-static_cast<double>(logits(0, 3))))).epsilon(1e-5));
  Tensor<float, 2> counted({1, 9});
  for (Index i = 0; i < 9; ++i) counted(0, i) = static_cast<float>(i);
  CHECK(rows_to_squares(counted)(0, 0, 1, 2) == 5);
  CHECK_THROWS_AS(rows_to_squares(Tensor<float, 2>({1, 8})), ShapeError);
}

TEST_CASE("small CLIP: the same seed, the same pair; both encoders end in one space") {
  const Tokenizer words = word_tokenizer({"a photo of a cat", "a photo of a dog"});
  const SmallClip a = small_clip(words, {8, 16}, 3), b = small_clip(words, {8, 16}, 3);
  const Tensor<float, 2> texts = embed_texts(a, words, {"a photo of a cat"}),
                         same = embed_texts(b, words, {"a photo of a cat"});
  CHECK(texts.shape() == Shape<2>{1, 64});
  CHECK(std::equal(texts.begin(), texts.end(), same.begin()));
  CHECK(embed_images(a, Tensor<float, 4>({2, 3, 32, 32})).shape() == Shape<2>{2, 64});
  CHECK_THROWS_AS(small_clip(words, {}, 3), ConfigError);
}

TEST_CASE("costs: seconds go by, and memory is counted at its most") {
  CHECK(seconds_of([] {
          const auto start = std::chrono::steady_clock::now();
          while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(2)) {
          }
        }) >= 0.002);
  constexpr Index numbers = 1 << 20;
  const Tensor<float, 1> held_before({4 * numbers});
  const std::size_t bytes = memory_of([] {
    const Tensor<float, 1> gone({numbers});
    { const Tensor<float, 1> more({numbers}); }
    const Tensor<float, 1> again({numbers});
  });
  MESSAGE(bytes, " bytes for two tensors of ", numbers * 4, " at once");
  CHECK(bytes >= 2 * 4 * numbers);
  CHECK(bytes < 3 * 4 * numbers);
}

TEST_CASE("segmentation: how strong the strongest channel is") {
  CHECK(strongest_correlation({0.25, -0.75, 0.5}) == 0.75);
  CHECK(strongest_correlation({}) == 0);
}

TEST_CASE("attention over steps: a row for the picture and one for each word, a column for each step shown") {
  const TempDir folder;
  inkling_test::save_small_model(folder.path());
  StableDiffusion model = load_stable_diffusion(folder.path());
  TextToImageOptions o;
  o.prompt = "a red 7", o.steps = 4, o.guidance = 3, o.seed = 5;
  const auto size = [&](Index every, const std::vector<std::string>& without) {
    const Image image = attention_over_steps(model, o, every, without, 3);
    return std::pair(image.width, image.height);
  };
  const auto all = size(1, {}), fewer_words = size(1, {"a"}), fewer_steps = size(2, {}), ends = size(3, {});
  CHECK(all.second > fewer_words.second);
  CHECK(all.first == fewer_words.first);
  // Columns are alike wide: steps 1, 2, 3, 4; then 1, 3 and the last; then 1 and the last, which is on the way as well.
  CHECK(fewer_steps.first < all.first);
  CHECK(all.first - fewer_steps.first == fewer_steps.first - ends.first);
  CHECK(fewer_steps.second >= all.second);  // the title over fewer columns may need one line more
  CHECK_THROWS_AS(size(0, {}), ConfigError);
  CHECK(words_of(model, o.prompt).size() == 3);
}

TEST_CASE("data: TAESD gives back about what it was given") {
  const Taesd taesd = load_taesd(inkling_test::data_dir() / "taesd");
  Tensor<float, 4> picture({1, 3, 64, 64});
  for (Index c = 0; c < 3; ++c)
    for (Index i = 0; i < 64; ++i)
      for (Index j = 0; j < 64; ++j) picture(0, c, i, j) = static_cast<float>(i + j * c) / 192.0f;
  const Tensor<float, 4> z = taesd.encode(picture), back = taesd.decode(z);
  CHECK(z.shape() == Shape<4>{1, 4, 8, 8});
  const double decibels = psnr(back, picture, 0.0f, 1.0f);
  MESSAGE(decibels, " dB");
  CHECK(decibels > 20);
}

TEST_CASE("data: the segmentation sets, cells bright and membranes dark in the files") {
  const SegmentationSet nuclei = read_nuclei(inkling_test::data_dir() / "nuclei_dsb2018", 3, 2),
                        membranes = read_membranes(inkling_test::data_dir() / "isbi2012", 0, 1);
  REQUIRE(nuclei.size() == 2);
  CHECK(nuclei[0].name == "3");
  const auto share = [](const SegmentationSample& s) {
    return static_cast<double>(std::count(s.mask.begin(), s.mask.end(), 1)) / static_cast<double>(s.mask.size());
  };
  CHECK(share(nuclei[0]) < 0.5);
  CHECK(share(membranes[0]) == doctest::Approx(0.22).epsilon(0.25));  // about 22 % are membrane
}
