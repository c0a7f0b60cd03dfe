// safetensors: what is written comes back, every type converts as it should, and no file, however damaged, does more
// than raise one clear line.
// test: sanitized
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <fstream>
#include <random>

#include "inkling/io/safetensors.hpp"
#include "inkling/io/safetensors_writer.hpp"
#include "support.hpp"

using namespace inkling;
using namespace inkling_test;

namespace {

std::string read_all(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write_all(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary);
  out << bytes;
  REQUIRE(out.good());
}
std::string little_endian(std::uint64_t v) {
  std::string s(8, '\0');
  std::memcpy(s.data(), &v, 8);
  return s;
}
// A file with this header and so many bytes of data.
std::string file_of(const std::string& header, std::size_t data) {
  return little_endian(header.size()) + header + std::string(data, '\x3c');
}
std::string repeat(const std::string& s, std::size_t n) {
  std::string out;
  for (std::size_t i = 0; i < n; ++i) out += s;
  return out;
}

struct Hostile {
  const char* what;
  std::string bytes;
  const char* says;  // part of the message
};

std::vector<Hostile> hostile_files() {
  const std::string good = R"({"x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})";
  const auto tensor = [](const std::string& inside) { return R"({"x":{)" + inside + "}}"; };
  return {
      {"empty file", "", "at least 8 bytes"},
      {"seven bytes", "1234567", "at least 8 bytes"},
      {"no header", little_endian(0), "json"},
      {"header longer than the file", little_endian(1000) + "{}", "cut off"},
      {"header of 2^64-1 bytes", little_endian(~0ull) + "{}", "cut off"},
      {"header of 2^63 bytes", little_endian(1ull << 63) + "{}", "cut off"},
      {"length that wraps around with 8 added", little_endian(~0ull - 7) + good, "cut off"},
      {"text", "not a safetensors file at all, but prose", "cut off"},
      {"header is not json", file_of("{\"x\": oops}", 0), "json"},
      {"header is cut", file_of(good.substr(0, good.size() - 3), 16), "json"},
      {"header is binary", file_of(std::string("\x00\xff\xfe\x80", 4), 0), "json"},
      {"header is not UTF-8", file_of("{\"\xff\xfe\":{}}", 0), "json"},
      {"header is an array", file_of("[]", 0), "a json object"},
      {"header is a number", file_of("17", 0), "a json object"},
      {"header is a string", file_of("\"x\"", 0), "a json object"},
      {"header is null", file_of("null", 0), "a json object"},
      {"something behind the header", file_of(good + "{}", 16), "json"},
      {"deep nesting of arrays", file_of(repeat("[", 1'000'000), 0), "a json object"},
      {"deep nesting of objects", file_of(repeat("{\"a\":", 1'000'000), 0), "once each"},
      {"deep nesting in a shape", file_of(tensor(R"("dtype":"F32","shape":)" + repeat("[", 1'000'000)), 0),
       "dimensions"},
      {"deep nesting in metadata", file_of("{\"__metadata__\":{\"a\":" + repeat("[", 1'000'000), 0), "strings"},
      {"tensor is a number", file_of(R"({"x":3})", 0), "an object with dtype"},
      {"tensor is an array", file_of(R"({"x":[1,2]})", 0), "an object with dtype"},
      {"tensor is empty", file_of(R"({"x":{}})", 0), "no dtype"},
      {"no shape", file_of(tensor(R"("dtype":"F32","data_offsets":[0,4])"), 4), "no shape"},
      {"no offsets", file_of(tensor(R"("dtype":"F32","shape":[1])"), 4), "no data_offsets"},
      {"unknown key", file_of(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4],"stride":[1])"), 4), "stride"},
      {"dtype twice", file_of(tensor(R"("dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4])"), 4), "once"},
      {"shape twice", file_of(tensor(R"("dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4])"), 4), "once"},
      {"offsets twice", file_of(tensor(R"("data_offsets":[0,4],"data_offsets":[0,4],"dtype":"F32","shape":[1])"), 4),
       "once"},
      {"unknown dtype", file_of(tensor(R"("dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4])"), 4), "F8_E4M3"},
      {"dtype in small letters", file_of(tensor(R"("dtype":"f32","shape":[1],"data_offsets":[0,4])"), 4), "\"f32\""},
      {"dtype is a number", file_of(tensor(R"("dtype":32,"shape":[1],"data_offsets":[0,4])"), 4), "a string"},
      {"shape is a number", file_of(tensor(R"("dtype":"F32","shape":1,"data_offsets":[0,4])"), 4), "an array"},
      {"negative dimension", file_of(tensor(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), 4), "-1"},
      {"two negative dimensions", file_of(tensor(R"("dtype":"F32","shape":[-2,-2],"data_offsets":[0,16])"), 16), "-2"},
      {"dimension with a fraction", file_of(tensor(R"("dtype":"F32","shape":[1.5],"data_offsets":[0,6])"), 6), "1.5"},
      {"dimension as 1e0", file_of(tensor(R"("dtype":"F32","shape":[1e0],"data_offsets":[0,4])"), 4), "1e0"},
      {"dimension as text", file_of(tensor(R"("dtype":"F32","shape":["1"],"data_offsets":[0,4])"), 4), "dimensions"},
      {"dimension null", file_of(tensor(R"("dtype":"F32","shape":[null],"data_offsets":[0,4])"), 4), "null"},
      {"dimension true", file_of(tensor(R"("dtype":"F32","shape":[true],"data_offsets":[0,4])"), 4), "true or false"},
      {"dimension beyond 2^64",
       file_of(tensor(R"("dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4])"), 4), "9999"},
      {"dimension of 2^63", file_of(tensor(R"("dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4])"), 4),
       "into memory"},
      {"2^60 elements", file_of(tensor(R"("dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4])"), 4),
       "into memory"},
      {"2^60 elements, 2^62 bytes of offsets",
       file_of(tensor(R"("dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4611686018427387904])"), 4),
       "into memory"},
      {"a product that wraps to 4",
       file_of(tensor(R"("dtype":"F32","shape":[4294967296,4294967296,1],"data_offsets":[0,0])"), 0), "into memory"},
      {"bytes that wrap to 0",
       file_of(tensor(R"("dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0])"), 0), "into memory"},
      {"33 dimensions",
       file_of(tensor(R"("dtype":"F32","shape":[1)" + repeat(",1", 32) + R"(],"data_offsets":[0,4])"), 4),
       "32 dimensions"},
      {"a zero hides a wrong size", file_of(tensor(R"("dtype":"F32","shape":[0,5],"data_offsets":[0,4])"), 4),
       "0 bytes"},
      {"one offset", file_of(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4])"), 4), "fewer"},
      {"no offset", file_of(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[])"), 4), "fewer"},
      {"three offsets", file_of(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4,8])"), 4), "two integers"},
      {"offsets in the wrong order", file_of(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])"), 4),
       "in order"},
      {"negative offset", file_of(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[-4,0])"), 4), "-4"},
      {"offset beyond the file", file_of(tensor(R"("dtype":"F32","shape":[5],"data_offsets":[0,20])"), 16), "cut off"},
      {"offsets of nearly 2^64",
       file_of(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,18446744073709551615])"), 4),
       "in order and within"},
      {"too few bytes for the shape", file_of(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), 4),
       "8 bytes"},
      {"too many bytes for the shape", file_of(tensor(R"("dtype":"F16","shape":[1],"data_offsets":[0,4])"), 4),
       "2 bytes"},
      {"two tensors overlap",
       file_of(
           R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
           12),
       "overlap"},
      {"two tensors in one place",
       file_of(
           R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
           4),
       "overlap"},
      {"a gap between tensors",
       file_of(
           R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
           12),
       "no tensor"},
      {"a gap in front", file_of(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), 8), "no tensor"},
      {"bytes behind the last tensor", file_of(good, 17), "the last tensor"},
      {"data cut off", file_of(good, 15), "cut off"},
      {"one name twice",
       file_of(
           R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
           8),
       "twice"},
      {"one name twice, escaped",
       file_of(
           R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\u0078":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
           8),
       "twice"},
      {"metadata twice", file_of(R"({"__metadata__":{},"__metadata__":{}})", 0), "twice"},
      {"metadata key twice", file_of(R"({"__metadata__":{"a":"1","a":"2"}})", 0), "twice"},
      {"metadata is a string", file_of(R"({"__metadata__":"x"})", 0), "an object"},
      {"metadata value is a number", file_of(R"({"__metadata__":{"a":1}})", 0), "strings"},
      {"metadata value is an object", file_of(R"({"__metadata__":{"a":{}}})", 0), "strings"},
      {"a name of a million letters", file_of("{\"" + repeat("x", 1'000'000) + "\":{\"dtype\":3}}", 0), "a string"},
      {"a name with control characters", file_of(R"({"a\nb\u0000\u001b[2J":{"dtype":3}})", 0), "a string"},
  };
}

}  // namespace

TEST_CASE("hostile safetensors files each raise one clear line") {
  const TempDir folder;
  const auto path = folder / "hostile.safetensors";
  for (const Hostile& h : hostile_files()) {
    const std::string what = h.what;
    CAPTURE(what);
    write_all(path, h.bytes);
    try {
      const SafetensorsFile file(path);
      FAIL_CHECK("accepted");
    } catch (const FormatError& e) {
      const std::string text = e.what();
      CHECK_MESSAGE(text.find(h.says) != std::string::npos, text);
      CHECK_MESSAGE(text.find(path.string()) == 0, text);
      CHECK_MESSAGE(text.find('\n') == std::string::npos, text);
      CHECK_MESSAGE(text.find('\x1b') == std::string::npos, text);
      CHECK_MESSAGE(text.size() < 600, text);
    }
  }
}

TEST_CASE("damaged copies of a good file are read or refused, never more") {
  const TempDir folder;
  const auto path = folder / "damaged.safetensors";
  Tensor<float, 2> x({3, 5}, 1.5f);
  Tensor<std::int64_t, 1> i({4}, {1, 2, 3, 4});
  write_safetensors(path, {{"some.weight", x}, {"half", x, DType::f16}, {"numbers", i}}, {{"format", "pt"}});
  const std::string good = read_all(path);
  std::mt19937 random(1);
  int read = 0, refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = good;
    const int changes = 1 + static_cast<int>(random() % 3);
    for (int c = 0; c < changes; ++c) {
      const std::size_t at = random() % (round % 2 ? std::size_t{8 + 260} : bytes.size());
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
          break;
        case 2:
          bytes.erase(at, 1 + random() % 9);
          break;
        default:
          bytes.insert(at, 1 + random() % 9, "0123456789[]{},:\""[random() % 17]);
      }
      if (bytes.empty()) bytes = "x";
    }
    if (random() % 8 == 0) bytes.resize(random() % bytes.size());
    write_all(path, bytes);
    try {
      const SafetensorsFile file(path);
      for (const TensorEntry& e : file.entries()) {
        std::vector<double> values(static_cast<std::size_t>(e.size()));
        file.read(e.name, std::span<double>(values), Integers::to_any);
      }
      ++read;
    } catch (const Error&) {
      ++refused;
    }
  }
  MESSAGE("read ", read, ", refused ", refused);
  CHECK(read > 0);
  CHECK(refused > 1000);
}

