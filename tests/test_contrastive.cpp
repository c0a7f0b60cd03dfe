// Contrastive training: archives of pictures, captions, and a pair that learns three colours by their names.
#include "support.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <fstream>

#include "inkling/autograd/gradient_check.hpp"
#include "inkling/io/cifar_pictures.hpp"
#include "inkling/models/conv_image_encoder.hpp"
#include "inkling/train/contrastive.hpp"

namespace {

using namespace inkling;
using namespace inkling_test;

// One member of a tar file, header and bytes.
std::string member(const std::string& name, const std::string& bytes, char kind = '0', const std::string& size = {}) {
  std::string h(512, '\0');
  char octal[12];
  std::snprintf(octal, sizeof octal, "%011o", static_cast<unsigned>(bytes.size()));
  h.replace(0, name.size(), name);
  h.replace(124, 11, size.empty() ? std::string(octal) : size);
  h[156] = kind;
  h.replace(148, 8, "        ");
  unsigned sum = 0;
  for (const char c : h) sum += static_cast<unsigned char>(c);
  char check[8];
  std::snprintf(check, sizeof check, "%06o", sum & 0x3ffff);
  h.replace(148, 7, std::string(check, 7));
  return h + bytes + std::string((512 - bytes.size() % 512) % 512, '\0');
}
const std::string end_of_tar(1024, '\0');

std::filesystem::path written(const TempDir& folder, const std::string& bytes) {
  const std::filesystem::path path = folder.path() / "a.tar";
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}
std::string png(Index side, std::uint8_t red) {
  Image image(side, side, 3);
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) image.pixels[i] = red, image.pixels[i + 2] = 9;
  return encode_png(image);
}
const std::vector<std::string> ten{"airplane", "automobile", "bird",  "cat",  "deer",
                                   "dog",      "frog",       "horse", "ship", "truck"};

// Pictures of 8 x 8 in one of three colours, with noise.
LabelledColorImages colors(Index count) {
  LabelledColorImages set{Tensor<std::uint8_t, 4>({count, 3, 8, 8}), Tensor<std::uint8_t, 1>({count})};
  for (Index n = 0; n < count; ++n) {
    SampleRandom random(1, static_cast<std::uint64_t>(n));
    set.labels(n) = static_cast<std::uint8_t>(n % 3);
    for (Index c = 0; c < 3; ++c)
      for (Index i = 0; i < 64; ++i)
        set.images(n, c, i / 8, i % 8) = static_cast<std::uint8_t>((c == n % 3 ? 150 : 50) + random.below(60));
  }
  return set;
}
const ClassCaptions color_captions{{"{} square", "look, {} thing"}, {{"red"}, {"green", "emerald"}, {"blue"}}};

using Pair = ClipModel<float, ConvImageEncoder<float>>;
Pair small_pair(const Tokenizer& tokenizer) {
  ClipTextConfig text;
  text.vocab_size = tokenizer.vocab_size(), text.max_positions = 8, text.hidden_size = 16, text.intermediate_size = 32;
  text.layers = 1, text.heads = 2, text.projection_dim = 8;
  text.bos_token_id = tokenizer.start_id(), text.eos_token_id = tokenizer.end_id(),
  text.pad_token_id = tokenizer.pad_id();
  ConvImageEncoderConfig vision;
  vision.image_size = 8, vision.channels = {8}, vision.hidden_size = 8;
  Pair pair(text, vision);
  Generator generator(1);
  initialize(pair, generator);
  return pair;
}

}  // namespace

TEST_CASE("tar: files come in order, folders are passed over") {
  const TempDir folder;
  std::vector<std::string> names, contents;
  read_tar(
      written(folder, member("d/", "", '5') + member("d/one", "1") + member("two", std::string(513, 'x')) + end_of_tar),
      [&](const std::string& name, std::span<const std::byte> bytes) {
        names.push_back(name);
        contents.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      });
  CHECK(names == std::vector<std::string>{"d/one", "two"});
  CHECK(contents == std::vector<std::string>{"1", std::string(513, 'x')});
}

