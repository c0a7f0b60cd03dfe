// Words as vectors, learned from the company they keep: king - man + woman, neighbours, and the two lists. Their map:
// word_maps.cpp. --train yes reads the text again (17 million words, five times) and keeps the vectors; --ask "paris -
// france + italy" asks for something else.
// test: --out pictures/word_vectors
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/similarity.hpp>
#include <inkling/text/analogies.hpp>
#include <inkling/text/word_lists.hpp>
#include <inkling/train/word2vec.hpp>

#include "example.hpp"

using namespace inkling;

namespace {

// The first six pairs are words of the same kind, the last six words that stand together.
const std::vector<std::string> first{"king",  "france", "january", "father", "river", "film",
                                     "prime", "new",    "civil",   "high",   "human", "nobel"};
const std::vector<std::string> second{"queen",    "germany", "april", "mother", "lake",   "novel",
                                      "minister", "york",    "war",   "school", "rights", "prize"};
// Of six pairs, from pair `from` on: how alike the two words are, on average.
double mean_of_six(const Tensor<float, 2>& similarity, Index from) {
  double sum = 0;
  for (Index i = from; i < from + 6; ++i) sum += static_cast<double>(similarity(i, i)) / 6;
  return sum;
}

// How many of the questions are answered, with the words that are met most.
double score_of(const WordVectors& words, const std::vector<AnalogySection>& questions, Index most = 30000) {
  const std::vector<AnalogyScore> scores = score_analogies(words, questions, most);
  for (const AnalogyScore& s : scores)
    std::printf("  %-28s %5.1f %% of %td\n", s.name.c_str(), 100 * s.share(), s.seen);
  const auto [all, semantic, syntactic] = analogy_totals(scores);
  std::printf("%td words: %.1f %% of %td questions (semantic %.1f, syntactic %.1f)\n", std::min(most, words.size()),
              100 * all.share(), all.seen, 100 * semantic.share(), 100 * syntactic.share());
  return all.share();
}
void print_neighbours(const WordVectors& list, const WordVectors& words, const std::string& word) {
  for (const auto& n : nearest_words(list, words[word], 6, {words.vocabulary.id(word)}))
    std::printf(" %s %.2f ", n.word.c_str(), n.similarity);
  std::printf("\n");
}

void train(const Example& example, const std::filesystem::path& out, const std::filesystem::path& weights,
           const std::vector<AnalogySection>& questions) {
  const Corpus corpus =
      read_corpus(example.file("--corpus", "word2vec/wiki_clean_100mb.txt.gz", "word2vec/text8.gz"), 5);
  std::printf("%td words, %td different ones\n", corpus.words, corpus.vocabulary.size());
  Word2VecOptions options;
  options.sampling.cbow = example.option("--model", "cbow") == "cbow";
  options.sampling.window = options.sampling.cbow ? 8 : 10, options.sampling.negative = 10;
  options.learning_rate = options.sampling.cbow ? 0.05 : 0.025;
  options.epochs = std::stol(example.option("--epochs", "5")), options.seed = std::stoul(example.option("--seed", "1"));
  options.checkpoint = out / "checkpoint.safetensors";
  Word2Vec model(corpus, options);
  Example::catch_interrupts();
  model.train([&](const Word2VecProgress& p) {
    const double done = static_cast<double>(p.words) / static_cast<double>(p.all_words);
    std::fprintf(stderr, "\r[%-30s] %5.1f %%, %.0f words/s, loss %.3f ",
                 std::string(static_cast<std::size_t>(30 * done), '=').c_str(), 100 * done, p.words_per_second, p.loss);
    return !Example::interrupted();
  });
  std::fprintf(stderr, "\n");
  write_word2vec(out / "vectors.bin", model.in_vectors());
  score_of(model.in_vectors(), questions);
  std::filesystem::create_directories(weights.parent_path());
  write_word_lists(weights, {model.in_vectors(10000), model.out_vectors(2000)});
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(
      argc, argv,
      "word_vectors [--ask \"king - man + woman\"] [--train yes] [--epochs N] [--model cbow|skip-gram] "
      "[--corpus FILE] [--seed N] [--questions FILE] [--out FOLDER]: words as vectors");
  return example.run([&] {
    const std::filesystem::path out = example.folder("--out", "pictures/word_vectors");
    const std::filesystem::path weights = example.models() / "words" / "words.safetensors";
    const auto questions = read_analogies(example.file("--questions", "word2vec/questions-words.txt"));
    if (example.option("--train", "no") == "yes") train(example, out, weights, questions);
    const WordLists lists = read_word_lists(weights);
    const WordVectors& words = lists.in;
    if (const std::string ask = example.option("--ask", ""); !ask.empty()) {
      for (const Neighbour& n : nearest_to_sum(words, parse_word_sum(ask), 8))
        std::printf("%-16s %.3f\n", n.word.c_str(), n.similarity);
      return;
    }

    // ---- Analogies, neighbours ----
    for (const auto& [sum, is] : {std::pair("king - man + woman", "queen"),
                                  {"paris - france + germany", "berlin"},
                                  {"berlin - germany + japan", "tokyo"},
                                  {"bigger - big + small", "smaller"},
                                  {"brother - man + woman", "sister"}})
      example.claim(nearest_to_sum(words, parse_word_sum(sum), 1)[0].word == is, std::string(sum) + " = " + is);
    const double answered = score_of(words, questions);
    // 57.6 % measured; of 5,416 questions drawn anew the share would vary by 0.7 % (binomial): eleven times that below.
    example.claim(answered > 0.5, "more than half of the questions, against 1 in 10,000 by chance");
    for (const char* word : {"king", "dog", "three", "physicist", "guitar", "monday", "red"}) {
      std::printf("%-10s", word);
      print_neighbours(words, words, word);
    }

    // ---- In-list and cross-list ----
    const Tensor<float, 2> in = cosine_similarities(words, first, words, second),
                           cross = cosine_similarities(words, first, lists.out, second);
    write_png(out / "lists.png",
              plot::image_grid({plot::similarity_map("in-list beside in-list: the same kind", in, first, second, "in"),
                                plot::similarity_map("in-list beside out-list: found together", cross, first, second,
                                                     "out")},
                               2, {}, {.scale = 1}));
    const double in_alike = mean_of_six(in, 0), in_together = mean_of_six(in, 6), cross_alike = mean_of_six(cross, 0),
                 cross_together = mean_of_six(cross, 6);
    std::printf("              the same kind  found together\nin with in   %8.2f %15.2f\nin with out  %8.2f %15.2f\n",
                in_alike, in_together, cross_alike, cross_together);
    for (const char* word : {"prime", "monday", "river"}) {
      std::printf("%s, the same kind: ", word), print_neighbours(words, words, word);
      std::printf("%s, found together:", word), print_neighbours(lists.out, words, word);
    }
    example.claim(in_alike > in_together, "the in-list finds words of the same kind");
    example.claim(cross_together > cross_alike, "across the lists, words that stand together are found");
  });
}
