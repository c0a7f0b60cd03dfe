// One attention layer that reads a sentence and says one number for each word: the smallest network in which words
// change what other words mean.
#pragma once
#include <optional>

#include "inkling/nn/attention.hpp"

namespace inkling {

struct SentenceReaderConfig {
  Index vocabulary = 24, max_length = 12;
  Index width = 32, heads = 2;
  bool positions = true;  // false: the words without their order
  bool causal = false;    // true: a word sees itself and those before it
};

template <class T>
struct SentenceReader {
  SentenceReaderConfig config;
  Embedding<T> words;
  std::optional<Embedding<T>> positions;
  LayerNorm<T> norm1, norm2;
  Attention<T> attention;
  Linear<T> fc1, fc2;

  explicit SentenceReader(const SentenceReaderConfig& c)
      : config(c),
        words(c.vocabulary, c.width),
        norm1(c.width),
        norm2(c.width),
        attention(c.width, c.width, c.heads),
        fc1(c.width, 4 * c.width),
        fc2(4 * c.width, 1) {
    if (c.positions) positions.emplace(c.max_length, c.width);
    attention.options.causal = c.causal;
  }

  // ids[N, L] -> [N, L, 1]
  Variable<T, 3> forward(const Tensor<std::int64_t, 2>& ids) const {
    const auto [N, L] = ids.shape();
    Variable<T, 3> h = words.forward(ids);  // [N, L, D]
    if (positions) {
      Tensor<std::int64_t, 2> places({N, L}, uninitialized);
      for (Index n = 0; n < N; ++n)
        for (Index l = 0; l < L; ++l) places(n, l) = l;
      h = add(h, positions->forward(places));
    }
    const Variable<T, 3> x = norm1.forward(h);
    h = add(h, attention.forward(x, x));                     // words ask, words answer
    return fc2.forward(relu(fc1.forward(norm2.forward(h))));  // each word by itself: [N, L, 1]
  }
  template <class V>
  void visit(V&& v) {
    v("words", words);
    v("positions", positions);
    v("norm1", norm1);
    v("norm2", norm2);
    v("attention", attention);
    v("fc1", fc1);
    v("fc2", fc2);
  }
};

}  // namespace inkling