TEST_CASE("what cannot be opened") {
  const TempDir folder;
  const auto says = [](const std::filesystem::path& path, const char* part) {
    try {
      const SafetensorsFile file(path);
      FAIL_CHECK("opened ", path);
    } catch (const FormatError& e) {
      CHECK_MESSAGE(std::string(e.what()).find(part) != std::string::npos, std::string(e.what()));
    }
  };
  says(folder / "missing.safetensors", "No such file");
  says(folder.path(), "a directory");
  says("/dev/null", "a regular file");
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  says(folder / "pipe", "a regular file");  // and does not wait for a writer
  write_all(folder / "locked", file_of("{}", 0));
  REQUIRE(::chmod((folder / "locked").c_str(), 0) == 0);
  const auto user = ::geteuid();
  if (user == 0) REQUIRE(::seteuid(65534) == 0);  // root may read everything, nobody may not
  says(folder / "locked", "Permission denied");
  REQUIRE(::seteuid(user) == 0);
}

TEST_CASE("safetensors: what is written comes back") {
  const TempDir folder;
  const auto path = folder / "out.safetensors";
  const Tensor<float, 2> x({2, 3}, {1.0f, -2.5f, 3.1415927f, 65504.0f, 1e-7f, 0.0f});
  const Tensor<double, 1> d({2}, {0.1, 1e300});
  const Tensor<float, 0> scalar({}, 7.0f);
  const Tensor<float, 3> nothing({2, 0, 3});
  const Tensor<std::int64_t, 1> i({2}, {-1, std::int64_t{1} << 60});
  const Tensor<std::int32_t, 1> j({2}, {-5, 6});
  const Tensor<std::uint8_t, 1> u({3}, {0, 1, 255});
  const std::string odd = "quote\" back\\slash line\n tab\t \xC3\xA9 \xF0\x9F\x96\x8B";
  write_safetensors(path,
                    {{"x", x},
                     {"half", x, DType::f16},
                     {"brain", x, DType::bf16},
                     {"wide", x, DType::f64},
                     {"d", d},
                     {"scalar", scalar},
                     {"nothing", nothing},
                     {"i", i},
                     {"j", j},
                     {"u", u},
                     {odd, scalar}},
                    {{"format", "pt"}, {odd, odd}});
  const SafetensorsFile file(path);
  CHECK(file.entries().size() == 11);
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}, {odd, odd}});
  CHECK(file.metadata("format") == "pt");
  CHECK_THROWS_AS(file.metadata("none"), FormatError);
  CHECK(compare(file.read<float, 2>("x"), x).error == 0);
  CHECK(compare(file.read<double, 2>("x"), x).error == 0);
  CHECK(compare(file.read<float, 2>("wide"), x).error == 0);
  CHECK(file.read<double, 1>("d")(1) == 1e300);
  CHECK(file.read<float, 1>("d")(0) == 0.1f);
  CHECK(file.read<float, 0>("scalar")() == 7.0f);
  CHECK(file.read<float, 3>("nothing").shape() == Shape<3>{2, 0, 3});
  CHECK(file.read<std::int64_t, 1>("i")(1) == std::int64_t{1} << 60);
  CHECK(file.read<std::int64_t, 1>("j")(0) == -5);
  CHECK(file.read<std::int32_t, 1>("u")(2) == 255);
  CHECK(file.read<float, 0>(odd)() == 7.0f);
  CHECK(file.read<half, 2>("half")(0, 1) == half(-2.5f));
  for (Index n = 0; n < x.size(); ++n) {
    CHECK(file.read<float, 2>("half").data()[n] == static_cast<float>(half(x.data()[n])));
    CHECK(file.read<double, 2>("brain").data()[n] == static_cast<double>(static_cast<float>(bfloat16(x.data()[n]))));
  }
  std::vector<float> part(2);
  file.read_part("x", 2, std::span<float>(part));
  CHECK(part[1] == 65504.0f);
  CHECK_THROWS_AS(file.read_part("x", 5, std::span<float>(part)), ShapeError);
  CHECK_THROWS_AS(file.read_part("x", -1, std::span<float>(part)), ShapeError);
}

