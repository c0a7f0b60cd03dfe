// Attention, from a bare dot product to queries, keys and values; what it is worth without the order of the words, and
// what a causal mask hides. A word changes what its neighbour means: "not good", "very dark".
// test: --out pictures/attention
#include <inkling/nn/record_attention.hpp>
#include <inkling/plot/attention_map.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/line_plot.hpp>
#include <inkling/train/sentence_training.hpp>

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
  TrainOptions options;
  options.name = name, options.folder = folder, options.steps = 600, options.learning_rate = 3e-3;
  t.losses = train_sentence_reader(t.model, options);
  t.error = sentence_error(t.model, NegationSentences::batch(2, 0, 500));
  std::printf("%-24s mean square error %.4f on 500 new sentences\n", name.c_str(), t.error);
  return t;
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
    for (const auto& [name, t] : {std::pair("with positions", &with), {"without", &without}, {"causal", &masked}})
      curves.push_back(plot::smoothed(name, t->losses, 10));
    plot::LinePlotOptions look;
    look.title = "learning what words do to each other", look.x_label = "step", look.y_label = "loss", look.log_y = true;
    write_png(out / "losses.png", plot::line_plot(curves, look));

    // ---- Where it looks ----
    const SentenceBatch batch = NegationSentences::batch(2, 0, 500);
    const Tensor<float, 4> p =
        recorded_attention<float>(with.model, [&] { with.model.forward(batch.words); }).at("attention");
    const double share = attention_on(p, batch.depends);
    std::printf("an adjective gives its \"not\" or \"very\" %.0f %% of its attention, in the head that looks there\n",
                100 * share);
    example.claim(share > 0.5, "adjectives look at the word that changes them");
    Index richest = 0, most = 0;  // the sentence with the most "not" and "very"
    for (Index n = 0; n < 500; ++n) {
      const std::int64_t* depends = &batch.depends(n, 0);
      const Index count = NegationSentences::length - std::count(depends, depends + NegationSentences::length, -1);
      if (count > most) most = count, richest = n;
    }
    std::vector<std::string> words = NegationSentences::text(batch, richest);
    while (words.back() == ".") words.pop_back();
    write_png(out / "heads.png", plot::image_grid({plot::attention_map(p, richest, 0, words),
                                                   plot::attention_map(p, richest, 1, words)}, 2));

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
