// The data set of the small model: handwritten digits in coloured ink on coloured paper, with captions.
//
// Made from the scans of MNIST while training runs: which scan, which colours, which pen, which lean is decided by
// (seed, index) alone, so sample 1,000,000 needs none of those before it and no thread changes it.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "inkling/core/parallel.hpp"
#include "inkling/core/progress.hpp"
#include "inkling/io/idx.hpp"
#include "inkling/train/ink_attributes.hpp"
#include "inkling/train/ink_captions.hpp"
#include "inkling/train/ink_strokes.hpp"

namespace inkling {

struct InkBatch {
  Tensor<float, 4> images;  // [N, 3, 32, 32] in [-1, 1]
  std::vector<InkDigit> attributes;
  std::vector<std::string> captions;
};

class InkDigits {
 public:
  static constexpr Index size_px = 32;

  // Works through all scans once, about 1 ms each on one core; 3 KiB of memory each.
  explicit InkDigits(const LabelledImages& scans, const ProgressCallback& progress = {})
      : fields_(static_cast<std::size_t>(scans.images.shape(0))), labels_(scans.labels.begin(), scans.labels.end()) {
    const Index count = scans.images.shape(0), pixels = PenField::frame * PenField::frame;
    require_shape(scans.images.shape(), Shape<3>{count, PenField::frame, PenField::frame}, "InkDigits scans");
    if (count == 0 || scans.labels.shape(0) != count)
      throw ShapeError("InkDigits", "at least one scan, and a label for each",
                       std::to_string(count) + " scans and " + std::to_string(scans.labels.shape(0)) + " labels");
    constexpr Index block = 1000;  // between two reports
    for (Index first = 0; first < count; first += block) {
      report(progress, {"prepare digits", first, count});
      parallel_for_dynamic(std::min(block, count - first), [&](Index i) {
        fields_[static_cast<std::size_t>(first + i)] =
            pen_field({scans.images.data() + (first + i) * pixels, static_cast<std::size_t>(pixels)});
      });
    }
    report(progress, {"prepare digits", count, count});
  }

  Index scans() const { return static_cast<Index>(fields_.size()); }
  int label(Index scan) const { return labels_.at(static_cast<std::size_t>(scan)); }
  const PenField& field(Index scan) const { return fields_.at(static_cast<std::size_t>(scan)); }

  // Samples first, .., first + count - 1 of the endless sequence that belongs to the seed.
  //
  // alike: runs of so many samples (0 .. alike-1, and so on) share ink and page. Whoever has to tell these from one
  // another must look at the digit, the stroke and the lean, which colours would otherwise outshine: hard negatives
  // for contrastive training.
  InkBatch batch(std::uint64_t seed, Index first, Index count, Combinations which = Combinations::training,
                 Index alike = 1) const {
    if (alike < 1) throw ConfigError("InkDigits::batch alike", "at least 1", std::to_string(alike));
    InkBatch out{Tensor<float, 4>(Shape<4>{count, 3, size_px, size_px}, uninitialized), {}, {}};
    out.attributes.resize(static_cast<std::size_t>(count));
    out.captions.resize(static_cast<std::size_t>(count));
    parallel_for(count, 20000, [&](Index i) {
      SampleRandom random(seed, static_cast<std::uint64_t>(first + i));
      Index scan = random.below(scans());
      InkDigit attributes = random_attributes(label(scan), random, which);
      if (alike > 1) {
        SampleRandom shared(seed, ~static_cast<std::uint64_t>((first + i) / alike));
        const InkDigit colors = random_attributes(label(shared.below(scans())), shared, which);
        attributes.ink = colors.ink, attributes.background = colors.background;
        while (!belongs(attributes, which)) attributes.digit = label(scan = random.below(scans()));
      }
      SampleRandom words(random.next(), 0);  // its own stream: a change of the brush leaves the captions as they were
      paint(scan, attributes, random, out.images.data() + i * 3 * size_px * size_px);
      out.attributes[static_cast<std::size_t>(i)] = attributes;
      out.captions[static_cast<std::size_t>(i)] = caption(attributes, words);
    });
    return out;
  }

