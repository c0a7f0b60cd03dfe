// Names in messages: fit for a line, and "did you mean": the name that differs least from the one that was not found.
#pragma once
#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace inkling {

// A name from a file, fit for one line of an error message.
inline std::string printable(std::string_view text) {
  constexpr std::size_t longest = 120;
  std::string out;
  for (const char c : text.substr(0, longest)) out += static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c;
  return text.size() > longest ? out + "..." : out;
}

// Levenshtein (1966): how many letters must be inserted, deleted or replaced to turn a into b.
//   D(i, j) = min(D(i-1, j) + 1, D(i, j-1) + 1, D(i-1, j-1) + [a_i != b_j])
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);  // D(i, .), one row at a time
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);  // D(i-1, j-1)
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row.back();
}

// The nearest of `names`, or nothing when even that one differs in more than half of its letters. Names longer than
// any sensible one are not compared: the cost is the product of the lengths.
inline std::string nearest_name(std::string_view name, const std::vector<std::string>& names) {
  constexpr std::size_t longest = 300;
  std::string best;
  std::size_t least = name.size() / 2 + 1;
  if (name.size() > longest) return best;
  for (const std::string& candidate : names) {
    if (candidate.size() > longest) continue;
    const std::size_t at_least = std::max(candidate.size(), name.size()) - std::min(candidate.size(), name.size());
    if (at_least >= least) continue;
    if (const std::size_t d = edit_distance(name, candidate); d < least) {
      least = d;
      best = candidate;
    }
  }
  return best;
}

}  // namespace inkling
