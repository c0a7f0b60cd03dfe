// A json object in a file, read strictly: every error names the file and the key.
#pragma once
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "inkling/core/shape.hpp"
#include "inkling/io/nearest_name.hpp"

namespace inkling {

class JsonFile {
 public:
  explicit JsonFile(const std::filesystem::path& path) : where_(path.string()) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) throw ConfigError(where_, "a config file", "none there");
    constexpr std::uintmax_t limit = 64 << 20;  // a vocabulary is 1 MiB
    if (std::filesystem::file_size(path, error) > limit || error)
      throw ConfigError(where_, "a json file of at most 64 MiB", "more");
    std::ifstream in(path);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    // The callback stops deep nesting before anything that recurses sees the tree.
    bool deep = false;
    // From pointers, as everywhere here: another type of input would be another parser to compile.
    json_ = nlohmann::json::parse(
        text.data(), text.data() + text.size(),
        [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) { return !(deep |= depth > 32); }, false);
    if (!in || json_.is_discarded() || deep || !json_.is_object())
      throw ConfigError(where_, "a json object", deep ? "nesting deeper than 32" : "something else");
  }
  const std::string& where() const noexcept { return where_; }
  const nlohmann::json& json() const noexcept { return json_; }
  bool has(const std::string& key) const { return json_.contains(key) && !json_[key].is_null(); }

  template <class V>
  V get(const std::string& key) const {
    if (!has(key)) {
      std::vector<std::string> keys;
      for (const auto& item : json_.items()) keys.push_back(item.key());
      const std::string near = nearest_name(key, keys);
      throw ConfigError(where_, "key \"" + printable(key) + "\"", "none",
                        near.empty() ? "" : "there is \"" + printable(near) + "\"");
    }
    return convert<V>(json_[key], key);
  }
  template <class V>
  V get(const std::string& key, const V& otherwise) const {
    return has(key) ? get<V>(key) : otherwise;
  }
  // A size: 1 or more, and no more than any network of this family has.
  Index size(const std::string& key) const { return in_range(get<Index>(key), key, most_width); }
  Index layers(const std::string& key) const { return in_range(get<Index>(key), key, most_layers); }
  std::vector<Index> sizes(const std::string& key) const {
    std::vector<Index> out = get<std::vector<Index>>(key);
    if (out.empty() || out.size() > 16) fail(key, "1 to 16 numbers", std::to_string(out.size()));
    for (const Index v : out) in_range(v, key, most_width);
    return out;
  }
  // Keys that change the architecture: only these values (or none) are known here.
  void only(const std::string& key, const nlohmann::json& allowed) const {
    if (has(key) && json_[key] != allowed) fail(key, allowed.dump(), printable(json_[key].dump()), "not supported");
  }
  [[noreturn]] void fail(const std::string& key, std::string_view expected, std::string_view got,
                         std::string_view hint = {}) const {
    throw ConfigError(where_ + ": \"" + key + "\"", expected, got, hint);
  }

 private:
  static constexpr Index most_width = 1'000'000, most_layers = 1000;

  Index in_range(Index v, const std::string& key, Index most) const {
    if (v < 1 || v > most) fail(key, "a number from 1 to " + std::to_string(most), std::to_string(v));
    return v;
  }
  // Without the library's silent conversions: 1.5 is no integer, true no number.
  template <class V>
  V convert(const nlohmann::json& v, const std::string& key) const {
    const auto wrong = [&](std::string_view expected) { fail(key, expected, printable(v.dump(-1, ' ', true))); };
    if constexpr (std::is_same_v<V, bool>) {
      if (!v.is_boolean()) wrong("true or false");
    } else if constexpr (std::is_same_v<V, Index>) {
      if (!v.is_number_integer() || (v.is_number_unsigned() && v.get<std::uint64_t>() > std::uint64_t{1} << 62))
        wrong("an integer");
    } else if constexpr (std::is_same_v<V, double>) {
      if (!v.is_number()) wrong("a number");
    } else if constexpr (std::is_same_v<V, std::string>) {
      if (!v.is_string()) wrong("a string");
    } else {
      if (!v.is_array()) wrong("an array");
      V out;
      for (const auto& item : v) out.push_back(convert<typename V::value_type>(item, key));
      return out;
    }
    return v.get<V>();
  }

  std::string where_;
  nlohmann::json json_;
};

}  // namespace inkling
