// IDX, the file format of MNIST: http://yann.lecun.com/exdb/mnist (section "The IDX file format").
//
//   byte 0, 1   zero
//   byte 2      type of the values; 0x08 is uint8, the only one read here
//   byte 3      number of dimensions n
//   n × uint32  the dimensions, big-endian, outermost first
//   the rest    the values, row-major
//
// Plain or gzip: zlib tells them apart by the first two bytes (gzip begins with 1f 8b, IDX with 00 00).
#pragma once
#include <zlib.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "inkling/core/tensor.hpp"

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
    std::size_t done = 0;
    while (done < bytes.size()) {
      const std::size_t chunk = std::min<std::size_t>(bytes.size() - done, 1u << 30);  // gzread counts in int
      const int got = gzread(file_.get(), bytes.data() + done, static_cast<unsigned>(chunk));
      if (got < 0) throw FormatError(name_, what, "damaged compressed data (" + error_text() + ")");
      if (got == 0)
        throw FormatError(name_, what, "the end of the file after " + std::to_string(done) + " bytes of it",
                          "the file is cut short; copy it again");
      done += static_cast<std::size_t>(got);
    }
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

// Reads an IDX file of bytes with N dimensions. Throws FormatError on anything else.
template <std::size_t N>
Tensor<std::uint8_t, N> read_idx(const std::filesystem::path& path) {
  detail::GzipReader file(path);
  std::array<std::uint8_t, 4> magic{};
  file.read(magic, "4 bytes of IDX magic number");
  if (magic[0] != 0 || magic[1] != 0)
    throw FormatError(file.name(), "an IDX file, which begins with two zero bytes",
                      std::to_string(magic[0]) + " " + std::to_string(magic[1]));
  if (magic[2] != 0x08)
    throw FormatError(file.name(), "IDX values of type 8 (uint8)", "type " + std::to_string(magic[2]));
  if (magic[3] != N)
    throw FormatError(file.name(), std::to_string(N) + " dimensions", std::to_string(magic[3]),
                      "images have 3 dimensions, labels 1");
  Shape<N> shape{};
  for (Index& d : shape) {
    std::array<std::uint8_t, 4> b{};
    file.read(b, "the IDX dimensions");
    d = (Index{b[0]} << 24) | (Index{b[1]} << 16) | (Index{b[2]} << 8) | Index{b[3]};
  }
  // The sizes are a stranger's claim: nothing is allocated before they are known to be possible.
  Index size = 1;
  for (Index d : shape) {
    if (d != 0 && size > file.most_bytes() / d)
      throw FormatError(file.name(), "no more values than the file can hold", "dimensions " + to_string(shape));
    size *= d;
  }
  Tensor<std::uint8_t, N> values(shape, uninitialized);
  file.read(values.span(), "values for the dimensions " + to_string(shape));
  file.expect_end();
  return values;
}

// Images with one label each.
struct LabelledImages {
  Tensor<std::uint8_t, 3> images;  // [N, H, W]
  Tensor<std::uint8_t, 1> labels;  // [N]
};

// MNIST from a folder with the four usual files (name.gz, or plain name). split: "train" (60,000) or "t10k" (10,000).
inline LabelledImages read_mnist(const std::filesystem::path& folder, const std::string& split) {
  const auto file = [&](const std::string& name) {
    const auto packed = folder / (name + ".gz");
    return std::filesystem::exists(packed) ? packed : folder / name;
  };
  LabelledImages set{read_idx<3>(file(split + "-images-idx3-ubyte")), read_idx<1>(file(split + "-labels-idx1-ubyte"))};
  if (set.images.shape(0) != set.labels.shape(0))
    throw FormatError(folder.string(), "a label for each of " + std::to_string(set.images.shape(0)) + " images",
                      std::to_string(set.labels.shape(0)) + " labels");
  for (const std::uint8_t label : set.labels)
    if (label > 9) throw FormatError(folder.string(), "labels from 0 to 9", std::to_string(label));
  return set;
}

}  // namespace inkling
