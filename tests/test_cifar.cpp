// CIFAR-10 files: what is written is read, and every kind of damage is a clear error.
// test: sanitized
#include <doctest/doctest.h>
#include <zlib.h>

#include <array>
#include <fstream>
#include <vector>

#include "inkling/io/cifar_pictures.hpp"
#include "support.hpp"

namespace {

using namespace inkling;
using Bytes = std::vector<std::uint8_t>;

Bytes records(std::vector<std::uint8_t> labels) {
  Bytes b;
  for (const std::uint8_t label : labels) {
    b.push_back(label);
    for (Index i = 0; i < 3072; ++i) b.push_back(static_cast<std::uint8_t>(i / 7 + 31 * label));
  }
  return b;
}
void write_plain(const std::filesystem::path& path, const Bytes& b) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(b.data()), static_cast<std::streamsize>(b.size()));
}
void write_gzip(const std::filesystem::path& path, const Bytes& b) {
  gzFile file = gzopen(path.c_str(), "wb");
  REQUIRE(gzwrite(file, b.data(), static_cast<unsigned>(b.size())) == static_cast<int>(b.size()));
  REQUIRE(gzclose(file) == Z_OK);
}
std::string refusal(const std::filesystem::path& path) {
  try {
    read_cifar10(path);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("a CIFAR-10 file is read, plain and compressed, several in a row") {
  const inkling_test::TempDir folder;
  write_plain(folder / "a.bin", records({3, 8, 0}));
  write_gzip(folder / "b.bin.gz", records({8, 9}));
  const LabelledColorImages set = read_cifar10({folder / "a.bin", folder / "b.bin.gz"});
  CHECK(set.images.shape() == Shape<4>{5, 3, 32, 32});
  const std::array<int, 5> labels{3, 8, 0, 8, 9};
  for (Index n = 0; n < 5; ++n) {
    const int label = labels[static_cast<std::size_t>(n)];
    CHECK(set.labels(n) == label);
    for (const Index c : {0, 1, 2})  // planes: red, green, blue; rows, then columns
      CHECK(set.images(n, c, 5, 9) == static_cast<std::uint8_t>((c * 1024 + 5 * 32 + 9) / 7 + 31 * label));
  }
  const LabelledColorImages ships = only_class(set, cifar10_ship);
  CHECK(ships.size() == 2);
  CHECK(ships.images(1, 2, 31, 31) == set.images(3, 2, 31, 31));
  CHECK(only_class(set, 5).size() == 0);

  const Tensor<float, 4> x = signed_pixels(set, 2, 2);  // labels 0 and 8
  CHECK(x(0, 0, 0, 0) == -1.0f);
  CHECK(x(1, 0, 0, 0) == doctest::Approx(31 * 8 / 127.5 - 1));
  CHECK_THROWS_AS(signed_pixels(set, 4, 2), ShapeError);
}

TEST_CASE("more records than are read at a time") {
  const inkling_test::TempDir folder;
  write_plain(folder / "many.bin", records(std::vector<std::uint8_t>(2000, 7)));
  CHECK(read_cifar10(folder / "many.bin").size() == 2000);
}

TEST_CASE("the training set is found in each of its forms") {
  const inkling_test::TempDir folder;
  const auto labels = [&] {
    const LabelledColorImages set = read_cifar10_training(folder.path());
    return std::vector<int>(set.labels.begin(), set.labels.end());
  };
  const auto refused = [&]() -> std::string {
    try {
      read_cifar10_training(folder.path());
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  };
  for (const char* named : {"train.bin.gz", "data_batch_1.bin", "train_jpg.tar.gz", "none of them", "get_data.py"}) {
    INFO(named);
    CHECK(refused().find(named) != std::string::npos);
  }
  for (const int n : {5, 3, 2, 1}) write_plain(folder / ("data_batch_" + std::to_string(n) + ".bin"),
                                               records({static_cast<std::uint8_t>(n)}));
  CHECK(refused().find("4 of the five batches") != std::string::npos);
  write_plain(folder / "train_jpg.tar.gz", {1, 2, 3});
  CHECK(refused().find("batches.meta.txt") != std::string::npos);  // four batches are not the set: the archive is read
  write_gzip(folder / "data_batch_4.bin.gz", records({4, 9}));
  CHECK(labels() == std::vector<int>{1, 2, 3, 4, 9, 5});
  write_gzip(folder / "train.bin.gz", records({7, 7, 6}));
  CHECK(labels() == std::vector<int>{7, 7, 6});
}

TEST_CASE("damaged CIFAR-10 files are refused with a reason") {
  const inkling_test::TempDir folder;
  const auto refused = [&](const Bytes& bytes, const char* because) {
    INFO(because);
    write_plain(folder / "file", bytes);
    CHECK(refusal(folder / "file").find(because) != std::string::npos);
    write_gzip(folder / "file.gz", bytes);
    CHECK(refusal(folder / "file.gz").find(because) != std::string::npos);
  };
  refused({}, "empty");
  refused({8}, "cut short");
  Bytes bytes = records({1, 2});
  bytes.pop_back();
  refused(bytes, "1 of them and 3072 bytes");
  bytes = records({1, 2});
  bytes.push_back(0);
  refused(bytes, "2 of them and 1 bytes");
  refused(records({1, 10}), "record 1");
  refused(records({1, 255}), "CIFAR-100");
  CHECK(refusal(folder / "absent").find("a readable file") != std::string::npos);
  CHECK_FALSE(refusal(folder.path()).empty());

  write_gzip(folder / "whole.gz", records({1, 2, 3}));
  std::ifstream in(folder / "whole.gz", std::ios::binary);
  const Bytes whole((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write_plain(folder / "cut.gz", Bytes(whole.begin(), whole.begin() + static_cast<Index>(length)));
    CHECK_FALSE(refusal(folder / "cut.gz").empty());
  }
}

TEST_CASE("names of the classes") {
  const inkling_test::TempDir folder;
  std::ofstream(folder / "names") << "airplane\nautomobile\nbird\r\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
  CHECK(read_cifar10_names(folder / "names")[2] == "bird");
  CHECK(read_cifar10_names(folder / "names")[cifar10_ship] == "ship");
  std::ofstream(folder / "few") << "a\nb\n";
  CHECK_THROWS_AS(read_cifar10_names(folder / "few"), FormatError);
  std::ofstream(folder / "binary") << std::string(5000, 'x');
  CHECK_THROWS_AS(read_cifar10_names(folder / "binary"), FormatError);
  CHECK_THROWS_AS(read_cifar10_names(folder / "absent"), FormatError);
}

TEST_CASE("data: CIFAR-10 is whole") {
  const auto folder = inkling_test::data_dir() / "cifar10";
  const LabelledColorImages test = read_cifar10(folder / "lossless_test_first1000.bin.gz");
  CHECK(test.size() == 1000);
  std::array<Index, 10> counts{};
  for (const std::uint8_t label : test.labels) ++counts[label];
  // The class counts of the first 1,000 test images, as everywhere published; their first pixel, too.
  CHECK(counts == std::array<Index, 10>{103, 89, 100, 103, 90, 86, 112, 102, 106, 109});
  CHECK(test.images(0, 0, 0, 0) == 158);
  CHECK(test.images(0, 1, 0, 0) == 112);
  CHECK(test.images(0, 2, 0, 0) == 49);
  const LabelledColorImages ships = read_cifar10(folder / "ships_train.bin.gz");
  CHECK(ships.size() == 5000);
  CHECK(only_class(ships, cifar10_ship).size() == 5000);
  CHECK(read_cifar10_names(folder / "batches.meta.txt")[cifar10_ship] == "ship");
}

}  // namespace