TEST_CASE("safetensors: every half value, at every byte position of the data") {
  const TempDir folder;
  const auto path = folder / "halves.safetensors";
  // The header's length shifts where the data begins, so elements lie at odd addresses too.
  for (std::size_t shift = 0; shift < 4; ++shift)
    for (const char* type : {"F16", "BF16"}) {
      const std::string header = R"({"x":{"dtype":")" + std::string(type) +
                                 R"(","shape":[65536],"data_offsets":[0,131072]}})" + std::string(shift, ' ');
      std::string bytes = little_endian(header.size()) + header;
      for (unsigned v = 0; v < 65536; ++v) bytes += {static_cast<char>(v & 255), static_cast<char>(v >> 8)};
      write_all(path, bytes);
      const Tensor<float, 1> x = SafetensorsFile(path).read<float, 1>("x");
      Index wrong = 0;
      for (Index v = 0; v < 65536; ++v) {
        const auto raw = static_cast<std::uint16_t>(v);
        const float expected = *type == 'F' ? static_cast<float>(std::bit_cast<half>(raw))
                                            : std::bit_cast<float>(static_cast<std::uint32_t>(raw) << 16);
        wrong += !(x(v) == expected || (std::isnan(x(v)) && std::isnan(expected)));
      }
      CAPTURE(type);
      CAPTURE(shift);
      CHECK(wrong == 0);
    }
}

