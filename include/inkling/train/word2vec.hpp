// Word vectors from a text: skip-gram and CBOW with negative sampling (Mikolov et al. 2013), two lists of vectors.
//
// A word has two vectors, one for when it stands around (in) and one for when it is asked for (out): a word rarely
// stands beside itself, so its two roles must be allowed to differ. The in-list is what one keeps; words are near each
// other in it when they are found in the same company. An in-vector is near an out-vector when the two words are found
// together.
#pragma once
#include <chrono>
#include <filesystem>
#include <functional>

#include "inkling/core/random.hpp"
#include "inkling/io/safetensors.hpp"
#include "inkling/io/safetensors_writer.hpp"
#include "inkling/kernels/negative_sampling.hpp"
#include "inkling/text/word_vectors.hpp"
#include "inkling/train/word_sampling.hpp"

namespace inkling {

struct Word2VecOptions {
  WordSamplingOptions sampling{};
  Index size = 100;  // numbers a word
  Index epochs = 5;
  double learning_rate = 0.05;  // falls to nearly 0 along a line; word2vec.c: 0.05 for CBOW, 0.025 for skip-gram
  Index batch = 256;            // samples whose gradients are taken at the same weights
  std::uint64_t seed = 1;
  std::filesystem::path checkpoint = {};  // a file from which a run that was stopped goes on; none: nothing is kept
  double checkpoint_seconds = 60;
};

struct Word2VecProgress {
  Index words, all_words;                        // of the text, once for each epoch
  double words_per_second, learning_rate, loss;  // loss: of a sample, the mean of the last round
};

class Word2Vec {
 public:
  // Takes up the checkpoint where there is one. The corpus must stay.
  Word2Vec(const Corpus& corpus, Word2VecOptions options)
      : corpus_(corpus), options_(std::move(options)), sampler_(corpus, options_.sampling) {
    if (options_.size < 1 || options_.size > 10000)
      throw ConfigError("Word2VecOptions.size", "1 to 10000", std::to_string(options_.size));
    if (options_.epochs < 1) throw ConfigError("Word2VecOptions.epochs", "at least 1", std::to_string(options_.epochs));
    if (options_.batch < 1 || options_.batch > 1 << 20)
      throw ConfigError("Word2VecOptions.batch", "1 to 1048576", std::to_string(options_.batch));
    kernels::require_positive(options_.learning_rate, "Word2VecOptions", "learning_rate");
    // Rows begin at whole cache lines; the numbers behind the last are zero and stay zero.
    const Index V = corpus.vocabulary.size(), padded = (options_.size + 15) / 16 * 16;
    in_ = Tensor<float, 2>({V, padded}), out_ = Tensor<float, 2>({V, padded});
    SampleRandom random(options_.seed, 0);
    const float reach = 0.5f / static_cast<float>(options_.size);  // word2vec.c: in uniform, out zero
    for (Index v = 0; v < V; ++v)
      for (Index i = 0; i < options_.size; ++i) in_(v, i) = random.uniform(-reach, reach);
    if (!options_.checkpoint.empty() && std::filesystem::exists(options_.checkpoint)) resume();
  }

  const Word2VecOptions& options() const { return options_; }
  bool finished() const { return round_ >= rounds() * options_.epochs; }

  // after(progress) may return false to stop; the checkpoint is saved first.
  void train(const std::function<bool(const Word2VecProgress&)>& after = {}) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    auto last_checkpoint = start;
    const Index first = round_;
    const double all = static_cast<double>(rounds() * options_.epochs);
    while (!finished()) {
      const double loss = one_round();
      ++round_;
      const auto now = Clock::now();
      const auto words = [&](Index rounds_done) {
        return static_cast<Index>(static_cast<double>(corpus_.words * options_.epochs) *
                                  static_cast<double>(rounds_done) / all);
      };
      const Word2VecProgress progress{words(round_), words(static_cast<Index>(all)),
                                      static_cast<double>(words(round_) - words(first)) /
                                          std::max(1e-9, std::chrono::duration<double>(now - start).count()),
                                      learning_rate(0), loss};
      const bool go_on = !after || after(progress);
      const bool due = std::chrono::duration<double>(now - last_checkpoint).count() > options_.checkpoint_seconds;
      if (!options_.checkpoint.empty() && (due || !go_on || finished())) save(), last_checkpoint = now;
      if (!go_on) throw Stopped("word2vec");
    }
  }

  // The two lists as they are now, with `count` words at most.
  WordVectors in_vectors(Index count = std::numeric_limits<Index>::max()) const { return vectors(in_, count); }
  WordVectors out_vectors(Index count = std::numeric_limits<Index>::max()) const { return vectors(out_, count); }

 private:
  static constexpr Index piece =
      1024;  // places of the text that are sampled together, with random numbers of their own
  static constexpr Index pieces_a_round = 128;

  Index pieces() const { return (static_cast<Index>(corpus_.text.size()) + piece - 1) / piece; }
  Index rounds() const { return (pieces() + pieces_a_round - 1) / pieces_a_round; }
  // After a share of the round that is on. word2vec.c: rate = rate_0 max(1 - done, 0.0001)
  double learning_rate(double share) const {
    const double done = (static_cast<double>(round_) + share) / static_cast<double>(rounds() * options_.epochs);
    return options_.learning_rate * std::max(1 - done, 0.0001);
  }