TEST_CASE("tar: damage is a clear error") {
  const TempDir folder;
  const auto reads = [&](const std::string& bytes) {
    read_tar(written(folder, bytes), [](const std::string&, std::span<const std::byte>) {});
  };
  const std::string good = member("one", "content");
  CHECK_NOTHROW(reads(good + end_of_tar));
  CHECK_THROWS_AS(reads(""), FormatError);
  CHECK_THROWS_AS(reads(good), FormatError);                               // no end
  CHECK_THROWS_AS(reads(good.substr(0, 600)), FormatError);                // cut in a member
  CHECK_THROWS_AS(reads("X" + good.substr(1) + end_of_tar), FormatError);  // the sum is wrong
  CHECK_THROWS_AS(reads(std::string(2048, 'z')), FormatError);
  CHECK_THROWS_AS(reads(member("big", "", '0', "77777777777") + end_of_tar), FormatError);
  CHECK_THROWS_AS(reads(member("odd", "", '0', "00000009xyz") + end_of_tar), FormatError);
}

TEST_CASE("CIFAR-10 from an archive of pictures: class by name, planes in order") {
  const TempDir folder;
  const LabelledColorImages set =
      read_cifar10_pictures(written(folder, member("train/00000_ship.png", png(32, 200)) +
                                                member("train/00001_cat.png", png(32, 7)) + end_of_tar),
                            ten);
  REQUIRE(set.size() == 2);
  CHECK(set.labels(0) == 8);
  CHECK(set.labels(1) == 3);
  CHECK(set.images(0, 0, 31, 31) == 200);
  CHECK(set.images(1, 0, 0, 5) == 7);
  CHECK(set.images(1, 1, 0, 5) == 0);
  CHECK(set.images(1, 2, 0, 5) == 9);
  std::filesystem::rename(folder / "a.tar", folder / "train_jpg.tar.gz");  // the reader looks inside, not at the name
  std::ofstream names(folder / "batches.meta.txt");
  for (const std::string& name : ten) names << name << "\n";
  names.close();
  CHECK(read_cifar10_training(folder.path()).images(1, 2, 0, 5) == 9);
  CHECK_THROWS_AS(read_cifar10_pictures(written(folder, member("train/0_boat.png", png(32, 1)) + end_of_tar), ten),
                  FormatError);
  CHECK_THROWS_AS(read_cifar10_pictures(written(folder, member("train/0_ship.png", png(31, 1)) + end_of_tar), ten),
                  FormatError);
  CHECK_THROWS_AS(read_cifar10_pictures(written(folder, member("train/0_ship.png", "no picture") + end_of_tar), ten),
                  FormatError);
}

TEST_CASE("captions: articles, names, and new sentences of known words") {
  CHECK(fill_in("a photo of {}", "airplane") == "a photo of an airplane");
  CHECK(fill_in("{} in a photo", "ship") == "a ship in a photo");
  CHECK_THROWS_AS(fill_in("a photo", "ship"), ConfigError);
  const ClassCaptions captions = cifar10_captions();
  REQUIRE(captions.names.size() == 10);
  const Tokenizer tokenizer = word_tokenizer(captions.all());
  for (const std::string& sentence : cifar10_new_sentences()) {
    for (const std::string& known : captions.sentences) CHECK(sentence != known);
    const std::string text = fill_in(sentence, "ship");
    CHECK(tokenizer.words(text).size() == tokenizer.encode(text).size());  // each word is one token: all are known
  }
  SampleRandom random(1, 2);
  for (int i = 0; i < 50; ++i) {
    const std::string text = captions.draw(8, random);
    CHECK((text.find("ship") != text.npos || text.find("boat") != text.npos));
  }
}

