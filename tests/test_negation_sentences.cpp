// The made task of the attention chapter: what the sentences claim is what they say.
#include <doctest/doctest.h>

#include <set>

#include "inkling/models/sentence_reader.hpp"
#include "inkling/train/negation_sentences.hpp"
#include "inkling/autograd/gradient_check.hpp"
#include "inkling/autograd/loss_ops.hpp"

using namespace inkling;

TEST_CASE("negation sentences: the worth of an adjective is its sign, turned by not, doubled by very") {
  constexpr Index count = 1000, L = NegationSentences::length;
  const SentenceBatch batch = NegationSentences::batch(1, 0, count);
  std::set<float> worths;
  Index adjectives = 0;
  for (Index n = 0; n < count; ++n)
    for (Index l = 0; l < L; ++l) {
      const std::int64_t word = batch.words(n, l);
      REQUIRE(word >= 0);
      REQUIRE(word < static_cast<std::int64_t>(NegationSentences::vocabulary.size()));
      if (word < NegationSentences::first_good) {
        REQUIRE(batch.worth(n, l, 0) == 0);
        REQUIRE(batch.depends(n, l) == -1);
        continue;
      }
      const std::string_view before = NegationSentences::vocabulary[static_cast<std::size_t>(batch.words(n, l - 1))];
      const float sign = word < NegationSentences::first_bad ? 1.0f : -1.0f;
      REQUIRE(batch.worth(n, l, 0) == (before == "not" ? -sign : before == "very" ? 2 * sign : sign));
      REQUIRE(batch.depends(n, l) == (before == "not" || before == "very" ? l - 1 : -1));
      worths.insert(batch.worth(n, l, 0));
      ++adjectives;
    }
  CHECK(worths == std::set<float>{-2, -1, 1, 2});
  CHECK(adjectives > 2 * count);
  CHECK(adjectives < 3 * count);
  CHECK(NegationSentences::text(batch, 0).size() == static_cast<std::size_t>(L));
}

TEST_CASE("negation sentences: a sample is a function of seed and index alone") {
  const SentenceBatch all = NegationSentences::batch(4, 0, 50), part = NegationSentences::batch(4, 20, 10),
                      other = NegationSentences::batch(5, 0, 50);
  Index different = 0;
  for (Index n = 0; n < 50; ++n)
    for (Index l = 0; l < NegationSentences::length; ++l) {
      if (n >= 20 && n < 30) REQUIRE(part.words(n - 20, l) == all.words(n, l));
      different += all.words(n, l) != other.words(n, l);
    }
  CHECK(different > 100);
}

TEST_CASE("sentence reader: gradients in double against measured slopes") {
  for (const bool positions : {true, false}) {
    SentenceReaderConfig config;
    config.width = 8, config.positions = positions, config.causal = !positions;
    SentenceReader<double> model(config);
    Generator generator(3);
    initialize(model, generator);
    set_trainable(model, true);
    const SentenceBatch batch = NegationSentences::batch(1, 0, 2);
    const Tensor<double, 3> target = batch.worth.cast<double>();
    const auto loss = [&] { return mse_loss(model.forward(batch.words), target); };
    GradientCheck check;
    for_each_parameter(model, [&](const std::string& path, auto& p) { check_gradient(check, path, p.variable(), loss); });
    MESSAGE("worst: " << check.where);
    CHECK(check.compared > 50);
    CHECK(check.worst < 1e-6);
  }
}
