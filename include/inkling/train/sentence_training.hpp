// Training a SentenceReader on the sentences in which an adjective depends on the word before it, and what it learned.
#pragma once
#include <algorithm>
#include <functional>
#include <vector>

#include "inkling/autograd/loss_ops.hpp"
#include "inkling/models/sentence_reader.hpp"
#include "inkling/train/negation_sentences.hpp"
#include "inkling/train/trainer.hpp"

namespace inkling {

// Trains in place, on batches of 64 sentences, and leaves the moving average in the model -> the loss of every step.
inline std::vector<float> train_sentence_reader(SentenceReader<float>& model, TrainOptions options,
                                                std::uint64_t seed = 1,
                                                const std::function<bool(const TrainStep&)>& after = {}) {
  Generator generator(seed);
  initialize(model, generator);
  Trainer<SentenceReader<float>> trainer(model, std::move(options));
  trainer.run(
      [&](Index step) {
        const SentenceBatch batch = NegationSentences::batch(seed, 64 * step, 64);
        return mse_loss(model.forward(batch.words), batch.worth);
      },
      after);
  trainer.use_average();
  return trainer.losses();
}
// Mean square error of what the words are worth.
inline double sentence_error(const SentenceReader<float>& model, const SentenceBatch& batch) {
  const NoGrad no_grad;
  return static_cast<double>(mse_loss(model.forward(batch.words), batch.worth).value()());
}

// Of the words that depend on another: the share of their attention that goes there, in the head that looks there most;
// on average. p[N, A, L, L], depends[N, L] with -1 for none
inline double attention_on(const Tensor<float, 4>& p, const Tensor<std::int64_t, 2>& depends) {
  require_shape(depends.shape(), Shape<2>{p.shape(0), p.shape(2)}, "attention_on depends");
  double sum = 0;
  Index words = 0;
  for (Index n = 0; n < p.shape(0); ++n)
    for (Index l = 0; l < p.shape(2); ++l) {
      const Index other = depends(n, l);
      if (other < 0) continue;
      if (other >= p.shape(3)) throw ShapeError("attention_on", "words within the sentence", std::to_string(other));
      float most = 0;
      for (Index head = 0; head < p.shape(1); ++head) most = std::max(most, p(n, head, l, other));
      sum += static_cast<double>(most), ++words;
    }
  return words ? sum / static_cast<double>(words) : 0;
}

}  // namespace inkling
