// Both lists of a word2vec model in one safetensors file, at half precision: "words" (bytes, one word a line), "in"
// [V, D], and "out" [U, D] for the U most frequent of them.
#pragma once
#include "inkling/io/safetensors.hpp"
#include "inkling/io/safetensors_writer.hpp"
#include "inkling/text/word_vectors.hpp"

namespace inkling {

struct WordLists {
  WordVectors in;   // a word as one of those around
  WordVectors out;  // a word as the one asked for; perhaps of the most frequent words only
};

inline void write_word_lists(const std::filesystem::path& path, const WordLists& lists) {
  if (lists.out.size() > lists.in.size() || lists.out.width() != lists.in.width())
    throw ShapeError(path.string(), "an out-list of the first words of the in-list",
                     to_string(lists.out.vectors.shape()) + " and " + to_string(lists.in.vectors.shape()));
  std::string text;
  for (const std::string& word : lists.in.vocabulary.words()) text += word + "\n";
  const std::span<const std::uint8_t> bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  write_safetensors(path, {TensorToWrite("words", DType::u8, {static_cast<Index>(text.size())}, bytes),
                           {"in", lists.in.vectors, DType::f16},
                           {"out", lists.out.vectors, DType::f16}});
}

inline WordLists read_word_lists(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  const std::string where = path.string();
  const Tensor<std::uint8_t, 1> text = file.read<std::uint8_t, 1>("words");
  std::vector<std::string> words;
  const std::string_view all(reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(text.size()));
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = std::min(all.find('\n', begin), all.size());
    words.emplace_back(all.substr(begin, end - begin));
    if (words.back().empty()) throw FormatError(where + ": tensor \"words\"", "a word on each line", "an empty line");
    begin = end + 1;
  }
  Tensor<float, 2> in = file.read<float, 2>("in"), out = file.read<float, 2>("out");
  const Index V = static_cast<Index>(words.size());
  if (in.shape(0) != V || out.shape(0) > V || in.shape(1) != out.shape(1) || in.shape(1) < 1)
    throw FormatError(where,
                      "a row of \"in\" for each of " + std::to_string(V) + " words, and rows of \"out\" for the first",
                      to_string(in.shape()) + " and " + to_string(out.shape()));
  for (const auto* list : {&in, &out})
    for (const float v : *list)
      if (!std::isfinite(v)) throw FormatError(where, "finite numbers", std::to_string(v));
  std::vector<std::string> first(words.begin(), words.begin() + out.shape(0));
  return {{Vocabulary(std::move(words)), std::move(in)}, {Vocabulary(std::move(first)), std::move(out)}};
}

}  // namespace inkling
