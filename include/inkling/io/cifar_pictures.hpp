// The training set of CIFAR-10, in its binary version or as an archive of pictures, "train/00042_ship.jpg", which is a
// tenth as large.
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

// All 50,000 training pictures, in whichever form the folder has them: train.bin.gz, the five batches in a row;
// data_batch_1.bin to data_batch_5.bin, compressed (.gz) or not; or train_jpg.tar.gz, beside it batches.meta.txt.
inline LabelledColorImages read_cifar10_training(const std::filesystem::path& folder) {
  const std::filesystem::path together = folder / "train.bin.gz", pictures = folder / "train_jpg.tar.gz";
  if (std::filesystem::exists(together)) return read_cifar10(together);
  std::vector<std::filesystem::path> batches;
  for (const char* number : {"1", "2", "3", "4", "5"})
    for (const char* ending : {".bin", ".bin.gz"})
      if (const auto batch = folder / (std::string("data_batch_") + number + ending); std::filesystem::exists(batch)) {
        batches.push_back(batch);
        break;
      }
  if (batches.size() == 5) return read_cifar10(batches);
  if (std::filesystem::exists(pictures))
    return read_cifar10_pictures(pictures, read_cifar10_names(folder / "batches.meta.txt"));
  throw FormatError(folder.string(), "train.bin.gz, data_batch_1.bin to data_batch_5.bin, or train_jpg.tar.gz",
                    batches.empty() ? "none of them" : std::to_string(batches.size()) + " of the five batches",
                    "scripts/get_data.py cifar10 gets the training set");
}

}  // namespace inkling
