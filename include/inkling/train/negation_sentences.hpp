// A made task that needs attention: what an adjective is worth depends on the word before it.
//
//   the film was not good but very short .       good counts -1 (not), short counts -2 (very)
//
// Small enough to train in seconds, yet no network can do it that looks at each word alone, or at the words without
// their order.
#pragma once
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "inkling/core/tensor.hpp"
#include "inkling/train/sample_random.hpp"

namespace inkling {

struct SentenceBatch {
  Tensor<std::int64_t, 2> words;    // [N, L], padded with "."
  Tensor<float, 3> worth;           // [N, L, 1]: of the adjectives, as the sentence means it; 0 for all other words
  Tensor<std::int64_t, 2> depends;  // [N, L]: position of the "not" or "very" before an adjective, or -1
};

class NegationSentences {
 public:
  static constexpr Index length = 12;
  static constexpr std::array<std::string_view, 24> vocabulary{
      ".",    "the",   "film", "food",  "room", "was",  "it",   "seemed", "and",  "but",  "not",  "very",
      "good", "clean", "warm", "funny", "tasty", "bright", "bad", "dirty", "cold", "dull", "stale", "dark"};
  static constexpr Index first_good = 12, first_bad = 18;

  static std::vector<std::string> text(const SentenceBatch& batch, Index n) {
    std::vector<std::string> words;
    for (Index l = 0; l < length; ++l) words.emplace_back(vocabulary.at(static_cast<std::size_t>(batch.words(n, l))));
    return words;
  }

  // Samples first, .., first + count - 1 of the endless sequence that belongs to the seed.
  static SentenceBatch batch(std::uint64_t seed, Index first, Index count) {
    SentenceBatch out{Tensor<std::int64_t, 2>({count, length}), Tensor<float, 3>({count, length, 1}),
                      Tensor<std::int64_t, 2>({count, length})};
    for (Index n = 0; n < count; ++n) {
      SampleRandom random(seed, static_cast<std::uint64_t>(first + n));
      Index at = 0;
      const auto say = [&](std::int64_t word) { out.words(n, at++) = word; };
      for (Index l = 0; l < length; ++l) out.depends(n, l) = -1;
      // "it was", "it seemed", "the film was": the place of the first adjective varies
      if (random.chance(0.5)) {
        say(6);
      } else {
        say(1), say(2 + random.below(3));
      }
      say(random.chance(0.5) ? 5 : 7);
      const Index adjectives = 2 + random.below(2);
      for (Index a = 0; a < adjectives; ++a) {
        if (a > 0) say(8 + random.below(2));
        const Index how = random.below(3);  // plain, not, very
        if (how > 0) say(9 + how);
        const Index adjective = first_good + random.below(12);
        const float sign = adjective < first_bad ? 1.0f : -1.0f;
        out.worth(n, at, 0) = how == 0 ? sign : how == 1 ? -sign : 2 * sign;
        if (how > 0) out.depends(n, at) = at - 1;
        say(adjective);
      }
    }
    return out;
  }
};

}  // namespace inkling
