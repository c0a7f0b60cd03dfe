// Files of data sets, plain or gzip: zlib tells them apart by the first two bytes (gzip begins with 1f 8b).
#pragma once
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "inkling/core/error.hpp"
#include "inkling/core/shape.hpp"

namespace inkling {

namespace detail {

// A file opened for reading through zlib, closed when it goes out of scope.
class GzipReader {
 public:
  explicit GzipReader(const std::filesystem::path& path) : name_(path.string()), file_(nullptr, &gzclose_r) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error))
      throw FormatError(name_, "a readable file", "none", "is the folder of the data set right?");
    bytes_on_disk_ = static_cast<Index>(std::filesystem::file_size(path, error));
    file_.reset(gzopen(name_.c_str(), "rb"));
    if (!file_) throw FormatError(name_, "a readable file", "one that cannot be opened");
    gzbuffer(file_.get(), 1 << 17);
  }

  // Fills all of `bytes` or throws.
  void read(std::span<std::uint8_t> bytes, const std::string& what) {
    const std::size_t done = read_some(bytes, what);
    if (done < bytes.size())
      throw FormatError(name_, what, "the end of the file after " + std::to_string(done) + " bytes of it",
                        "the file is cut short; copy it again");
  }
  // Fills `bytes` as far as the file goes and returns how many there were.
  std::size_t read_some(std::span<std::uint8_t> bytes, const std::string& what) {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const std::size_t chunk = std::min<std::size_t>(bytes.size() - done, 1u << 30);  // gzread counts in int
      const int got = gzread(file_.get(), bytes.data() + done, static_cast<unsigned>(chunk));
      if (got < 0) throw FormatError(name_, what, "damaged compressed data (" + error_text() + ")");
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  // The end of the file must be here. For gzip this also checks the checksum behind the data.
  void expect_end() {
    std::uint8_t extra = 0;
    const int got = gzread(file_.get(), &extra, 1);
    if (got > 0) throw FormatError(name_, "the end of the file after the values", "more bytes");
    int code = Z_OK;
    gzerror(file_.get(), &code);
    if (got < 0 || code != Z_OK) throw FormatError(name_, "undamaged data", "damage (" + error_text() + ")");
  }

  // No file of this size can unpack to more: deflate reaches at most 1032:1 (https://zlib.net/zlib_tech.html).
  Index most_bytes() const { return bytes_on_disk_ > (Index{1} << 50) ? bytes_on_disk_ : bytes_on_disk_ * 1032; }
  const std::string& name() const { return name_; }

 private:
  std::string error_text() const {
    int code = Z_OK;
    const char* text = gzerror(file_.get(), &code);
    return text && *text ? text : "zlib error " + std::to_string(code);
  }
  std::string name_;
  Index bytes_on_disk_ = 0;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
};

}  // namespace detail

}  // namespace inkling
