// From raw text to the words that byte-pair encoding works on, as in OpenAI's CLIP (simple_tokenizer.py).
//
// Two differences. The reference repairs wrongly decoded text with ftfy first ("cafÃ©" -> "café"): here the text is
// taken as it is written. And its regular expression, ignoring case, drops U+0345, a combining iota: here it is kept.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inkling/text/html.hpp"
#include "inkling/text/unicode.hpp"

namespace inkling {

// Unescape twice (captions from the web are often escaped twice), trim, make every run of white space one space,
// lower-case.
inline std::u32string clean_text(std::string_view text) {
  const std::u32string raw = unicode::decode(unescape_html(unescape_html(text)));
  // Python's strip() also takes the four information separators, which \s does not match.
  const auto stripped = [](char32_t c) { return unicode::is_space(c) || (c >= 0x1C && c <= 0x1F); };
  std::size_t begin = 0, end = raw.size();
  while (begin < end && stripped(raw[begin])) ++begin;
  while (begin < end && stripped(raw[end - 1])) --end;
  std::u32string one_spaced;
  one_spaced.reserve(end - begin);
  for (std::size_t i = begin; i < end; ++i) {
    const bool space = unicode::is_space(raw[i]);
    if (!space)
      one_spaced += raw[i];
    else if (one_spaced.back() != U' ')
      one_spaced += U' ';  // never empty here: the text begins with no space
  }
  return unicode::to_lower(one_spaced);
}

namespace detail {

// Whether text continues with the ASCII literal at `at`, ignoring case. The text is in lower case already; the one
// character that only case-folding makes an ASCII letter is the long s (U+017F).
inline bool continues_with(std::u32string_view text, std::size_t at, std::string_view literal) {
  if (literal.empty() || text.size() - at < literal.size()) return false;
  for (std::size_t i = 0; i < literal.size(); ++i) {
    const char32_t c = text[at + i], wanted = static_cast<unsigned char>(literal[i]);
    if (c != wanted && !(c == 0x17F && wanted == U's')) return false;
  }
  return true;
}

// Length of the match of CLIP's pattern that begins at `at`, where no white space stands:
//   <|startoftext|> | <|endoftext|> | 's | 't | 're | 've | 'm | 'll | 'd | [\p{L}]+ | [\p{N}] | [^\s\p{L}\p{N}]+
// The first alternative that matches is taken, as in a regular expression.
inline std::size_t match_word(std::u32string_view text, std::size_t at, std::string_view start, std::string_view end) {
  for (std::string_view special : {start, end})
    if (continues_with(text, at, special)) return special.size();
  if (text[at] == U'\'')
    for (std::string_view suffix : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
      if (continues_with(text, at, suffix)) return suffix.size();
  const auto run = [&](auto in_class) {
    std::size_t n = 1;
    while (at + n < text.size() && in_class(text[at + n])) ++n;
    return n;
  };
  if (unicode::is_letter(text[at])) return run(unicode::is_letter);
  if (unicode::is_number(text[at])) return 1;  // digits stay single
  return run([](char32_t c) { return !unicode::is_space(c) && !unicode::is_letter(c) && !unicode::is_number(c); });
}

}  // namespace detail

// "A red seven, it's bold" -> "a" "red" "seven" "," "it" "'s" "bold". `start` and `end` are the texts of the special
// tokens: where a prompt contains one of them literally, it is a word of its own.
inline std::vector<std::string> split_words(std::string_view text, std::string_view start = "<|startoftext|>",
                                            std::string_view end = "<|endoftext|>") {
  const std::u32string clean = clean_text(text);
  std::vector<std::string> words;
  for (std::size_t at = 0; at < clean.size();) {
    if (unicode::is_space(clean[at])) {
      ++at;
      continue;
    }
    const std::size_t length = detail::match_word(clean, at, start, end);
    words.push_back(unicode::encode(std::u32string_view(clean).substr(at, length)));
    at += length;
  }
  return words;
}

}  // namespace inkling
