// Texts, vocabularies and files of word vectors: what is written is read again, what is damaged is refused in one line.
// test: sanitized
#include <doctest/doctest.h>
#include <zlib.h>

#include <fstream>

#include "inkling/text/corpus.hpp"
#include "inkling/text/word_lists.hpp"
#include "support.hpp"

using namespace inkling;

namespace {

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void put(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}
void put_gzip(const std::filesystem::path& path, const std::string& bytes) {
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
}
// What an error says; fails where there is none, or more than one line of it.
template <class Work>
std::string error_of(Work&& work) {
  try {
    work();
  } catch (const Error& e) {
    const std::string what = e.what();
    CHECK(what.find('\n') == std::string::npos);
    return what;
  }
  FAIL_CHECK("no error");
  return {};
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

WordVectors three_words() {
  return {Vocabulary({"the", "of", "na\xC3\xAFve"}), Tensor<float, 2>({3, 2}, {1, -2, 0.5f, 1e-30f, 3e30f, 0})};
}

}  // namespace

TEST_CASE("corpus: words are counted, ranked, and rare ones left out as if they had not been there") {
  const inkling_test::TempDir folder;
  put(folder / "text", "b a  a\tc b a\r\n\n\nrare d a\nd");
  const Corpus corpus = read_corpus(folder / "text", 2);
  CHECK(corpus.vocabulary.words() == std::vector<std::string>{"a", "b", "d"});  // b before d: equal counts, by name
  CHECK(corpus.vocabulary.counts() == std::vector<std::int64_t>{4, 2, 2});
  CHECK(corpus.text == std::vector<std::int32_t>{1, 0, 0, 1, 0, -1, 2, 0, -1, 2});
  CHECK(corpus.words == 8);
  CHECK(corpus.vocabulary.id("d") == 2);
  CHECK_FALSE(corpus.vocabulary.find("rare"));
  CHECK(has(error_of([&] { corpus.vocabulary.id("dd"); }), "there is \"d\""));
}

TEST_CASE("corpus: a word that the end of the read buffer cuts is one word, plain and gzip") {
  const inkling_test::TempDir folder;
  std::string text;
  while (text.size() < (1u << 20) - 3) text += "abc ";
  text += "straddle abc straddle";
  put(folder / "plain", text), put_gzip(folder / "packed.gz", text);
  for (const char* name : {"plain", "packed.gz"}) {
    const Corpus corpus = read_corpus(folder / name, 1);
    CHECK(corpus.vocabulary.words() == std::vector<std::string>{"abc", "straddle"});
    CHECK(corpus.vocabulary.counts()[1] == 2);
  }
}

TEST_CASE("corpus: what is no text is refused") {
  const inkling_test::TempDir folder;
  const auto says = [&](const std::string& bytes, const std::string& part) {
    put(folder / "text", bytes);
    const std::string what = error_of([&] { read_corpus(folder / "text", 2); });
    CHECK_MESSAGE(has(what, part), what);
  };
  says("", "at least one word that occurs 2 times");
  says("a b c", "at least one word that occurs 2 times");
  says(std::string("a a\0a", 5), "a byte of 0 at position 3");
  says(std::string(1001, 'a') + " b", "words of at most 1000 bytes");
  says(std::string(3u << 20, 'a'), "words of at most 1000 bytes");
  put_gzip(folder / "whole.gz", std::string(100000, 'x') + " a a " + std::string(5, 'b'));
  put_gzip(folder / "good.gz", "a a b b and so on and on");
  const std::string packed = content(folder / "good.gz");
  put(folder / "text", packed.substr(0, packed.size() - 6));
  CHECK(has(error_of([&] { read_corpus(folder / "text", 2); }), "damage"));
  std::string wrong = packed;
  wrong[packed.size() - 7] = static_cast<char>(wrong[packed.size() - 7] ^ 1);  // the checksum
  put(folder / "text", wrong);
  error_of([&] { read_corpus(folder / "text", 2); });
  CHECK(has(error_of([&] { read_corpus(folder / "none", 2); }), "readable file"));
  CHECK(has(error_of([&] { read_corpus(folder / "good.gz", 0); }), "min_count"));
}

TEST_CASE("word2vec files: read back bit for bit, with and without line feeds") {
  const inkling_test::TempDir folder;
  const WordVectors words = three_words();
  write_word2vec(folder / "v.bin", words);
  const std::string bytes = content(folder / "v.bin");
  CHECK(bytes.substr(0, 8) == "3 2\nthe ");
  CHECK(bytes.size() == 4 + (4 + 9) + (3 + 9) + (7 + 9));
  const WordVectors back = read_word2vec(folder / "v.bin");
  CHECK(back.vocabulary.words() == words.vocabulary.words());
  CHECK(std::equal(back.vectors.begin(), back.vectors.end(), words.vectors.begin(), words.vectors.end()));
  std::string without = "2 1\n";
  for (const char* word : {"a ", "b "}) without += std::string(word) + std::string(4, '\0');
  put(folder / "v.bin", without);
  CHECK(read_word2vec(folder / "v.bin").vocabulary.words() == std::vector<std::string>{"a", "b"});
  CHECK(has(error_of([&] {
              write_word2vec(folder / "w.bin", {Vocabulary({"a b"}), Tensor<float, 2>({1, 1}, 0.0f)});
            }),
            "without spaces"));
  CHECK_FALSE(inkling_test::have(folder / "w.bin"));
}

TEST_CASE("word2vec files: cut anywhere, or with absurd sizes, they are refused") {
  const inkling_test::TempDir folder;
  write_word2vec(folder / "v.bin", three_words());
  const std::string bytes = content(folder / "v.bin");
  const auto message = [&](const std::string& changed) {
    put(folder / "x.bin", changed);
    return error_of([&] { read_word2vec(folder / "x.bin"); });
  };
  for (std::size_t n = 0; n + 1 < bytes.size(); ++n) CHECK_FALSE(message(bytes.substr(0, n)).empty());
  for (const char* header : {"1000000000000 100\n", "3 1000000000000000000\n", "99999999999999999999 2\n", "-3 2\n",
                             "3 0\n", "3\n", "3 2 1\n", "3.0 2\n", "\n", " \n", "4611686018427387904 4\n"})
    CHECK_FALSE(message(header + bytes.substr(4)).empty());
  CHECK(has(message("4 2\n" + bytes.substr(4)), "end of the file"));
  CHECK(has(message("2 2\n" + bytes.substr(4)), "more bytes"));
  CHECK(has(message(bytes + "x"), "more bytes"));
  std::string nan = bytes;
  nan[11] = '\x7f', nan[10] = '\xc0';
  CHECK(has(message(nan), "finite"));
  std::string twice = "2 1\n";
  for (int i = 0; i < 2; ++i) twice += "a " + std::string(4, '\0') + "\n";
  CHECK(has(message(twice), "every word once"));
  CHECK(has(message("1 1\n" + std::string(2000, 'a') + " " + std::string(4, '\0')), "a word and a space"));
}

TEST_CASE("word lists: both lists at half precision, and damaged ones refused") {
  const inkling_test::TempDir folder;
  WordLists lists{{Vocabulary({"a", "b", "c"}), Tensor<float, 2>({3, 2}, {1, 2, 3, 4, 5, 0.1f})},
                  {Vocabulary({"a", "b"}), Tensor<float, 2>({2, 2}, {6, 7, 8, 9})}};
  write_word_lists(folder / "l", lists);
  const WordLists back = read_word_lists(folder / "l");
  CHECK(back.in.vocabulary.words() == lists.in.vocabulary.words());
  CHECK(back.out.vocabulary.words() == lists.out.vocabulary.words());
  CHECK(back.in["b"][1] == 4);
  CHECK(std::abs(back.in["c"][1] - 0.1f) < 0.1f / 2048);  // half: 11 significant bits
  CHECK(back.out["b"][0] == 8);
  const auto says = [&](const std::string& text, Index rows, Index outs, const std::string& part) {
    const std::span<const std::uint8_t> bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
    const Tensor<float, 2> in({rows, 2}, 1.0f), out({outs, 2}, 1.0f);
    write_safetensors(
        folder / "x",
        {TensorToWrite("words", DType::u8, {static_cast<Index>(text.size())}, bytes), {"in", in}, {"out", out}});
    const std::string what = error_of([&] { read_word_lists(folder / "x"); });
    CHECK_MESSAGE(has(what, part), what);
  };
  says("a\nb\n", 3, 1, "a row of \"in\"");
  says("a\nb\n", 2, 3, "a row of \"in\"");
  says("a\n\nb\n", 3, 1, "empty line");
  says("a\na\n", 2, 1, "every word once");
  lists.out = lists.in, lists.in = {Vocabulary({"a"}), Tensor<float, 2>({1, 2}, 1.0f)};
  CHECK(has(error_of([&] { write_word_lists(folder / "y", lists); }), "first words"));
}

TEST_CASE("word sums: words with signs, and their nearest") {
  const WordSum sum = parse_word_sum(" king - man+woman");
  REQUIRE(sum.terms.size() == 3);
  CHECK((sum.terms[0].sign == 1 && sum.terms[1].sign == -1 && sum.terms[2].sign == 1));
  CHECK(sum.terms[2].word == "woman");
  CHECK(parse_word_sum("-a").terms[0].sign == -1);
  for (const char* bad : {"", " ", "a b", "a + - b", "a -", "+", "a +  "})
    CHECK_FALSE(error_of([&] { parse_word_sum(bad); }).empty());
  // Lengths do not count: unit vectors are added, and words that were named are no answer.
  const WordVectors words{Vocabulary({"x", "y", "both", "zero"}), Tensor<float, 2>({4, 2}, {9, 0, 0, 1, 1, 1, 0, 0})};
  const auto near = nearest_to_sum(words, parse_word_sum("x + y"), 5);
  REQUIRE(near.size() == 2);
  CHECK(near[0].word == "both");
  CHECK(near[0].similarity == doctest::Approx(1));
  CHECK(near[1].similarity == 0);
  CHECK(has(error_of([&] { nearest_to_sum(words, parse_word_sum("x - bot"), 1); }), "there is \"both\""));
}

TEST_CASE("data: the recorded vectors are read, and king - man + woman is queen") {
  const WordVectors words = read_word2vec(inkling_test::data_dir() / "word2vec/vectors_ref_10k_100d.bin");
  CHECK(words.size() == 10000);
  CHECK(words.width() == 100);
  CHECK(words.vocabulary.word(1) == "the");
  CHECK(nearest_to_sum(words, parse_word_sum("king - man + woman"), 1)[0].word == "queen");
}
