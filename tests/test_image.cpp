// Pictures: what is written comes back, the parameters in them too, and no damaged picture does more than raise an
// error.
// test: sanitized
#include <doctest/doctest.h>

#include <fstream>
#include <random>

#include "inkling/io/generation_parameters.hpp"
#include "inkling/io/image.hpp"
#include "support.hpp"

using namespace inkling;
using namespace inkling_test;

namespace {

std::string read_all(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
Image pattern(Index width, Index height, Index channels) {
  Image image(width, height, channels);
  for (Index y = 0; y < height; ++y)
    for (Index x = 0; x < width; ++x)
      for (Index c = 0; c < channels; ++c) image(x, y, c) = static_cast<std::uint8_t>(x * 7 + y * 13 + c * 71);
  return image;
}
Image decode(const std::string& file, Index channels = 3) {
  return decode_image(std::as_bytes(std::span(file)), "test", channels);
}
// A PNG file of these chunks, each with its right checksum.
std::string png_of(const std::vector<std::pair<std::string, std::string>>& chunks) {
  std::string png(detail::png_signature);
  for (const auto& [type, data] : chunks) png += detail::png_chunk(type, data);
  return png;
}
std::string header(std::uint32_t width, std::uint32_t height) {  // 8 bits, RGB
  return detail::big_endian(width) + detail::big_endian(height) + std::string("\x08\x02\x00\x00\x00", 5);
}

}  // namespace

TEST_CASE("a PNG comes back as it was, with 1 to 4 channels") {
  const TempDir folder;
  for (Index channels = 1; channels <= 4; ++channels)
    for (const auto& [w, h] : {std::pair<Index, Index>{1, 1}, {3, 5}, {64, 17}}) {
      const Image image = pattern(w, h, channels);
      write_png(folder / "x.png", image);
      CHECK(read_image(folder / "x.png", 0) == image);
    }
  const Image gray = pattern(3, 2, 1);
  const Image rgb = decode(encode_png(gray), 3);
  CHECK(rgb.channels == 3);
  CHECK(rgb(2, 1, 0) == gray(2, 1, 0));
  CHECK(rgb(2, 1, 2) == gray(2, 1, 0));
}

TEST_CASE("pictures as tensors") {
  Image image(2, 1, 3);  // two pixels: (0, 128, 255), (255, 51, 0)
  image.pixels = {0, 128, 255, 255, 51, 0};
  const Tensor<float, 4> x = image_to_tensor(image);
  CHECK(x.shape() == Shape<4>{1, 3, 1, 2});
  CHECK(x(0, 0, 0, 0) == -1.0f);
  CHECK(x(0, 2, 0, 0) == 1.0f);
  CHECK(x(0, 1, 0, 1) == doctest::Approx(2 * 51 / 255.0 - 1));
  CHECK(image_to_tensor(image, PixelRange::zero_to_one)(0, 1, 0, 1) == doctest::Approx(0.2));
  for (const PixelRange range : {PixelRange::zero_to_one, PixelRange::minus_one_to_one}) {
    const Image all = pattern(256, 3, 3);
    CHECK(tensor_to_image(image_to_tensor(all, range), range) == all);
  }
  const Tensor<float, 4> wild({1, 1, 1, 4}, {-7.0f, 9.0f, std::numeric_limits<float>::quiet_NaN(), 0.0f});
  CHECK(tensor_to_image(wild).pixels == std::vector<std::uint8_t>{0, 255, 0, 128});
  CHECK_THROWS_AS(tensor_to_image(wild, PixelRange::zero_to_one, 1), ShapeError);
  CHECK_THROWS_AS(tensor_to_image(Tensor<float, 4>({1, 5, 2, 2})), ShapeError);
  CHECK_THROWS_AS(tensor_to_image(Tensor<float, 4>({1, 3, 0, 2})), ShapeError);
}

TEST_CASE("data: photographs decode") {
  const Image astronaut = read_image(data_dir() / "photos" / "astronaut.png");
  CHECK(astronaut.width == 512);
  CHECK(astronaut.height == 512);
  const Image jpeg = read_image(data_dir() / "photos" / "sketch-mountains-input.jpg");
  CHECK(jpeg.width == 1024);
  CHECK(jpeg.height == 512);
  CHECK(read_image(data_dir() / "photos" / "vermeer.jpg", 1).channels == 1);
}

TEST_CASE("generation parameters stand in the picture and come back") {
  const TempDir folder;
  GenerationParameters p;
  p.prompt = "a bold red seven, on a blue background\nwith a second line: and a colon";
  p.negative_prompt = "blurry,\nugly";
  p.steps = 25;
  p.sampler = "DDIM";
  p.guidance = 7.5;
  p.seed = ~std::uint64_t{0};
  p.width = 512;
  p.height = 384;
  p.model = "mini";
  p.others = {{"Eta", "0.7"}, {"Strange", "commas, \"quotes\", back\\slash\nand a line"}};
  const auto round_trip = [&] {
    write_png(folder / "x.png", pattern(4, 4, 3), {{"parameters", to_text(p)}, {"Software", "inkling"}});
    const PngText text = read_png_text(folder / "x.png");
    REQUIRE(text.size() == 2);
    CHECK(text[0].first == "parameters");
    CHECK(text[0].second == to_text(p));
    CHECK(text[1] == std::pair<std::string, std::string>{"Software", "inkling"});
    CHECK(read_image(folder / "x.png") == pattern(4, 4, 3));  // the text does not disturb the picture
    return parse_generation_parameters(text[0].second);
  };
  CHECK(round_trip() == p);
  CHECK(read_all(folder / "x.png").find("tEXtparameters") != std::string::npos);

  p.prompt = "gr\xC3\xBC\xC3\x9F \xF0\x9F\x96\x8B";  // beyond Latin-1
  p.negative_prompt.clear();
  CHECK(round_trip() == p);
  CHECK(read_all(folder / "x.png").find("iTXtparameters") != std::string::npos);

  p.prompt.clear();
  CHECK(round_trip() == p);

  p = {};
  p.prompt = "a cat";
  p.negative_prompt = "dog";
  p.steps = 20;
  p.sampler = "DDIM";
  p.guidance = 7.5;
  p.seed = 1;
  p.width = p.height = 512;
  p.model = "name";
  CHECK(to_text(p) ==
        "a cat\nNegative prompt: dog\nSteps: 20, Sampler: DDIM, CFG scale: 7.5, Seed: 1, Size: 512x512, Model: name");
}

TEST_CASE("text of another form is a prompt") {
  for (const char* text :
       {"", "\n", "a cat", "a: b", "Steps: 20", "Steps: , Sampler: ", "a, b: c, d: e, f: \"g", ", : , : , : "})
    CHECK(parse_generation_parameters(text).negative_prompt.empty());
  CHECK(parse_generation_parameters("one: two\nthree: four").prompt == "one: two\nthree: four");
  CHECK(parse_generation_parameters("Negative prompt: x").prompt.empty());
  CHECK(parse_generation_parameters("Negative prompt: x").negative_prompt == "x");
  const GenerationParameters p = parse_generation_parameters("x\nSteps: many, Seed: -1, Size: 1");
  CHECK(p.prompt == "x");
  CHECK(p.steps == 0);
  CHECK(p.width == 1);
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int n = 0; n < 30; ++n) text += "ab:, \n\"\\x9"[random() % 10];
    parse_generation_parameters(text);
  }
}

