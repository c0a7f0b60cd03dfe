// The data set of the small model: what its pictures and captions claim is measured in them.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "inkling/core/eigen.hpp"
#include "inkling/train/ink_digits.hpp"
#include "inkling/train/ink_measure.hpp"
#include "support.hpp"

namespace {

using namespace inkling;

LabelledImages first_of(const LabelledImages& all, Index count) {
  const Index pixels = all.images.shape(1) * all.images.shape(2);
  return {Tensor<std::uint8_t, 3>(Shape<3>{count, all.images.shape(1), all.images.shape(2)},
                                  std::span(all.images.data(), static_cast<std::size_t>(count * pixels))),
          Tensor<std::uint8_t, 1>(Shape<1>{count}, std::span(all.labels.data(), static_cast<std::size_t>(count)))};
}
const InkDigits& digits() {
  static const InkDigits set(first_of(read_mnist(inkling_test::data_dir() / "mnist", "t10k"), 400));
  return set;
}
Tensor<float, 3> picture(const InkBatch& batch, Index i) {
  const Shape<3> shape{3, batch.images.shape(2), batch.images.shape(3)};
  const Index size = checked_size(shape);
  return Tensor<float, 3>(shape, std::span(batch.images.data() + i * size, static_cast<std::size_t>(size)));
}
// Black on white: the red channel, as ink between 0 and 1.
Tensor<float, 2> ink_of(const Tensor<float, 3>& image) {
  const auto [low, high] = std::minmax_element(image.data(), image.data() + image.shape(1) * image.shape(2));
  Tensor<float, 2> out(Shape<2>{image.shape(1), image.shape(2)});
  for (Index k = 0; k < out.size(); ++k) out.data()[k] = (*high - image.data()[k]) / (*high - *low);
  return out;
}
// A band of length L and width w has area L w and an outline of about 2 L: w = 2 area / outline. The outline of a
// gray picture is its total variation.
double stroke_width(const Tensor<float, 2>& ink) {
  double area = 0, outline = 0;
  for (Index i = 0; i + 1 < ink.shape(0); ++i)
    for (Index j = 0; j + 1 < ink.shape(1); ++j) {
      area += static_cast<double>(ink(i, j));
      outline +=
          std::hypot(static_cast<double>(ink(i + 1, j) - ink(i, j)), static_cast<double>(ink(i, j + 1) - ink(i, j)));
    }
  return 2 * area / outline;
}
// Separate pieces of ink of at least `smallest` pixels, diagonal neighbours being connected.
Index pieces(Index height, Index width, const std::function<bool(Index, Index)>& ink, Index smallest) {
  std::vector<bool> seen(static_cast<std::size_t>(height * width));
  Index count = 0;
  for (Index start = 0; start < height * width; ++start) {
    std::vector<Index> stack{start};
    Index size = 0;
    while (!stack.empty()) {
      const Index k = stack.back(), i = k / width, j = k % width;
      stack.pop_back();
      if (seen[static_cast<std::size_t>(k)] || !ink(i, j)) continue;
      seen[static_cast<std::size_t>(k)] = true;
      ++size;
      for (Index a = std::max<Index>(i - 1, 0); a <= std::min(i + 1, height - 1); ++a)
        for (Index b = std::max<Index>(j - 1, 0); b <= std::min(j + 1, width - 1); ++b) stack.push_back(a * width + b);
    }
    count += size >= smallest;
  }
  return count;
}

TEST_CASE("held-out combinations: one in eight, and every pair of attributes still occurs in training") {
  Index held_out = 0, all = 0;
  std::map<std::string, Index> left;  // training combinations that are left for each pair
  std::array<Index, 10> held_out_digits{};
  for (int digit = 0; digit < 10; ++digit)
    for (const Ink ink : all_inks)
      for (const Ink page : all_inks) {
        if (ink == page) continue;
        ++all;
        const bool held = is_held_out(digit, ink, page);
        held_out += held;
        held_out_digits[static_cast<std::size_t>(digit)] += held;
        left[std::to_string(digit) + " in " + std::string(name(ink))] += !held;
        left[std::to_string(digit) + " on " + std::string(name(page))] += !held;
        left[std::string(name(ink)) + " on " + std::string(name(page))] += !held;
      }
  const double share = static_cast<double>(held_out) / static_cast<double>(all);
  MESSAGE(held_out << " of " << all << " combinations are held out (" << 100 * share << " %)");
  CHECK(share > 0.10);
  CHECK(share < 0.15);
  CHECK(left.size() == 10 * 10 + 10 * 10 + 10 * 9);
  for (const auto& entry : left)
    CHECK_MESSAGE(entry.second >= 6, entry.first << " is left " << entry.second << " times");
  for (const Index count : held_out_digits) CHECK(count >= 8);
}

TEST_CASE("random attributes keep to the combinations asked for") {
  std::set<std::string> training, held_out;
  for (std::uint64_t i = 0; i < 120000; ++i) {
    SampleRandom random(7, i);
    const int digit = static_cast<int>(random.below(10));
    const InkDigit seen = random_attributes(digit, random, Combinations::training);
    const InkDigit unseen = random_attributes(digit, random, Combinations::held_out);
    REQUIRE(seen.digit == digit);
    REQUIRE(seen.ink != seen.background);
    REQUIRE(unseen.ink != unseen.background);
    REQUIRE_FALSE(is_held_out(seen));
    REQUIRE(is_held_out(unseen));
    training.insert(canonical_prompt(seen));
    held_out.insert(canonical_prompt(unseen));
  }
  for (const std::string& prompt : held_out) REQUIRE(training.count(prompt) == 0);
  CHECK(training.size() + held_out.size() == 900 * 9);  // all of them, in each stroke and lean
}

TEST_CASE("random numbers are uniform and depend on seed and index") {
  std::array<Index, 10> counts{};
  double sum = 0;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    SampleRandom random(3, i);
    ++counts[static_cast<std::size_t>(random.below(10))];
    sum += random.uniform();
  }
  for (const Index c : counts) CHECK(std::abs(static_cast<double>(c) - 2000) < 5 * std::sqrt(2000.0));
  CHECK(std::abs(sum / 20000 - 0.5) < 5 * 0.29 / std::sqrt(20000.0));
  CHECK(SampleRandom(1, 2).next() == SampleRandom(1, 2).next());
  CHECK(SampleRandom(1, 2).next() != SampleRandom(2, 1).next());
}

