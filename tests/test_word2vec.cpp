// word2vec: the gradients are the formula's, the random draws have the shares they should, threads and interruptions
// change nothing, and words that keep the same company end up near each other.
#include <doctest/doctest.h>

#include <fstream>

#include "inkling/text/analogies.hpp"
#include "inkling/train/word2vec.hpp"
#include "support.hpp"

using namespace inkling;
using inkling_test::compare;
using kernels::SampleLists;

namespace {

struct Threads {
  explicit Threads(int n) : before(num_threads()) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before;
};

// Words met twice in a sample and in several samples are in it.
SampleLists some_samples(Index count, std::int32_t words) {
  SampleLists samples;
  SampleRandom random(3, 1);
  for (Index s = 0; s < count; ++s) {
    const Index inputs = 1 + random.below(9), targets = 2 + random.below(12);
    for (Index i = 0; i < inputs; ++i) samples.inputs.push_back(static_cast<std::int32_t>(random.below(words)));
    for (Index i = 0; i < targets; ++i) samples.targets.push_back(static_cast<std::int32_t>(random.below(words)));
    samples.end_sample();
  }
  return samples;
}
template <class T>
Tensor<T, 2> table(Index V, Index D, std::uint64_t seed) {
  return Generator(seed).randn<T>(Shape<2>{V, D});
}
// A text of two kinds of words: each sentence keeps to one kind.
Corpus two_kinds(Index words) {
  const inkling_test::TempDir folder;
  std::ofstream file(folder / "text");
  SampleRandom random(8, 0);
  for (Index i = 0; i < words / 8; ++i) {
    const char kind = random.chance(0.5) ? 'a' : 'b';
    for (int k = 0; k < 8; ++k) file << kind << random.below(6) << ' ';
    file << '\n';
  }
  file.close();
  return read_corpus(folder / "text", 1);
}
std::string file_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("negative sampling: gradients in double against measured slopes") {
  // The slope of a loss l(x) along one number, (l(x + d) - l(x - d)) / 2d, is off by about d^2 |l'''| / 6 + eps |l| /
  // d: with d = 1e-5 and losses below 100, 1e-9.
  constexpr Index V = 7, D = 5;
  Tensor<double, 2> in = table<double>(V, D, 1), out = table<double>(V, D, 2);
  const SampleLists samples = some_samples(6, V);
  const auto loss = [&] {
    double sum = 0;
    for (const double l : kernels::reference::negative_sampling(in, out, samples, 1).loss) sum += l;
    return sum;
  };
  const auto r = kernels::reference::negative_sampling(in, out, samples, 1);
  Tensor<double, 2> din({V, D}), dout({V, D});
  for (Index s = 0; s < samples.size(); ++s) {
    const double inputs = static_cast<double>(samples.inputs_of(s).size());
    for (const auto c : samples.inputs_of(s))
      for (Index i = 0; i < D; ++i) din(c, i) -= r.e(s, i) / inputs;
    for (std::size_t k = 0; k < samples.targets_of(s).size(); ++k)
      for (Index i = 0; i < D; ++i)
        dout(samples.targets_of(s)[k], i) -= r.g(samples.first_target(s) + static_cast<Index>(k)) * r.h(s, i);
  }
  double worst = 0;
  for (auto [weights, gradient] : {std::pair(&in, &din), {&out, &dout}})
    for (Index i = 0; i < V * D; ++i) {
      double& w = weights->data()[i];
      const double at = w, d = 1e-5;
      w = at + d;
      const double up = loss();
      w = at - d;
      const double slope = (up - loss()) / (2 * d);
      w = at;
      worst = std::max(worst, std::abs(slope - gradient->data()[i]));
    }
  MESSAGE("worst difference " << worst);
  CHECK(worst < 1e-8);
}

TEST_CASE("negative sampling: the update is in_c += e, out_k += g h, sample after sample") {
  Tensor<double, 2> in = table<double>(4, 3, 1), out = table<double>(4, 3, 2);
  const Tensor<double, 2> in0 = in, out0 = out;
  SampleLists samples;
  samples.inputs = {2, 2, 1}, samples.targets = {3, 0, 3}, samples.end_sample();
  const auto r = kernels::reference::negative_sampling(in, out, samples, 0.1);
  kernels::reference::negative_sampling_update(in, out, samples, r);
  for (Index i = 0; i < 3; ++i) {
    CHECK(in(0, i) == in0(0, i));
    CHECK(in(1, i) == doctest::Approx(in0(1, i) + r.e(0, i)));
    CHECK(in(2, i) == doctest::Approx(in0(2, i) + 2 * r.e(0, i)));
    CHECK(out(3, i) == doctest::Approx(out0(3, i) + (r.g(0) + r.g(2)) * r.h(0, i)));
    CHECK(out(0, i) == doctest::Approx(out0(0, i) + r.g(1) * r.h(0, i)));
  }
}

TEST_CASE("negative sampling: fast against reference, for any width and number of threads") {
  for (const Index D : {1, 3, 16, 100, 112, 131}) {
    constexpr Index V = 60;
    const SampleLists samples = some_samples(75, V);
    Tensor<float, 2> in = table<float>(V, D, 1), out = table<float>(V, D, 2);
    for (float& v : in) v *= 0.3f;
    Tensor<double, 2> in_d = in.cast<double>(), out_d = out.cast<double>();
    const auto expected = kernels::reference::negative_sampling(in_d, out_d, samples, 0.05);
    kernels::reference::negative_sampling_update(in_d, out_d, samples, expected);
    std::vector<Tensor<float, 2>> of_threads;
    for (const int threads : {1, 2, 3}) {
      const Threads scope(threads);
      Tensor<float, 2> a = in, b = out;
      const auto got = kernels::fast::negative_sampling(a, b, samples, 0.05f);
      // Sums of D + 10 products of numbers near 1, each rounded: errors of sqrt(D + 10) half units in the last place,
      // and the same again for the exponential.
      const double tolerance = 8 * std::sqrt(static_cast<double>(D) + 10) * 0x1p-24;
      const auto loss = compare(got.loss, expected.loss), e = compare(got.e, expected.e),
                 g = compare(got.g, expected.g);
      CHECK_MESSAGE(loss.relative() < tolerance, "loss " << loss);
      CHECK_MESSAGE(e.relative() < tolerance, "e " << e);
      CHECK_MESSAGE(g.relative() < tolerance, "g " << g);
      kernels::fast::negative_sampling_update(a, b, samples, got);
      CHECK_MESSAGE(compare(a, in_d).relative() < tolerance, compare(a, in_d));
      CHECK_MESSAGE(compare(b, out_d).relative() < tolerance, compare(b, out_d));
      of_threads.push_back(a), of_threads.push_back(b);
    }
    for (std::size_t i = 2; i < of_threads.size(); ++i)
      CHECK(std::equal(of_threads[i].begin(), of_threads[i].end(), of_threads[i % 2].begin()));
  }
}

TEST_CASE("negative sampling: lists that do not fit are refused by both") {
  const Tensor<float, 2> in({4, 3}), out({4, 3}), narrow({4, 2});
  const auto refuses = [&](const SampleLists& samples) {
    CHECK_THROWS_AS(kernels::reference::negative_sampling(in, out, samples, 0.1f), ShapeError);
    CHECK_THROWS_AS(kernels::fast::negative_sampling(in, out, samples, 0.1f), ShapeError);
  };
  SampleLists good;
  good.inputs = {1}, good.targets = {3, 0}, good.end_sample();
  CHECK_NOTHROW(kernels::fast::negative_sampling(in, out, good, 0.1f));
  CHECK_THROWS_AS(kernels::fast::negative_sampling(in, narrow, good, 0.1f), ShapeError);
  SampleLists bad = good;
  bad.targets[1] = 4, refuses(bad);
  bad = good, bad.inputs[0] = -1, refuses(bad);
  bad = good, bad.inputs.push_back(0), refuses(bad);
  bad = good, bad.end_sample(), refuses(bad);
}

TEST_CASE("alias table: numbers come in their shares") {
  // The squared deviations of n counts, each divided by its expectation, add up to about n, within sqrt(2n).
  const std::vector<double> weights{1, 0, 5, 0.25, 12, 3, 3, 1e-3, 40};
  const AliasTable alias(weights);
  constexpr Index draws = 1 << 20;
  std::vector<double> counts(weights.size());
  SampleRandom random(1, 1);
  for (Index i = 0; i < draws; ++i) ++counts[static_cast<std::size_t>(alias.draw(random.next()))];
  double deviation = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double expected = weights[i] / 64.251 * draws;
    if (weights[i] > 0)
      deviation += (counts[i] - expected) * (counts[i] - expected) / expected;
    else
      CHECK(counts[i] == 0);
  }
  MESSAGE("sum of squared deviations " << deviation << " (7 expected)");
  CHECK(deviation < 7 + 6 * std::sqrt(14.0));
  CHECK_THROWS_AS(AliasTable({}), ConfigError);
  CHECK_THROWS_AS(AliasTable({0, 0}), ConfigError);
  CHECK_THROWS_AS(AliasTable({1, -1}), ConfigError);
  CHECK_THROWS_AS(AliasTable({1, std::numeric_limits<double>::quiet_NaN()}), ConfigError);
}

