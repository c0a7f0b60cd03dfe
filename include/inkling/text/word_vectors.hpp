// A list of words with a vector each: which are near which, what "king - man + woman" is, and the files they lie in.
//
// word2vec's binary format:
//   "10000 100\n"                          how many words, how many numbers each
//   word, a space, 100 floats, "\n"        for each word; little-endian; the line feed may be missing
#pragma once
#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "inkling/core/tensor.hpp"
#include "inkling/io/atomic_file.hpp"
#include "inkling/io/mapped_file.hpp"
#include "inkling/text/vocabulary.hpp"

namespace inkling {

struct WordVectors {
  Vocabulary vocabulary;
  Tensor<float, 2> vectors;  // [V, D]

  Index size() const { return vectors.shape(0); }
  Index width() const { return vectors.shape(1); }
  std::span<const float> operator[](Vocabulary::Id id) const {
    return vectors.span().subspan(static_cast<std::size_t>(id * width()), static_cast<std::size_t>(width()));
  }
  std::span<const float> operator[](std::string_view word) const { return (*this)[vocabulary.id(word)]; }
};

// cos(a, b) = a . b / (|a| |b|); 0 where one of them is zero
inline double cosine_similarity(std::span<const float> a, std::span<const float> b) {
  require_shape(Shape<1>{static_cast<Index>(b.size())}, Shape<1>{static_cast<Index>(a.size())}, "cosine_similarity");
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i];
    ab += x * y, aa += x * x, bb += y * y;
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

// Every vector divided by its length; zero stays zero.
inline WordVectors normalized(WordVectors words) {
  for (Index v = 0; v < words.size(); ++v) {
    float* row = words.vectors.data() + v * words.width();
    double squares = 0;
    for (Index i = 0; i < words.width(); ++i) squares += static_cast<double>(row[i]) * static_cast<double>(row[i]);
    const float factor = squares > 0 ? static_cast<float>(1 / std::sqrt(squares)) : 0.0f;
    for (Index i = 0; i < words.width(); ++i) row[i] *= factor;
  }
  return words;
}

// The vectors of some words, divided by their lengths -> [names, D]
inline Tensor<float, 2> unit_rows(const WordVectors& words, const std::vector<std::string>& names) {
  Tensor<float, 2> rows({static_cast<Index>(names.size()), words.width()}, uninitialized);
  for (std::size_t n = 0; n < names.size(); ++n) {
    const auto from = words[names[n]];
    double squares = 0;
    for (const float v : from) squares += static_cast<double>(v) * static_cast<double>(v);
    const float factor = squares > 0 ? static_cast<float>(1 / std::sqrt(squares)) : 0.0f;
    std::transform(from.begin(), from.end(), &rows(static_cast<Index>(n), 0), [=](float v) { return v * factor; });
  }
  return rows;
}
// Cosines of words in list a with words in list b -> [of_a, of_b]
inline Tensor<float, 2> cosine_similarities(const WordVectors& a, const std::vector<std::string>& of_a,
                                            const WordVectors& b, const std::vector<std::string>& of_b) {
  Tensor<float, 2> values({static_cast<Index>(of_a.size()), static_cast<Index>(of_b.size())}, uninitialized);
  for (std::size_t i = 0; i < of_a.size(); ++i)
    for (std::size_t j = 0; j < of_b.size(); ++j)
      values(static_cast<Index>(i), static_cast<Index>(j)) =
          static_cast<float>(cosine_similarity(a[of_a[i]], b[of_b[j]]));
  return values;
}

struct Neighbour {
  std::string word;
  double similarity;  // cosine
};
// The `count` words nearest to a vector, but for those left out, the nearest first.
inline std::vector<Neighbour> nearest_words(const WordVectors& words, std::span<const float> to, Index count,
                                            const std::vector<Vocabulary::Id>& without = {}) {
  std::vector<std::pair<double, Vocabulary::Id>> all;
  for (Vocabulary::Id id = 0; id < words.size(); ++id)
    if (std::find(without.begin(), without.end(), id) == without.end())
      all.emplace_back(-cosine_similarity(words[id], to), id);
  const auto kept = all.begin() + std::clamp<Index>(count, 0, static_cast<Index>(all.size()));
  std::partial_sort(all.begin(), kept, all.end());
  std::vector<Neighbour> out;
  for (auto it = all.begin(); it != kept; ++it) out.push_back({words.vocabulary.word(it->second), -it->first});
  return out;
}

// Words added and taken away: "king - man + woman".
struct WordSum {
  struct Term {
    double sign;
    std::string word;
  };
  std::vector<Term> terms;
};
inline WordSum parse_word_sum(std::string_view text) {
  const std::string where = "\"" + printable(text) + "\"";
  WordSum sum;
  double sign = 0;  // 0: a word has just been read
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t end = std::min(text.find_first_of(" \t+-", i), text.size());
    if (end == i) {
      if (text[i] == '+' || text[i] == '-') {
        if (sign != 0) throw ConfigError(where, "a word between two signs", "none");
        sign = text[i] == '-' ? -1 : 1;
      }
      ++i;
      continue;
    }
    if (sum.terms.empty() && sign == 0) sign = 1;
    if (sign == 0) throw ConfigError(where, "+ or - between two words", "none");
    sum.terms.push_back({sign, std::string(text.substr(i, end - i))});
    sign = 0, i = end;
  }
  if (sum.terms.empty() || sign != 0) throw ConfigError(where, "words with + or - between them", "none at the end");
  return sum;
}
// The words nearest to the sum of the unit vectors, but for those that were named (Mikolov, Yih, Zweig, "Linguistic
// regularities in continuous space word representations", 2013, section 4).
inline std::vector<Neighbour> nearest_to_sum(const WordVectors& words, const WordSum& sum, Index count) {
  std::vector<float> total(static_cast<std::size_t>(words.width()));
  std::vector<Vocabulary::Id> named;
  for (const auto& [sign, word] : sum.terms) {
    named.push_back(words.vocabulary.id(word));
    const auto x = words[named.back()];
    double squares = 0;
    for (const float v : x) squares += static_cast<double>(v) * static_cast<double>(v);
    if (squares == 0) continue;
    for (std::size_t i = 0; i < x.size(); ++i)
      total[i] += static_cast<float>(sign * static_cast<double>(x[i]) / std::sqrt(squares));
  }
  return nearest_words(words, total, count, named);
}

