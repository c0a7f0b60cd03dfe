// Captions for ink digits, from a grammar: many ways to say the same, in many orders, with words left out.
//
// A caption never says anything untrue of the picture. What it leaves unsaid may be anything, though "plain" and
// "upright" are what people leave unsaid most.
#pragma once
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inkling/train/ink_attributes.hpp"

namespace inkling {

// How often each attribute is said.
struct CaptionOptions {
  double digit = 0.97, ink = 0.93, background = 0.93;
  double stroke = 0.85, lean = 0.85;    // of those that are thin or bold, leaning left or right
  double plain = 0.12, upright = 0.12;  // of those that are not
};

namespace detail {

class CaptionGrammar {
 public:
  CaptionGrammar(const InkDigit& a, SampleRandom& random, const CaptionOptions& o) : random_(random), a_(a) {
    const auto said = [&](double p) { return random_.chance(p); };
    digit_ = said(o.digit);
    ink_ = said(o.ink);
    page_ = said(o.background);
    stroke_ = said(a.stroke == Stroke::plain ? o.plain : o.stroke);
    lean_ = said(a.lean == Lean::upright ? o.upright : o.lean);
  }

  std::string caption() {
    const Index form = random_.below(20);
    if (form < 12) return one_phrase();
    if (form < 15) return page_first();
    if (form < 18) return keywords();
    return sentences();
  }

 private:
  using Words = std::initializer_list<std::string_view>;
  std::string pick(Words words) { return std::string(words.begin()[random_.below(static_cast<Index>(words.size()))]); }
  bool chance(double p) { return random_.chance(p); }
  std::string ink() const { return std::string(name(a_.ink)); }
  std::string page() const { return std::string(name(a_.background)); }

  // "an orange seven", "an 8", "a one"
  static std::string with_article(const std::string& phrase) {
    const bool vowel = std::string_view("aeiu8").find(phrase.front()) != std::string_view::npos ||
                       phrase.starts_with("orange");  // but "a one"
    return (vowel ? "an " : "a ") + phrase;
  }

  // seven, 7, digit seven, number 7
  std::string noun() {
    if (!digit_) return pick({"digit", "number", "numeral", "figure"});
    const std::string value = chance(0.55) ? std::string(digit_word(a_.digit)) : std::to_string(a_.digit);
    if (chance(0.6)) return value;
    return pick({"digit ", "number ", "numeral ", "figure ", "handwritten ", "hand-drawn "}) + value;
  }
  std::string stroke_adjective() {
    if (a_.stroke == Stroke::thin) return pick({"thin", "thin", "fine", "light-weight", "slender"});
    if (a_.stroke == Stroke::bold) return pick({"bold", "bold", "thick", "heavy", "fat"});
    return pick({"plain", "regular", "normal", "medium"});
  }
  std::string side() const { return a_.lean == Lean::left ? "left" : "right"; }
  std::string lean_adjective() {
    if (a_.lean == Lean::upright) return pick({"upright", "straight", "vertical"});
    return side() + pick({"-leaning", "-slanted", "-tilted"});
  }

  // Phrases that follow the noun.
  std::string ink_phrase() {
    switch (random_.below(5)) {
      case 0:
        return "in " + ink();
      case 1:
        return "in " + ink() + " ink";
      case 2:
        return pick({"painted", "written", "drawn", "inked"}) + " in " + ink() + pick({"", " ink", " paint"});
      case 3:
        return pick({"painted ", "coloured ", "colored "}) + ink();
      default:
        return "with " + ink() + pick({" ink", " paint"});
    }
  }
  std::string stroke_phrase() {
    const std::string how = stroke_adjective();
    switch (random_.below(3)) {
      case 0:
        return pick({"in ", "with "}) + how + pick({" strokes", " lines"});
      case 1:
        return pick({"drawn", "written"}) + " with " + with_article(how + pick({" pen", " brush", " line"}));
      default:
        return "in " + with_article(how + pick({" stroke", " weight", " hand"}));
    }
  }
  std::string lean_phrase() {
    if (a_.lean == Lean::upright) return pick({"standing upright", "upright", "standing straight", "not leaning"});
    return pick({"leaning ", "slanted ", "tilted ", "slanting "}) + pick({"", "to the ", "towards the "}) + side();
  }
  std::string page_noun() { return pick({"background", "background", "page", "paper", "ground", "sheet"}); }
  std::string colored_page() {
    const std::string what = page_noun();
    return what == "paper" ? page() + " paper" : with_article(page() + " " + what);
  }
  std::string page_phrase() {
    if (chance(0.3)) return "on " + page();
    return pick({"on ", "on ", "on ", "over ", "against "}) + colored_page();
  }

  std::string join(const std::vector<std::string>& parts, std::string_view with) {
    std::string s;
    for (const auto& part : parts) s += (s.empty() ? "" : std::string(with)) + part;
    return s;
  }
  void shuffle(std::vector<std::string>& parts) {
    for (std::size_t i = parts.size(); i > 1; --i)
      std::swap(parts[i - 1], parts[static_cast<std::size_t>(random_.below(static_cast<Index>(i)))]);
  }

