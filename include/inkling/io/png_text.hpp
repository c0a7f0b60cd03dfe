// Text inside PNG files (PNG specification, 2nd edition, sections 5.3 and 11.3.4).
//
//   chunk = length (4 bytes, big-endian) | type (4 letters) | data | CRC-32 of type and data
//   tEXt  = keyword NUL text, in Latin-1              iTXt = keyword NUL compressed? method language NUL keyword NUL
//   zTXt  = keyword NUL method compressed text               text, in UTF-8
#pragma once
#include <zlib.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inkling/core/error.hpp"
#include "inkling/io/utf8.hpp"

namespace inkling {

using PngText = std::vector<std::pair<std::string, std::string>>;  // keyword, text in UTF-8

namespace detail {
inline constexpr std::string_view png_signature("\x89PNG\r\n\x1a\n", 8);

inline std::uint32_t big_endian(std::string_view bytes) {
  std::uint32_t v = 0;
  for (const char c : bytes.substr(0, 4)) v = v << 8 | static_cast<unsigned char>(c);
  return v;
}
inline std::string big_endian(std::uint32_t v) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(v >> shift & 0xFF);
  return bytes;
}
inline std::uint32_t png_crc(std::string_view type_and_data) {
  return static_cast<std::uint32_t>(
      ::crc32_z(0, reinterpret_cast<const Bytef*>(type_and_data.data()), type_and_data.size()));
}
inline std::string png_chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  return big_endian(static_cast<std::uint32_t>(data.size())) + body + big_endian(png_crc(body));
}
inline std::string latin1_to_utf8(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const unsigned v = static_cast<unsigned char>(c);
    if (v < 0x80)
      out += c;
    else
      out += {static_cast<char>(0xC0 | v >> 6), static_cast<char>(0x80 | (v & 0x3F))};
  }
  return out;
}
// Empty when the data is damaged or grows beyond what a text is likely to be.
inline std::string inflate_text(std::string_view packed) {
  for (std::size_t size = 64 * 1024; size <= std::size_t{16} << 20; size *= 4) {
    std::string out(size, '\0');
    uLongf length = static_cast<uLongf>(size);
    const int result = ::uncompress(reinterpret_cast<Bytef*>(out.data()), &length,
                                    reinterpret_cast<const Bytef*>(packed.data()), static_cast<uLong>(packed.size()));
    if (result == Z_OK) return out.substr(0, length);
    if (result != Z_BUF_ERROR) break;
  }
  return {};
}
}  // namespace detail

// The PNG file `png` with text chunks put behind its header. Latin-1 cannot hold every prompt, so only ASCII goes
// into tEXt; bytes that are not UTF-8 become U+FFFD.
inline std::string with_png_text(std::string png, const PngText& texts) {
  constexpr std::size_t after_header = 8 + 12 + 13;
  if (!png.starts_with(detail::png_signature) || png.size() < after_header)
    throw FormatError("PNG text", "a PNG file", "other data");
  std::string chunks;
  for (const auto& [keyword, text] : texts) {
    if (keyword.empty() || keyword.size() > 79 || !is_ascii(keyword) || keyword.find('\0') != std::string::npos)
      throw FormatError("PNG text", "a keyword of 1 to 79 ASCII letters", "\"" + keyword + "\"");
    if (text.size() > std::size_t{64} << 20) throw FormatError("PNG text", "at most 64 MiB of text", "more");
    const std::string utf8 = to_utf8(text);
    const std::string nul(1, '\0');
    chunks += is_ascii(utf8) ? detail::png_chunk("tEXt", keyword + nul + utf8)
                             : detail::png_chunk("iTXt", keyword + nul + nul + nul + nul + nul + utf8);
  }
  return png.insert(after_header, chunks);
}

// Every text in a PNG file. Throws FormatError for what is no PNG; a damaged chunk ends the reading.
inline PngText png_text(std::string_view png, const std::string& where = "PNG text") {
  if (!png.starts_with(detail::png_signature)) throw FormatError(where, "a PNG file", "other data");
  PngText texts;
  png.remove_prefix(8);
  while (png.size() >= 12) {
    const std::size_t length = detail::big_endian(png);
    if (length > png.size() - 12) break;
    const std::string_view body = png.substr(4, 4 + length), type = body.substr(0, 4);
    const bool whole = detail::png_crc(body) == detail::big_endian(png.substr(8 + length));
    std::string_view data = body.substr(4);
    png.remove_prefix(12 + length);
    if (!whole) break;
    // What stands before the next NUL, and the rest without it.
    const auto next = [&] {
      const std::size_t end = std::min(data.find('\0'), data.size());
      const std::string_view part = data.substr(0, end);
      data.remove_prefix(std::min(end + 1, data.size()));
      return part;
    };
    if (type == "tEXt") {
      const std::string_view keyword = next();
      texts.emplace_back(keyword, detail::latin1_to_utf8(data));
    } else if (type == "zTXt") {
      const std::string_view keyword = next();
      if (data.empty()) continue;
      texts.emplace_back(keyword, detail::latin1_to_utf8(detail::inflate_text(data.substr(1))));
    } else if (type == "iTXt") {
      const std::string_view keyword = next();
      if (data.size() < 2) continue;
      const bool packed = data[0] != 0;
      data.remove_prefix(2);
      next();  // language
      next();  // translated keyword
      texts.emplace_back(keyword, to_utf8(packed ? detail::inflate_text(data) : std::string(data)));
    } else if (type == "IEND")
      break;
  }
  return texts;
}

}  // namespace inkling
