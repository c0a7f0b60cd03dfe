// HTML character references back to characters: "&amp;" -> "&", "&#233;" and "&#xE9;" -> "é".
// The rules are those of HTML 5, as Python's html.unescape applies them. Captions from the web are full of them.
#pragma once
#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>

#include "inkling/text/html_entities.hpp"
#include "inkling/text/unicode.hpp"

namespace inkling {
namespace detail {

// Numbers 0x80..0x9F mean what Windows-1252 has there; 0 stands for the five that it leaves empty.
inline constexpr char32_t windows_1252[32] = {0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                              0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017D, 0,
                                              0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                              0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

inline void append_numeric_reference(std::string& out, char32_t number) {
  if (number == 0 || number > 0x10FFFF || (number >= 0xD800 && number <= 0xDFFF)) {
    unicode::append(out, unicode::replacement);
  } else if (number >= 0x80 && number <= 0x9F) {
    const char32_t c = windows_1252[number - 0x80];
    unicode::append(out, c != 0 ? c : number);
  } else {
    const bool control = (number < 0x20 && (number < 0x09 || number > 0x0D || number == 0x0B)) || number == 0x7F;
    const bool noncharacter = (number >= 0xFDD0 && number <= 0xFDEF) || (number & 0xFFFE) == 0xFFFE;
    if (!control && !noncharacter) unicode::append(out, number);
  }
}

// The longest entity name that `text` (what follows '&') begins with, or nullptr.
inline const html_entities::Entity* longest_entity(std::string_view text) {
  using html_entities::Entity;
  const auto less = [](const Entity& e, std::string_view name) { return std::string_view(e.name) < name; };
  const auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  std::size_t length = 0;
  while (length < text.size() && length < html_entities::longest_name && letter_or_digit(text[length])) ++length;
  if (length < text.size() && text[length] == ';') ++length;
  text = text.substr(0, length);
  for (; text.size() >= 2; text.remove_suffix(1)) {
    const Entity* e =
        std::lower_bound(std::begin(html_entities::entities), std::end(html_entities::entities), text, less);
    if (e != std::end(html_entities::entities) && text == e->name) return e;
  }
  return nullptr;
}

}  // namespace detail

inline std::string unescape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const auto at_or_nul = [&](std::size_t i) { return i < text.size() ? text[i] : '\0'; };
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] != '&') {
      out += text[i++];
      continue;
    }
    if (at_or_nul(i + 1) == '#') {
      const bool hexadecimal = at_or_nul(i + 2) == 'x' || at_or_nul(i + 2) == 'X';
      const std::size_t begin = i + (hexadecimal ? 3 : 2);
      std::size_t end = begin;
      char32_t number = 0;
      for (;; ++end) {
        const char c = at_or_nul(end);
        int digit;
        if (c >= '0' && c <= '9')
          digit = c - '0';
        else if (hexadecimal && c >= 'a' && c <= 'f')
          digit = c - 'a' + 10;
        else if (hexadecimal && c >= 'A' && c <= 'F')
          digit = c - 'A' + 10;
        else
          break;
        // Anything beyond Unicode means the same, so the value may stop growing there.
        number = std::min<char32_t>(number * (hexadecimal ? 16u : 10u) + static_cast<char32_t>(digit), 0x110000);
      }
      if (end > begin) {
        detail::append_numeric_reference(out, number);
        i = end + (at_or_nul(end) == ';' ? 1 : 0);
        continue;
      }
    } else if (const html_entities::Entity* e = detail::longest_entity(text.substr(i + 1))) {
      out += e->text;
      i += 1 + std::string_view(e->name).size();
      continue;
    }
    out += text[i++];  // an ampersand that begins nothing is an ampersand
  }
  return out;
}

}  // namespace inkling