  // One picture of scan number `scan` with the given attributes; `random` jitters place, pen, lean and colours.
  Tensor<float, 3> paint(Index scan, const InkDigit& attributes, SampleRandom random) const {
    Tensor<float, 3> image(Shape<3>{3, size_px, size_px}, uninitialized);
    paint(scan, attributes, random, image.data());
    return image;
  }

 private:
  void paint(Index scan, const InkDigit& a, SampleRandom& random, float* image) const {
    const PenField& pen = field(scan);
    // Widths of the stroke in the picture, pixels: each 1.55 times the one before, so that nobody takes one for
    // another.
    constexpr std::array<float, 3> widths{1.9f, 2.95f, 4.6f};
    const float width = widths[static_cast<std::size_t>(a.stroke)] * random.uniform(0.93f, 1.07f);
    // Shear: x moves by lean for each pixel up. 0.35 is 19 degrees.
    const float lean = 0.35f * static_cast<float>(static_cast<int>(a.lean) - 1) + random.uniform(-0.05f, 0.05f);
    const float dx = random.uniform(-1, 1), dy = random.uniform(-1, 1);
    // Enlarged a little, but everything stays a pixel away from the border.
    const float reach = std::max(pen.half_width + std::abs(lean) * pen.half_height, pen.half_height);
    const float room = 0.5f * size_px - 2 - std::max(0.0f, 0.5f * (width - 3));
    const float scale = std::min(random.uniform(1.04f, 1.16f), room / std::max(reach, 1.0f));
    const Rgb ink = jitter(rgb(a.ink), random), page = jitter(rgb(a.background), random);
    const float t = 0.5f * width / scale;

    constexpr Index side = PenField::side, plane = size_px * size_px;
    const auto at = [&](Index i, Index j) {
      return i < 0 || j < 0 || i >= side || j >= side
                 ? 255.0f
                 : static_cast<float>(pen.g[static_cast<std::size_t>(i * side + j)]);
    };
    constexpr float per_pixel = static_cast<float>(side) / PenField::frame;
    for (Index i = 0; i < size_px; ++i) {
      const float y = (static_cast<float>(i) + 0.5f - 0.5f * size_px - dy) / scale;
      const float v = (y + 0.5f * PenField::frame) * per_pixel - 0.5f, vi = std::floor(v), vf = v - vi;
      for (Index j = 0; j < size_px; ++j) {
        const float x = (static_cast<float>(j) + 0.5f - 0.5f * size_px - dx) / scale + lean * y;
        const float u = (x + 0.5f * PenField::frame) * per_pixel - 0.5f, ui = std::floor(u), uf = u - ui;
        const Index p = static_cast<Index>(vi), q = static_cast<Index>(ui);
        const float byte = (1 - vf) * ((1 - uf) * at(p, q) + uf * at(p, q + 1)) +
                           vf * ((1 - uf) * at(p + 1, q) + uf * at(p + 1, q + 1));
        const float g = PenField::lowest + PenField::step * byte;
        // The edge is one pixel soft, as a scan's: coverage rises from 0 to 1 across the outline.
        const float coverage = std::clamp(0.5f + (t - g) * scale, 0.0f, 1.0f);
        float* pixel = image + i * size_px + j;
        pixel[0] = 2 * (page.r + coverage * (ink.r - page.r)) - 1;
        pixel[plane] = 2 * (page.g + coverage * (ink.g - page.g)) - 1;
        pixel[2 * plane] = 2 * (page.b + coverage * (ink.b - page.b)) - 1;
      }
    }
  }

  // No two inks are quite the same: a little brighter or darker, and a trace of another hue.
  static Rgb jitter(const Rgb& c, SampleRandom& random) {
    const float brighter = random.uniform(-0.03f, 0.03f);
    const auto near = [&](float v) { return std::clamp(v + brighter + random.uniform(-0.012f, 0.012f), 0.0f, 1.0f); };
    const float r = near(c.r), g = near(c.g), b = near(c.b);
    return {r, g, b};
  }

  std::vector<PenField> fields_;
  std::vector<int> labels_;
};

}  // namespace inkling
