// Learning the merges (Sennrich, Haddow & Birch 2016, Algorithm 1), in CLIP's form: start from bytes, and merge the
// most frequent pair of neighbours again and again, until the vocabulary has the size asked for.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "inkling/core/error.hpp"
#include "inkling/text/bpe.hpp"
#include "inkling/text/split.hpp"
#include "inkling/text/tokenizer.hpp"

namespace inkling {

// How often each word occurs. Ordered, so that nothing can depend on a hash.
using WordCounts = std::map<std::string, std::int64_t>;

// Adds the words of a text, cut as the tokenizer will cut them. Special tokens are no words.
inline void count_words(std::string_view text, WordCounts& counts, const SpecialTokens& special = {}) {
  for (std::string& word : split_words(text, special.start, special.end))
    if (word != special.start && word != special.end) ++counts[std::move(word)];
}

namespace detail {

class BpeTrainer {
 public:
  using Id = BpeMerges::Id;

  BpeTrainer(const WordCounts& counts, const SpecialTokens& special) {
    const BpeVocabulary base = clip_vocabulary({}, special.start, special.end);
    tokens_.assign(base.tokens.begin(), base.tokens.begin() + 512);
    known_.insert(base.tokens.begin(), base.tokens.end());
    std::array<Id, 256> id_of_byte{};
    for (std::size_t i = 0; i < 256; ++i)
      id_of_byte[static_cast<std::size_t>(ByteAlphabet::instance().order[i])] = static_cast<Id>(i);
    std::int64_t total = 0;
    for (const auto& [text, count] : counts) {
      const std::int64_t length = static_cast<std::int64_t>(text.size());
      if (count < 0 || (length > 0 && count > (std::numeric_limits<std::int64_t>::max() - total) / length))
        throw ConfigError("train_bpe", "word counts of at least 0 whose sum fits into 63 bits",
                          std::to_string(count) + " for \"" + unicode::printable(text, 60) + "\"");
      if (count == 0 || length == 0) continue;
      total += count * length;
      Word word{{}, count};
      for (char c : text) word.symbols.push_back(id_of_byte[static_cast<unsigned char>(c)]);
      word.symbols.back() += 256;  // the same byte with "</w>"
      words_.push_back(std::move(word));
    }
    for (std::size_t w = 0; w < words_.size(); ++w) count_pairs(w, +1, every_pair);
    for (const auto& [key, pair] : pairs_) heap_.push({pair.count, key});
  }

  // Merges the most frequent pair; false when no pair occurs min_count times.
  bool step(std::int64_t min_count) {
    while (!heap_.empty()) {
      const Candidate best = heap_.top();
      heap_.pop();
      const Pair& pair = pairs_.at(best.key);
      if (pair.count < min_count) continue;
      if (pair.count < best.count) {  // it lost occurrences to other merges: back into the queue, at its true place
        heap_.push({pair.count, best.key});
        continue;
      }
      if (merge(static_cast<Id>(best.key >> 32), static_cast<Id>(best.key & 0xFFFFFFFF))) return true;
    }
    return false;
  }

  Index token_count() const { return static_cast<Index>(tokens_.size()); }
  std::vector<std::pair<std::string, std::string>> take_merges() { return std::move(merges_); }

 private:
  struct Word {
    std::vector<Id> symbols;
    std::int64_t count;
  };
  struct Pair {
    std::int64_t count = 0;
    std::vector<std::size_t> words{};  // where it occurs, or occurred
  };
  struct Candidate {
    std::int64_t count;
    std::uint64_t key;
    // The larger count first; among equals the pair of the older tokens, left one before right one.
    bool operator<(const Candidate& o) const { return count != o.count ? count < o.count : key > o.key; }
  };
  static constexpr Id every_pair = -1;

  // Adds or takes away the pairs of a word; notes the word at the pairs that contain `only`.
  void count_pairs(std::size_t w, int sign, Id only) {
    const Word& word = words_[w];
    for (std::size_t i = 0; i + 1 < word.symbols.size(); ++i) {
      const Id left = word.symbols[i], right = word.symbols[i + 1];
      Pair& pair = pairs_[BpeMerges::key(left, right)];
      pair.count += sign * word.count;
      if (sign > 0 && (only == every_pair || left == only || right == only) &&
          (pair.words.empty() || pair.words.back() != w))
        pair.words.push_back(w);
    }
  }

  // False if the merge would spell a token that exists: ids and texts stay one to one, so that files can hold them.
  bool merge(Id left, Id right) {
    const std::string l = tokens_[static_cast<std::size_t>(left)], r = tokens_[static_cast<std::size_t>(right)];
    // The four characters of "</w>" in a text must not spell the mark.
    const bool false_mark = (l + r).ends_with(end_of_word) && !r.ends_with(end_of_word);
    if (false_mark || !known_.insert(l + r).second) return false;
    const Id merged = static_cast<Id>(tokens_.size());
    tokens_.push_back(l + r);
    merges_.emplace_back(l, r);

    std::vector<std::size_t> words;
    std::swap(words, pairs_.at(BpeMerges::key(left, right)).words);
    for (std::size_t w : words) {
      std::vector<Id>& symbols = words_[w].symbols;
      count_pairs(w, -1, merged);
      std::size_t kept = 0;
      for (std::size_t i = 0; i < symbols.size(); ++kept) {
        const bool here = i + 1 < symbols.size() && symbols[i] == left && symbols[i + 1] == right;
        symbols[kept] = here ? merged : symbols[i];
        i += here ? 2 : 1;
      }
      symbols.resize(kept);
      count_pairs(w, +1, merged);
      for (std::size_t i = 0; i + 1 < kept; ++i)
        if (symbols[i] == merged || symbols[i + 1] == merged) fresh_.insert(BpeMerges::key(symbols[i], symbols[i + 1]));
    }
    for (std::uint64_t key : fresh_) heap_.push({pairs_.at(key).count, key});
    fresh_.clear();
    return true;
  }

  std::vector<Word> words_;
  std::unordered_map<std::uint64_t, Pair> pairs_;
  std::unordered_set<std::uint64_t> fresh_;  // pairs with the newest token; only they can have gained occurrences
  std::priority_queue<Candidate> heap_;
  std::vector<std::string> tokens_;  // without the special ones
  std::unordered_set<std::string> known_;
  std::vector<std::pair<std::string, std::string>> merges_;
};

}  // namespace detail

// A vocabulary of vocab_size tokens: 512 of single bytes (so that any text can be written), the merges, two special
// ones. Fewer if no pair occurs min_count times any more. The same counts give the same vocabulary, always: of two
// equally frequent pairs the one of the older tokens is merged first.
inline BpeVocabulary train_bpe(const WordCounts& counts, Index vocab_size, std::int64_t min_count = 2,
                               const SpecialTokens& special = {}) {
  constexpr Index smallest = 514, largest = Index{1} << 24;
  if (vocab_size < smallest || vocab_size > largest)
    throw ConfigError("train_bpe", "a vocabulary of 514 (bytes and special tokens) to 2^24 tokens",
                      std::to_string(vocab_size));
  if (min_count < 1) throw ConfigError("train_bpe: min_count", "at least 1", std::to_string(min_count));
  detail::BpeTrainer trainer(counts, special);
  while (trainer.token_count() + 2 < vocab_size && trainer.step(min_count)) {
  }
  return clip_vocabulary(trainer.take_merges(), special.start, special.end);
}

}  // namespace inkling
