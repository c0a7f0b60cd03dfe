// Pictures with the mask of what is to be found in them: read, stretched, cut into crops for training.
#pragma once
#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "inkling/io/idx.hpp"
#include "inkling/io/image_folder.hpp"
#include "inkling/train/sample_random.hpp"

namespace inkling {

struct SegmentationSample {
  std::string name;
  Tensor<float, 3> image;        // [C, H, W] in [0, 1]
  Tensor<std::uint8_t, 2> mask;  // [H, W]: 1 where something is to be found, else 0
};
using SegmentationSet = std::vector<SegmentationSample>;

// Which values of a mask file mean "here": the bright ones or the dark ones.
enum class MaskIs { bright, dark };

// Contrast per picture: what `low` of its values lie below becomes 0, what `high` lie below becomes 1, and what is
// outside is clipped. A picture of one gray becomes 0. values[C, H, W] of 8 bits, all channels on one scale.
inline Tensor<float, 3> stretch_contrast(const Tensor<std::uint8_t, 3>& values, double low = 0.01, double high = 0.999) {
  if (!(low >= 0 && low < high && high <= 1))
    throw ConfigError("stretch_contrast", "0 <= low < high <= 1", std::to_string(low) + " and " + std::to_string(high));
  std::array<Index, 256> histogram{};
  for (const std::uint8_t v : values) ++histogram[v];
  const auto percentile = [&](double share) {  // the least value that `share` of all do not exceed
    const double wanted = share * static_cast<double>(values.size());
    Index seen = 0;
    std::size_t v = 0;
    while (v < 255 && static_cast<double>(seen += histogram[v]) < wanted) ++v;
    return static_cast<float>(v);
  };
  const float black = percentile(low), white = percentile(high);
  Tensor<float, 3> out(values.shape());
  if (white > black)
    for (Index i = 0; i < out.size(); ++i)
      out.data()[i] = std::clamp((static_cast<float>(values.data()[i]) - black) / (white - black), 0.0f, 1.0f);
  return out;
}

namespace detail {
inline Tensor<std::uint8_t, 2> binary_mask(const std::uint8_t* values, Index height, Index width, Index step, MaskIs is) {
  Tensor<std::uint8_t, 2> mask({height, width}, uninitialized);
  for (Index i = 0; i < mask.size(); ++i) mask.data()[i] = (values[i * step] >= 128) == (is == MaskIs::bright);
  return mask;
}
}  // namespace detail

// Gray pictures and masks, two IDX files of [N, H, W]; those from `first` on, `count` of them (-1: all).
inline SegmentationSet read_idx_pairs(const std::filesystem::path& images, const std::filesystem::path& masks,
                                      MaskIs is = MaskIs::bright, Index first = 0, Index count = -1) {
  const Tensor<std::uint8_t, 3> x = read_idx<3>(images), y = read_idx<3>(masks);
  if (x.shape() != y.shape())
    throw FormatError(masks.string(), "masks " + to_string(x.shape()) + " as the images in " + images.string(),
                      to_string(y.shape()));
  if (count < 0) count = x.shape(0) - first;
  if (first < 0 || count < 0 || first + count > x.shape(0))
    throw ConfigError("read_idx_pairs", "a range within the " + std::to_string(x.shape(0)) + " images of " + images.string(),
                      std::to_string(first) + " and " + std::to_string(count) + " more");
  const Index H = x.shape(1), W = x.shape(2);
  SegmentationSet set;
  for (Index n = first; n < first + count; ++n) {
    const std::uint8_t* pixels = x.data() + n * H * W;
    const Tensor<std::uint8_t, 3> gray({1, H, W}, std::span(pixels, static_cast<std::size_t>(H * W)));
    set.push_back({std::to_string(n), stretch_contrast(gray), detail::binary_mask(y.data() + n * H * W, H, W, 1, is)});
  }
  return set;
}

// Cells under the microscope (Data Science Bowl 2018), and slices of a brain with the membranes between its cells (ISBI
// challenge 2012): the folders with the files as examples/README.md has them.
inline SegmentationSet read_nuclei(const std::filesystem::path& folder, Index first = 0, Index count = -1) {
  return read_idx_pairs(folder / "images-idx3-ubyte.gz", folder / "masks-idx3-ubyte.gz", MaskIs::bright, first, count);
}
inline SegmentationSet read_membranes(const std::filesystem::path& folder, Index first = 0, Index count = -1) {
  return read_idx_pairs(folder / "train-images-idx3-ubyte.gz", folder / "train-labels-idx3-ubyte.gz", MaskIs::dark,
                        first, count);
}

// Your own: a folder of pictures, and one of masks that bear the same names (cat.jpg, cat.png). channels: 1 gray, 3 colour.
inline SegmentationSet read_segmentation_folders(const std::filesystem::path& images, const std::filesystem::path& masks,
                                                 Index channels = 3, MaskIs is = MaskIs::bright) {
  SegmentationSet set;
  for (const ImagePair& pair : find_image_pairs(images, masks)) {
    const Image image = read_whole_image(pair.first, channels), mask = read_whole_image(pair.second, 1);
    if (image.width != mask.width || image.height != mask.height)
      throw FormatError(pair.second.string(), "a mask as large as " + pair.first.filename().string() + ", " +
                        std::to_string(image.width) + "x" + std::to_string(image.height),
                        std::to_string(mask.width) + "x" + std::to_string(mask.height));
    Tensor<std::uint8_t, 3> planes({channels, image.height, image.width}, uninitialized);
    for (Index c = 0; c < channels; ++c)
      for (Index i = 0; i < image.width * image.height; ++i)
        planes.data()[c * image.width * image.height + i] = image.pixels[static_cast<std::size_t>(i * channels + c)];
    set.push_back({pair.first.filename().string(), stretch_contrast(planes),
                   detail::binary_mask(mask.pixels.data(), mask.height, mask.width, 1, is)});
  }
  return set;
}

struct CropOptions {
  Index size = 128;    // side of a crop
  Index count = 4;     // crops in a batch
  bool flips = true;   // also mirrored, and turned by quarters: cells look alike from all sides
  double elastic = 0;  // pixels by which the picture is bent at random (standard deviation); 0: not at all
};
struct SegmentationBatch {
  Tensor<float, 4> images;  // [N, C, S, S]
  Tensor<float, 4> masks;   // [N, 1, S, S], 0 or 1
};

namespace detail {
// Smooth random shifts, "random displacement vectors on a coarse grid" (Ronneberger et al. 2015, section 3.1): normal
// numbers on a grid of 7x7 knots, between them a uniform cubic B-spline, 4 knots over the crop.
class Bend {
 public:
  Bend(double pixels, Index size, SampleRandom& random) : size_(size) {
    if (pixels <= 0) return;
    // The spline averages its knots: sum of squared weights, 0.48 along one axis on average, gives the spread back.
    for (float& k : knots_) k = static_cast<float>(pixels / 0.48 * normal(random));
  }
  // How far the pixel (i, j) of the crop is moved: rows, columns.
  std::array<float, 2> at(Index i, Index j) const {
    const auto [r, rows] = weights(i);
    const auto [c, columns] = weights(j);
    std::array<float, 2> d{};
    for (std::size_t axis = 0; axis < 2; ++axis)
      for (std::size_t a = 0; a < 4; ++a)
        for (std::size_t b = 0; b < 4; ++b)
          d[axis] += rows[a] * columns[b] * knots_[(axis * 7 + r + a) * 7 + c + b];
    return d;
  }