TEST_CASE("the palette can be told apart") {
  for (const Ink p : all_inks) {
    CHECK(nearest_ink(rgb(p)) == p);
    for (const Ink q : all_inks)
      if (p != q) CHECK_MESSAGE(distance(to_lab(rgb(p)), to_lab(rgb(q))) > 35, name(p) << " and " << name(q));
  }
  // CIELAB of the sRGB primaries (D65), from the definition; e.g. Lindbloom's calculator gives the same.
  const Lab red = to_lab({1, 0, 0}), white = to_lab({1, 1, 1});
  CHECK(red.l == doctest::Approx(53.24).epsilon(0.002));
  CHECK(red.a == doctest::Approx(80.09).epsilon(0.002));
  CHECK(red.b == doctest::Approx(67.20).epsilon(0.002));
  CHECK(white.l == doctest::Approx(100).epsilon(0.001));
  CHECK(std::abs(white.a) + std::abs(white.b) < 0.1f);
}

// Words of a caption; commas and full stops do not belong to them.
std::vector<std::string> words_of(const std::string& caption) {
  std::vector<std::string> words(1);
  for (const char c : caption) {
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '-')
      words.back() += c;
    else if (!words.back().empty())
      words.emplace_back();
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

// What a caption says, found by another way than the one that wrote it: "" or a list of lies.
std::string lies_in(const std::string& caption, const InkDigit& a) {
  const std::vector<std::string> w = words_of(caption);
  const std::set<std::string> page_nouns{"background", "page", "paper", "ground", "sheet"};
  const std::map<std::string, Stroke> strokes{
      {"thin", Stroke::thin},   {"fine", Stroke::thin},     {"light-weight", Stroke::thin}, {"slender", Stroke::thin},
      {"bold", Stroke::bold},   {"thick", Stroke::bold},    {"heavy", Stroke::bold},        {"fat", Stroke::bold},
      {"plain", Stroke::plain}, {"regular", Stroke::plain}, {"normal", Stroke::plain},      {"medium", Stroke::plain}};
  const auto word = [&](std::size_t i) { return i < w.size() ? w[i] : std::string(); };
  std::string lies;
  for (std::size_t i = 0; i < w.size(); ++i) {
    for (const Ink color : all_inks) {
      if (w[i] != name(color)) continue;
      const bool page = page_nouns.count(word(i + 1)) || (i > 0 && (w[i - 1] == "on" || w[i - 1] == "over")) ||
                        (i > 1 && w[i - 1] == "is" && page_nouns.count(w[i - 2]));
      if (color != (page ? a.background : a.ink)) lies += " " + w[i];
    }
    for (int digit = 0; digit < 10; ++digit)
      if ((w[i] == digit_word(digit) || w[i] == std::to_string(digit)) && digit != a.digit) lies += " " + w[i];
    if (const auto s = strokes.find(w[i]); s != strokes.end() && s->second != a.stroke) lies += " " + w[i];
    if (w[i].starts_with("left") && a.lean != Lean::left) lies += " " + w[i];
    if (w[i].starts_with("right") && a.lean != Lean::right) lies += " " + w[i];
    if ((w[i] == "upright" || w[i] == "straight" || w[i] == "vertical" || w[i] == "not") && a.lean != Lean::upright)
      lies += " " + w[i];
  }
  return lies;
}

TEST_CASE("captions say nothing untrue, in many ways") {
  std::set<std::string> vocabulary;
  std::map<std::string, Index> said;
  const Index count = 40000;
  for (Index i = 0; i < count; ++i) {
    SampleRandom random(11, static_cast<std::uint64_t>(i));
    const InkDigit a = random_attributes(static_cast<int>(random.below(10)), random, Combinations::all);
    const std::string text = caption(a, random);
    const std::string lies = lies_in(text, a);
    REQUIRE_MESSAGE(lies.empty(), '"' << text << "\" of \"" << canonical_prompt(a) << "\" says:" << lies);
    REQUIRE(lies_in(canonical_prompt(a), a).empty());
    const std::vector<std::string> words = words_of(text);
    REQUIRE(words.size() <= 30);
    for (const std::string& word : words) {
      vocabulary.insert(word);
      said["digit"] += word == digit_word(a.digit) || word == std::to_string(a.digit);
      said["ink"] += word == name(a.ink);
      said["background"] += word == name(a.background);
    }
  }
  MESSAGE("words in all captions: " << vocabulary.size() << "; digit, ink, background said in "
                                    << 100 * said["digit"] / count << ", " << 100 * said["ink"] / count << ", "
                                    << 100 * said["background"] / count << " %");
  CHECK(said["digit"] > count * 95 / 100);
  CHECK(said["ink"] > count * 90 / 100);
  CHECK(said["ink"] < count * 97 / 100);
  CHECK(said["background"] > count * 90 / 100);
  CHECK(said["background"] < count * 97 / 100);
  CHECK(vocabulary.size() > 80);

  std::set<std::string> ways;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    SampleRandom random(12, i);
    ways.insert(caption({7, Ink::red, Ink::blue, Stroke::bold, Lean::right}, random));
  }
  MESSAGE("20,000 captions of one picture: " << ways.size() << " different");
  CHECK(ways.size() > 2000);
  for (const char* known : {"a bold red seven leaning right on a blue background"}) CHECK(ways.count(known) == 1);
}