TEST_CASE("word sampling: frequent words are thinned out, wrong answers have counts^0.75") {
  CHECK(keep_probability(0.01, 1e-4) == doctest::Approx(0.1 + 0.01));
  CHECK(keep_probability(1e-5, 1e-4) == 1);
  CHECK(keep_probability(0.5, 0) == 1);
  Corpus corpus;
  corpus.vocabulary = Vocabulary({"often", "sometimes", "seldom"}, {90000, 9000, 1000});
  corpus.words = 100000;
  SampleRandom random(2, 2);
  for (Index i = 0; i < corpus.words; ++i) {
    const double u = random.uniform();
    corpus.text.push_back(u < 0.9 ? 0 : u < 0.99 ? 1 : 2);
  }
  WordSamplingOptions options;
  options.window = 3, options.negative = 4, options.subsample = 0.01;
  SampleLists samples;
  WordSampler(corpus, options).append(0, corpus.text.size(), SampleRandom(5, 0), samples);
  std::array<double, 3> targets{}, wrong{}, met{}, reach{};
  for (const auto id : corpus.text) ++met[static_cast<std::size_t>(id)];
  for (Index s = 0; s < samples.size(); ++s) {
    const auto t = samples.targets_of(s);
    ++targets[static_cast<std::size_t>(t[0])];
    for (std::size_t k = 1; k < t.size(); ++k) CHECK(t[k] != t[0]);
    const std::size_t inputs = samples.inputs_of(s).size();
    if (s > 3 && s < samples.size() - 4) {  // 2, 4 or 6 words around, but for those at the ends
      REQUIRE((inputs == 2 || inputs == 4 || inputs == 6));
      ++reach[inputs / 2 - 1];
    }
    if (t[0] == 2)
      for (std::size_t k = 1; k < t.size(); ++k) ++wrong[static_cast<std::size_t>(t[k])];
  }
  for (std::size_t i = 0; i < 3; ++i) {
    const double p = keep_probability(i == 0 ? 0.9 : i == 1 ? 0.09 : 0.01, 0.01), kept = met[i] * p;
    CHECK(std::abs(targets[i] - kept) <= 6 * std::sqrt(kept * (1 - p)) + 1);  // six standard deviations
    const double third = static_cast<double>(samples.size()) / 3;
    CHECK(std::abs(reach[i] - third) < 6 * std::sqrt(third));
  }
  const double share = wrong[0] / (wrong[0] + wrong[1]);
  const double expected = std::pow(90000, 0.75) / (std::pow(90000, 0.75) + std::pow(9000, 0.75));
  CHECK(std::abs(share - expected) < 6 * std::sqrt(expected * (1 - expected) / (wrong[0] + wrong[1])));

  // The same piece and numbers give the same samples; other numbers give others.
  SampleLists again, other;
  WordSampler(corpus, options).append(0, corpus.text.size(), SampleRandom(5, 0), again);
  WordSampler(corpus, options).append(0, corpus.text.size(), SampleRandom(5, 1), other);
  CHECK(again.targets == samples.targets);
  CHECK(other.targets != samples.targets);
}

