// Pictures with masks: readers that refuse what does not fit, crops that keep picture and mask together, measures by
// hand.
#include <doctest/doctest.h>

#include <fstream>
#include <set>

#include "inkling/train/mask_measure.hpp"
#include "inkling/train/segmentation_data.hpp"
#include "support.hpp"

using namespace inkling;
using inkling_test::TempDir;

namespace {

Image picture(Index width, Index height, Index channels, Index seed) {
  Image image(width, height, channels);
  SampleRandom random(5, static_cast<std::uint64_t>(seed));
  for (auto& v : image.pixels) v = static_cast<std::uint8_t>(random.below(256));
  return image;
}
void write_jpeg(const std::filesystem::path& path, const Image& image) {
  std::string bytes;
  stbi_write_jpg_to_func([](void* out, void* data, int n) { static_cast<std::string*>(out)->append(static_cast<char*>(data), static_cast<std::size_t>(n)); },
                         &bytes, static_cast<int>(image.width), static_cast<int>(image.height),
                         static_cast<int>(image.channels), image.pixels.data(), 90);
  std::ofstream(path, std::ios::binary) << bytes;
}
void cut_file(const std::filesystem::path& path, double share) {
  std::filesystem::resize_file(path, static_cast<std::uintmax_t>(share * static_cast<double>(std::filesystem::file_size(path))));
}

}  // namespace

TEST_CASE("segmentation: measures by hand") {
  const Tensor<std::uint8_t, 2> truth({3, 4}, {0, 1, 1, 0,  //
                                               0, 1, 1, 0,  //
                                               0, 0, 0, 0});
  const Tensor<std::uint8_t, 2> found({3, 4}, {0, 1, 1, 1,  //
                                               0, 0, 1, 0,  //
                                               0, 0, 0, 0});
  MaskOverlap o = mask_overlap(found, truth);
  CHECK(o.both == 3);
  CHECK(o.only_found == 1);
  CHECK(o.only_true == 1);
  CHECK(o.neither == 7);
  CHECK(o.dice() == doctest::Approx(2 * 3 / 8.0));
  CHECK(o.pixel_error() == doctest::Approx(2 / 12.0));
  const Tensor<std::uint8_t, 2> left({3, 4}, {1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0});
  CHECK(mask_overlap(found, truth, &left).dice() == doctest::Approx(2 * 1 / 3.0));
  o += mask_overlap(truth, truth);
  CHECK(o.dice() == doctest::Approx(2 * 7 / 16.0));
  const Tensor<std::uint8_t, 2> empty({3, 4});
  CHECK(mask_overlap(empty, empty).dice() == 1);
  CHECK(mask_overlap(empty, truth).dice() == 0);
  CHECK_THROWS_AS(mask_overlap(Tensor<std::uint8_t, 2>({4, 3}), truth), ShapeError);

  Tensor<std::uint8_t, 2> half({7, 7});  // the three columns on the right
  for (Index i = 0; i < 7; ++i)
    for (Index j = 4; j < 7; ++j) half(i, j) = 1;
  for (Index reach : {1, 2}) {
    const Tensor<std::uint8_t, 2> band = outline_band(half, reach);
    for (Index i = 0; i < 7; ++i)
      for (Index j = 0; j < 7; ++j) CHECK(band(i, j) == (j >= 4 - reach && j < 4 + reach));
  }
  CHECK_THROWS_AS(outline_band(half, 0), ConfigError);

  // Channels at half the size: the mask's own share, its contrary, and nothing.
  const Tensor<std::uint8_t, 2> mask({2, 4}, {1, 1, 0, 0, 1, 0, 0, 0});  // shares 0.75, 0
  const Tensor<float, 3> features({3, 1, 2}, {5, 1, -2, 7, 3, 3});
  const std::vector<double> r = mask_correlations(features, mask);
  CHECK(r[0] == doctest::Approx(1));
  CHECK(r[1] == doctest::Approx(-1));
  CHECK(r[2] == 0);
  CHECK_THROWS_AS(mask_correlations(Tensor<float, 3>({1, 3, 3}), mask), ShapeError);
}

