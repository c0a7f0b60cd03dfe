// Attention, from a bare dot product to queries, keys and values; what it is worth without the order of the words, and
// what a causal mask hides. A word changes what its neighbour means: "not good", "very dark".
// test: --out pictures/attention
#include <inkling/autograd/loss_ops.hpp>
#include <inkling/models/sentence_reader.hpp>
#include <inkling/plot/heat_map.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/line_plot.hpp>
#include <inkling/train/negation_sentences.hpp>
#include <inkling/train/trainer.hpp>

#include <numeric>

#include "example.hpp"

using namespace inkling;

namespace {

// ---- Without any weights: y = softmax(X X^T) X. Every word becomes the mean of the words it resembles. ----

// x[1, L, D]: words as their own queries, keys and values
Tensor<float, 3> bare_attention(const Tensor<float, 3>& x) {
  kernels::AttentionOptions plain;
  plain.scale = 1;
  return kernels::attention(x, x, x, plain).y;
}

// ---- With queries, keys and values, learned ----

struct Trained {
  SentenceReader<float> model;
  std::vector<float> losses;
  double error;  // mean square, on sentences never seen
};

Trained train(const SentenceReaderConfig& config, const std::filesystem::path& folder, const std::string& name) {
  Trained t{SentenceReader<float>(config), {}, 0};
  Generator generator(1);
  initialize(t.model, generator);
  TrainOptions options;
  options.name = name, options.folder = folder, options.steps = 600, options.learning_rate = 3e-3;
  Trainer<SentenceReader<float>> trainer(t.model, options);
  trainer.run(
      [&](Index step) {
        const SentenceBatch batch = NegationSentences::batch(1, 64 * step, 64);
        return mse_loss(t.model.forward(batch.words), batch.worth);
      },
      {});
  t.losses = trainer.losses();
  trainer.use_average();
  const SentenceBatch unseen = NegationSentences::batch(2, 0, 500);
  t.error = static_cast<double>(mse_loss(t.model.forward(unseen.words), unseen.worth).value()());
  std::printf("%-24s mean square error %.4f on 500 new sentences\n", name.c_str(), t.error);
  return t;
}

// Who looks at whom: [heads, L, L] for sentence n
Tensor<float, 4> weights(Trained& t, const SentenceBatch& batch) {
  Tensor<float, 4> p;
  Observer<float> observer;
  observer.watch(t.model);
  observer.on_attention = [&](const std::string&, const auto& q, const auto& k, const auto& options) {
    p = kernels::attention_probabilities(q, k, options);
  };
  const NoGrad no_grad;
  const Observation<float> watching(observer);
  t.model.forward(batch.words);
  return p;
}

Image drawn(const Tensor<float, 4>& p, Index n, Index head, const std::vector<std::string>& words) {
  const Index L = static_cast<Index>(words.size());
  Tensor<float, 2> map({L, L});
  for (Index i = 0; i < L; ++i)
    for (Index j = 0; j < L; ++j) map(i, j) = p(n, head, i, j);
  plot::HeatMapOptions look;
  look.title = "head " + std::to_string(head + 1) + ": rows ask, columns answer";
  look.row_names = look.column_names = words, look.low = 0, look.high = 1, look.scale = 26;
  return plot::heat_map(map, look);
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv, "attention [--out FOLDER]: from a dot product to queries, keys and values");
  return example.run([&] {
    const std::filesystem::path out = example.folder("--out", "pictures/attention");

    // "bank" lies halfway between water (first number) and money (second); its neighbour pulls it to one side.
    const auto bank_beside = [](float water, float money) {
      Tensor<float, 3> x({1, 2, 2});
      x(0, 0, 0) = water, x(0, 0, 1) = money, x(0, 1, 0) = 1, x(0, 1, 1) = 1;
      const Tensor<float, 3> y = bare_attention(x);
      std::printf("bank (1.00, 1.00) beside (%.0f, %.0f) becomes (%.2f, %.2f)\n", static_cast<double>(water),
                  static_cast<double>(money), static_cast<double>(y(0, 1, 0)), static_cast<double>(y(0, 1, 1)));
      return std::pair(y(0, 1, 0), y(0, 1, 1));
    };
    const auto river = bank_beside(3, 0), loan = bank_beside(0, 3);
    example.claim(river.first > river.second && loan.second > loan.first,
                  "a bare dot product moves a word towards its neighbours");

    // ---- Order ----
    const std::filesystem::path runs = out / "training";
    std::filesystem::remove_all(runs);
    std::filesystem::create_directories(runs);
    SentenceReaderConfig config, no_order = config, causal = config;
    no_order.positions = false, causal.causal = true;
    Trained with = train(config, runs, "with positions"), without = train(no_order, runs, "without positions"),
            masked = train(causal, runs, "with a causal mask");
    example.claim(with.error < 0.01, "with positions the task is solved");
    example.claim(without.error > 20 * with.error,
                  "without positions it is not: \"not good and bad\" and \"good and not bad\" are the same bag of words");
    example.claim(masked.error < 0.01, "a causal mask does no harm where what matters comes before");
    std::vector<plot::Series> curves;
    for (const auto& [name, t] : {std::pair("with positions", &with), {"without", &without}, {"causal", &masked}}) {
      curves.push_back(plot::series(name, {}));
      for (std::size_t i = 0; i + 10 <= t->losses.size(); i += 10) {
        curves.back().x.push_back(static_cast<double>(i + 10));
        curves.back().y.push_back(static_cast<double>(
            std::accumulate(t->losses.begin() + static_cast<std::ptrdiff_t>(i),
                            t->losses.begin() + static_cast<std::ptrdiff_t>(i + 10), 0.0f) / 10));
      }
    }
    plot::LinePlotOptions look;
    look.title = "learning what words do to each other", look.x_label = "step", look.y_label = "loss", look.log_y = true;
    write_png(out / "losses.png", plot::line_plot(curves, look));

    // ---- Where it looks ----
    const SentenceBatch batch = NegationSentences::batch(2, 0, 500);
    const Tensor<float, 4> p = weights(with, batch);
    double to_modifier = 0, modified = 0;
    Index longest = 0, most = 0;
    for (Index n = 0; n < 500; ++n) {
      Index dependent = 0;
      for (Index l = 0; l < NegationSentences::length; ++l) {
        if (batch.depends(n, l) < 0) continue;
        to_modifier += static_cast<double>(std::max(p(n, 0, l, batch.depends(n, l)), p(n, 1, l, batch.depends(n, l))));
        modified += 1, ++dependent;
      }
      if (dependent > most) most = dependent, longest = n;
    }
    std::printf("an adjective gives its \"not\" or \"very\" %.0f %% of its attention, in the head that looks there\n",
                100 * to_modifier / modified);
    example.claim(to_modifier / modified > 0.5, "adjectives look at the word that changes them");
    std::vector<std::string> words = NegationSentences::text(batch, longest);
    while (words.back() == ".") words.pop_back();
    write_png(out / "heads.png", plot::image_grid({drawn(p, longest, 0, words), drawn(p, longest, 1, words)}, 2));

    // ---- The mask: what comes later cannot be known ----
    const auto first_words_differ = [&](const SentenceReader<float>& model) {
      SentenceBatch changed = batch;
      for (Index n = 0; n < 500; ++n)
        for (Index l = 6; l < NegationSentences::length; ++l) changed.words(n, l) = 10;  // not not not
      const NoGrad no_grad;
      const Tensor<float, 3> a = model.forward(batch.words).value(), b = model.forward(changed.words).value();
      double most_different = 0;
      for (Index n = 0; n < 500; ++n)
        for (Index l = 0; l < 6; ++l)
          most_different = std::max(most_different, std::abs(static_cast<double>(a(n, l, 0) - b(n, l, 0))));
      return most_different;
    };
    example.claim(first_words_differ(masked.model) == 0, "under the mask no later word changes an earlier one");
    example.claim(first_words_differ(with.model) > 0, "without the mask later words do");
  });
}
