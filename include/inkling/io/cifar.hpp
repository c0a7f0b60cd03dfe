// CIFAR-10 in its binary version: https://www.cs.toronto.edu/~kriz/cifar.html. A file is a row of records and nothing
// else, each 3,073 bytes:
//
//   byte 0          label, 0..9 in the order of batches.meta.txt (airplane ... ship, truck)
//   byte 1..1024    red of the 32 x 32 pixels, row-major
//   byte 1025..     green, then blue
//
// Plain or gzip. Nothing in the file says how many records there are: its length does.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "inkling/core/tensor.hpp"
#include "inkling/io/gzip_reader.hpp"

namespace inkling {

// Colour images with one label each.
struct LabelledColorImages {
  Tensor<std::uint8_t, 4> images;  // [N, 3, H, W]
  Tensor<std::uint8_t, 1> labels;  // [N]

  Index size() const { return images.shape(0); }
};

inline constexpr Index cifar10_side = 32, cifar10_classes = 10, cifar10_pixels = 3 * cifar10_side * cifar10_side;
inline constexpr std::uint8_t cifar10_ship = 8;

// All records of one or several files, in order. Throws FormatError where one is cut short or is something else.
inline LabelledColorImages read_cifar10(const std::vector<std::filesystem::path>& paths) {
  constexpr Index record = 1 + cifar10_pixels;
  std::vector<std::uint8_t> bytes;
  for (const std::filesystem::path& path : paths) {
    detail::GzipReader file(path);
    const std::size_t before = bytes.size();
    for (;;) {
      // A thousand records at a time: memory grows with what is there, not with what a header claims.
      const std::size_t begin = bytes.size(), chunk = static_cast<std::size_t>(1000 * record);
      bytes.resize(begin + chunk);
      const std::size_t got = file.read_some({bytes.data() + begin, chunk}, "CIFAR-10 records");
      bytes.resize(begin + got);
      if (got < chunk) break;
    }
    file.expect_end();
    const Index size = static_cast<Index>(bytes.size() - before);
    if (size == 0 || size % record != 0)
      throw FormatError(file.name(), "CIFAR-10 records of 3073 bytes",
                        std::to_string(size / record) + " of them and " + std::to_string(size % record) + " bytes",
                        size == 0 ? "the file is empty" : "the file is cut short, or another format");
    for (std::size_t at = before; at < bytes.size(); at += static_cast<std::size_t>(record))
      if (bytes[at] >= cifar10_classes)
        throw FormatError(file.name() + ", record " + std::to_string((at - before) / static_cast<std::size_t>(record)),
                          "a label from 0 to 9", std::to_string(bytes[at]),
                          "is it the binary version of CIFAR-10 (not CIFAR-100, not the Python version)?");
  }
  const Index count = static_cast<Index>(bytes.size()) / record;
  LabelledColorImages set{Tensor<std::uint8_t, 4>({count, 3, cifar10_side, cifar10_side}, uninitialized),
                          Tensor<std::uint8_t, 1>({count}, uninitialized)};
  for (Index n = 0; n < count; ++n) {
    const std::uint8_t* at = bytes.data() + n * record;
    set.labels(n) = at[0];
    std::copy_n(at + 1, cifar10_pixels, set.images.data() + n * cifar10_pixels);
  }
  return set;
}
inline LabelledColorImages read_cifar10(const std::filesystem::path& path) {
  return read_cifar10(std::vector<std::filesystem::path>{path});
}

// Names of the classes, one a line: batches.meta.txt.
inline std::vector<std::string> read_cifar10_names(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!std::filesystem::is_regular_file(path) || !file)
    throw FormatError(path.string(), "a readable file", "none", "is the folder of the data set right?");
  std::vector<std::string> names;
  for (std::string line; names.size() <= cifar10_classes && std::getline(file, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.size() > 100) throw FormatError(path.string(), "the names of the classes, one a line", "a very long line");
    if (!line.empty()) names.push_back(line);
  }
  if (names.size() != cifar10_classes)
    throw FormatError(path.string(), "10 names of classes, one a line", std::to_string(names.size()) + " lines");
  return names;
}

namespace detail {
template <class Wanted>
LabelledColorImages images_with(const LabelledColorImages& set, Wanted wanted) {
  const Index count = std::count_if(set.labels.begin(), set.labels.end(), wanted);
  const Index size = set.size() ? set.images.size() / set.size() : 0;
  LabelledColorImages out{
      Tensor<std::uint8_t, 4>({count, set.images.shape(1), set.images.shape(2), set.images.shape(3)}, uninitialized),
      Tensor<std::uint8_t, 1>({count}, uninitialized)};
  for (Index n = 0, to = 0; n < set.size(); ++n) {
    if (!wanted(set.labels(n))) continue;
    std::copy_n(set.images.data() + n * size, size, out.images.data() + size * to);
    out.labels(to++) = set.labels(n);
  }
  return out;
}
}  // namespace detail

// Those of one class, in order; and those of all others.
inline LabelledColorImages only_class(const LabelledColorImages& set, std::uint8_t label) {
  return detail::images_with(set, [=](std::uint8_t l) { return l == label; });
}
inline LabelledColorImages without_class(const LabelledColorImages& set, std::uint8_t label) {
  return detail::images_with(set, [=](std::uint8_t l) { return l != label; });
}

// The first picture of each class 0, 1, .., in this order.
inline LabelledColorImages one_of_each_class(const LabelledColorImages& set, Index classes = cifar10_classes) {
  const Index size = set.size() ? set.images.size() / set.size() : 0;
  LabelledColorImages out{
      Tensor<std::uint8_t, 4>({classes, set.images.shape(1), set.images.shape(2), set.images.shape(3)}, uninitialized),
      Tensor<std::uint8_t, 1>({classes}, uninitialized)};
  for (Index label = 0; label < classes; ++label) {
    const Index n = std::find(set.labels.begin(), set.labels.end(), label) - set.labels.begin();
    if (n == set.size())
      throw ConfigError("one_of_each_class", "a picture of class " + std::to_string(label), "none");
    std::copy_n(set.images.data() + n * size, size, out.images.data() + label * size);
    out.labels(label) = static_cast<std::uint8_t>(label);
  }
  return out;
}

// Pixels first .. first + count - 1 in [-1, 1], as diffusion models want them: 0 -> -1, 255 -> 1.
inline Tensor<float, 4> signed_pixels(const LabelledColorImages& set, Index first, Index count) {
  if (first < 0 || count < 0 || first + count > set.size())
    throw ShapeError("signed_pixels", "images within 0.." + std::to_string(set.size()),
                     std::to_string(first) + " + " + std::to_string(count));
  const Shape<4> shape{count, set.images.shape(1), set.images.shape(2), set.images.shape(3)};
  Tensor<float, 4> x(shape, uninitialized);
  const std::uint8_t* from = set.images.data() + first * shape[1] * shape[2] * shape[3];
  for (Index i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(from[i]) / 127.5f - 1.0f;
  return x;
}

}  // namespace inkling