TEST_CASE("safetensors: wrong requests name the tensor") {
  const TempDir folder;
  const auto path = folder / "out.safetensors";
  const Tensor<float, 2> x({2, 3});
  const Tensor<std::int64_t, 1> i({2});
  write_safetensors(path, {{"layer.weight", x}, {"i", i}});
  const SafetensorsFile file(path);
  CHECK_THROWS_WITH_AS((file.read<float, 2>("layer.wieght")), doctest::Contains("there is \"layer.weight\""),
                       LoadError);
  CHECK_THROWS_WITH_AS((file.read<float, 3>("layer.weight")), doctest::Contains("3 dimensions, got (2, 3)"),
                       ShapeError);
  CHECK_THROWS_WITH_AS((file.read<std::int64_t, 2>("layer.weight")), doctest::Contains("integer type, got F32"),
                       FormatError);
  CHECK_THROWS_WITH_AS((file.read<float, 1>("i")), doctest::Contains("floating-point type, got I64"), FormatError);
  CHECK((file.read<float, 1>("i", Integers::to_any).size()) == 2);
  CHECK_THROWS_AS((file.read<std::int32_t, 1>("i")), FormatError);  // would cut numbers off
  std::vector<float> few(5);
  CHECK_THROWS_AS(file.read("layer.weight", std::span<float>(few)), ShapeError);
}