TEST_CASE("contrastive training: three colours by name; the temperature stays where it is fixed") {
  const LabelledColorImages set = colors(60);
  const Tokenizer tokenizer = word_tokenizer(color_captions.all());
  const auto draw = [&](Index step) { return draw_captioned(set, color_captions, tokenizer, 8, 1, step, 16); };
  const ContrastiveBatch third = draw(3), again = draw(3), fourth = draw(4);
  CHECK(std::equal(third.texts.begin(), third.texts.end(), again.texts.begin()));
  CHECK(std::equal(third.images.begin(), third.images.end(), again.images.begin()));
  CHECK_FALSE(std::equal(third.images.begin(), third.images.end(), fourth.images.begin()));
  for (const double temperature : {0.0, 0.2}) {
    const TempDir folder;
    Pair pair = small_pair(tokenizer);
    TrainOptions options;
    options.name = "colours", options.folder = folder.path(), options.steps = 60, options.learning_rate = 1e-2;
    options.warmup_steps = 5, options.ema_decay = 0.9;
    std::vector<float> losses;
    train_contrastive(pair, options, draw, temperature > 0 ? std::optional(temperature) : std::nullopt,
                      [&](const TrainStep& s) {
                        losses.push_back(static_cast<float>(s.loss));
                        return true;
                      });
    const double right = share_right(
        similarities(embed_images(pair, set), embed_nouns(pair, tokenizer, {"red", "green", "blue"}, {"{} square"})),
        set.labels);
    const double now = std::exp(-static_cast<double>(pair.logit_scale.value()()));
    MESSAGE("loss ", losses.front(), " to ", losses.back(), ", right ", right, ", temperature ", now);
    CHECK(losses.back() < losses.front());
    CHECK(right > 0.95);
    if (temperature > 0) CHECK(now == doctest::Approx(0.2));
    if (temperature == 0) CHECK(std::abs(now - 0.07) > 1e-4);
  }
  Pair pair = small_pair(tokenizer);
  CHECK_THROWS_AS(train_contrastive(pair, {}, draw, -1.0), ConfigError);
  const LabelledColorImages many = colors(260);  // more than are looked at in one go
  const Tensor<float, 2> all = embed_images(pair, many);
  for (const Index n : {Index{0}, Index{5}, Index{259}}) {
    const Tensor<float, 2> one = embed_images(pair, signed_pixels(many, n, 1));
    for (Index i = 0; i < 8; ++i) CHECK(all(n, i) == doctest::Approx(one(0, i)).epsilon(1e-4));
  }
  const Tensor<float, 2> nouns = embed_nouns(pair, tokenizer, {"red", "blue"}, {"{} square", "look, {} thing"});
  for (Index n = 0; n < 2; ++n) {
    double length = 0;
    for (Index i = 0; i < 8; ++i) length += static_cast<double>(nouns(n, i)) * static_cast<double>(nouns(n, i));
    CHECK(length == doctest::Approx(1).epsilon(1e-5));
  }
}

TEST_CASE("contrastive loss: each row and each column finds its own, with its gradient") {
  Generator g(4);
  Tensor<double, 2> values = g.randn<double>(Shape<2>{5, 5});
  for (double& v : values) v *= 3;
  // L = 1/2N sum_n (log sum_m exp l_nm - l_nn) + (log sum_m exp l_mn - l_nn)
  double expected = 0;
  for (Index n = 0; n < 5; ++n) {
    double row = 0, column = 0;
    for (Index m = 0; m < 5; ++m) row += std::exp(values(n, m)), column += std::exp(values(m, n));
    expected += (std::log(row) + std::log(column) - 2 * values(n, n)) / 10;
  }
  const Variable<double, 2> logits(values);
  CHECK(contrastive_loss(logits).value()() == doctest::Approx(expected).epsilon(1e-12));
  GradientCheck check;
  check_gradient(check, "logits", logits, [&] { return contrastive_loss(logits); }, 25);
  CHECK(check.compared == 25);
  CHECK_MESSAGE(check.worst < 1e-8, check.where);  // h^2 of third derivatives below 1, and rounding 1e-16 / h
}

