// Pictures in and out: PNG and JPEG in, PNG out, and pictures as tensors.
//
// stb's code is compiled here, for this translation unit alone: a program that includes this header twice holds it
// twice and needs nothing to be linked.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "inkling/core/tensor.hpp"
#include "inkling/io/atomic_file.hpp"
#include "inkling/io/mapped_file.hpp"
#include "inkling/io/png_text.hpp"

namespace inkling::detail {
// stb_image takes as much memory as a damaged or hostile file asks for: 2 GiB for a chunk of which not a byte is there,
// any amount for data that unpacks to more than the picture has. So it gets its memory here, and no block beyond `most`.
struct StbMemory {
  std::size_t most = 0;
  bool refused = false;
  void* resized(void* old, std::size_t size) {
    if (size <= most) return std::realloc(old, size);
    refused = true;
    return nullptr;
  }
};
inline StbMemory& stb_memory() {
  thread_local StbMemory memory;
  return memory;
}
}  // namespace inkling::detail
#define STBI_MALLOC(size) inkling::detail::stb_memory().resized(nullptr, size)
#define STBI_REALLOC(old, size) inkling::detail::stb_memory().resized(old, size)
#define STBI_FREE(old) std::free(old)
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#if __has_include(<stb/stb_image.h>)
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#else
#include <stb_image.h>
#include <stb_image_write.h>
#endif

namespace inkling {

// 8 bits a channel, rows from the top, channels side by side: 1 gray, 2 gray and opacity, 3 RGB, 4 RGB and opacity.
struct Image {
  Index width = 0, height = 0, channels = 3;
  std::vector<std::uint8_t> pixels;

  Image() = default;
  Image(Index w, Index h, Index c = 3) : width(w), height(h), channels(c) {
    if (w < 1 || h < 1 || c < 1 || c > 4)
      throw ShapeError("Image", "width and height of at least 1, 1 to 4 channels", to_string(Shape<3>{w, h, c}));
    pixels.resize(static_cast<std::size_t>(checked_size(Shape<3>{h, w, c}, "Image")));
  }
  std::uint8_t& operator()(Index x, Index y, Index c) { return pixels[offset(x, y, c)]; }
  const std::uint8_t& operator()(Index x, Index y, Index c) const { return pixels[offset(x, y, c)]; }
  bool operator==(const Image&) const = default;

