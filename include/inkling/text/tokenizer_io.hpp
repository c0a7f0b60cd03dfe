// Tokenizers from files and to files. Three forms are read:
//   vocab.json + merges.txt          {"token": id, ...} and one merge a line, as diffusers and transformers write them
//   a folder with these two          diffusers' tokenizer/, with the names of the special tokens beside them
//   bpe_simple_vocab_16e6.txt.gz     OpenAI's merge list; the vocabulary follows from it
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "inkling/core/compiled.hpp"
#include "inkling/core/error.hpp"
#include "inkling/io/atomic_file.hpp"
#include "inkling/io/mapped_file.hpp"
#include "inkling/text/tokenizer.hpp"
#if INKLING_BODIES
#include <zlib.h>

#include <nlohmann/json.hpp>
#endif

namespace inkling {

// Writes the folder that Tokenizer::from_folder reads, and diffusers too.
INKLING_FUNCTION void save_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& folder,
                                     Index context_length = clip_context_length);

#if INKLING_BODIES
namespace detail {

// CLIP's own files have 1 to 3 MB. A file beyond this is something else, and its size must not decide what we allocate.
inline constexpr std::size_t largest_tokenizer_file = std::size_t{64} << 20;

inline std::string_view file_text(const MappedFile& file, const std::string& where) {
  const auto bytes = file.bytes();
  if (bytes.size() > largest_tokenizer_file)
    throw FormatError(where, "a tokenizer file of at most 64 MiB", std::to_string(bytes.size()) + " bytes");
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The content of a gzip file in memory; text that does not begin as gzip does is returned as it is.
inline std::string gunzip(std::string_view packed, const std::string& where) {
  if (!packed.starts_with("\x1F\x8B")) return std::string(packed);
  ::z_stream stream{};
  if (::inflateInit2(&stream, 15 + 16) != Z_OK) throw FormatError(where, "memory for zlib", "none");
  struct End {
    ::z_stream* s;
    ~End() { ::inflateEnd(s); }
  } end{&stream};
  stream.next_in = const_cast<::Bytef*>(reinterpret_cast<const ::Bytef*>(packed.data()));
  stream.avail_in = static_cast<::uInt>(packed.size());
  std::string text;
  std::vector<char> buffer(std::size_t{1} << 16);
  for (;;) {
    stream.next_out = reinterpret_cast<::Bytef*>(buffer.data());
    stream.avail_out = static_cast<::uInt>(buffer.size());
    const int status = ::inflate(&stream, Z_NO_FLUSH);
    text.append(buffer.data(), buffer.size() - stream.avail_out);
    if (text.size() > largest_tokenizer_file)
      throw FormatError(where, "at most 64 MiB of text in the gzip file", "more", "a merge list has about 3 MB");
    if (status == Z_STREAM_END && stream.avail_in == 0) return text;
    if (status == Z_STREAM_END && ::inflateReset(&stream) == Z_OK) continue;  // another member follows
    if (status == Z_OK && (stream.avail_in > 0 || stream.avail_out == 0)) continue;
    if (status == Z_OK || status == Z_BUF_ERROR)
      throw FormatError(where, "a whole gzip file", "one that ends after " + std::to_string(packed.size()) + " bytes",
                        "the file is cut short; copy it again");
    throw FormatError(where, "intact gzip data", stream.msg ? stream.msg : "zlib error " + std::to_string(status),
                      "the file is damaged; copy it again");
  }
}

using MergeList = std::vector<std::pair<std::string, std::string>>;

// The lines [first, first + count) of a merge list, counted from 1; count < 0: up to the end.
inline MergeList parse_merges(std::string_view text, const std::string& where, Index first, Index count) {
  MergeList merges;
  Index line_number = 0;
  while (!text.empty() && (count < 0 || static_cast<Index>(merges.size()) < count)) {
    const std::size_t length = text.find('\n');
    std::string_view line = text.substr(0, length);
    text = length == std::string_view::npos ? std::string_view{} : text.substr(length + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (++line_number < first) continue;
    if (line.empty() && text.find_first_not_of("\r\n") == std::string_view::npos) break;  // empty lines at the end
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string_view::npos)
      throw FormatError(where + ": line " + std::to_string(line_number), "two tokens with one space between",
                        "\"" + unicode::printable(line, 60) + "\"");
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  if (count >= 0 && static_cast<Index>(merges.size()) < count)
    throw FormatError(where, std::to_string(count) + " merges from line " + std::to_string(first) + " on",
                      std::to_string(merges.size()), "the file is cut short, or the vocabulary is smaller");
  return merges;
}

// Reads {"token": id, ...} and nothing else. As a stream of events, since a parsed document has already lost the first
// of two equal names.
struct VocabReader {
  std::vector<std::pair<std::string, std::uint64_t>> entries{};
  std::string name{}, problem{};
  bool inside = false;

  bool stop(std::string text) {
    if (!name.empty()) text += " for the token \"" + unicode::printable(name, 60) + "\"";
    problem = std::move(text);
    return false;
  }
  bool start_object(std::size_t) { return std::exchange(inside, true) ? stop("an object") : true; }
  bool end_object() { return true; }
  bool key(std::string& text) { return name = text, true; }
  bool number_unsigned(std::uint64_t id) {
    if (!inside) return stop("a number");
    entries.emplace_back(std::move(name), id);
    name.clear();
    return true;
  }
  bool number_integer(std::int64_t id) { return stop(std::to_string(id)); }
  bool number_float(double, const std::string& text) { return stop(text.substr(0, 40)); }
  bool null() { return stop("null"); }
  bool boolean(bool) { return stop("a boolean"); }
  bool string(std::string&) { return stop("a string"); }
  bool binary(std::vector<std::uint8_t>&) { return stop("binary data"); }
  bool start_array(std::size_t) { return stop("an array"); }
  bool end_array() { return true; }
  bool parse_error(std::size_t position, const std::string& token, const nlohmann::json::exception&) {
    problem = "no JSON at byte " + std::to_string(position);
    if (!token.empty()) problem += ", near \"" + unicode::printable(token, 40) + "\"";
    return false;
  }
};

inline std::vector<std::string> read_vocab_json(const std::filesystem::path& path) {
  const std::string where = path.string();
  const MappedFile file(path);
  const std::string_view text = file_text(file, where);
  VocabReader reader;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &reader))
    throw FormatError(where, "a JSON object {\"token\": id, ...} with ids from 0", reader.problem);
  // As many ids as tokens, each inside the range and none twice: then there are no holes either.
  const std::size_t n = reader.entries.size();
  std::vector<std::string> tokens(n);
  std::vector<bool> taken(n, false);
  for (auto& [token, id] : reader.entries) {
    const std::string quoted = "\"" + unicode::printable(token, 60) + "\"";
    if (id >= n)
      throw FormatError(where, "ids 0 to " + std::to_string(n - 1) + " for " + std::to_string(n) + " tokens",
                        "id " + std::to_string(id) + " for " + quoted, "the ids must have no holes");
    const std::size_t i = static_cast<std::size_t>(id);
    if (taken[i])
      throw FormatError(
          where, "every id once",
          "id " + std::to_string(id) + " for " + quoted + " and for \"" + unicode::printable(tokens[i], 60) + "\"");
    taken[i] = true;
    tokens[i] = std::move(token);
  }
  return tokens;
}

// The name of a special token: "bos_token": "text" or {"content": "text", ...}. Left alone when it is not there.
inline void read_special_token(const nlohmann::json& config, const char* key, std::string& name,
                               const std::string& where) {
  const auto entry = config.find(key);
  if (entry == config.end() || entry->is_null()) return;
  const nlohmann::json* value = &*entry;
  if (value->is_object() && value->contains("content")) value = &(*value)["content"];
  if (!value->is_string() || value->get_ref<const std::string&>().empty())
    throw FormatError(where + ": " + key, "a text, or an object with a \"content\"", entry->type_name());
  name = value->get<std::string>();
}

inline void read_special_tokens(const std::filesystem::path& path, SpecialTokens& special) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return;
  const std::string where = path.string();
  const MappedFile file(path);
  const std::string_view text = file_text(file, where);
  const nlohmann::json config = nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!config.is_object())
    throw FormatError(where, "a JSON object", config.is_discarded() ? "no JSON" : config.type_name());
  read_special_token(config, "bos_token", special.start, where);
  read_special_token(config, "eos_token", special.end, where);
  read_special_token(config, "pad_token", special.pad, where);
}

}  // namespace detail