TEST_CASE("image encoder of convolutions: the mean of its features, gradients in double against measured slopes") {
  ConvImageEncoderConfig config;
  config.image_size = 12, config.channels = {4, 6}, config.hidden_size = 6, config.norm_groups = 2;
  for (const bool reference : {true, false}) {
    std::optional<kernels::UseReference> use;
    if (reference) use.emplace();
    ConvImageEncoder<double> encoder(config);
    Generator g(7);
    initialize(encoder, g);
    for_each_parameter(encoder, [&](const std::string&, auto& p) {
      for (double& v : p.value()) v += 0.1 * g.normal();  // no bias at 0, no gain at 1
      p.set_trainable(true);
    });
    const Variable<double, 4> x(g.randn<double>(Shape<4>{3, 3, 12, 12}));
    const Variable<double, 4> maps = encoder.forward(x);
    REQUIRE(maps.shape() == Shape<4>{3, 6, 3, 3});  // 12, 6, 3
    const Variable<double, 2> pooled = encoder.pooled(maps), weights(g.randn<double>(Shape<2>{3, 6}));
    REQUIRE(pooled.shape() == Shape<2>{3, 6});
    for (Index n = 0; n < 3; ++n)
      for (Index c = 0; c < 6; ++c) {
        double sum = 0;
        for (Index i = 0; i < 9; ++i) sum += maps.value()(n, c, i / 3, i % 3);
        CHECK(pooled.value()(n, c) == doctest::Approx(sum / 9).epsilon(1e-12));
      }
    const auto loss = [&] { return scale(mean(mul(encoder.pooled(encoder.forward(x)), weights)), 18.0); };
    GradientCheck check;
    check_gradient(check, "pixels", x, loss, 24);
    CHECK(check.compared == 24);
    Index parameters = 0, moved = 0;
    for_each_parameter(encoder, [&](const std::string& path, auto& p) {
      check_gradient(check, path, p.variable(), loss, 4);
      ++parameters, moved += std::min<Index>(4, p.size());
    });
    MESSAGE("worst ", check.worst, " of ", check.compared, " at ", check.where);
    CHECK(parameters == 2 * 2 + 2 * 8 + 2);  // a convolution, and two norms with theirs, at both levels; the last norm
    CHECK(check.compared == 24 + moved);
    CHECK(check.worst < 1e-7);  // h^2 = 1e-10 times third derivatives of norms of a few numbers
  }
}

TEST_CASE("captioned pictures: moved by up to four pixels, mirrored half of the time, with a caption of their class") {
  LabelledColorImages set{Tensor<std::uint8_t, 4>({3, 3, 16, 16}), Tensor<std::uint8_t, 1>({3})};
  for (Index n = 0; n < 3; ++n) set.labels(n) = static_cast<std::uint8_t>(n), set.images(n, n, 8, 7) = 255;
  const Tokenizer tokenizer = word_tokenizer(color_captions.all());
  std::vector<Tensor<std::int64_t, 2>> of_class;
  for (const auto& nouns : color_captions.names) {
    std::vector<std::string> texts;
    for (const std::string& sentence : color_captions.sentences)
      for (const std::string& noun : nouns) texts.push_back(fill_in(sentence, noun));
    of_class.push_back(token_rows(tokenizer, texts, 8));
  }
  std::vector<Index> seen(3), rows(16), columns(16);
  for (Index step = 0; step < 10; ++step) {
    const ContrastiveBatch batch = draw_captioned(set, color_captions, tokenizer, 8, 1, step, 60);
    for (Index n = 0; n < 60; ++n)
      for (Index c = 0; c < 3; ++c)
        for (Index i = 0; i < 16; ++i)
          for (Index j = 0; j < 16; ++j)
            if (batch.images(n, c, i, j) > 0) {
              ++seen[static_cast<std::size_t>(c)], ++rows[static_cast<std::size_t>(i)],
                  ++columns[static_cast<std::size_t>(j)];
              const Tensor<std::int64_t, 2>& texts = of_class[static_cast<std::size_t>(c)];
              bool found = false;
              for (Index t = 0; t < texts.shape(0); ++t)
                found = found || std::equal(&texts(t, 0), &texts(t, 0) + 8, &batch.texts(n, 0));
              CHECK(found);
            }
  }
  // 600 draws; the rarest place, a column that only one of both sides reaches, has 1 in 18: 33 +- 6.
  for (Index i = 0; i < 16; ++i) {
    CHECK((rows[static_cast<std::size_t>(i)] > 0) == (i >= 4 && i <= 12));
    CHECK((columns[static_cast<std::size_t>(i)] > 0) == (i >= 3 && i <= 12));  // 7 or 8, 4 to either side
  }
  CHECK(seen[0] + seen[1] + seen[2] == 600);
  for (const Index s : seen) CHECK(std::abs(s - 200) < 60);  // +- 11.5
}
