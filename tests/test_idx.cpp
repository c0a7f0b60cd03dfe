// IDX files: what is written is read, and every kind of damage is a clear error and no allocation.
#include <doctest/doctest.h>
#include <zlib.h>

#include <fstream>
#include <vector>

#include "inkling/io/idx.hpp"
#include "support.hpp"

namespace {

using namespace inkling;
using Bytes = std::vector<std::uint8_t>;

Bytes idx_header(std::vector<std::uint32_t> shape, std::uint8_t type = 8) {
  Bytes b{0, 0, type, static_cast<std::uint8_t>(shape.size())};
  for (const std::uint32_t d : shape)
    for (int shift = 24; shift >= 0; shift -= 8) b.push_back(static_cast<std::uint8_t>(d >> shift));
  return b;
}
Bytes with_values(Bytes b, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) b.push_back(static_cast<std::uint8_t>(i * 7));
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

TEST_CASE("an IDX file is read, plain and compressed") {
  const inkling_test::TempDir folder;
  const Bytes bytes = with_values(idx_header({2, 3, 5}), 30);
  write_plain(folder / "plain", bytes);
  write_gzip(folder / "packed.gz", bytes);
  for (const char* name : {"plain", "packed.gz"}) {
    const Tensor<std::uint8_t, 3> t = read_idx<3>(folder / name);
    CHECK(t.shape() == Shape<3>{2, 3, 5});
    for (Index i = 0; i < 30; ++i) CHECK(t.data()[i] == static_cast<std::uint8_t>(i * 7));
  }
}

TEST_CASE("damaged IDX files are refused") {
  const inkling_test::TempDir folder;
  const auto refused = [&](const char* what, const Bytes& bytes) {
    INFO(what);
    write_plain(folder / "file", bytes);
    CHECK_THROWS_AS(read_idx<3>(folder / "file"), FormatError);
    write_gzip(folder / "file.gz", bytes);
    CHECK_THROWS_AS(read_idx<3>(folder / "file.gz"), FormatError);
  };
  refused("nothing", {});
  refused("half a magic number", {0, 0});
  refused("another format", with_values({'P', 'K', 3, 4}, 100));
  refused("float values", with_values(idx_header({2, 3, 5}, 0x0d), 120));
  refused("two dimensions instead of three", with_values(idx_header({6, 5}), 30));
  refused("dimensions cut short", {0, 0, 8, 3, 0, 0, 0, 2});
  refused("values cut short", with_values(idx_header({2, 3, 5}), 29));
  refused("bytes behind the values", with_values(idx_header({2, 3, 5}), 31));
  refused("values that the file cannot hold", with_values(idx_header({60000, 28, 28}), 1000));
  refused("a product that overflows", with_values(idx_header({0xffffffffu, 0xffffffffu, 0xffffffffu}), 30));
  CHECK_THROWS_AS(read_idx<3>(folder / "absent"), FormatError);
  CHECK_THROWS_AS(read_idx<3>(folder.path()), FormatError);  // a folder

  write_gzip(folder / "whole.gz", with_values(idx_header({20, 28, 28}), 20 * 28 * 28));
  std::ifstream in(folder / "whole.gz", std::ios::binary);
  const Bytes whole((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  CHECK(read_idx<3>(folder / "whole.gz").size() == 20 * 28 * 28);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write_plain(folder / "cut.gz", Bytes(whole.begin(), whole.begin() + static_cast<Index>(length)));
    CHECK_THROWS_AS(read_idx<3>(folder / "cut.gz"), FormatError);
  }
  Bytes wrong_checksum = whole;
  wrong_checksum[whole.size() - 6] ^= 1;
  write_plain(folder / "checksum.gz", wrong_checksum);
  CHECK_THROWS_AS(read_idx<3>(folder / "checksum.gz"), FormatError);
}

TEST_CASE("an error names the file and what is wrong with it") {
  const inkling_test::TempDir folder;
  write_plain(folder / "labels", with_values(idx_header({30}), 30));
  try {
    read_idx<3>(folder / "labels");
    FAIL("one dimension passed for three");
  } catch (const FormatError& error) {
    const std::string text = error.what();
    CHECK(text.find("labels") != std::string::npos);
    CHECK(text.find("expected 3 dimensions, got 1") != std::string::npos);
  }
}

TEST_CASE("labels and images must fit together") {
  const inkling_test::TempDir folder;
  write_plain(folder / "x-images-idx3-ubyte", with_values(idx_header({2, 28, 28}), 2 * 28 * 28));
  write_plain(folder / "x-labels-idx1-ubyte", with_values(idx_header({3}), 0));
  CHECK_THROWS_AS(read_mnist(folder.path(), "x"), FormatError);
  Bytes labels = idx_header({3});
  labels.insert(labels.end(), {1, 2, 3});
  write_plain(folder / "x-labels-idx1-ubyte", labels);
  CHECK_THROWS_AS(read_mnist(folder.path(), "x"), FormatError);
  labels = idx_header({2});
  labels.insert(labels.end(), {1, 10});
  write_plain(folder / "x-labels-idx1-ubyte", labels);
  CHECK_THROWS_AS(read_mnist(folder.path(), "x"), FormatError);
  labels.back() = 9;
  write_plain(folder / "x-labels-idx1-ubyte", labels);
  CHECK(read_mnist(folder.path(), "x").labels(1) == 9);
}

TEST_CASE("data: MNIST is whole") {
  const LabelledImages train = read_mnist(inkling_test::data_dir() / "mnist", "train");
  CHECK(train.images.shape() == Shape<3>{60000, 28, 28});
  std::array<Index, 10> counts{};
  for (const std::uint8_t label : train.labels) ++counts[label];
  // The class counts of the training set, as everywhere published.
  CHECK(counts == std::array<Index, 10>{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949});
  double sum = 0;
  for (const std::uint8_t v : train.images) sum += v;
  CHECK(sum / 255 / static_cast<double>(train.images.size()) == doctest::Approx(0.1307).epsilon(0.001));
}

}  // namespace