TEST_CASE("canonical prompts read as people write them") {
  CHECK(canonical_prompt({7, Ink::red, Ink::blue, Stroke::bold, Lean::upright}) ==
        "a bold red seven on a blue background");
  CHECK(canonical_prompt({8, Ink::orange, Ink::black, Stroke::plain, Lean::upright}) ==
        "an orange eight on a black background");
  CHECK(canonical_prompt({1, Ink::white, Ink::orange, Stroke::thin, Lean::left}) ==
        "a thin white one leaning left on an orange background");
}

TEST_CASE("the vocabulary's corpus is deterministic and holds no held-out combination's canonical prompt") {
  const std::vector<std::string> corpus = caption_corpus(3000, 5);
  CHECK(corpus.size() == 3000);
  CHECK(corpus == caption_corpus(3000, 5));
  CHECK(corpus != caption_corpus(3000, 6));
  std::set<std::string> held_out;
  for (int digit = 0; digit < 10; ++digit)
    for (const Ink ink : all_inks)
      for (const Ink page : all_inks)
        if (ink != page && is_held_out(digit, ink, page))
          held_out.insert(canonical_prompt({digit, ink, page, Stroke::plain, Lean::upright}));
  for (const std::string& text : corpus) CHECK(held_out.count(text) == 0);
}