TEST_CASE("bytes that are no text become U+FFFD, so that a picture is never lost for its prompt") {
  const std::string png = with_png_text(encode_png(pattern(2, 2, 3)), {{"parameters", std::string("a\xff\0b", 4)}});
  CHECK(png_text(png).at(0).second ==
        "a\xEF\xBF\xBD\xEF\xBF\xBD"
        "b");
  CHECK_THROWS_AS(with_png_text(encode_png(pattern(2, 2, 3)), {{"", "x"}}), FormatError);
  CHECK_THROWS_AS(with_png_text(encode_png(pattern(2, 2, 3)), {{std::string(80, 'k'), "x"}}), FormatError);
  CHECK_THROWS_AS(with_png_text("GIF89a", {{"k", "x"}}), FormatError);
}

TEST_CASE("UTF-8: what is well-formed") {
  for (const char* good : {"", "a", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                           "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"})
    CHECK(is_utf8(good));
  for (const char* bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xC2", "\xE1\x80", "\xF1\x80\x80",
                          "\xC2"
                          "a"}) {
    CHECK_FALSE(is_utf8(bad));
    CHECK(is_utf8(to_utf8(bad)));
  }
}

TEST_CASE("PNG text as other programs write it") {
  const std::string image = encode_png(pattern(2, 2, 3));
  const std::string long_text(5000, 'x');
  std::string packed(6000, '\0');
  uLongf size = static_cast<uLongf>(packed.size());
  REQUIRE(::compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(long_text.data()),
                     static_cast<uLong>(long_text.size())) == Z_OK);
  packed.resize(size);
  using namespace std::string_literals;
  std::string png = image;
  png.insert(33, detail::png_chunk("tEXt", "k1\0caf\xE9"s) + detail::png_chunk("zTXt", "k2\0\0"s + packed) +
                     detail::png_chunk("iTXt", "k3\0\1\0en\0key\0"s + packed) +
                     detail::png_chunk("iTXt", "k4\0\0\0\0\0plain"s));
  const PngText text = png_text(png);
  REQUIRE(text.size() == 4);
  CHECK(text[0] == std::pair("k1"s, "caf\xC3\xA9"s));
  CHECK(text[1] == std::pair("k2"s, long_text));
  CHECK(text[2] == std::pair("k3"s, long_text));
  CHECK(text[3] == std::pair("k4"s, "plain"s));
  png[33 + 8 + 4] = 'x';  // damages the first chunk
  CHECK(png_text(png).empty());
}