TEST_CASE("word sampling: windows end with the line; skip-gram asks with each word by itself") {
  Corpus corpus;
  corpus.vocabulary = Vocabulary({"a", "b", "c", "d"}, {1, 1, 1, 1});
  corpus.words = 4, corpus.text = {0, 1, -1, 2, 3};
  WordSamplingOptions options;
  options.subsample = 0;
  for (const bool cbow : {true, false}) {
    options.cbow = cbow;
    SampleLists samples;
    WordSampler(corpus, options).append(0, 5, SampleRandom(1, 1), samples);
    CHECK(samples.inputs == std::vector<std::int32_t>{1, 0, 3, 2});
    CHECK(samples.size() == 4);
  }
  corpus.text = {0, 1, 2, 3};
  options.window = 1;
  SampleLists pairs, bags;
  WordSampler(corpus, options).append(0, 4, SampleRandom(1, 1), pairs);
  options.cbow = true;
  WordSampler(corpus, options).append(0, 4, SampleRandom(1, 1), bags);
  CHECK(pairs.size() == 6);  // 0-1, 1-0, 1-2, 2-1, 2-3, 3-2
  CHECK(bags.size() == 4);
  CHECK(pairs.inputs == bags.inputs);
  for (const auto set : {&WordSamplingOptions::window, &WordSamplingOptions::negative}) {
    WordSamplingOptions wrong;
    wrong.*set = 0;
    CHECK_THROWS_AS(WordSampler(corpus, wrong), ConfigError);
  }
}