TEST_CASE("segmentation: contrast is stretched from percentile to percentile") {
  Tensor<std::uint8_t, 3> values({1, 10, 10});
  for (Index i = 0; i < 100; ++i) values.data()[i] = static_cast<std::uint8_t>(i);
  const Tensor<float, 3> y = stretch_contrast(values, 0.11, 0.91);  // 10 and 90
  CHECK(y.data()[10] == 0);
  CHECK(y.data()[3] == 0);
  CHECK(y.data()[50] == doctest::Approx(0.5));
  CHECK(y.data()[90] == 1);
  CHECK(y.data()[99] == 1);
  const Tensor<float, 3> flat = stretch_contrast(Tensor<std::uint8_t, 3>({1, 2, 2}, std::uint8_t{200}));
  for (const float v : flat) CHECK(v == 0);
  CHECK_THROWS_AS(stretch_contrast(values, 0.5, 0.5), ConfigError);
}

TEST_CASE("segmentation: crops keep picture and mask together, and depend on seed and step alone") {
  // Each pixel knows its place, and the mask follows from it: row + column odd.
  SegmentationSet set;
  const Index H = 12, W = 17;
  set.push_back({"a", Tensor<float, 3>({2, H, W}), Tensor<std::uint8_t, 2>({H, W})});
  for (Index i = 0; i < H; ++i)
    for (Index j = 0; j < W; ++j) {
      set[0].image(0, i, j) = static_cast<float>(i), set[0].image(1, i, j) = static_cast<float>(j);
      set[0].mask(i, j) = static_cast<std::uint8_t>((i + j) % 2);
    }
  CropOptions o;
  o.size = 8, o.count = 50;
  const SegmentationBatch a = random_crops(set, o, 1, 7), b = random_crops(set, o, 1, 7), c = random_crops(set, o, 1, 8);
  CHECK(std::equal(a.images.begin(), a.images.end(), b.images.begin()));
  CHECK(std::equal(a.masks.begin(), a.masks.end(), b.masks.begin()));
  CHECK_FALSE(std::equal(a.images.begin(), a.images.end(), c.images.begin()));
  std::set<std::array<int, 4>> turns;
  std::set<float> corners;
  for (Index n = 0; n < o.count; ++n) {
    const auto row = [&](Index i, Index j) { return a.images(n, 0, i, j); };
    const auto column = [&](Index i, Index j) { return a.images(n, 1, i, j); };
    for (Index i = 0; i < 8; ++i)
      for (Index j = 0; j < 8; ++j)
        REQUIRE(a.masks(n, 0, i, j) == static_cast<float>(static_cast<int>(row(i, j) + column(i, j)) % 2));
    // How the place moves with one step down and one to the right: one of the 8 symmetries of the square.
    turns.insert({static_cast<int>(row(1, 0) - row(0, 0)), static_cast<int>(column(1, 0) - column(0, 0)),
                  static_cast<int>(row(0, 1) - row(0, 0)), static_cast<int>(column(0, 1) - column(0, 0))});
    corners.insert(std::min({row(0, 0), row(7, 7), row(0, 7), row(7, 0)}) * 100 +
                   std::min({column(0, 0), column(7, 7), column(0, 7), column(7, 0)}));
  }
  CHECK(turns.size() == 8);
  CHECK(corners.size() > 20);  // of 5 x 10 places
  o.flips = false;
  const SegmentationBatch straight = random_crops(set, o, 1, 7);
  for (Index n = 0; n < o.count; ++n) CHECK(straight.images(n, 0, 1, 0) - straight.images(n, 0, 0, 0) == 1);

  o.size = 13;
  CHECK_THROWS_WITH_AS(random_crops(set, o, 1, 0), doctest::Contains("at least 13 pixels"), ShapeError);
  o.size = 0;
  CHECK_THROWS_AS(random_crops(set, o, 1, 0), ConfigError);
  CHECK_THROWS_AS(random_crops({}, CropOptions{}, 1, 0), ConfigError);
}