TEST_CASE("hostile pictures are refused") {
  const std::string end = detail::png_chunk("IEND", "");
  const std::vector<std::pair<const char*, std::string>> files{
      {"empty", ""},
      {"text", "not a picture"},
      {"only a signature", std::string(detail::png_signature)},
      {"GIF", "GIF89a\x01\x00\x01\x00"},
      {"2^31-1 square", png_of({{"IHDR", header(0x7FFFFFFF, 0x7FFFFFFF)}, {"IDAT", "x"}}) + end},
      {"2^32-1 square", png_of({{"IHDR", header(0xFFFFFFFF, 0xFFFFFFFF)}, {"IDAT", "x"}}) + end},
      {"16 million by 1, no data", png_of({{"IHDR", header(1 << 24, 1)}, {"IDAT", "x"}}) + end},
      {"8192 square from 80 bytes", png_of({{"IHDR", header(8192, 8192)}, {"IDAT", "x"}}) + end},
      {"no pixels", png_of({{"IHDR", header(0, 5)}, {"IDAT", "x"}}) + end},
      {"data that does not unpack", png_of({{"IHDR", header(4, 4)}, {"IDAT", "xxxxxxxxxxxx"}}) + end},
      {"no data", png_of({{"IHDR", header(4, 4)}}) + end},
      {"a chunk longer than the file",
       std::string(detail::png_signature) + detail::big_endian(0x7FFFFFF0) + "IHDR" + header(4, 4)},
      {"the start of a JPEG", std::string("\xFF\xD8\xFF\xE0\x00\x10JFIF\0", 11)},
  };
  for (const auto& [what, bytes] : files) {
    const std::string name = what;
    CAPTURE(name);
    CHECK_THROWS_AS(decode(bytes), FormatError);
  }
  CHECK_THROWS_AS(decode(encode_png(pattern(2, 2, 3)), 5), ConfigError);
  CHECK_THROWS_AS(encode_png(Image{}), ShapeError);
  Image broken(4, 4, 3);
  broken.pixels.pop_back();
  CHECK_THROWS_AS(encode_png(broken), ShapeError);
  CHECK_THROWS_AS(Image(1 << 30, 1 << 30, 4), std::exception);
  CHECK_THROWS_AS(Image(0, 1, 3), ShapeError);
  const TempDir folder;
  CHECK_THROWS_AS(read_image(folder / "none.png"), FormatError);
  CHECK_THROWS_AS(read_image(folder.path()), FormatError);
  CHECK_THROWS_AS(write_png(folder / "none" / "x.png", pattern(2, 2, 3)), FormatError);
}