 private:
  static double normal(SampleRandom& random) {  // Box & Muller 1958
    const double r = std::sqrt(-2 * std::log(1 - random.uniform()));
    return r * std::cos(2 * std::numbers::pi * random.uniform());
  }
  std::pair<std::size_t, std::array<float, 4>> weights(Index i) const {
    const float at = 4 * (static_cast<float>(i) + 0.5f) / static_cast<float>(size_);
    const float whole = std::min(std::floor(at), 3.0f), t = at - whole, u = 1 - t;
    return {static_cast<std::size_t>(whole),
            {u * u * u / 6, (3 * t * t * t - 6 * t * t + 4) / 6, (3 * u * u * u - 6 * u * u + 4) / 6, t * t * t / 6}};
  }
  Index size_;
  std::array<float, 2 * 49> knots_{};
};
}  // namespace detail

// Crops drawn at random from pictures drawn at random; a function of (seed, step) alone.
inline SegmentationBatch random_crops(const SegmentationSet& set, const CropOptions& o, std::uint64_t seed, Index step) {
  if (set.empty()) throw ConfigError("random_crops", "at least one picture", "none");
  if (o.size < 1 || o.count < 1 || !(o.elastic >= 0 && o.elastic <= static_cast<double>(o.size)))
    throw ConfigError("random_crops", "size and count of at least 1, bending from 0 to the size",
                      std::to_string(o.size) + ", " + std::to_string(o.count) + ", " + std::to_string(o.elastic));
  const Index C = set.front().image.shape(0), S = o.size;
  SegmentationBatch batch{Tensor<float, 4>({o.count, C, S, S}, uninitialized),
                          Tensor<float, 4>({o.count, 1, S, S}, uninitialized)};
  for (Index n = 0; n < o.count; ++n) {
    SampleRandom random(seed, static_cast<std::uint64_t>(step * o.count + n));
    const SegmentationSample& sample = set[static_cast<std::size_t>(random.below(static_cast<Index>(set.size())))];
    const Index H = sample.image.shape(1), W = sample.image.shape(2);
    if (H < S || W < S || sample.image.shape(0) != C)
      throw ShapeError("picture " + sample.name,
                       std::to_string(C) + " channels and at least " + std::to_string(S) + " pixels a side",
                       to_string(sample.image.shape()), "smaller crops, or leave the picture out");
    const Index top = random.below(H - S + 1), left = random.below(W - S + 1), turn = o.flips ? random.below(8) : 0;
    const detail::Bend bend(o.elastic, S, random);
    for (Index i = 0; i < S; ++i)
      for (Index j = 0; j < S; ++j) {
        Index row = turn & 1 ? j : i, column = turn & 1 ? i : j;  // with the two mirrors below: all 8 symmetries
        if (turn & 2) row = S - 1 - row;
        if (turn & 4) column = S - 1 - column;
        row += top, column += left;
        if (o.elastic <= 0) {
          for (Index c = 0; c < C; ++c) batch.images(n, c, i, j) = sample.image(c, row, column);
          batch.masks(n, 0, i, j) = sample.mask(row, column);
          continue;
        }
        // The bent picture is read between four pixels, the mask at the nearest; beyond the border the border goes on.
        const auto d = bend.at(i, j);
        const float y = std::clamp(static_cast<float>(row) + d[0], 0.0f, static_cast<float>(H - 1));
        const float x = std::clamp(static_cast<float>(column) + d[1], 0.0f, static_cast<float>(W - 1));
        const Index y0 = static_cast<Index>(y), x0 = static_cast<Index>(x);
        const Index y1 = std::min(y0 + 1, H - 1), x1 = std::min(x0 + 1, W - 1);
        const float v = y - static_cast<float>(y0), u = x - static_cast<float>(x0);
        for (Index c = 0; c < C; ++c)
          batch.images(n, c, i, j) =
              (1 - v) * ((1 - u) * sample.image(c, y0, x0) + u * sample.image(c, y0, x1)) +
              v * ((1 - u) * sample.image(c, y1, x0) + u * sample.image(c, y1, x1));
        batch.masks(n, 0, i, j) = sample.mask(v < 0.5f ? y0 : y1, u < 0.5f ? x0 : x1);
      }
  }
  return batch;
}

}  // namespace inkling