// ---- word2vec's binary files ----

inline WordVectors read_word2vec(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string where = path.string();
  const std::string_view all(reinterpret_cast<const char*>(file.bytes().data()), file.size());
  const std::size_t line = all.substr(0, 64).find('\n');
  Index V = 0, D = 0;
  const auto number = [&](std::string_view text, Index& to) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), to);
    return error == std::errc() && end == text.data() + text.size() && to >= 1;
  };
  const std::string_view header = all.substr(0, line == std::string_view::npos ? 0 : line);
  const std::size_t space = header.find(' ');
  if (space == std::string_view::npos || !number(header.substr(0, space), V) || !number(header.substr(space + 1), D))
    throw FormatError(where, "a first line with the numbers of words and of numbers a word, such as \"10000 100\"",
                      "\"" + printable(all.substr(0, std::min<std::size_t>(line, 40))) + "\"");
  // The sizes are a stranger's claim: nothing is allocated before they are known to fit. A word takes two bytes at
  // least.
  const Index most = static_cast<Index>(file.size());
  if (D > most / 4 || V > most / (4 * D + 2) || V > std::numeric_limits<Vocabulary::Id>::max())
    throw FormatError(where, "a file that holds " + printable(header) + " numbers", std::to_string(most) + " bytes",
                      "the file is cut short, or it is not in the binary format");
  std::vector<std::string> words;
  words.reserve(static_cast<std::size_t>(V));
  Tensor<float, 2> vectors({V, D}, uninitialized);
  std::size_t at = line + 1;
  const std::size_t bytes = static_cast<std::size_t>(D) * sizeof(float);
  for (Index v = 0; v < V; ++v) {
    const std::string which = where + ": word " + std::to_string(v);
    while (at < all.size() && all[at] == '\n') ++at;
    constexpr std::size_t longest = 1000;
    const std::size_t length = all.substr(at, longest + 1).find(' ');
    if (length == std::string_view::npos || length == 0)
      throw FormatError(which, "a word and a space", at >= all.size() ? "the end of the file" : "none");
    words.emplace_back(all.substr(at, length));
    if (words.back().find_first_of(std::string_view("\0\n\t\r", 4)) != std::string::npos)
      throw FormatError(which, "a word without control characters", "\"" + printable(words.back()) + "\"");
    at += length + 1;
    if (all.size() - at < bytes)
      throw FormatError(which, std::to_string(D) + " numbers", "the end of the file",
                        "the file is cut short; copy it again");
    float* row = vectors.data() + v * D;
    std::memcpy(row, all.data() + at, bytes);
    if constexpr (std::endian::native == std::endian::big)
      for (Index i = 0; i < D; ++i) {
        const std::uint32_t u = std::bit_cast<std::uint32_t>(row[i]);
        row[i] = std::bit_cast<float>(u >> 24 | (u >> 8 & 0xff00u) | (u << 8 & 0xff0000u) | u << 24);
      }
    for (Index i = 0; i < D; ++i)
      if (!std::isfinite(row[i]))
        throw FormatError(which + " \"" + printable(words.back()) + "\"", "finite numbers", std::to_string(row[i]));
    at += bytes;
  }
  while (at < all.size() && all[at] == '\n') ++at;
  if (at < all.size())
    throw FormatError(where, "the end of the file after " + std::to_string(V) + " words",
                      std::to_string(all.size() - at) + " more bytes");
  try {
    return {Vocabulary(std::move(words)), std::move(vectors)};
  } catch (const FormatError& e) {
    throw FormatError(where, "every word once", e.what());
  }
}

// The file appears whole or not at all.
inline void write_word2vec(const std::filesystem::path& path, const WordVectors& words) {
  static_assert(std::endian::native == std::endian::little, "written as the numbers lie in memory");
  AtomicFile file(path);
  std::string block = std::to_string(words.size()) + " " + std::to_string(words.width()) + "\n";
  for (Vocabulary::Id id = 0; id < words.size(); ++id) {
    const std::string& word = words.vocabulary.word(id);
    if (word.empty() || word.find_first_of(std::string_view(" \0\n\t\r", 5)) != std::string::npos)
      throw FormatError(path.string(), "words without spaces", "\"" + printable(word) + "\"");
    const auto row = words[id];
    block.append(word).append(" ").append(reinterpret_cast<const char*>(row.data()), row.size_bytes()).append("\n");
    if (block.size() > 1 << 20) file.write(block), block.clear();
  }
  file.write(block);
  file.commit();
}

}  // namespace inkling
