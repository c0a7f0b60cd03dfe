// Captions for pictures of which only the class is known: a sentence with a gap, and the names that a class goes by
// (Radford et al. 2021, section 3.1.4).
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "inkling/train/sample_random.hpp"

namespace inkling {

// "a photo of {}", "airplane" -> "a photo of an airplane"
inline std::string fill_in(std::string_view sentence, std::string_view noun) {
  std::string text(sentence);
  const std::size_t gap = text.find("{}");
  if (noun.empty() || gap == text.npos) throw ConfigError("fill_in", "a sentence with a {} in it, and a noun", text);
  const bool vowel = std::string_view("aeiou").find(noun.front()) != std::string_view::npos;
  return text.replace(gap, 2, (vowel ? "an " : "a ") + std::string(noun));
}

struct ClassCaptions {
  std::vector<std::string> sentences;
  std::vector<std::vector<std::string>> names;  // of each class, the usual one first

  std::string draw(Index label, SampleRandom& random) const {
    const std::vector<std::string>& nouns = names.at(static_cast<std::size_t>(label));
    const std::string& sentence =
        sentences[static_cast<std::size_t>(random.below(static_cast<Index>(sentences.size())))];
    // Half of the time by its usual name.
    const Index which = random.chance(0.5) ? 0 : random.below(static_cast<Index>(nouns.size()));
    return fill_in(sentence, nouns[static_cast<std::size_t>(which)]);
  }
  std::vector<std::string> usual_names() const {
    std::vector<std::string> nouns;
    for (const std::vector<std::string>& of_class : names) nouns.push_back(of_class.front());
    return nouns;
  }
  std::vector<std::string> all() const {
    std::vector<std::string> texts;
    for (const std::string& sentence : sentences)
      for (const std::vector<std::string>& nouns : names)
        for (const std::string& noun : nouns) texts.push_back(fill_in(sentence, noun));
    return texts;
  }
};

// The ten classes of CIFAR-10.
inline ClassCaptions cifar10_captions() {
  return {{"a photo of {}", "a picture of {}", "{}", "this is {}", "a small photo of {}", "a blurry photo of {}",
           "here you see {}", "look, {}", "the photo shows {}", "{} in a photo"},
          {{"airplane", "plane", "aircraft"},
           {"automobile", "car"},
           {"bird"},
           {"cat", "kitten"},
           {"deer"},
           {"dog", "puppy"},
           {"frog", "toad"},
           {"horse", "pony"},
           {"ship", "boat"},
           {"truck", "lorry"}}};
}
// Sentences that no training caption has, of words that some have: to test with.
inline std::vector<std::string> cifar10_new_sentences() {
  return {"this picture shows {}", "a blurry picture of {}", "look, a small picture of {}",
          "here is {} in a small photo"};
}

}  // namespace inkling