TEST_CASE("data: samples are a function of seed and index alone") {
  const InkBatch a = digits().batch(1, 0, 96), b = digits().batch(1, 64, 32), other = digits().batch(2, 0, 96);
  CHECK(a.images.shape() == Shape<4>{96, 3, 32, 32});
  for (Index i = 0; i < 32; ++i) {
    CHECK(a.captions[static_cast<std::size_t>(64 + i)] == b.captions[static_cast<std::size_t>(i)]);
    CHECK(a.attributes[static_cast<std::size_t>(64 + i)] == b.attributes[static_cast<std::size_t>(i)]);
  }
  CHECK(std::equal(b.images.begin(), b.images.end(), a.images.begin() + 64 * 3 * 32 * 32));
  CHECK(a.captions != other.captions);

  const int threads = num_threads();
  set_num_threads(1);
  const InkBatch one = digits().batch(1, 0, 96);
  set_num_threads(3);
  const InkBatch three = digits().batch(1, 0, 96);
  set_num_threads(threads);
  CHECK(std::equal(one.images.begin(), one.images.end(), three.images.begin()));
  CHECK(one.captions == three.captions);
  for (const float v : one.images) REQUIRE((v >= -1 && v <= 1));
  for (const InkDigit& attributes : digits().batch(1, 0, 2000).attributes) REQUIRE_FALSE(is_held_out(attributes));
}

TEST_CASE("data: samples that are alike share their colours and nothing else") {
  constexpr Index alike = 12, count = 2400;
  for (const Combinations which : {Combinations::training, Combinations::held_out, Combinations::all}) {
    const InkBatch batch = digits().batch(3, 0, count, which, alike);
    std::set<std::pair<Ink, Ink>> colors;
    std::set<int> digits_seen;
    Index different_digits = 0;
    for (Index i = 0; i < count; ++i) {
      const InkDigit& a = batch.attributes[static_cast<std::size_t>(i)];
      const InkDigit& first = batch.attributes[static_cast<std::size_t>(i / alike * alike)];
      REQUIRE(a.ink == first.ink);
      REQUIRE(a.background == first.background);
      REQUIRE(belongs(a, which));
      colors.emplace(a.ink, a.background);
      digits_seen.insert(a.digit);
      different_digits += a.digit != first.digit;
    }
    CHECK(colors.size() > 70);  // 200 draws from 90 pairs leave out 10 on average
    CHECK(digits_seen.size() == 10);
    // A pair of colours is held out for one digit or two.
    if (which != Combinations::held_out) CHECK(different_digits > count * 3 / 4);
    const InkBatch tail = digits().batch(3, 30, 10, which, alike);  // starts inside a run
    for (std::size_t i = 0; i < 10; ++i) REQUIRE(tail.attributes[i] == batch.attributes[30 + i]);
  }
  CHECK_THROWS_AS(digits().batch(3, 0, 4, Combinations::all, 0), ConfigError);
}

TEST_CASE("data: colours are measured right") {
  const Index count = 3000;
  const InkBatch batch = digits().batch(4, 0, count, Combinations::all);
  Index ink = 0, page = 0;
  for (Index i = 0; i < count; ++i) {
    const MeasuredColors colors = measure_colors(picture(batch, i));
    ink += colors.ink == batch.attributes[static_cast<std::size_t>(i)].ink;
    page += colors.background == batch.attributes[static_cast<std::size_t>(i)].background;
  }
  MESSAGE("of " << count << " pictures, ink right in " << ink << ", background in " << page);
  CHECK(ink >= count * 995 / 1000);
  CHECK(page >= count * 995 / 1000);
}

