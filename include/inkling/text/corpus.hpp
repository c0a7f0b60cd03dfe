// A text as numbers: words between white space, each replaced by its rank in the vocabulary that the text itself gives.
#pragma once
#include <filesystem>
#include <limits>
#include <numeric>

#include "inkling/io/gzip_reader.hpp"
#include "inkling/text/vocabulary.hpp"

namespace inkling {

struct Corpus {
  static constexpr Vocabulary::Id end_of_line = -1;

  Vocabulary vocabulary;             // with counts
  std::vector<Vocabulary::Id> text;  // the words in their order; end_of_line where one ends between two words
  Index words = 0;                   // how many of `text` are words
};

namespace detail {

// Counts words as they come, and afterwards gives them their ranks.
class CorpusBuilder {
 public:
  explicit CorpusBuilder(std::string where) : where_(std::move(where)) {}

  void word(std::string_view word) {
    auto found = ids_.find(word);
    if (found == ids_.end()) {
      found = ids_.emplace(std::string(word), static_cast<Vocabulary::Id>(counts_.size())).first;
      counts_.push_back(0);
    }
    ++counts_[static_cast<std::size_t>(found->second)];
    add(found->second);
  }
  void end_of_line() {
    if (!text_.empty() && text_.back() != Corpus::end_of_line) add(Corpus::end_of_line);
  }

  // Words met less than min_count times are left out, as if they had not been there.
  Corpus finish(Index min_count) {
    std::vector<const std::string*> words(counts_.size());
    for (const auto& [word, id] : ids_) words[static_cast<std::size_t>(id)] = &word;
    std::vector<Vocabulary::Id> order;
    for (std::size_t i = 0; i < counts_.size(); ++i)
      if (counts_[i] >= min_count) order.push_back(static_cast<Vocabulary::Id>(i));
    const auto before = [&](Vocabulary::Id a, Vocabulary::Id b) {
      const auto i = static_cast<std::size_t>(a), j = static_cast<std::size_t>(b);
      return counts_[i] != counts_[j] ? counts_[i] > counts_[j] : *words[i] < *words[j];
    };
    std::sort(order.begin(), order.end(), before);
    if (order.empty())
      throw FormatError(where_, "at least one word that occurs " + std::to_string(min_count) + " times", "none");

    std::vector<Vocabulary::Id> rank(counts_.size(), unknown);
    std::vector<std::string> kept;
    std::vector<std::int64_t> counts;
    for (const Vocabulary::Id id : order) {
      rank[static_cast<std::size_t>(id)] = static_cast<Vocabulary::Id>(kept.size());
      kept.push_back(*words[static_cast<std::size_t>(id)]);
      counts.push_back(counts_[static_cast<std::size_t>(id)]);
    }
    Corpus corpus;
    corpus.words = static_cast<Index>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
    corpus.vocabulary = Vocabulary(std::move(kept), std::move(counts));
    for (Vocabulary::Id& id : text_) id = id == Corpus::end_of_line ? id : rank[static_cast<std::size_t>(id)];
    std::erase(text_, unknown);
    corpus.text = std::move(text_);
    return corpus;
  }

 private:
  static constexpr Vocabulary::Id unknown = -2;
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  void add(Vocabulary::Id id) {
    constexpr std::size_t most = std::numeric_limits<Vocabulary::Id>::max();
    if (text_.size() >= most) throw FormatError(where_, "at most " + std::to_string(most) + " words", "more");
    text_.push_back(id);
  }
  std::string where_;
  std::unordered_map<std::string, Vocabulary::Id, Hash, std::equal_to<>> ids_;
  std::vector<std::int64_t> counts_;
  std::vector<Vocabulary::Id> text_;
};

}  // namespace detail

// Reads a text file, plain or gzip. Anything that is no white space belongs to a word: the text is expected in the form
// in which it is to be learned (lower case, no punctuation).
inline Corpus read_corpus(const std::filesystem::path& path, Index min_count = 5) {
  constexpr std::size_t longest = 1000;  // bytes of one word: who finds a longer one is reading something else
  if (min_count < 1) throw ConfigError("read_corpus min_count", "at least 1", std::to_string(min_count));
  detail::GzipReader file(path);
  detail::CorpusBuilder builder(file.name());
  std::vector<std::uint8_t> buffer(std::size_t{1} << 20);
  std::string rest;  // of a word that the end of the buffer cuts
  Index position = 0;
  const auto end_word = [&](std::string_view piece) {
    if (rest.size() + piece.size() > longest)
      throw FormatError(file.name(), "words of at most " + std::to_string(longest) + " bytes", "a longer one",
                        "a corpus is plain text with spaces between the words");
    if (rest.empty()) {
      if (!piece.empty()) builder.word(piece);
    } else {
      builder.word(rest.append(piece));
      rest.clear();
    }
  };
  for (bool more = true; more;) {
    const std::size_t got = file.read_some(buffer, "text");
    more = got == buffer.size();
    const std::string_view block(reinterpret_cast<const char*>(buffer.data()), got);
    std::size_t begin = 0;
    for (std::size_t i = 0; i < got; ++i) {
      const unsigned char c = buffer[i];
      if (c > ' ' && c != 127) continue;
      if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
        throw FormatError(
            file.name(), "text",
            "a byte of " + std::to_string(c) + " at position " + std::to_string(position + static_cast<Index>(i)));
      end_word(block.substr(begin, i - begin));
      if (c == '\n') builder.end_of_line();
      begin = i + 1;
    }
    if (got - begin + rest.size() > longest) end_word(block.substr(begin));  // throws
    rest.append(block.substr(begin));
    position += static_cast<Index>(got);
  }
  end_word({});
  file.expect_end();  // for gzip this compares the checksum
  return builder.finish(min_count);
}

}  // namespace inkling
