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
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>

#include "inkling/core/tensor.hpp"
#include "inkling/io/gzip_reader.hpp"

namespace inkling {

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