TEST_CASE("data: strokes are thin, plain and bold, and none breaks") {
  std::array<double, 3> mean{};
  std::array<std::vector<double>, 3> all;
  Index wrong_order = 0, broken = 0;
  const LabelledImages scans = first_of(read_mnist(inkling_test::data_dir() / "mnist", "t10k"), digits().scans());
  for (Index scan = 0; scan < digits().scans(); ++scan) {
    std::array<double, 3> width{};
    for (const Stroke stroke : {Stroke::thin, Stroke::plain, Stroke::bold}) {
      const InkDigit a{digits().label(scan), Ink::black, Ink::white, stroke, Lean::upright};
      const Tensor<float, 2> ink = ink_of(digits().paint(scan, a, SampleRandom(3, static_cast<std::uint64_t>(scan))));
      const std::size_t k = static_cast<std::size_t>(stroke);
      width[k] = stroke_width(ink);
      mean[k] += width[k] / static_cast<double>(digits().scans());
      all[k].push_back(width[k]);
      const Index before = pieces(
          28, 28, [&](Index i, Index j) { return scans.images(scan, i, j) > 80; }, 1);
      const Index after = pieces(
          32, 32, [&](Index i, Index j) { return ink(i, j) > 0.3f; }, 1);
      broken += after > before;
    }
    wrong_order += !(width[0] * 1.2 < width[1] && width[1] * 1.2 < width[2]);
  }
  for (auto& widths : all) std::sort(widths.begin(), widths.end());
  const auto quantile = [&](std::size_t k, double q) {
    return all[k][static_cast<std::size_t>(q * static_cast<double>(all[k].size() - 1))];
  };
  MESSAGE("mean width thin " << mean[0] << " (95 % under " << quantile(0, 0.95) << "), plain " << mean[1]
                             << " (5 % under " << quantile(1, 0.05) << ", 95 % under " << quantile(1, 0.95)
                             << "), bold " << mean[2] << " (5 % under " << quantile(2, 0.05) << "); broken " << broken);
  CHECK(wrong_order == 0);
  CHECK(quantile(0, 0.95) < quantile(1, 0.05));  // also between different digits
  CHECK(quantile(1, 0.95) < quantile(2, 0.05));
  CHECK(broken <= 3 * digits().scans() / 200);
}

TEST_CASE("data: a bold digit keeps its holes") {
  const auto holes = [](Index side, const std::function<bool(Index, Index)>& ink, Index smallest) {
    // Pieces of paper but for the one around the digit, diagonal neighbours connected: only a real hole counts.
    return pieces(
               side, side, [&](Index i, Index j) { return !ink(i, j); }, smallest) -
           1;
  };
  const LabelledImages scans = first_of(read_mnist(inkling_test::data_dir() / "mnist", "t10k"), digits().scans());
  Index with_holes = 0, filled = 0;
  for (Index scan = 0; scan < digits().scans(); ++scan) {
    const Index before = holes(
        28, [&](Index i, Index j) { return scans.images(scan, i, j) > 80; }, 6);
    const InkDigit a{digits().label(scan), Ink::black, Ink::white, Stroke::bold, Lean::upright};
    const Tensor<float, 2> ink = ink_of(digits().paint(scan, a, SampleRandom(3, static_cast<std::uint64_t>(scan))));
    with_holes += before > 0;
    filled += holes(
                  32, [&](Index i, Index j) { return ink(i, j) > 0.75f; }, 1) < before;
  }
  MESSAGE("of " << with_holes << " digits with holes, " << filled << " lose one when bold");
  CHECK(with_holes > 50);
  CHECK(filled <= 1);  // without their protection three are
}