TEST_CASE("a picture gets no more memory than its pixels can need") {
  const auto words = [](const std::string& bytes) {
    try {
      decode(bytes);
    } catch (const FormatError& e) {
      return std::string(e.what());
    }
    return std::string("read");
  };
  // A chunk of 1 GiB that is not there, and 64 MiB of zeros, packed to 64 KiB, for 16 pixels.
  const std::string start = png_of({{"IHDR", header(4, 4)}}), zeros(std::size_t{64} << 20, '\0');
  std::string packed(std::size_t{1} << 20, '\0');
  uLongf length = static_cast<uLongf>(packed.size());
  REQUIRE(::compress(reinterpret_cast<Bytef*>(packed.data()), &length, reinterpret_cast<const Bytef*>(zeros.data()),
                     static_cast<uLong>(zeros.size())) == Z_OK);
  packed.resize(length);
  for (const std::string& bytes : {start + detail::big_endian(std::uint32_t{1} << 30) + "IDATx",
                                   start + detail::png_chunk("IDAT", packed) + detail::png_chunk("IEND", "")})
    CHECK(words(bytes).find("expected a picture of 4 x 4 pixels, got data that asks for more memory") !=
          std::string::npos);
  // The next one is read as before.
  CHECK(decode(encode_png(pattern(300, 200, 4)), 4) == pattern(300, 200, 4));
}

TEST_CASE("cut and damaged pictures are read or refused, never more") {
  const std::string png = with_png_text(encode_png(pattern(20, 12, 3)), {{"parameters", "x"}, {"k", "\xC3\xA9"}});
  std::vector<std::string> files{png};
  std::mt19937 random(1);
  for (std::size_t cut = 0; cut < png.size(); cut += 3) files.push_back(png.substr(0, cut));
  for (int round = 0; round < 1500; ++round) {
    std::string bytes = png;
    for (auto k = random() % 4 + 1; k > 0; --k) bytes[random() % bytes.size()] = static_cast<char>(random());
    files.push_back(std::move(bytes));
  }
  int read = 0;
  for (const std::string& bytes : files) {
    try {
      decode(bytes);
      ++read;
    } catch (const FormatError&) {
    }
    try {
      png_text(bytes);
    } catch (const FormatError&) {
    }
  }
  MESSAGE("read ", read, " of ", files.size());
  CHECK(read >= 1);
}

TEST_CASE("data: damaged photographs are read or refused, never more") {
  const std::string jpeg = read_all(data_dir() / "photos" / "vermeer.jpg");
  std::mt19937 random(1);
  int read = 0;
  for (int round = 0; round < 60; ++round) {
    std::string bytes = jpeg;
    for (auto k = random() % 6 + 1; k > 0; --k) {
      const std::size_t range = round % 2 ? bytes.size() : std::size_t{700};  // every other time in the headers
      bytes[random() % range] = static_cast<char>(random());
    }
    if (round % 5 == 0) bytes.resize(random() % bytes.size());
    try {
      decode(bytes);
      ++read;
    } catch (const FormatError&) {
    }
  }
  MESSAGE("read ", read, " of 60");
  CHECK(read >= 1);
}