TEST_CASE("segmentation: bending moves pixels smoothly, as far as asked, and the mask with them") {
  SegmentationSet set;
  const Index S = 64;
  set.push_back({"a", Tensor<float, 3>({2, 3 * S, 3 * S}), Tensor<std::uint8_t, 2>({3 * S, 3 * S})});
  for (Index i = 0; i < 3 * S; ++i)
    for (Index j = 0; j < 3 * S; ++j) {
      set[0].image(0, i, j) = static_cast<float>(i), set[0].image(1, i, j) = static_cast<float>(j);
      set[0].mask(i, j) = j >= 3 * S / 2;
    }
  CropOptions o;
  o.size = S, o.count = 40, o.flips = false, o.elastic = 3;
  const SegmentationBatch bent = random_crops(set, o, 2, 1);
  o.elastic = 0;
  const SegmentationBatch plain = random_crops(set, o, 2, 1);  // the same places: bending is drawn last
  double squares = 0, steepest = 0;
  Index counted = 0;
  for (Index n = 0; n < o.count; ++n)
    for (Index i = 0; i < S; ++i)
      for (Index j = 0; j < S; ++j) {
        const float x = bent.images(n, 1, i, j), d = x - plain.images(n, 1, i, j);
        if (x > 0 && x < 3 * S - 1) squares += static_cast<double>(d) * d, ++counted;
        if (j && x > 0 && x < 3 * S - 1) steepest = std::max(steepest, static_cast<double>(std::abs(x - bent.images(n, 1, i, j - 1) - 1)));
        REQUIRE(bent.masks(n, 0, i, j) == (x >= 3 * S / 2 - 0.5f));
      }
  const double spread = std::sqrt(squares / static_cast<double>(counted));
  MESSAGE("spread ", spread, " of 3, steepest change ", steepest, " a pixel");
  CHECK(spread == doctest::Approx(3).epsilon(0.15));  // 40 crops of about 16 independent knots: 1/sqrt(2 * 640) = 3 %, times 5
  CHECK(steepest < 1);                                // the picture is never folded over
}

TEST_CASE("segmentation: folders of pictures, and every way in which they do not fit") {
  const TempDir folder;
  const auto images = folder / "images", masks = folder / "masks";
  const auto read = [&](Index channels = 3) { return read_segmentation_folders(images, masks, channels); };
  CHECK_THROWS_WITH_AS(read(), doctest::Contains("expected a folder of pictures"), FormatError);
  std::filesystem::create_directories(images / "inside.png");
  std::filesystem::create_directories(masks);
  CHECK_THROWS_WITH_AS(read(), doctest::Contains("expected PNG or JPEG pictures, got none"), FormatError);

  write_jpeg(images / "b.JPG", picture(20, 30, 3, 1));
  write_png(images / "a.png", picture(9, 7, 3, 2));
  std::ofstream(images / "notes.txt") << "nothing";
  std::ofstream(images / ".hidden.png") << "nothing";
  Image mask(9, 7, 1);
  mask(8, 6, 0) = 255, mask(0, 0, 0) = 127;
  write_png(masks / "a.png", mask);
  CHECK_THROWS_WITH_AS(read(), doctest::Contains("1 without a partner: "), FormatError);
  CHECK_THROWS_WITH_AS(read(), doctest::Contains("b.JPG"), FormatError);
  write_png(masks / "b.png", Image(20, 30, 3));
  const SegmentationSet set = read();
  REQUIRE(set.size() == 2);
  CHECK(set[0].name == "a.png");
  CHECK(set[1].name == "b.JPG");
  CHECK(set[0].image.shape() == Shape<3>{3, 7, 9});
  CHECK(set[0].mask(6, 8) == 1);
  CHECK(set[0].mask(0, 0) == 0);
  Tensor<std::uint8_t, 3> planes({3, 7, 9});
  const Image a = picture(9, 7, 3, 2);
  for (Index c = 0; c < 3; ++c)
    for (Index i = 0; i < 7; ++i)
      for (Index j = 0; j < 9; ++j) planes(c, i, j) = a(j, i, c);
  const Tensor<float, 3> stretched = stretch_contrast(planes);
  CHECK(std::equal(stretched.begin(), stretched.end(), set[0].image.begin()));
  CHECK(read(1)[1].image.shape() == Shape<3>{1, 30, 20});
  CHECK(read_segmentation_folders(images, masks, 3, MaskIs::dark)[0].mask(6, 8) == 0);

  write_png(masks / "b.png", Image(20, 31, 1));
  CHECK_THROWS_WITH_AS(read(), doctest::Contains("as large as b.JPG, 20x30, got 20x31"), FormatError);
  write_png(masks / "b.png", Image(20, 30, 1));
  write_png(masks / "c.png", Image(20, 30, 1));
  CHECK_THROWS_WITH_AS(read(), doctest::Contains("c.png"), FormatError);
  std::filesystem::remove(masks / "c.png");
  write_png(images / "b.png", picture(20, 30, 3, 1));
  CHECK_THROWS_WITH_AS(read(), doctest::Contains("one picture of that name"), FormatError);
  std::filesystem::remove(images / "b.png");
  for (const double share : {0.9, 0.5, 0.1, 0.0}) {
    for (const auto& path : {images / "b.JPG", images / "a.png", masks / "a.png"}) {
      const TempDir kept;
      std::filesystem::copy_file(path, kept / "whole");
      cut_file(path, share);
      CHECK_THROWS_WITH_AS(read(), doctest::Contains(path.string().c_str()), FormatError);
      std::filesystem::copy_file(kept / "whole", path, std::filesystem::copy_options::overwrite_existing);
    }
  }
  CHECK(read().size() == 2);

  // A cut JPEG is refused before any decoder sees it: some fill what is missing.
  write_jpeg(folder / "cut.jpg", picture(200, 200, 3, 4));
  cut_file(folder / "cut.jpg", 0.6);
  CHECK_THROWS_WITH_AS(read_whole_image(folder / "cut.jpg"), doctest::Contains("without its end"), FormatError);
}

