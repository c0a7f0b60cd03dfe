// CLIP's tokenizer: a prompt becomes the row of token ids that the text encoder reads.
//
//   const Tokenizer tokenizer = Tokenizer::from_folder("model/tokenizer");       // needs text/tokenizer_io.hpp
//   const Encoded row = tokenizer.encode_padded("a bold red seven");            // 77 ids
//   if (row.truncated) std::cerr << truncation_notice(row);
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "inkling/core/error.hpp"
#include "inkling/core/shape.hpp"
#include "inkling/text/bpe.hpp"
#include "inkling/text/split.hpp"

namespace inkling {

// The text encoder of CLIP ViT-L/14 has 77 position embeddings (Radford et al. 2021, section 2.4: 76 in the paper, 77
// in the released models): start, 75 tokens of text, end.
inline constexpr Index clip_context_length = 77;

struct SpecialTokens {
  std::string start = "<|startoftext|>";
  std::string end = "<|endoftext|>";
  std::string pad{};  // empty: the end token, as in SD 1.x. SD 2.x pads with "!", which has id 0.
};

struct Encoded {
  std::vector<std::int64_t> ids;  // [context_length]: start, text, end, padding
  Index tokens = 0;               // how many of them are not padding
  bool truncated = false;         // the text did not fit
  Index dropped_tokens = 0;
  std::string dropped_text{};  // what the model does not get to see
};

// A word of the prompt and the positions of its tokens in the row of encode_padded, the last one included.
struct WordSpan {
  std::string word;
  Index first_token = 0, last_token = 0;
};

class Tokenizer {
 public:
  // `where` names the source in error messages.
  explicit Tokenizer(BpeVocabulary vocabulary, SpecialTokens special = {}, std::string_view where = "Tokenizer")
      : vocabulary_(std::move(vocabulary)), special_(std::move(special)) {
    if (special_.pad.empty()) special_.pad = special_.end;
    read_tokens(where);
    read_merges(where);
  }

  // Defined in text/tokenizer_io.hpp.
  static Tokenizer from_vocab_merges(const std::filesystem::path& vocab_json, const std::filesystem::path& merges_txt,
                                     SpecialTokens special = {});
  static Tokenizer from_bpe_file(const std::filesystem::path& bpe_txt_gz, Index vocab_size = 49408,
                                 SpecialTokens special = {});
  static Tokenizer from_folder(const std::filesystem::path& folder);

  Index vocab_size() const { return static_cast<Index>(vocabulary_.tokens.size()); }
  std::int64_t start_id() const { return start_id_; }
  std::int64_t end_id() const { return end_id_; }
  std::int64_t pad_id() const { return pad_id_; }
  void set_pad_id(std::int64_t id) {
    special_.pad = vocabulary_.tokens[checked(id, "Tokenizer::set_pad_id")];
    pad_id_ = id;
  }
  const BpeVocabulary& vocabulary() const { return vocabulary_; }
  const SpecialTokens& special_tokens() const { return special_; }

  // All ids of the text, without start and end. Any bytes are a text.
  std::vector<std::int64_t> encode(std::string_view text) const {
    std::vector<std::int64_t> ids;
    for (const std::string& word : split_words(text, special_.start, special_.end)) append_word(word, ids);
    return ids;
  }

  Encoded encode_padded(std::string_view text, Index context_length = clip_context_length) const {
    const std::size_t length = checked_context(context_length), room = length - 2;
    std::vector<std::int64_t> ids = encode(text);
    Encoded row;
    if (ids.size() > room) {
      row.truncated = true;
      row.dropped_tokens = static_cast<Index>(ids.size() - room);
      row.dropped_text = decode({ids.begin() + static_cast<std::ptrdiff_t>(room), ids.end()});
      if (!row.dropped_text.empty() && row.dropped_text.back() == ' ') row.dropped_text.pop_back();
      ids.resize(room);
    }
    row.ids.reserve(length);
    row.ids.push_back(start_id_);
    row.ids.insert(row.ids.end(), ids.begin(), ids.end());
    row.ids.push_back(end_id_);
    row.tokens = static_cast<Index>(row.ids.size());
    row.ids.resize(length, pad_id_);
    return row;
  }