INKLING_FUNCTION Tokenizer Tokenizer::from_vocab_merges(const std::filesystem::path& vocab_json,
                                                        const std::filesystem::path& merges_txt,
                                                        SpecialTokens special) {
  BpeVocabulary vocabulary;
  vocabulary.tokens = detail::read_vocab_json(vocab_json);
  const MappedFile file(merges_txt);
  const std::string_view text = detail::file_text(file, merges_txt.string());
  const Index first_line = text.starts_with("#version") ? 2 : 1;
  vocabulary.merges = detail::parse_merges(text, merges_txt.string(), first_line, -1);
  return Tokenizer(std::move(vocabulary), std::move(special), vocab_json.string() + " with " + merges_txt.string());
}

// The file holds more merges than CLIP uses: 49408 tokens are 512 of single bytes, the merges of lines 2 to 48895 and
// the two special tokens.
INKLING_FUNCTION Tokenizer Tokenizer::from_bpe_file(const std::filesystem::path& bpe_txt_gz, Index vocab_size,
                                                    SpecialTokens special) {
  const std::string where = bpe_txt_gz.string();
  if (vocab_size < 514 || vocab_size > (Index{1} << 24))
    throw ConfigError(where, "a vocabulary of 514 (bytes and special tokens) to 2^24 tokens",
                      std::to_string(vocab_size));
  const MappedFile file(bpe_txt_gz);
  const std::string text = detail::gunzip(detail::file_text(file, where), where);
  const std::string_view first_line = std::string_view(text).substr(0, text.find('\n'));
  if (first_line.find("#version") == std::string_view::npos)
    throw FormatError(where + ": line 1", "a line with \"#version\"", "\"" + unicode::printable(first_line, 60) + "\"",
                      "this reads OpenAI's bpe_simple_vocab_16e6.txt.gz");
  detail::MergeList merges = detail::parse_merges(text, where, 2, vocab_size - 514);
  return Tokenizer(clip_vocabulary(std::move(merges), special.start, special.end), special, where);
}