TEST_CASE("segmentation: IDX pairs are checked against each other") {
  const TempDir folder;
  const auto write = [&](const char* name, std::uint8_t count, std::uint8_t side) {
    std::string bytes{0, 0, 8, 3, 0, 0, 0, static_cast<char>(count), 0, 0, 0, static_cast<char>(side), 0, 0, 0, static_cast<char>(side)};
    for (int i = 0; i < count * side * side; ++i) bytes += static_cast<char>(i);
    std::ofstream(folder / name, std::ios::binary) << bytes;
  };
  write("x", 3, 8), write("y", 3, 8), write("z", 2, 8);
  const SegmentationSet set = read_idx_pairs(folder / "x", folder / "y", MaskIs::dark, 1, 2);
  REQUIRE(set.size() == 2);
  CHECK(set[0].name == "1");
  CHECK(set[0].mask(0, 0) == 1);   // value 64
  CHECK(set[1].mask(0, 0) == 0);   // value 128
  CHECK_THROWS_AS(read_idx_pairs(folder / "x", folder / "z"), FormatError);
  CHECK_THROWS_AS(read_idx_pairs(folder / "x", folder / "y", MaskIs::bright, 2, 2), ConfigError);
  CHECK_THROWS_AS(read_idx_pairs(folder / "x", folder / "y", MaskIs::bright, -1, 2), ConfigError);
}

TEST_CASE("data: nuclei and membranes are whole") {
  const auto data = inkling_test::data_dir();
  const auto share = [](const SegmentationSet& set) {
    double sum = 0, all = 0;
    for (const auto& s : set)
      for (const std::uint8_t v : s.mask) sum += v, all += 1;
    return sum / all;
  };
  const SegmentationSet nuclei = read_idx_pairs(data / "nuclei_dsb2018" / "images-idx3-ubyte.gz", data / "nuclei_dsb2018" / "masks-idx3-ubyte.gz");
  CHECK(nuclei.size() == 334);
  CHECK(nuclei[333].image.shape() == Shape<3>{1, 256, 256});
  CHECK(share(nuclei) == doctest::Approx(0.077).epsilon(0.01));
  const SegmentationSet membranes = read_idx_pairs(data / "isbi2012" / "train-images-idx3-ubyte.gz", data / "isbi2012" / "train-labels-idx3-ubyte.gz", MaskIs::dark);
  CHECK(membranes.size() == 30);
  CHECK(share(membranes) == doctest::Approx(0.22).epsilon(0.02));
}