  // Which tokens of encode_padded's row belong to which word: for attention maps of words. Words beyond the cut are
  // left out; a word that the cut goes through ends at it.
  std::vector<WordSpan> words(std::string_view text, Index context_length = clip_context_length) const {
    const Index last_text_token = static_cast<Index>(checked_context(context_length)) - 2;
    std::vector<WordSpan> spans;
    std::vector<std::int64_t> ids;
    Index first = 1;  // 0 is the start token
    for (const std::string& word : split_words(text, special_.start, special_.end)) {
      if (first > last_text_token) break;
      ids.clear();
      append_word(word, ids);
      const Index last = first + static_cast<Index>(ids.size()) - 1;
      spans.push_back({unicode::replace_invalid(word), first, last < last_text_token ? last : last_text_token});
      first = last + 1;
    }
    return spans;
  }

  // Back to text: a space after every end of a word. Tokens may cut through a character; what is not UTF-8 becomes
  // U+FFFD, so that the result can be printed. decode_bytes leaves the bytes as they are.
  std::string decode(const std::vector<std::int64_t>& ids) const { return unicode::replace_invalid(decode_bytes(ids)); }
  std::string decode_bytes(const std::vector<std::int64_t>& ids) const {
    std::string text;
    for (std::int64_t id : ids) {
      const Piece& piece = pieces_[checked(id, "Tokenizer::decode")];
      text += piece.bytes;
      if (piece.ends_word) text += ' ';
    }
    return text;
  }

  // One token to read, as a caption: the bytes that are not text by their number, "<0xE4>".
  std::string token_text(std::int64_t id) const {
    const std::string& bytes = pieces_[checked(id, "Tokenizer::token_text")].bytes;
    std::string text;
    for (std::size_t at = 0; at < bytes.size();) {
      const unicode::Sequence s = unicode::decode_one(bytes, at);
      const bool readable = s.code_point != unicode::raw_byte && !unicode::is_control(s.code_point);
      for (std::size_t i = at; i < at + s.length; ++i) {
        constexpr char digits[] = "0123456789ABCDEF";
        const unsigned char b = static_cast<unsigned char>(bytes[i]);
        if (readable)
          text += bytes[i];
        else
          text.append("<0x").append({digits[b >> 4], digits[b & 15]}).append(">");
      }
      at += s.length;
    }
    return text;
  }
  bool ends_word(std::int64_t id) const { return pieces_[checked(id, "Tokenizer::ends_word")].ends_word; }

 private:
  using Id = BpeMerges::Id;
  struct Piece {
    std::string bytes;
    bool ends_word = false;
  };

  void read_tokens(std::string_view where) {
    constexpr auto most = static_cast<std::size_t>(std::numeric_limits<Id>::max());
    if (vocabulary_.tokens.size() > most)
      throw FormatError(where, "at most 2^31 - 1 tokens", std::to_string(vocabulary_.tokens.size()));
    const ByteAlphabet& alphabet = ByteAlphabet::instance();
    pieces_.reserve(vocabulary_.tokens.size());
    id_.reserve(vocabulary_.tokens.size());
    for (const std::string& token : vocabulary_.tokens) {
      const auto [it, is_new] = id_.emplace(token, static_cast<Id>(pieces_.size()));
      if (!is_new)
        throw FormatError(
            where, "every token once",
            quoted(token) + " as id " + std::to_string(it->second) + " and as id " + std::to_string(pieces_.size()));
      std::string_view body = token;
      const bool special = token == special_.start || token == special_.end;
      const bool ends = !special && body.size() > end_of_word.size() && body.ends_with(end_of_word);
      if (ends) body.remove_suffix(end_of_word.size());
      Piece piece{{}, ends};
      if (special || !alphabet.bytes(body, piece.bytes)) piece.bytes = body;  // added tokens are plain text
      pieces_.push_back(std::move(piece));
    }
    start_id_ = require(special_.start, "a token for the start", where);
    end_id_ = require(special_.end, "a token for the end", where);
    pad_id_ = require(special_.pad, "a token for padding", where);
    for (std::size_t b = 0; b < 256; ++b) {
      const std::string text = alphabet.text(static_cast<unsigned char>(b));
      byte_[b] = require(text, "a token for every byte", where);
      last_byte_[b] = require(text + std::string(end_of_word), "a token for every byte at the end of a word", where);
    }
  }

