// Does a painted ink digit show what was asked for? The digit as a classifier reads it, the colours as they measure.
#pragma once
#include <algorithm>
#include <vector>

#include "inkling/core/parallel.hpp"
#include "inkling/models/digit_classifier.hpp"
#include "inkling/train/ink_measure.hpp"

namespace inkling {

struct InkJudgement {
  int digit = 0;
  Ink ink = Ink::black, background = Ink::white;
};

// images[N, 3, H, W] in [-1, 1]
inline std::vector<InkJudgement> judge_pictures(const DigitClassifier<float>& classifier,
                                                const Tensor<float, 4>& images) {
  NoGrad no_grad;
  const Index count = images.shape(0), size = count == 0 ? 0 : images.size() / count;
  std::vector<InkJudgement> out(static_cast<std::size_t>(count));
  if (count == 0) return out;
  Tensor<float, 4> digits({count, 1, 28, 28}, uninitialized);
  parallel_for(count, 20000, [&](Index n) {
    Tensor<float, 3> image({images.shape(1), images.shape(2), images.shape(3)}, uninitialized);
    std::copy_n(images.data() + n * size, size, image.data());
    const MeasuredColors colors = measure_colors(image);
    out[static_cast<std::size_t>(n)] = {0, colors.ink, colors.background};
    const Tensor<float, 2> gray = to_gray_digit(image);
    std::copy(gray.begin(), gray.end(), &digits(n, 0, 0, 0));
  });
  const Tensor<float, 2> logits = classifier.forward(Variable<float, 4>(std::move(digits))).value();  // [N, 10]
  for (Index n = 0; n < count; ++n)
    out[static_cast<std::size_t>(n)].digit =
        static_cast<int>(std::max_element(&logits(n, 0), &logits(n, 0) + 10) - &logits(n, 0));
  return out;
}

// How many were right, of how many.
struct InkTally {
  Index count = 0, digit = 0, ink = 0, background = 0, all = 0;
  void add(const InkDigit& asked, const InkJudgement& got) {
    const bool d = asked.digit == got.digit, i = asked.ink == got.ink, b = asked.background == got.background;
    ++count, digit += d, ink += i, background += b, all += d && i && b;
  }
  double percent(Index InkTally::*right) const {
    return count ? 100 * static_cast<double>(this->*right) / static_cast<double>(count) : 0;
  }
};
// asked[i] belongs to judged[i]
inline InkTally tally_of(const std::vector<InkDigit>& asked, const std::vector<InkJudgement>& judged) {
  if (asked.size() != judged.size())
    throw ShapeError("tally_of", "a judgement for each of " + std::to_string(asked.size()) + " digits",
                     std::to_string(judged.size()));
  InkTally tally;
  for (std::size_t i = 0; i < asked.size(); ++i) tally.add(asked[i], judged[i]);
  return tally;
}

}  // namespace inkling
