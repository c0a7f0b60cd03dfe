// The training set of CIFAR-10 as an archive of pictures, "train/00042_ship.jpg": smaller than the binary version.
#pragma once
#include "inkling/io/cifar.hpp"
#include "inkling/io/image.hpp"
#include "inkling/io/tar.hpp"

namespace inkling {

// names: of the ten classes, in order. The class stands behind the last '_' of a file's name.
inline LabelledColorImages read_cifar10_pictures(const std::filesystem::path& archive,
                                                 const std::vector<std::string>& names) {
  std::vector<std::uint8_t> pixels, labels;
  read_tar(archive, [&](const std::string& name, std::span<const std::byte> bytes) {
    const std::string where = archive.string() + ", " + name, stem = std::filesystem::path(name).stem().string();
    const auto found = std::find(names.begin(), names.end(), stem.substr(stem.rfind('_') + 1));
    if (found == names.end()) throw FormatError(where, "a file called NUMBER_CLASS.jpg", "another name");
    const Image image = decode_image(bytes, where);
    if (image.width != cifar10_side || image.height != cifar10_side)
      throw FormatError(where, "a picture of 32 x 32 pixels",
                        std::to_string(image.width) + " x " + std::to_string(image.height));
    labels.push_back(static_cast<std::uint8_t>(found - names.begin()));
    for (Index c = 0; c < 3; ++c)
      for (Index i = 0; i < cifar10_side * cifar10_side; ++i)
        pixels.push_back(image.pixels[static_cast<std::size_t>(3 * i + c)]);
  });
  const Index count = static_cast<Index>(labels.size());
  LabelledColorImages set{Tensor<std::uint8_t, 4>({count, 3, cifar10_side, cifar10_side}, uninitialized),
                          Tensor<std::uint8_t, 1>({count}, uninitialized)};
  std::copy(pixels.begin(), pixels.end(), set.images.begin());
  std::copy(labels.begin(), labels.end(), set.labels.begin());
  return set;
}

}  // namespace inkling
