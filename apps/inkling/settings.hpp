// What several commands check and say in the same way.
#pragma once
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "commands.hpp"
#include "inkling/core/parallel.hpp"
#include "inkling/io/atomic_file.hpp"
#include "inkling/io/detect_config.hpp"
#include "inkling/io/nearest_name.hpp"

namespace app {

namespace fs = std::filesystem;

inline std::uint64_t seed_from(const std::string& text) {
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc() || end != text.data() + text.size())
    throw inkling::ConfigError("seed", "a whole number from 0 to 18446744073709551615",
                               "\"" + inkling::printable(text) + "\"");
  return seed;
}

inline void use_threads(Index threads) {
  constexpr Index most = 1024;
  if (threads < 0 || threads > most)
    throw inkling::ConfigError("threads", "from 1 to " + std::to_string(most) + ", or 0 for all",
                               std::to_string(threads));
  if (threads > 0) inkling::set_num_threads(static_cast<int>(threads));
}

inline inkling::ModelOverrides overrides_from(const ModelChoice& m) {
  inkling::ModelOverrides o;
  const auto number = [](std::optional<Index>& into, Index value, const char* name) {
    if (value < 0) throw inkling::ConfigError(name, "at least 1", std::to_string(value));
    if (value > 0) into = value;
  };
  number(o.unet_heads, m.unet_heads, "unet-heads");
  number(o.unet_head_width, m.unet_head_width, "unet-head-width");
  number(o.text_heads, m.text_heads, "text-heads");
  if (!m.prediction.empty()) {
    if (m.prediction != "epsilon" && m.prediction != "v_prediction" && m.prediction != "sample")
      throw inkling::ConfigError("prediction", "epsilon, v_prediction or sample",
                                 "\"" + inkling::printable(m.prediction) + "\"");
    o.prediction_type = m.prediction;
  }
  return o;
}

// ---- Outputs: whether they can be written is known before the long work starts. ----

inline bool is_png(const fs::path& path) { return path.extension() == ".png" || path.extension() == ".PNG"; }

// Makes a file beside the place and takes it away again.
inline void require_writable_file(const fs::path& path) { const inkling::AtomicFile probe(path); }
inline void require_writable_folder(const fs::path& folder) {
  std::error_code error;
  fs::path at = fs::absolute(folder, error).lexically_normal();
  while (!fs::exists(at, error) && at.has_relative_path()) at = at.parent_path();
  if (!fs::is_directory(at, error))
    throw inkling::FormatError(folder.string(), "a folder", "a file: " + at.string());
  require_writable_file(at / "inkling");
}
inline void require_png_name(const char* option, const fs::path& path) {
  if (!is_png(path))
    throw inkling::ConfigError(option, "a name that ends in .png", "\"" + inkling::printable(path.string()) + "\"");
}

}  // namespace app