  // Samples of 16 pieces of the text, then batch after batch of them; the mean loss of a sample. Everything depends on
  // (seed, round) and the weights alone.
  double one_round() {
    const Index in_epoch = round_ % rounds(), begin = in_epoch * pieces_a_round;
    const Index count = std::min(pieces_a_round, pieces() - begin);
    samples_.resize(static_cast<std::size_t>(count));
    parallel_for(count, piece * 100, [&](Index p) {
      kernels::SampleLists& to = samples_[static_cast<std::size_t>(p)];
      to.clear();
      const Index first = (begin + p) * piece, last = std::min(first + piece, static_cast<Index>(corpus_.text.size()));
      const auto index = static_cast<std::uint64_t>(round_ * pieces_a_round + p + 1);
      sampler_.append(static_cast<std::size_t>(first), static_cast<std::size_t>(last),
                      SampleRandom(options_.seed, index), to);
    });
    Index all = 0, done = 0;
    for (const auto& s : samples_) all += s.size();
    double loss = 0;
    const auto run_batch = [&] {
      const float rate = static_cast<float>(learning_rate(static_cast<double>(done) / static_cast<double>(all)));
      const auto result = kernels::negative_sampling(std::as_const(in_), std::as_const(out_), batch_, rate);
      kernels::negative_sampling_update(in_, out_, batch_, result);
      for (Index s = 0; s < batch_.size(); ++s) loss += static_cast<double>(result.loss(s));
      done += batch_.size();
      batch_.clear();
    };
    batch_.clear();
    // One sample of each piece after the other: those of one batch come from many places, so that few of them share
    // their words. Taken as they follow each other, a batch of 256 makes the weights grow without bound.
    for (Index s = 0; done + batch_.size() < all; ++s)
      for (const auto& from : samples_) {
        if (s >= from.size()) continue;
        batch_.inputs.insert(batch_.inputs.end(), from.inputs_of(s).begin(), from.inputs_of(s).end());
        batch_.targets.insert(batch_.targets.end(), from.targets_of(s).begin(), from.targets_of(s).end());
        batch_.end_sample();
        if (batch_.size() == options_.batch) run_batch();
      }
    if (batch_.size() > 0) run_batch();
    if (!std::isfinite(loss))
      throw Error("word2vec: round " + std::to_string(round_), "a finite loss", std::to_string(loss),
                  "a smaller learning rate or batch");
    return all > 0 ? loss / static_cast<double>(all) : 0;
  }

  WordVectors vectors(const Tensor<float, 2>& list, Index count) const {
    const Index V = std::min(count, list.shape(0));
    const auto& vocabulary = corpus_.vocabulary;
    WordVectors out{Vocabulary({vocabulary.words().begin(), vocabulary.words().begin() + V},
                               {vocabulary.counts().begin(), vocabulary.counts().begin() + V}),
                    Tensor<float, 2>({V, options_.size}, uninitialized)};
    for (Index v = 0; v < V; ++v)
      std::copy_n(list.data() + v * list.shape(1), options_.size, out.vectors.data() + v * options_.size);
    return out;
  }

  // What a run must share with the one that it takes up.
  std::string settings() const {
    const WordSamplingOptions& s = options_.sampling;
    std::uint64_t text = 14695981039346656037u;  // FNV-1a over the text
    for (const std::int32_t id : corpus_.text) text = (text ^ static_cast<std::uint32_t>(id)) * 1099511628211u;
    std::string out;
    for (const double v :
         {static_cast<double>(s.cbow), static_cast<double>(s.window), static_cast<double>(s.negative), s.subsample,
          s.noise_power, static_cast<double>(options_.size), static_cast<double>(options_.epochs),
          options_.learning_rate, static_cast<double>(options_.batch)})
      out += std::to_string(v) + " ";
    return out + std::to_string(options_.seed) + " " + std::to_string(text);
  }
  void save() const {
    write_safetensors(options_.checkpoint, {{"in", in_}, {"out", out_}},
                      {{"round", std::to_string(round_)}, {"settings", settings()}});
  }
  void resume() {
    const SafetensorsFile file(options_.checkpoint);
    const std::string where = file.path().string();
    if (file.metadata("settings") != settings())
      throw ConfigError(where, "a checkpoint of this text and these settings", "one of others",
                        "take another file, or remove it to begin anew");
    const std::string& round = file.metadata("round");
    if (round.empty() || round.size() > 12 || round.find_first_not_of("0123456789") != std::string::npos ||
        std::stoll(round) > rounds() * options_.epochs)
      throw FormatError(where, "a round of this run", printable(round));
    require_shape(file.shape("in"), where), require_shape(file.shape("out"), where);
    in_ = file.read<float, 2>("in"), out_ = file.read<float, 2>("out");
    round_ = std::stoll(round);
  }
  void require_shape(const std::vector<Index>& shape, const std::string& where) const {
    if (shape != std::vector<Index>{in_.shape(0), in_.shape(1)})
      throw FormatError(where, inkling::to_string(in_.shape()), inkling::to_string(shape));
  }

  const Corpus& corpus_;
  Word2VecOptions options_;
  WordSampler sampler_;
  Tensor<float, 2> in_, out_;  // [V, size, rounded up to 16]
  Index round_ = 0;            // counted through all epochs
  std::vector<kernels::SampleLists> samples_;
  kernels::SampleLists batch_;
};

}  // namespace inkling
