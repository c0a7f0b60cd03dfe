// Masks as pictures: where two of them agree and where not; plain maps of numbers for a grid; parts of pictures.
#pragma once
#include <optional>
#include <vector>

#include "inkling/plot/heat_map.hpp"

namespace inkling::plot {

// values[H, W] as colours from `low` to `high` (unset: the least and the greatest), one pixel each, without frame or
// scale; what lies outside is clipped.
inline Image map_image(const Tensor<float, 2>& values, ColorMap map = ColorMap::grays, std::optional<double> low = {},
                       std::optional<double> high = {}) {
  const detail::Range range = detail::range_of(values, low, high);
  Image image(values.shape(1), values.shape(0), 3);
  for (Index y = 0; y < image.height; ++y)
    for (Index x = 0; x < image.width; ++x) {
      const Color c = color_of(range.share(static_cast<double>(values(y, x))), map);
      image(x, y, 0) = c.r, image(x, y, 1) = c.g, image(x, y, 2) = c.b;
    }
  return image;
}
// Channel c of values[C, H, W].
inline Image map_image(const Tensor<float, 3>& values, Index c, ColorMap map = ColorMap::grays,
                       std::optional<double> low = {}, std::optional<double> high = {}) {
  const Index H = values.shape(1), W = values.shape(2);
  if (c < 0 || c >= values.shape(0))
    throw ShapeError("map_image", "a channel from 0 to " + std::to_string(values.shape(0) - 1), std::to_string(c));
  const auto plane = values.span().subspan(static_cast<std::size_t>(c * H * W), static_cast<std::size_t>(H * W));
  return map_image(Tensor<float, 2>({H, W}, plane), map, low, high);
}
// Every channel of values[C, H, W], in the same colours.
inline std::vector<Image> channel_images(const Tensor<float, 3>& values, ColorMap map = ColorMap::grays,
                                         std::optional<double> low = {}, std::optional<double> high = {}) {
  std::vector<Image> images;
  for (Index c = 0; c < values.shape(0); ++c) images.push_back(map_image(values, c, map, low, high));
  return images;
}
// White where the mask [H, W] is not 0.
inline Image mask_image(const Tensor<std::uint8_t, 2>& mask) {
  Image image(mask.shape(1), mask.shape(0), 1);
  for (Index i = 0; i < mask.size(); ++i) image.pixels[static_cast<std::size_t>(i)] = mask.data()[i] ? 255 : 0;
  return image;
}
// The part of the picture that begins at (x, y).
inline Image cropped(const Image& image, Index x, Index y, Index width, Index height) {
  require_picture(image, "cropped");
  if (x < 0 || y < 0 || width < 1 || height < 1 || width > image.width - x || height > image.height - y)
    throw ShapeError("cropped", "a part of " + std::to_string(image.width) + "x" + std::to_string(image.height) + " pixels",
                     std::to_string(width) + "x" + std::to_string(height) + " from (" + std::to_string(x) + ", " +
                         std::to_string(y) + ")");
  Image out(width, height, image.channels);
  for (Index i = 0; i < height; ++i)
    std::copy_n(image.pixels.begin() + ((y + i) * image.width + x) * image.channels, width * image.channels,
                out.pixels.begin() + i * width * image.channels);
  return out;
}

// Okabe and Ito's vermillion and sky blue (2008), which colour-blind people can tell apart.
inline constexpr Color only_found_color{0xd5, 0x5e, 0x00}, only_true_color{0x56, 0xb4, 0xe9};

// White: both masks. Vermillion: only found, wrongly. Blue: only in the truth, missed. found, truth [H, W]
inline Image mask_comparison(const Tensor<std::uint8_t, 2>& found, const Tensor<std::uint8_t, 2>& truth) {
  require_shape(found.shape(), truth.shape(), "mask_comparison");
  Image image(truth.shape(1), truth.shape(0), 3);
  for (Index y = 0; y < image.height; ++y)
    for (Index x = 0; x < image.width; ++x) {
      const bool a = found(y, x) != 0, b = truth(y, x) != 0;
      const Color c = a && b ? white : a ? only_found_color : b ? only_true_color : black;
      image(x, y, 0) = c.r, image(x, y, 1) = c.g, image(x, y, 2) = c.b;
    }
  return image;
}

}  // namespace inkling::plot
