// Byte-pair encoding (Sennrich, Haddow & Birch 2016, "Neural Machine Translation of Rare Words with Subword Units",
// Algorithm 1), on bytes and with a mark at the end of a word, as in CLIP (Radford et al. 2021).
//
// A word is its bytes. Pairs of neighbours are merged in the order in which the merges were learned; what is left are
// the tokens. The last byte of a word carries "</w>", so "ink" in "ink" and in "inkling" are two different tokens.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "inkling/core/shape.hpp"
#include "inkling/text/unicode.hpp"

namespace inkling {

inline constexpr std::string_view end_of_word = "</w>";

// What a tokenizer is made of, as its files write it: bytes as characters of the byte alphabet below.
struct BpeVocabulary {
  std::vector<std::string> tokens;                          // by id
  std::vector<std::pair<std::string, std::string>> merges;  // the first learned first
};

// The byte alphabet: every byte as a visible character, so that a vocabulary is a text file. Bytes that are visible in
// Latin-1 stand for themselves, the others for U+0100, U+0101, ... in order (" " is U+0120).
struct ByteAlphabet {
  std::array<char32_t, 256> character{};  // by byte
  std::array<int, 256> order{};           // the byte whose token has that id: visible ones first

  ByteAlphabet() {
    const auto visible = [](int b) { return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE; };
    std::size_t n = 0;
    char32_t next = 0x100;
    for (const bool first_pass : {true, false})
      for (int b = 0; b < 256; ++b) {
        if (visible(b) != first_pass) continue;
        order[n++] = b;
        character[static_cast<std::size_t>(b)] = first_pass ? static_cast<char32_t>(b) : next++;
      }
  }
  static const ByteAlphabet& instance() {
    static const ByteAlphabet alphabet;
    return alphabet;
  }

  std::string text(unsigned char byte) const {
    std::string s;
    unicode::append(s, character[byte]);
    return s;
  }
  // The bytes that `token` (without "</w>") writes; false if a character is not of the alphabet.
  bool bytes(std::string_view token, std::string& out) const {
    out.clear();
    for (char32_t c : unicode::decode(token)) {
      // U+0100 and up are the 68 invisible bytes, whose order is that of `order` from 188 on.
      const bool visible = c < 256 && character[c] == c;
      const bool invisible = c >= 0x100 && c < 0x100 + 68;
      if (!visible && !invisible) return false;
      out += static_cast<char>(static_cast<unsigned char>(visible ? static_cast<int>(c) : order[188 + c - 0x100]));
    }
    return true;
  }
};

// CLIP's vocabulary from its merges: 256 bytes, 256 bytes with "</w>", one token a merge, the two special tokens.
inline BpeVocabulary clip_vocabulary(std::vector<std::pair<std::string, std::string>> merges, const std::string& start,
                                     const std::string& end) {
  BpeVocabulary v;
  v.tokens.reserve(512 + merges.size() + 2);
  const ByteAlphabet& alphabet = ByteAlphabet::instance();
  for (int b : alphabet.order) v.tokens.push_back(alphabet.text(static_cast<unsigned char>(b)));
  for (std::size_t i = 0; i < 256; ++i) v.tokens.push_back(v.tokens[i] + std::string(end_of_word));
  for (const auto& [left, right] : merges) v.tokens.push_back(left + right);
  v.tokens.push_back(start);
  v.tokens.push_back(end);
  v.merges = std::move(merges);
  return v;
}

// The learned merges on token ids, and their application to one word.
class BpeMerges {
 public:
  using Id = std::int32_t;

  // False if that pair is there already. The merge added first ranks first.
  bool add(Id left, Id right, Id result) {
    const bool is_new = rank_.emplace(key(left, right), static_cast<Id>(result_.size())).second;
    if (is_new) result_.push_back(result);
    return is_new;
  }
  static std::uint64_t key(Id left, Id right) {
    return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
  }

  // As long as a pair of neighbours can be merged: take the one that was learned first, merge it everywhere, from left
  // to right. A heap over the pairs makes this O(n log n) in the length of the word, for words of any length.
  void apply(std::vector<Id>& symbols) const {
    const Index n = static_cast<Index>(symbols.size());
    if (n < 2) return;
    constexpr Id none = -1;
    const auto at = [](auto& v, Index i) -> auto& { return v[static_cast<std::size_t>(i)]; };
    std::vector<Index> next(symbols.size()), previous(symbols.size());  // a linked list: merging moves nothing
    std::vector<Id> rank(symbols.size(), none);                         // of the pair that begins here
    using Candidate = std::pair<Id, Index>;                             // rank, position: leftmost first within a rank
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
    const auto look_at = [&](Index i) {
      at(rank, i) = at(next, i) < n ? rank_of(at(symbols, i), at(symbols, at(next, i))) : none;
      if (at(rank, i) != none) heap.emplace(at(rank, i), i);
    };
    for (Index i = 0; i < n; ++i) at(next, i) = i + 1, at(previous, i) = i - 1;
    for (Index i = 0; i < n; ++i) look_at(i);

    std::vector<Index> positions;
    while (!heap.empty()) {
      // All places of this merge are taken before any pair that they give rise to, whatever its rank.
      const Id r = heap.top().first;
      positions.clear();
      for (; !heap.empty() && heap.top().first == r; heap.pop()) positions.push_back(heap.top().second);
      for (Index i : positions) {
        if (at(rank, i) != r) continue;  // a neighbour was merged since
        const Index eaten = at(next, i);
        at(symbols, i) = result_[static_cast<std::size_t>(r)];
        at(rank, eaten) = none;
        at(next, i) = at(next, eaten);
        if (at(next, i) < n) at(previous, at(next, i)) = i;
        look_at(i);
        if (at(previous, i) >= 0) look_at(at(previous, i));
      }
    }
    std::size_t kept = 0;
    for (Index i = 0; i < n; i = at(next, i)) symbols[kept++] = at(symbols, i);
    symbols.resize(kept);
  }

 private:
  Id rank_of(Id left, Id right) const {
    const auto it = rank_.find(key(left, right));
    return it == rank_.end() ? -1 : it->second;
  }
  std::unordered_map<std::uint64_t, Id> rank_;
  std::vector<Id> result_;  // by rank
};

}  // namespace inkling
