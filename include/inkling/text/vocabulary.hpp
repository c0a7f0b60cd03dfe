// The words that a model knows, the most frequent first: a word's number is its rank.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "inkling/core/shape.hpp"
#include "inkling/io/nearest_name.hpp"

namespace inkling {

class Vocabulary {
 public:
  using Id = std::int32_t;

  Vocabulary() = default;
  // counts: how often each word was met; none where that is not known.
  explicit Vocabulary(std::vector<std::string> words, std::vector<std::int64_t> counts = {})
      : words_(std::move(words)), counts_(std::move(counts)) {
    if (!counts_.empty() && counts_.size() != words_.size())
      throw ShapeError("Vocabulary", "a count for each of " + std::to_string(words_.size()) + " words",
                       std::to_string(counts_.size()));
    ids_.reserve(words_.size());
    for (std::size_t i = 0; i < words_.size(); ++i)
      if (!ids_.emplace(words_[i], static_cast<Id>(i)).second)
        throw FormatError("Vocabulary", "every word once", "\"" + printable(words_[i]) + "\" twice");
  }

  Index size() const noexcept { return static_cast<Index>(words_.size()); }
  const std::vector<std::string>& words() const noexcept { return words_; }
  const std::vector<std::int64_t>& counts() const noexcept { return counts_; }
  const std::string& word(Id id) const { return words_.at(static_cast<std::size_t>(id)); }

  std::optional<Id> find(std::string_view word) const {
    const auto found = ids_.find(word);
    return found == ids_.end() ? std::nullopt : std::optional<Id>(found->second);
  }
  // Throws where the word is not known.
  Id id(std::string_view word) const {
    if (const auto found = find(word)) return *found;
    const std::string nearest = nearest_name(word, words_);
    throw ConfigError("word \"" + printable(word) + "\"", "one of the " + std::to_string(size()) + " words known here",
                      "another", nearest.empty() ? "" : "there is \"" + nearest + "\"");
  }

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::vector<std::string> words_;
  std::vector<std::int64_t> counts_;
  std::unordered_map<std::string, Id, Hash, std::equal_to<>> ids_;
};

}  // namespace inkling
