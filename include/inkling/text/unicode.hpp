// UTF-8 in and out, and the three questions that a tokenizer asks of Unicode: letter? number? lower case?
//
// Any bytes may come in. A byte that is not part of well-formed UTF-8 travels as the "code point" raw_byte + byte:
// it is neither letter nor number nor space, and comes out again as that byte. So nothing is lost and nothing fails.
#pragma once
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>

#include "inkling/text/unicode_tables.hpp"

namespace inkling::unicode {

inline constexpr char32_t raw_byte = 0x110000;   // one beyond the last code point of Unicode
inline constexpr char32_t replacement = 0xFFFD;  // stands for what could not be decoded
inline constexpr char32_t capital_i_dotted = 0x130, combining_dot_above = 0x307;
inline constexpr char32_t capital_sigma = 0x3A3, small_sigma = 0x3C3, small_final_sigma = 0x3C2;

struct Sequence {
  std::size_t length;   // of an ill-formed one: its longest part that could have begun a well-formed one, at least 1
  char32_t code_point;  // of an ill-formed one: raw_byte
};

// The sequence that begins at text[at], after Table 3-7 of the Unicode Standard (no overlong forms, no surrogates).
inline Sequence decode_one(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(text[i])); };
  const unsigned lead = byte(at);
  if (lead < 0x80) return {1, lead};
  if (lead < 0xC2 || lead > 0xF4) return {1, raw_byte};
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  unsigned code_point = lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    unsigned low = 0x80, high = 0xBF;
    if (i == 1 && lead == 0xE0) low = 0xA0;   // below: overlong
    if (i == 1 && lead == 0xED) high = 0x9F;  // above: surrogates
    if (i == 1 && lead == 0xF0) low = 0x90;   // below: overlong
    if (i == 1 && lead == 0xF4) high = 0x8F;  // above: beyond U+10FFFF
    if (at + i >= text.size() || byte(at + i) < low || byte(at + i) > high) return {i, raw_byte};
    code_point = code_point << 6 | (byte(at + i) & 0x3F);
  }
  return {length, code_point};
}

inline std::u32string decode(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Sequence s = decode_one(text, at);
    if (s.code_point != raw_byte)
      out += s.code_point;
    else
      for (std::size_t i = 0; i < s.length; ++i) out += raw_byte + static_cast<unsigned char>(text[at + i]);
    at += s.length;
  }
  return out;
}

inline void append(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  } else if (c < raw_byte) {
    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  } else {
    put(c - raw_byte);
  }
}
inline std::string encode(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char32_t c : text) append(out, c);
  return out;
}

// The text with U+FFFD in the place of every ill-formed sequence: always well-formed UTF-8.
inline std::string replace_invalid(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Sequence s = decode_one(text, at);
    append(out, s.code_point == raw_byte ? replacement : s.code_point);
    at += s.length;
  }
  return out;
}

// A control character: nothing that a one-line message or a terminal should receive.
inline bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7F && c <= 0x9F); }

// The text as part of a one-line message: well-formed, no control characters, at most so many characters.
inline std::string printable(std::string_view text, std::size_t most) {
  // A character has at most four bytes: the rest is never looked at, however long it is.
  std::u32string out = decode(text.substr(0, most < text.size() / 4 ? 4 * most + 4 : text.size()));
  const bool cut = out.size() > most;
  if (cut) out.resize(most);
  for (char32_t& c : out)
    if (is_control(c))
      c = U' ';
    else if (c >= raw_byte)
      c = replacement;
  return encode(out) + (cut ? "..." : "");
}

namespace detail {
template <class Range, std::size_t N>
const Range* find(const Range (&table)[N], char32_t c) {
  const Range *low = table, *high = table + N;
  while (low < high) {
    const Range* middle = low + (high - low) / 2;
    if (c > middle->last)
      low = middle + 1;
    else if (c < middle->first)
      high = middle;
    else
      return middle;
  }
  return nullptr;
}
}  // namespace detail

inline bool is_letter(char32_t c) {
  if (c < 0x80) return (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z');
  return detail::find(unicode_tables::letters, c) != nullptr;
}
inline bool is_number(char32_t c) {
  if (c < 0x80) return c >= U'0' && c <= U'9';
  return detail::find(unicode_tables::numbers, c) != nullptr;
}
// White_Space: what \s matches.
inline bool is_space(char32_t c) {
  if (c < 0x80) return c == U' ' || (c >= 0x09 && c <= 0x0D);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

// Lower case without regard to neighbours; U+0130 and the final sigma are the business of to_lower.
inline char32_t lower_code_point(char32_t c) {
  if (c < 0x80) return c >= U'A' && c <= U'Z' ? c + 32 : c;
  const unicode_tables::LowerCaseRun* run = detail::find(unicode_tables::lower_case, c);
  if (run == nullptr || (c - run->first) % static_cast<char32_t>(run->step) != 0) return c;
  return static_cast<char32_t>(static_cast<int>(c) + run->offset);
}

// Final_Sigma (Unicode Standard, Table 3-17): a cased letter before, none after, case-ignorable characters skipped.
inline bool is_final_sigma(std::u32string_view text, std::size_t at) {
  const auto ignorable = [&](std::size_t i) {
    return detail::find(unicode_tables::case_ignorable, text[i]) != nullptr;
  };
  const auto cased = [&](std::size_t i) { return detail::find(unicode_tables::cased, text[i]) != nullptr; };
  std::size_t before = at;  // one beyond the character looked at
  while (before > 0 && ignorable(before - 1)) --before;
  if (before == 0 || !cased(before - 1)) return false;
  std::size_t after = at + 1;
  while (after < text.size() && ignorable(after)) ++after;
  return after == text.size() || !cased(after);
}

inline std::u32string to_lower(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == capital_i_dotted)
      out += {U'i', combining_dot_above};
    else if (text[i] == capital_sigma)
      out += is_final_sigma(text, i) ? small_final_sigma : small_sigma;
    else
      out += lower_code_point(text[i]);
  }
  return out;
}

}  // namespace inkling::unicode