TEST_CASE("safetensors: a file appears whole or not at all") {
  const TempDir folder;
  const auto path = folder / "out.safetensors";
  const auto only = [&](std::size_t expected) {
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& f : std::filesystem::directory_iterator(folder.path())) ++files;
    CHECK(files == expected);
  };
  Tensor<float, 1> x({3}, 1.0f);
  {
    SafetensorsWriter writer(path, {{"a", DType::f32, {3}}, {"b", DType::f32, {3}}});
    writer.write(x);
    CHECK_THROWS_AS(writer.commit(), FormatError);  // b is missing
    CHECK_FALSE(std::filesystem::exists(path));
  }
  only(0);
  x(1) = 1e6f;
  CHECK_THROWS_WITH_AS(write_safetensors(path, {{"a", x, DType::f16}}), doctest::Contains("F16 can hold"), FormatError);
  only(0);
  x(1) = std::numeric_limits<float>::infinity();  // already infinite: nothing is lost
  write_safetensors(path, {{"a", x, DType::f16}});
  CHECK(std::isinf(SafetensorsFile(path).read<float, 1>("a")(1)));
  only(1);
  CHECK_THROWS_AS(write_safetensors(path, {{"a", x}, {"a", x}}), FormatError);
  CHECK_THROWS_AS(write_safetensors(path, {{"\xff", x}}), FormatError);
  CHECK_THROWS_AS(write_safetensors(path, {{"__metadata__", x}}), FormatError);
  {
    SafetensorsWriter writer(path, {{"a", DType::f32, {3}}});
    CHECK_THROWS_AS(writer.write(Tensor<float, 1>({4})), ShapeError);
    CHECK_THROWS_AS(writer.write(Tensor<std::int64_t, 1>({3})), FormatError);
  }
  CHECK(SafetensorsFile(path).read<float, 1>("a").size() == 3);  // the earlier file stands
  only(1);
  CHECK_THROWS_AS(write_safetensors(folder / "none" / "x", {{"a", x}}), FormatError);
  CHECK_THROWS_AS(write_safetensors(folder.path(), {{"a", x}}), FormatError);
  CHECK_THROWS_AS(write_safetensors("/dev/null", {{"a", x}}), FormatError);
  REQUIRE(std::filesystem::is_character_file("/dev/null"));
}

TEST_CASE("a link is written through, not replaced") {
  const TempDir folder;
  write_all(folder / "real", "old");
  std::filesystem::create_symlink(folder / "real", folder / "link");
  write_file(folder / "link", "new");
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(read_all(folder / "real") == "new");
}

TEST_CASE("safetensors: memory of what was read is let go") {
  const TempDir folder;
  const auto path = folder / "large.safetensors";
  constexpr Index count = 8, each = 4 << 20;  // 8 x 16 MiB
  {
    std::vector<TensorSpec> specs;
    for (Index k = 0; k < count; ++k) specs.push_back({"t" + std::to_string(k), DType::f32, {each}});
    SafetensorsWriter writer(path, specs);
    const Tensor<float, 1> x({each}, 1.0f);
    for (Index k = 0; k < count; ++k) writer.write(x);
    writer.commit();
  }
  // File pages counted as this program's, in MiB. (Field 3 of statm, in pages.)
  const auto shared_mib = [] {
    std::ifstream in("/proc/self/statm");
    long size = 0, resident = 0, shared = 0;
    in >> size >> resident >> shared;
    return static_cast<double>(shared) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 20);
  };
  const SafetensorsFile file(path);
  Tensor<float, 1> x({each}, uninitialized);
  const double before = shared_mib();
  double most = 0;
  for (Index k = 0; k < count; ++k) {
    file.read("t" + std::to_string(k), x.span());
    most = std::max(most, shared_mib());
  }
  MESSAGE("file pages held after reading 128 MiB: ", most - before, " MiB");
  CHECK(most - before < 24);
}

TEST_CASE("nearest names") {
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("same", "same") == 0);
  CHECK(nearest_name("conv_in.wieght", {"conv_out.weight", "conv_in.weight", "x"}) == "conv_in.weight");
  CHECK(nearest_name("conv_in.weight", {"quite_another"}).empty());
  CHECK(nearest_name(std::string(1'000'000, 'x'), {std::string(1'000'000, 'x')}).empty());
  CHECK(printable("a\nb\x01") == "a?b?");
}