TEST_CASE("word2vec: words of the same company come together, by CBOW and by skip-gram") {
  const Corpus corpus = two_kinds(20000);
  for (const bool cbow : {true, false}) {
    Word2VecOptions options;
    options.sampling = {cbow, 4, 5, 0, 0.75};
    options.size = 10, options.batch = 64, options.learning_rate = cbow ? 0.05 : 0.025;
    Word2Vec model(corpus, options);
    double first = 0, last = 0;
    model.train([&](const Word2VecProgress& p) {
      (first == 0 ? first : last) = p.loss;
      return true;
    });
    CHECK(last < first);
    const WordVectors in = model.in_vectors();
    CHECK(in.width() == 10);
    double same = 0, other = 0;
    for (Vocabulary::Id a = 0; a < in.size(); ++a)
      for (Vocabulary::Id b = 0; b < a; ++b)
        (in.vocabulary.word(a)[0] == in.vocabulary.word(b)[0] ? same : other) += cosine_similarity(in[a], in[b]);
    MESSAGE("mean cosine " << same / 30 << " within a kind, " << other / 36 << " between kinds");
    CHECK(same / 30 > other / 36 + 0.5);
  }
}

TEST_CASE("word2vec: the number of threads and interruptions change no bit") {
  const Corpus corpus = two_kinds(300000);  // some rounds an epoch
  Word2VecOptions options;
  options.size = 20, options.epochs = 2, options.batch = 2000, options.learning_rate = 0.005;
  options.sampling.subsample = 0.001;
  std::vector<WordVectors> in, out;
  for (const int threads : {1, 2, 3}) {
    const Threads scope(threads);
    Word2Vec model(corpus, options);
    model.train();
    in.push_back(model.in_vectors()), out.push_back(model.out_vectors());
  }
  const inkling_test::TempDir folder;
  options.checkpoint = folder / "checkpoint";
  Index stops = 0;
  for (bool finished = false; !finished;) {
    Word2Vec model(corpus, options);  // takes up what the one before left
    try {
      model.train([&](const Word2VecProgress&) { return false; });
    } catch (const Stopped&) {
      ++stops;
    }
    finished = model.finished();
    if (finished) in.push_back(model.in_vectors()), out.push_back(model.out_vectors());
  }
  CHECK(stops >= 4);
  for (std::size_t i = 1; i < in.size(); ++i) {
    CHECK(std::equal(in[0].vectors.begin(), in[0].vectors.end(), in[i].vectors.begin()));
    CHECK(std::equal(out[0].vectors.begin(), out[0].vectors.end(), out[i].vectors.begin()));
  }
  Word2VecOptions others = options;
  others.seed = 2;
  CHECK_THROWS_AS(Word2Vec(corpus, others), ConfigError);  // a checkpoint of another run
  const std::string bytes = file_bytes(options.checkpoint);
  std::ofstream(options.checkpoint, std::ios::binary) << bytes.substr(0, bytes.size() / 2);
  CHECK_THROWS_AS(Word2Vec(corpus, options), Error);
  others.checkpoint.clear(), others.size = 0;
  CHECK_THROWS_AS(Word2Vec(corpus, others), ConfigError);
}

TEST_CASE("analogies: read in lower case, scored by the rules of compute-accuracy") {
  const inkling_test::TempDir folder;
  const auto read = [&](const std::string& text) {
    std::ofstream(folder / "q", std::ios::binary) << text;
    return read_analogies(folder / "q");
  };
  const auto sections = read(": one\r\nKing man QUEEN woman\nking man queen nobody\n\n: two\nking man woman queen\n");
  REQUIRE(sections.size() == 2);
  CHECK(sections[0].name == "one");
  // man - king + queen = woman; b itself is nearer than d in none of these, but named words are no answers.
  const WordVectors words{Vocabulary({"king", "man", "queen", "woman", "far"}),
                          Tensor<float, 2>({5, 3}, {2, 2, 0, 2, 0, 0, 2, 2, 2, 2, 0, 2, 0, 0, 1})};
  auto scores = score_analogies(words, sections);
  CHECK((scores[0].correct == 1 && scores[0].seen == 1 && scores[0].asked == 2));
  CHECK((scores[1].correct == 0 && scores[1].seen == 1));
  scores = score_analogies(words, sections, 3);  // "woman" is beyond the first three
  CHECK(scores[0].seen == 0);
  CHECK(scores[0].share() == 0);
  for (const char* bad : {"", "a b c d\n", ": x\na b c\n", ": x\na b c d e\n", ":\n", ": x y\n"})
    CHECK_THROWS_AS(read(bad), FormatError);
}

TEST_CASE("data: the recorded vectors answer 55.5 % of 5,398 questions") {
  const std::filesystem::path folder = inkling_test::data_dir() / "word2vec";
  AnalogyScore all{"all"}, family{"family"};
  for (const auto& s : score_analogies(read_word2vec(folder / "vectors_ref_10k_100d.bin"),
                                       read_analogies(folder / "questions-words.txt"))) {
    all += s;
    if (s.name == "family") family += s;
  }
  MESSAGE(100 * all.share() << " % of " << all.seen);
  CHECK(all.asked == 19544);
  CHECK(all.seen == 5398);
  CHECK(std::abs(all.share() - 0.555) < 0.001);
}