  void read_merges(std::string_view where) {
    for (std::size_t i = 0; i < vocabulary_.merges.size(); ++i) {
      const auto& [left, right] = vocabulary_.merges[i];
      const auto l = id_.find(left), r = id_.find(right), result = id_.find(left + right);
      if (!left.empty() && !right.empty() && l != id_.end() && r != id_.end() && result != id_.end() &&
          merges_.add(l->second, r->second, result->second))
        continue;
      const std::string here = std::string(where) + ": merge " + std::to_string(i + 1);
      if (left.empty() || right.empty()) throw FormatError(here, "two tokens", "an empty one");
      for (const std::string& token : {left, right, left + right}) require(token, "tokens of the vocabulary", here);
      throw FormatError(here, "every merge once", quoted(left + " " + right) + " again");
    }
  }

  static std::string quoted(std::string_view token) { return "\"" + unicode::printable(token, 60) + "\""; }
  Id require(const std::string& token, std::string_view expected, std::string_view where) const {
    const auto it = id_.find(token);
    if (it == id_.end())
      throw FormatError(where, expected, "no " + quoted(token) + " among " + std::to_string(vocab_size()) + " tokens",
                        "vocabulary and merges must come from the same model, with all 512 tokens of single bytes");
    return it->second;
  }

  std::size_t checked(std::int64_t id, std::string_view where) const {
    if (id < 0 || id >= static_cast<std::int64_t>(vocab_size()))
      throw ConfigError(where, "an id from 0 to " + std::to_string(vocab_size() - 1), std::to_string(id));
    return static_cast<std::size_t>(id);
  }
  static std::size_t checked_context(Index length) {
    constexpr Index most = 1 << 20;  // far beyond every text encoder; a length may come from a file
    if (length < 2 || length > most)
      throw ConfigError("Tokenizer: context length", "2 (start and end) to " + std::to_string(most),
                        std::to_string(length));
    return static_cast<std::size_t>(length);
  }

  void append_word(std::string_view word, std::vector<std::int64_t>& ids) const {
    if (word == special_.start || word == special_.end) {
      ids.push_back(word == special_.start ? start_id_ : end_id_);
      return;
    }
    std::vector<Id> symbols;
    symbols.reserve(word.size());
    for (char c : word) symbols.push_back(byte_[static_cast<unsigned char>(c)]);
    symbols.back() = last_byte_[static_cast<unsigned char>(word.back())];
    merges_.apply(symbols);
    ids.insert(ids.end(), symbols.begin(), symbols.end());
  }

  BpeVocabulary vocabulary_;
  SpecialTokens special_;
  std::unordered_map<std::string, Id> id_;
  std::vector<Piece> pieces_;  // by id
  BpeMerges merges_;
  std::array<Id, 256> byte_{}, last_byte_{};
  std::int64_t start_id_ = 0, end_id_ = 0, pad_id_ = 0;
};

// One line for the user when a prompt was cut; empty when it was not.
inline std::string truncation_notice(const Encoded& row, std::size_t most_characters = 160) {
  if (!row.truncated) return {};
  const Index room = static_cast<Index>(row.ids.size()) - 2;
  return "the prompt has " + std::to_string(room + row.dropped_tokens) + " tokens and the model reads " +
         std::to_string(room) + "; left out: \"" + unicode::printable(row.dropped_text, most_characters) + "\"";
}

}  // namespace inkling
