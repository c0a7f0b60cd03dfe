// Archives of files, as data sets come: ustar (POSIX.1-1988), plain or gzip. A row of 512-byte blocks: for each member
// a header, then its bytes, filled up with zeros to whole blocks; two blocks of zeros end it.
//
//   byte 0..99      name          byte 148..155   sum of the header's bytes, itself counted as spaces, octal
//   byte 124..135   size, octal   byte 156        kind: '0' or 0 a file, '5' a folder
//                                 byte 345..499   what comes before the name, with a '/' between
#pragma once
#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "inkling/io/gzip_reader.hpp"

namespace inkling {

namespace detail {

// Octal digits, with spaces before and a space or zero behind. -1: something else.
inline Index octal(std::span<const std::uint8_t> field) {
  Index value = 0;
  std::size_t i = 0;
  while (i < field.size() && field[i] == ' ') ++i;
  const std::size_t first = i;
  for (; i < field.size() && field[i] >= '0' && field[i] <= '7'; ++i) value = 8 * value + (field[i] - '0');
  return i == first || (i < field.size() && field[i] != ' ' && field[i] != 0) ? -1 : value;
}
inline std::string text_field(std::span<const std::uint8_t> field) {
  return {field.begin(), std::find(field.begin(), field.end(), std::uint8_t{0})};
}

}  // namespace detail

// Calls file(name, bytes) for each file in the archive, in order. The bytes live until it returns.
// largest: of one member; an archive that claims more is refused before anything is allocated.
inline void read_tar(const std::filesystem::path& path,
                     const std::function<void(const std::string&, std::span<const std::byte>)>& file,
                     Index largest = Index{1} << 28) {
  detail::GzipReader archive(path);
  std::array<std::uint8_t, 512> header{};
  std::vector<std::uint8_t> bytes;
  for (Index member = 0;; ++member) {
    archive.read(header, "a tar header");
    if (std::all_of(header.begin(), header.end(), [](std::uint8_t b) { return b == 0; })) return;
    const std::span<const std::uint8_t> h(header);
    const std::string where = archive.name() + ", member " + std::to_string(member);
    Index sum = 8 * ' ';
    for (std::size_t i = 0; i < h.size(); ++i) sum += i >= 148 && i < 156 ? 0 : h[i];
    if (detail::octal(h.subspan(148, 8)) != sum)
      throw FormatError(where, "a tar header", "other data", "is it a .tar or .tar.gz file?");
    const Index size = detail::octal(h.subspan(124, 12));
    if (size < 0 || size > largest)
      throw FormatError(where, "a size of at most " + std::to_string(largest) + " bytes",
                        size < 0 ? "none that can be read" : std::to_string(size));
    bytes.resize(static_cast<std::size_t>((size + 511) / 512 * 512));
    archive.read(bytes, "the bytes of member " + std::to_string(member));
    if (h[156] != '0' && h[156] != 0) continue;
    const std::string before = detail::text_field(h.subspan(345, 155)), name = detail::text_field(h.first(100));
    file(before.empty() ? name : before + "/" + name,
         std::as_bytes(std::span<const std::uint8_t>(bytes).first(static_cast<std::size_t>(size))));
  }
}

}  // namespace inkling