 private:
  std::size_t offset(Index x, Index y, Index c) const {
    return static_cast<std::size_t>((y * width + x) * channels + c);
  }
};

// A PNG or JPEG file in memory. `channels` 1 to 4 converts, 0 keeps what the file has.
inline Image decode_image(std::span<const std::byte> file, const std::string& where, Index channels = 3) {
  if (channels < 0 || channels > 4) throw ConfigError(where, "0 to 4 channels", std::to_string(channels));
  constexpr std::size_t largest_file = std::size_t{1} << 30;
  const auto* bytes = reinterpret_cast<const stbi_uc*>(file.data());
  const int length = static_cast<int>(std::min(file.size(), largest_file));
  int width = 0, height = 0, in_file = 0;
  detail::stb_memory() = {std::size_t{1} << 20};  // enough to look at the sizes
  if (file.empty() || file.size() > largest_file || !stbi_info_from_memory(bytes, length, &width, &height, &in_file))
    throw FormatError(where, "a PNG or JPEG picture", file.empty() ? "an empty file" : "other data");
  const Index area = Index{width} * height;
  constexpr Index most_pixels = Index{1} << 26;  // 8192 x 8192
  if (width < 1 || height < 1 || area > most_pixels)
    throw FormatError(where, "a picture of 1 to " + std::to_string(most_pixels) + " pixels",
                      std::to_string(width) + " x " + std::to_string(height));
  // deflate makes at most 1032 bytes of one, and a pixel has at least one bit; JPEG packs less tightly.
  if (area / (8 * 1032) > static_cast<Index>(file.size()))
    throw FormatError(where,
                      "a file that can hold " + std::to_string(width) + " x " + std::to_string(height) + " pixels",
                      std::to_string(file.size()) + " bytes", "the picture was cut off");
  // At most 8 bytes a pixel and whole blocks of JPEG; stb_image doubles its blocks when they are full.
  detail::stb_memory() = {16 * (static_cast<std::size_t>(width) + 32) * (static_cast<std::size_t>(height) + 32) +
                          2 * file.size() + (std::size_t{1} << 20)};
  const std::unique_ptr<stbi_uc, decltype(&std::free)> pixels(
      stbi_load_from_memory(bytes, length, &width, &height, &in_file, static_cast<int>(channels)), &std::free);
  if (!pixels && detail::stb_memory().refused)
    throw FormatError(where, "a picture of " + std::to_string(width) + " x " + std::to_string(height) + " pixels",
                      "data that asks for more memory than so many can need", "the picture is damaged");
  if (!pixels) {
    const char* reason = stbi_failure_reason();
    throw FormatError(where, "a whole PNG or JPEG picture", reason ? reason : "a damaged one");
  }
  Image image(width, height, channels ? channels : in_file);
  std::memcpy(image.pixels.data(), pixels.get(), image.pixels.size());
  return image;
}
inline Image read_image(const std::filesystem::path& path, Index channels = 3) {
  const MappedFile file(path);
  return decode_image(file.bytes(), path.string(), channels);
}

// A whole PNG file, with text chunks such as {"parameters", to_text(parameters)}.
inline std::string encode_png(const Image& image, const PngText& texts = {}) {
  const Index row = image.width * image.channels;
  if (image.width < 1 || image.height < 1 || image.channels < 1 || image.channels > 4 || row > (Index{1} << 30) ||
      static_cast<Index>(image.pixels.size()) != row * image.height || row * image.height > (Index{1} << 30))
    throw ShapeError("PNG", "width x height x channels pixel values, at most 2^30",
                     std::to_string(image.width) + " x " + std::to_string(image.height) + " x " +
                         std::to_string(image.channels) + " and " + std::to_string(image.pixels.size()) + " values");
  std::string png;
  const auto append = [](void* out, void* data, int size) {
    static_cast<std::string*>(out)->append(static_cast<const char*>(data), static_cast<std::size_t>(size));
  };
  if (!stbi_write_png_to_func(append, &png, static_cast<int>(image.width), static_cast<int>(image.height),
                              static_cast<int>(image.channels), image.pixels.data(), static_cast<int>(row)))
    throw FormatError("PNG", "memory for the encoder", "none");
  return with_png_text(std::move(png), texts);
}
inline void write_png(const std::filesystem::path& path, const Image& image, const PngText& texts = {}) {
  write_file(path, encode_png(image, texts));
}
inline PngText read_png_text(const std::filesystem::path& path) {
  const MappedFile file(path);
  return png_text({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path.string());
}

// Which numbers black and white become: [0, 1], or [-1, 1] as the autoencoder of Stable Diffusion has them.
enum class PixelRange { zero_to_one, minus_one_to_one };

// [1, C, H, W]
inline Tensor<float, 4> image_to_tensor(const Image& image, PixelRange range = PixelRange::minus_one_to_one) {
  Tensor<float, 4> x({1, image.channels, image.height, image.width}, uninitialized);
  for (Index c = 0; c < image.channels; ++c)
    for (Index h = 0; h < image.height; ++h)
      for (Index w = 0; w < image.width; ++w) {
        const float v = static_cast<float>(image(w, h, c)) / 255.0f;
        x(0, c, h, w) = range == PixelRange::zero_to_one ? v : 2 * v - 1;
      }
  return x;
}
// Picture n of x [N, C, H, W]. What lies outside the range is clipped; NaN becomes black.
inline Image tensor_to_image(const Tensor<float, 4>& x, PixelRange range = PixelRange::minus_one_to_one, Index n = 0) {
  if (n < 0 || n >= x.shape(0))
    throw ShapeError("tensor_to_image", "a picture from 0 to " + std::to_string(x.shape(0) - 1), std::to_string(n));
  Image image(x.shape(3), x.shape(2), x.shape(1));
  for (Index c = 0; c < image.channels; ++c)
    for (Index h = 0; h < image.height; ++h)
      for (Index w = 0; w < image.width; ++w) {
        const float v = range == PixelRange::zero_to_one ? x(n, c, h, w) : (x(n, c, h, w) + 1) / 2;
        image(w, h, c) = v > 0 ? static_cast<std::uint8_t>(std::min(v, 1.0f) * 255.0f + 0.5f) : std::uint8_t{0};
      }
  return image;
}
// Pictures first, first + 1, .. of x [N, C, H, W], `count` of them; without a count all that follow.
inline std::vector<Image> tensor_to_images(const Tensor<float, 4>& x, PixelRange range = PixelRange::minus_one_to_one,
                                           Index first = 0, std::optional<Index> count = {}) {
  const Index all = x.shape(0), wanted = count.value_or(all - first);
  if (first < 0 || wanted < 0 || first > all || wanted > all - first)
    throw ShapeError("tensor_to_images", "pictures within 0.." + std::to_string(all),
                     std::to_string(first) + " + " + std::to_string(wanted));
  std::vector<Image> images;
  for (Index n = first; n < first + wanted; ++n) images.push_back(tensor_to_image(x, range, n));
  return images;
}

}  // namespace inkling
