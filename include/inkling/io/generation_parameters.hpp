// How a picture was made, as text inside the picture: the form of the chunk "parameters" that the common web
// interface writes and that viewers of generated pictures read.
//
//   a bold red seven on a blue background
//   Negative prompt: blurry
//   Steps: 25, Sampler: DDIM, CFG scale: 7.5, Seed: 1, Size: 512x512, Model: mini
#pragma once
#include <cctype>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inkling/core/shape.hpp"

namespace inkling {

struct GenerationParameters {
  std::string prompt, negative_prompt;
  Index steps = 0;
  std::string sampler;
  double guidance = 0;
  std::uint64_t seed = 0;
  Index width = 0, height = 0;
  std::string model;
  std::vector<std::pair<std::string, std::string>> others;  // further keys, in order

  bool operator==(const GenerationParameters&) const = default;
};

namespace detail {
// A value that would break the line's commas stands in quotes.
inline std::string quoted_value(const std::string& value) {
  if (value.find_first_of(",:\n\"") == std::string::npos) return value;
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + "\"";
}
template <class T>
std::string number_text(T v) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, v);  // shortest text that reads back the same
  return {buffer, end.ptr};
}
// "Key: value, Key: "quoted, value"" -> pairs; empty when the line is not of that form.
inline std::vector<std::pair<std::string, std::string>> parse_pairs(std::string_view line) {
  std::vector<std::pair<std::string, std::string>> pairs;
  while (!line.empty()) {
    const std::size_t colon = line.find(": ");
    if (colon == 0 || colon == std::string_view::npos || line.substr(0, colon).find(',') != std::string_view::npos)
      return {};
    std::string key(line.substr(0, colon)), value;
    line.remove_prefix(colon + 2);
    if (line.starts_with('"')) {
      std::size_t i = 1;
      for (; i < line.size() && line[i] != '"'; ++i) {
        if (line[i] == '\\' && i + 1 < line.size())
          value += line[++i] == 'n' ? '\n' : line[i];
        else
          value += line[i];
      }
      line.remove_prefix(std::min(i + 1, line.size()));
    } else {
      value = line.substr(0, line.find(", "));
      line.remove_prefix(value.size());
    }
    pairs.emplace_back(std::move(key), std::move(value));
    if (line.starts_with(", "))
      line.remove_prefix(2);
    else if (!line.empty())
      return {};
  }
  return pairs;
}
}  // namespace detail

inline std::string to_text(const GenerationParameters& p) {
  using detail::number_text;
  std::string text = p.prompt;
  if (!p.negative_prompt.empty()) text += "\nNegative prompt: " + p.negative_prompt;
  text += "\nSteps: " + number_text(p.steps) + ", Sampler: " + detail::quoted_value(p.sampler) +
          ", CFG scale: " + number_text(p.guidance) + ", Seed: " + number_text(p.seed) +
          ", Size: " + number_text(p.width) + "x" + number_text(p.height);
  if (!p.model.empty()) text += ", Model: " + detail::quoted_value(p.model);
  for (const auto& [key, value] : p.others) text += ", " + key + ": " + detail::quoted_value(value);
  return text;
}

// Never fails: text of another form is a prompt.
inline GenerationParameters parse_generation_parameters(std::string_view text) {
  GenerationParameters p;
  const std::size_t last_line = text.rfind('\n');
  const std::string_view line = last_line == std::string_view::npos ? text : text.substr(last_line + 1);
  const auto pairs = detail::parse_pairs(line);
  const auto number = [](std::string_view value, auto& out) {
    std::from_chars(value.data(), value.data() + value.size(), out);
  };
  if (pairs.size() >= 3) {  // a prompt may contain a colon, too, but hardly three with commas between
    text = last_line == std::string_view::npos ? std::string_view() : text.substr(0, last_line);
    for (const auto& [key, value] : pairs) {
      if (key == "Steps")
        number(value, p.steps);
      else if (key == "Sampler")
        p.sampler = value;
      else if (key == "CFG scale")
        number(value, p.guidance);
      else if (key == "Seed")
        number(value, p.seed);
      else if (key == "Model")
        p.model = value;
      else if (key == "Size") {
        number(value, p.width);
        if (const std::size_t x = value.find('x'); x != std::string::npos)
          number(std::string_view(value).substr(x + 1), p.height);
      } else
        p.others.emplace_back(key, value);
    }
  }
  constexpr std::string_view mark = "Negative prompt: ";
  std::size_t at = text.starts_with(mark) ? 0 : text.find("\n" + std::string(mark));
  if (at == std::string_view::npos) {
    p.prompt = text;
  } else {
    p.prompt = text.substr(0, at);
    p.negative_prompt = text.substr(at + (at == 0 && text.starts_with(mark) ? 0 : 1) + mark.size());
  }
  return p;
}

}  // namespace inkling