TEST_CASE("data: digits lean to the left, stand upright, lean to the right") {
  std::array<double, 3> low{1e9, 1e9, 1e9}, high{-1e9, -1e9, -1e9}, mean{};
  for (Index scan = 0; scan < digits().scans(); ++scan)
    for (const Lean lean : {Lean::left, Lean::upright, Lean::right}) {
      const InkDigit a{digits().label(scan), Ink::black, Ink::white, Stroke::plain, lean};
      const Tensor<float, 2> ink = ink_of(digits().paint(scan, a, SampleRandom(5, static_cast<std::uint64_t>(scan))));
      // Up is -y, so a slant to the right is -dx/dy.
      const double slant = -moments(32, 32, [&](Index i, Index j) { return ink(i, j); }).slant();
      const std::size_t k = static_cast<std::size_t>(lean);
      low[k] = std::min(low[k], slant), high[k] = std::max(high[k], slant);
      mean[k] += slant / static_cast<double>(digits().scans());
    }
  MESSAGE("slant, left " << low[0] << " to " << high[0] << ", upright " << low[1] << " to " << high[1] << ", right "
                         << low[2] << " to " << high[2]);
  CHECK(high[0] < low[1]);
  CHECK(high[1] < low[2]);
  CHECK(mean[0] == doctest::Approx(-0.35).epsilon(0.1));
  CHECK(std::abs(mean[1]) < 0.02);
  CHECK(mean[2] == doctest::Approx(0.35).epsilon(0.1));
}

TEST_CASE("data: a painted digit turned to gray is the digit of MNIST again") {
  // The nearest of 4,000 real scans (in pixels) has the same label: about 94 % between real scans themselves.
  const LabelledImages train = first_of(read_mnist(inkling_test::data_dir() / "mnist", "train"), 4000);
  const Index count = 300;
  const InkBatch batch = digits().batch(6, 0, count, Combinations::all);
  const Tensor<float, 2> scans = train.images.cast<float>().reshaped(Shape<2>{4000, 784});
  Tensor<float, 2> gray(Shape<2>{count, 784});
  double x = 0, y = 0;
  for (Index i = 0; i < count; ++i) {
    const Tensor<float, 2> one = to_gray_digit(picture(batch, i));
    REQUIRE(one.shape() == Shape<2>{28, 28});
    for (Index k = 0; k < 784; ++k) gray(i, k) = 255 * one.data()[k];
    const Moments m = moments(28, 28, [&](Index a, Index b) { return one(a, b); });
    x += m.x / count, y += m.y / count;
  }
  CHECK(x == doctest::Approx(14).epsilon(0.02));
  CHECK(y == doctest::Approx(14).epsilon(0.02));
  const Matrix<float> products = gray.matrix() * scans.matrix().transpose();
  Index right = 0;
  for (Index i = 0; i < count; ++i) {
    Index best = 0;
    float least = 1e30f;
    for (Index k = 0; k < 4000; ++k) {
      const float d = scans.matrix().row(k).squaredNorm() - 2 * products(i, k);
      if (d < least) least = d, best = k;
    }
    right += train.labels(best) == batch.attributes[static_cast<std::size_t>(i)].digit;
  }
  MESSAGE(right << " of " << count << " digits recognised by their nearest scan");
  CHECK(right >= count * 87 / 100);
}

TEST_CASE("nothing to see, and wrong shapes") {
  const Tensor<float, 3> blank(Shape<3>{3, 32, 32}, 0.25f);
  CHECK(measure_colors(blank).contrast < 1);
  for (const float v : to_gray_digit(blank)) CHECK(v == 0);
  CHECK_THROWS_AS(measure_colors(Tensor<float, 3>(Shape<3>{1, 32, 32})), ShapeError);
  CHECK_THROWS_AS(to_gray_digit(Tensor<float, 3>(Shape<3>{3, 4, 4})), ShapeError);
  CHECK_THROWS_AS(pen_field(std::vector<std::uint8_t>(100)), ShapeError);
  CHECK_THROWS_AS(InkDigits({Tensor<std::uint8_t, 3>(Shape<3>{2, 20, 20}), Tensor<std::uint8_t, 1>(Shape<1>{2})}),
                  ShapeError);
  CHECK_THROWS_AS(InkDigits({Tensor<std::uint8_t, 3>(Shape<3>{2, 28, 28}), Tensor<std::uint8_t, 1>(Shape<1>{1})}),
                  ShapeError);
  const InkDigits empty_page({Tensor<std::uint8_t, 3>(Shape<3>{1, 28, 28}), Tensor<std::uint8_t, 1>(Shape<1>{1})});
  const Tensor<float, 3> image = empty_page.paint(0, {0, Ink::red, Ink::white}, SampleRandom(1, 1));
  CHECK(measure_colors(image).contrast < 1);
}

}  // namespace
