// What a picture of an ink digit is made of: which digit, ink and page colour, stroke, lean; and which combinations
// a model in training never gets to see.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "inkling/train/sample_random.hpp"

namespace inkling {

// A colour that has a name, for the ink and for the page.
enum class Ink { red, orange, yellow, green, cyan, blue, purple, pink, white, black };
enum class Stroke { thin, plain, bold };
enum class Lean { left, upright, right };

inline constexpr Index ink_count = 10;
inline constexpr std::array<Ink, 10> all_inks{Ink::red,  Ink::orange, Ink::yellow, Ink::green, Ink::cyan,
                                              Ink::blue, Ink::purple, Ink::pink,   Ink::white, Ink::black};

struct InkDigit {
  int digit = 0;
  Ink ink = Ink::black, background = Ink::white;
  Stroke stroke = Stroke::plain;
  Lean lean = Lean::upright;
  bool operator==(const InkDigit&) const = default;
};

inline std::string_view name(Ink ink) {
  constexpr std::array<std::string_view, 10> names{"red",  "orange", "yellow", "green", "cyan",
                                                   "blue", "purple", "pink",   "white", "black"};
  return names.at(static_cast<std::size_t>(ink));
}
inline std::string_view name(Stroke stroke) {
  return stroke == Stroke::thin ? "thin" : stroke == Stroke::bold ? "bold" : "plain";
}
inline std::string_view name(Lean lean) {
  return lean == Lean::left ? "leaning left" : lean == Lean::right ? "leaning right" : "upright";
}
inline std::string_view digit_word(int digit) {
  constexpr std::array<std::string_view, 10> words{"zero", "one", "two",   "three", "four",
                                                   "five", "six", "seven", "eight", "nine"};
  return words.at(static_cast<std::size_t>(digit));
}

// "red seven on blue"
inline std::string brief(const InkDigit& a) {
  return std::string(name(a.ink)) + " " + std::string(digit_word(a.digit)) + " on " + std::string(name(a.background));
}

// sRGB, each in [0, 1].
struct Rgb {
  float r = 0, g = 0, b = 0;
};

// Chosen to be far apart in CIELAB (the nearest two, blue and purple, are 39 units from each other; about 2 is the
// smallest difference that people see), so that a painted colour can be named without doubt.
inline Rgb rgb(Ink ink) {
  constexpr std::array<Rgb, 10> palette{{{0.84f, 0.10f, 0.13f},    // red
                                         {0.98f, 0.53f, 0.08f},    // orange
                                         {0.99f, 0.88f, 0.16f},    // yellow
                                         {0.13f, 0.60f, 0.24f},    // green
                                         {0.16f, 0.80f, 0.86f},    // cyan
                                         {0.10f, 0.34f, 0.90f},    // blue
                                         {0.54f, 0.14f, 0.62f},    // purple
                                         {0.98f, 0.56f, 0.76f},    // pink
                                         {0.98f, 0.98f, 0.97f},    // white
                                         {0.07f, 0.07f, 0.08f}}};  // black
  return palette.at(static_cast<std::size_t>(ink));
}

// Combinations of digit, ink and page that never occur in training: can the model paint what it has only seen the
// parts of? One of eight in each direction. 1, 3 and 7 are odd, so with any two of the three fixed, the third meets
// the condition at most twice among its ten values: every pair of attributes still occurs in training.
inline bool is_held_out(int digit, Ink ink, Ink background) {
  return (digit + 3 * static_cast<int>(ink) + 7 * static_cast<int>(background)) % 8 == 0;
}
inline bool is_held_out(const InkDigit& a) { return is_held_out(a.digit, a.ink, a.background); }

enum class Combinations { training, held_out, all };
inline bool belongs(const InkDigit& a, Combinations which) {
  return which == Combinations::all || is_held_out(a) == (which == Combinations::held_out);
}

// Attributes but for the digit: uniform over the combinations asked for.
inline InkDigit random_attributes(int digit, SampleRandom& random, Combinations which = Combinations::training) {
  InkDigit a;
  a.digit = digit;
  do {
    a.ink = all_inks[static_cast<std::size_t>(random.below(ink_count))];
    a.background = all_inks[static_cast<std::size_t>(random.below(ink_count))];
  } while (a.ink == a.background || !belongs(a, which));
  a.stroke = static_cast<Stroke>(random.below(3));
  a.lean = static_cast<Lean>(random.below(3));
  return a;
}
// Something to ask of a model: zero, one, .., nine, zero, .., the rest at random; each a function of (seed, its number).
inline std::vector<InkDigit> digits_to_ask(Index count, std::uint64_t seed,
                                           Combinations which = Combinations::training) {
  std::vector<InkDigit> asked;
  for (Index i = 0; i < count; ++i) {
    SampleRandom random(seed, static_cast<std::uint64_t>(i));
    asked.push_back(random_attributes(static_cast<int>(i % 10), random, which));
  }
  return asked;
}

}  // namespace inkling
