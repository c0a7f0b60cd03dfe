// "Athens is to Greece as Baghdad is to ..": the questions of Mikolov et al. 2013a ("Efficient estimation of word
// representations in vector space", section 4.1), and how many of them a list of vectors answers.
#pragma once
#include <array>

#include "inkling/kernels/kernels.hpp"
#include "inkling/text/word_vectors.hpp"

namespace inkling {

// a is to b as c is to d.
struct AnalogySection {
  std::string name;
  std::vector<std::array<std::string, 4>> questions;
};

// Lines ": name" begin a section, all others hold four words. Words are read in lower case, as the corpus has them.
inline std::vector<AnalogySection> read_analogies(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.size());
  std::vector<AnalogySection> sections;
  Index number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1, ++number;
    std::vector<std::string> words;
    for (std::size_t i = 0; i < line.size();) {
      const std::size_t stop = std::min(line.find_first_of(" \t\r", i), line.size());
      if (stop > i) words.emplace_back(line.substr(i, stop - i));
      i = stop + 1;
    }
    if (words.empty()) continue;
    const std::string where = path.string() + ": line " + std::to_string(number);
    if (words[0] == ":") {
      if (words.size() != 2) throw FormatError(where, "\": name\"", "\"" + printable(line) + "\"");
      sections.push_back({words[1], {}});
      continue;
    }
    if (sections.empty() || words.size() != 4)
      throw FormatError(where, sections.empty() ? "\": name\" of a section first" : "four words",
                        "\"" + printable(line) + "\"");
    for (std::string& w : words)
      for (char& c : w)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    sections.back().questions.push_back({words[0], words[1], words[2], words[3]});
  }
  if (sections.empty()) throw FormatError(path.string(), "sections of questions", "none");
  return sections;
}

struct AnalogyScore {
  std::string name;
  Index correct = 0, seen = 0, asked = 0;  // seen: all four words are known

  double share() const { return seen > 0 ? static_cast<double>(correct) / static_cast<double>(seen) : 0; }
  AnalogyScore& operator+=(const AnalogyScore& other) {
    correct += other.correct, seen += other.seen, asked += other.asked;
    return *this;
  }
};

// All sections together, and by kind: sections whose name begins with "gram" ask for grammar, the others for meaning.
struct AnalogyTotals {
  AnalogyScore all{"all"}, semantic{"semantic"}, syntactic{"syntactic"};
};
inline AnalogyTotals analogy_totals(const std::vector<AnalogyScore>& scores) {
  AnalogyTotals t;
  for (const AnalogyScore& s : scores) t.all += s, (s.name.starts_with("gram") ? t.syntactic : t.semantic) += s;
  return t;
}

// By the rules of word2vec's compute-accuracy: of the `most` first words, d must be the one nearest to b - a + c (unit
// vectors) that is none of these three; questions with a word beyond those are left out.
inline std::vector<AnalogyScore> score_analogies(const WordVectors& words, const std::vector<AnalogySection>& sections,
                                                 Index most = 30000) {
  const WordVectors unit = normalized(words);
  const Index V = std::min(most, unit.size()), D = unit.width();
  const Tensor<float, 2> table({V, D}, unit.vectors.span().first(static_cast<std::size_t>(V * D)));
  constexpr Index block = 256;  // questions that one matrix product answers
  std::vector<AnalogyScore> scores;
  for (const AnalogySection& section : sections) {
    AnalogyScore score{section.name, 0, 0, static_cast<Index>(section.questions.size())};
    std::vector<std::array<Vocabulary::Id, 4>> seen;
    for (const auto& question : section.questions) {
      std::array<Vocabulary::Id, 4> ids{};
      bool known = true;
      for (std::size_t k = 0; k < 4; ++k) {
        const auto id = unit.vocabulary.find(question[k]);
        known = known && id && *id < V;
        ids[k] = id.value_or(0);
      }
      if (known) seen.push_back(ids);
    }
    score.seen = static_cast<Index>(seen.size());
    for (Index first = 0; first < score.seen; first += block) {
      const Index count = std::min(block, score.seen - first);
      Tensor<float, 2> wanted({count, D}, uninitialized);
      for (Index n = 0; n < count; ++n) {
        const auto& [a, b, c, d] = seen[static_cast<std::size_t>(first + n)];
        for (Index i = 0; i < D; ++i) wanted(n, i) = table(b, i) - table(a, i) + table(c, i);
      }
      const Tensor<float, 2> nearness = kernels::matmul(wanted, table, false, true);  // [count, V]
      std::vector<std::uint8_t> right(static_cast<std::size_t>(count));
      parallel_for(count, V, [&](Index n) {
        const auto& [a, b, c, d] = seen[static_cast<std::size_t>(first + n)];
        const float* row = nearness.data() + n * V;
        Vocabulary::Id best = -1;
        float most_near = -std::numeric_limits<float>::infinity();
        for (Vocabulary::Id v = 0; v < V; ++v)
          if (row[v] > most_near && v != a && v != b && v != c) most_near = row[v], best = v;
        right[static_cast<std::size_t>(n)] = best == d;
      });
      for (const std::uint8_t r : right) score.correct += r;
    }
    scores.push_back(std::move(score));
  }
  return scores;
}

}  // namespace inkling
