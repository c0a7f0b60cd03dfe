// inkling inspect, inkling tokenize: looking at files and texts, without any network.
#include <iostream>
#include <optional>

#include "commands.hpp"
#include "inkling/io/inspect.hpp"
#include "inkling/text/tokenizer_io.hpp"
#include "settings.hpp"

namespace app {

using namespace inkling;

int inspect(const Inspect& settings) {
  std::error_code error;
  if (!fs::exists(settings.model.path, error))
    throw LoadError(settings.model.path, "a safetensors file or a model folder", "nothing of that name");
  std::cout << inkling::inspect(settings.model.path, overrides_from(settings.model));
  return 0;
}

namespace {

std::string escaped(const std::string& text) { return "\"" + unicode::printable(text, 200) + "\""; }

// The vocabulary, and how many tokens its model reads.
std::pair<Tokenizer, Index> tokenizer_for(const Tokenize& s) {
  if (s.vocab.empty() == s.model.empty())
    throw ConfigError("tokenize", "one of --vocab and --model", s.vocab.empty() ? "none" : "both");
  if (!s.model.empty()) {
    std::error_code error;
    const fs::path folder(s.model);
    if (!fs::is_directory(folder / "tokenizer", error))
      throw LoadError(s.model, "a model folder with tokenizer/", "none",
                      "a single-file model holds no vocabulary: name one with --vocab");
    std::optional<Index> length;
    if (fs::exists(folder / "text_encoder" / "config.json", error))
      length = load_text_config(folder / "text_encoder" / "config.json").max_positions;
    return {Tokenizer::from_folder(folder / "tokenizer"), length.value_or(clip_context_length)};
  }
  const fs::path path(s.vocab);
  std::error_code error;
  if (!fs::exists(path, error)) throw LoadError(s.vocab, "a vocabulary", "nothing of that name");
  if (fs::is_directory(path, error)) return {Tokenizer::from_folder(path), clip_context_length};
  if (path.extension() == ".json" || path.extension() == ".txt")
    return {Tokenizer::from_folder(path.has_parent_path() ? path.parent_path() : fs::path(".")), clip_context_length};
  return {Tokenizer::from_bpe_file(path), clip_context_length};
}

}  // namespace

int tokenize(const Tokenize& settings) {
  auto [tokenizer, length] = tokenizer_for(settings);
  if (settings.length != 0) length = settings.length;
  const Encoded row = tokenizer.encode_padded(settings.text, length);
  std::cout << "ids   ";
  for (Index i = 0; i < row.tokens; ++i) std::cout << (i ? " " : "") << row.ids[static_cast<std::size_t>(i)];
  std::cout << "\ntokens " << row.tokens << " of " << length << ", then " << length - row.tokens << " of padding ("
            << tokenizer.pad_id() << ")\n";
  for (Index i = 0; i < row.tokens; ++i) {
    const std::int64_t id = row.ids[static_cast<std::size_t>(i)];
    const bool inside = !tokenizer.ends_word(id) && id != tokenizer.start_id() && id != tokenizer.end_id();
    std::cout << "  " << i << "\t" << id << "\t" << tokenizer.token_text(id) << (inside ? "\t(the word goes on)" : "")
              << "\n";
  }
  std::cout << "words\n";
  for (const WordSpan& w : tokenizer.words(settings.text, length)) {
    std::cout << "  " << escaped(w.word) << "\ttoken " << w.first_token;
    if (w.last_token != w.first_token) std::cout << " to " << w.last_token;
    std::cout << "\n";
  }
  if (row.truncated) std::cerr << "notice: " << truncation_notice(row) << "\n";
  return 0;
}

}  // namespace app
