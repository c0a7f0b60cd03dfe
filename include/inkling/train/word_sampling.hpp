// What word2vec draws at random: which words of the text are looked at, how far around, and which words are the wrong
// answers. Mikolov, Sutskever, Chen, Corrado, Dean, "Distributed representations of words and phrases and their
// compositionality", 2013, sections 2.2 and 2.3.
#pragma once
#include <cmath>
#include <numeric>

#include "inkling/kernels/sample_lists.hpp"
#include "inkling/text/corpus.hpp"
#include "inkling/train/sample_random.hpp"

namespace inkling {

// The share of a frequent word's occurrences that is kept, f = its share of the text:
//   P(keep) = sqrt(t / f) + t / f, at most 1
// as word2vec.c has it; the paper's equation (5) is sqrt(t / f), which keeps a little less. t = 0 keeps everything.
inline double keep_probability(double f, double t) {
  return t > 0 && f > 0 ? std::min(1.0, std::sqrt(t / f) + t / f) : 1.0;
}

// Draws i with probability weight_i / sum in constant time: A. Walker's alias method (1977) with the tables of
// M. Vose, "A linear algorithm for generating random numbers with a given distribution", 1991. Every slot holds one
// number and a part of one other. 8 bytes a word, where word2vec.c has a table of 100 million.
class AliasTable {
 public:
  explicit AliasTable(const std::vector<double>& weights) : slots_(weights.size()) {
    double sum = 0;
    for (const double w : weights) {
      if (!(w >= 0 && std::isfinite(w))) throw ConfigError("AliasTable", "weights of at least 0", std::to_string(w));
      sum += w;
    }
    if (!(sum > 0 && std::isfinite(sum))) throw ConfigError("AliasTable", "a weight above 0", "none");
    std::vector<double> share(weights.size());
    std::vector<std::size_t> poor, rich;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      share[i] = weights[i] / sum * static_cast<double>(weights.size());
      (share[i] < 1 ? poor : rich).push_back(i);
    }
    const auto set = [&](std::size_t i, double own, std::size_t other) {
      slots_[i] = {static_cast<std::uint32_t>(std::min(own * 0x1p32, 0x1p32 - 1)), static_cast<std::int32_t>(other)};
    };
    while (!poor.empty() && !rich.empty()) {
      const std::size_t p = poor.back(), r = rich.back();
      poor.pop_back();
      set(p, share[p], r);
      share[r] -= 1 - share[p];
      if (share[r] < 1) rich.pop_back(), poor.push_back(r);
    }
    for (const auto* rest : {&poor, &rich})  // whole but for rounding
      for (const std::size_t i : *rest) set(i, 1, i);
  }

  // bits: 64 random ones
  std::int32_t draw(std::uint64_t bits) const {
    const std::uint64_t i = (bits >> 32) * slots_.size() >> 32;
    return static_cast<std::uint32_t>(bits) <= slots_[i].own ? static_cast<std::int32_t>(i) : slots_[i].other;
  }

 private:
  struct Slot {
    std::uint32_t own;
    std::int32_t other;
  };
  std::vector<Slot> slots_;
};

struct WordSamplingOptions {
  bool cbow = true;           // the words around predict the middle; false: skip-gram, each of them does by itself
  Index window = 5;           // how many words on either side at most: every sample draws its own 1..window
  Index negative = 5;         // wrong answers a sample
  double subsample = 1e-4;    // t of keep_probability; 0 keeps all words
  double noise_power = 0.75;  // wrong answers are drawn with count^0.75: section 2.2
};

class WordSampler {
 public:
  WordSampler(const Corpus& corpus, const WordSamplingOptions& options)
      : corpus_(corpus), options_(options), noise_(noise_weights(corpus.vocabulary, options)) {
    if (options.window < 1 || options.window > 1000)
      throw ConfigError("WordSamplingOptions.window", "1 to 1000", std::to_string(options.window));
    if (options.negative < 1 || options.negative > 1000)
      throw ConfigError("WordSamplingOptions.negative", "1 to 1000", std::to_string(options.negative));
    if (!(options.subsample >= 0 && options.subsample <= 1))
      throw ConfigError("WordSamplingOptions.subsample", "0 to 1", std::to_string(options.subsample));
    for (const std::int64_t count : corpus.vocabulary.counts())
      keep_.push_back(
          keep_probability(static_cast<double>(count) / static_cast<double>(corpus.words), options.subsample));
  }

  // Appends the samples of text[begin, end), which are a function of that piece and of `random` alone: windows do not
  // reach beyond the piece, nor beyond the end of a line. Words that are left out do not count as distance.
  void append(std::size_t begin, std::size_t end, SampleRandom random, kernels::SampleLists& to) const {
    std::vector<std::int32_t> line;
    for (std::size_t i = begin; i < end; ++i) {
      const std::int32_t id = corpus_.text[i];
      if (id == Corpus::end_of_line)
        append_line(line, random, to), line.clear();
      else if (random.chance(keep_[static_cast<std::size_t>(id)]))
        line.push_back(id);
    }
    append_line(line, random, to);
  }

  std::int32_t noise(SampleRandom& random) const { return noise_.draw(random.next()); }

 private:
  static std::vector<double> noise_weights(const Vocabulary& vocabulary, const WordSamplingOptions& options) {
    std::vector<double> weights;
    for (const std::int64_t count : vocabulary.counts())
      weights.push_back(std::pow(static_cast<double>(count), options.noise_power));
    return weights;
  }
  void append_line(const std::vector<std::int32_t>& line, SampleRandom& random, kernels::SampleLists& to) const {
    const Index length = static_cast<Index>(line.size());
    for (Index middle = 0; middle < length; ++middle) {
      const Index reach = 1 + random.below(options_.window);
      const Index first = std::max<Index>(0, middle - reach), last = std::min(length - 1, middle + reach);
      if (first == last) continue;
      const std::int32_t target = line[static_cast<std::size_t>(middle)];
      for (Index i = first; i <= last; ++i) {
        if (i == middle) continue;
        to.inputs.push_back(line[static_cast<std::size_t>(i)]);
        if (!options_.cbow) append_targets(target, random, to);
      }
      if (options_.cbow) append_targets(target, random, to);
    }
  }
  void append_targets(std::int32_t target, SampleRandom& random, kernels::SampleLists& to) const {
    to.targets.push_back(target);
    for (Index k = 0; k < options_.negative; ++k)
      if (const std::int32_t wrong = noise(random); wrong != target) to.targets.push_back(wrong);
    to.end_sample();
  }

  const Corpus& corpus_;
  WordSamplingOptions options_;
  AliasTable noise_;
  std::vector<double> keep_;
};

}  // namespace inkling