INKLING_FUNCTION Tokenizer Tokenizer::from_folder(const std::filesystem::path& folder) {
  for (const char* name : {"vocab.json", "merges.txt"}) {
    std::error_code ignored;
    if (!std::filesystem::exists(folder / name, ignored))
      throw FormatError(folder.string(), "a folder with vocab.json and merges.txt", std::string("no ") + name,
                        "a diffusers model keeps them in tokenizer/; tokenizer.json is not read");
  }
  SpecialTokens special;
  // The second overrides the first, as in transformers: SD 2.x names its padding "!" in it alone.
  detail::read_special_tokens(folder / "tokenizer_config.json", special);
  detail::read_special_tokens(folder / "special_tokens_map.json", special);
  return from_vocab_merges(folder / "vocab.json", folder / "merges.txt", std::move(special));
}

INKLING_FUNCTION void save_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& folder,
                                     Index context_length) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw FormatError(folder.string(), "a folder that can be made", error.message());
  const BpeVocabulary& vocabulary = tokenizer.vocabulary();
  std::string merges = "#version: 0.2\n";
  for (const auto& [left, right] : vocabulary.merges) merges += left + " " + right + "\n";
  const SpecialTokens& special = tokenizer.special_tokens();
  nlohmann::json map = {
      {"bos_token", special.start}, {"eos_token", special.end}, {"pad_token", special.pad}, {"unk_token", special.end}};
  nlohmann::json config = {{"tokenizer_class", "CLIPTokenizer"}, {"model_max_length", context_length}};
  config.update(map);
  std::string vocab = "{";
  try {
    for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id)
      vocab += (id ? ",\n" : "\n") + nlohmann::json(vocabulary.tokens[id]).dump() + ": " + std::to_string(id);
    vocab += "\n}\n";
    write_file(folder / "vocab.json", vocab);
    write_file(folder / "merges.txt", merges);
    write_file(folder / "special_tokens_map.json", map.dump(2) + "\n");
    write_file(folder / "tokenizer_config.json", config.dump(2) + "\n");
  } catch (const nlohmann::json::exception& e) {  // JSON holds UTF-8 alone
    throw FormatError(folder.string(), "tokens in UTF-8", e.what());
  }
}

#endif

}  // namespace inkling