  // "a bold red seven on a blue background": the noun with what stands before and after it.
  std::string noun_phrase(bool with_page) {
    std::vector<std::string> before, after;
    if (stroke_) chance(0.7) ? before.push_back(stroke_adjective()) : after.push_back(stroke_phrase());
    if (lean_) chance(0.25) ? before.push_back(lean_adjective()) : after.push_back(lean_phrase());
    if (before.size() == 2 && chance(0.3)) std::swap(before[0], before[1]);
    bool pair = false;
    if (ink_) {
      if (chance(0.6)) {
        before.insert(chance(0.85) ? before.end() : before.begin(), ink());
      } else if (with_page && page_ && chance(0.35)) {
        pair = true;  // "the digit 7, red on blue"
      } else {
        after.insert(after.begin(), ink_phrase());
      }
    }
    if (chance(0.3)) shuffle(after);
    // Only the lean may follow the page: "a seven on green painted cyan" could mean two things.
    if (with_page && page_ && !pair) {
      const bool lean_last = lean_ && !after.empty() && after.back().find("lean") != std::string::npos && chance(0.4);
      after.insert(lean_last ? after.end() - 1 : after.end(), page_phrase());
    }

    std::string s = noun();
    // "the digit 7", but "a 7"; the article is dropped as in a list of keywords now and then
    const bool named = s.find(' ') != std::string::npos && !s.starts_with("hand");
    for (std::size_t k = before.size(); k-- > 0;) s = before[k] + " " + s;
    if (!chance(named ? 0.3 : 0.2)) s = chance(named && digit_ ? 0.6 : 0.2) ? "the " + s : with_article(s);
    if (pair) s += pick({", ", " "}) + ink() + pick({" on ", " over ", " on "}) + page();
    const std::string_view comma = chance(0.25) || pair ? ", " : " ";
    for (const auto& part : after) s += std::string(comma) + part;
    return s;
  }

  std::string one_phrase() {
    if (chance(0.2) && digit_) return plainly();
    const std::string s = noun_phrase(true);
    if (!s.starts_with("a ") && !s.starts_with("an ") && !s.starts_with("the ")) return s;
    if (chance(0.75)) return s;
    return pick({"a picture of ", "a painting of ", "a drawing of ", "an image of ", "a photo of ", "paint ", "draw ",
                 "please paint ", "show me "}) +
           s;
  }

  // "blue page, seven in red ink"
  std::string page_first() {
    if (!page_) return one_phrase();
    switch (random_.below(4)) {
      case 0:
        return page() + " " + page_noun() + pick({", ", ": "}) + noun_phrase(false);
      case 1:
        return "on " + colored_page() + pick({", ", ": ", " "}) + noun_phrase(false);
      case 2:
        return "on " + page() + ", " + noun_phrase(false);
      default:
        return colored_page() + pick({" with ", " and on it ", " showing "}) + noun_phrase(false);
    }
  }

  // "7, red ink, blue background, bold"
  std::string keywords() {
    std::vector<std::string> parts{noun()};
    if (ink_) parts.push_back(ink() + pick({" ink", " ink", " paint", " digit"}));
    if (stroke_) parts.push_back(stroke_adjective());
    if (lean_) parts.push_back(lean_phrase());
    if (page_) parts.push_back(page() + " " + page_noun());
    if (chance(0.6)) shuffle(parts);
    return join(parts, ", ");
  }

  // "the page is blue and the seven is red"
  std::string sentences() {
    const std::string digit = digit_ ? (chance(0.5) ? std::string(digit_word(a_.digit)) : std::to_string(a_.digit))
                                     : pick({"digit", "number"});
    std::vector<std::string> parts;
    parts.push_back(ink_ ? "the " + digit + " is " + ink() : "this is " + with_article(digit));
    if (page_) parts.push_back("the " + page_noun() + " is " + page());
    if (parts.size() == 2 && chance(0.4)) std::swap(parts[0], parts[1]);
    if (stroke_) parts.push_back(pick({"the strokes are ", "the lines are "}) + stroke_adjective());
    if (lean_) {
      const bool upright = a_.lean == Lean::upright;
      parts.push_back("the digit " + (upright ? pick({"is upright", "stands straight"})
                                              : pick({"leans ", "leans to the ", "is slanted ", "tilts "}) + side()));
    }
    return join(parts, pick({", ", " and ", "; ", ". "}));
  }

  // The form that the examples and the evaluation use.
  std::string plainly() {
    std::string s;
    if (stroke_) s += std::string(name(a_.stroke)) + " ";
    if (ink_) s += ink() + " ";
    s = with_article(s + std::string(digit_word(a_.digit)));
    if (lean_) s += " " + std::string(name(a_.lean));
    if (page_) s += " on " + with_article(page() + " background");
    return s;
  }

  friend std::string canonical(const InkDigit& a);

  SampleRandom& random_;
  InkDigit a_;
  bool digit_ = true, ink_ = true, page_ = true, stroke_ = true, lean_ = true;
};

inline std::string canonical(const InkDigit& a) {
  SampleRandom random(0, 0);  // every attribute is said for certain, so nothing depends on it
  return CaptionGrammar(a, random, {1, 1, 1, 1, 1, 0, 0}).plainly();
}

}  // namespace detail

inline std::string caption(const InkDigit& attributes, SampleRandom& random, const CaptionOptions& options = {}) {
  return detail::CaptionGrammar(attributes, random, options).caption();
}

// "a bold red seven leaning left on a blue background"; plain and upright go unsaid.
inline std::string canonical_prompt(const InkDigit& attributes) { return detail::canonical(attributes); }

// Captions of training combinations, to learn a vocabulary from.
inline std::vector<std::string> caption_corpus(Index count, std::uint64_t seed = 0) {
  std::vector<std::string> out;
  out.reserve(static_cast<std::size_t>(count));
  for (Index i = 0; i < count; ++i) {
    SampleRandom random(seed, static_cast<std::uint64_t>(i));
    const InkDigit attributes = random_attributes(static_cast<int>(random.below(10)), random);
    out.push_back(caption(attributes, random));
  }
  return out;
}

}  // namespace inkling
