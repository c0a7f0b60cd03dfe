// The header of a safetensors file: json text that names every tensor, checked before anything believes it.
//
// Read through callbacks, not into a json tree: a tree would keep the last of two tensors with one name and say
// nothing, and would be as large as whatever a hostile file makes it. The only place in the library's reading of
// weights that knows json.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_set>
#include <vector>

#include "inkling/core/compiled.hpp"
#include "inkling/io/dtype.hpp"
#include "inkling/io/nearest_name.hpp"
#if INKLING_BODIES
#include <nlohmann/json.hpp>
#endif

namespace inkling {

struct TensorEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<Index> shape;
  std::size_t begin = 0, end = 0;  // bytes, from the start of the file

  Index size() const { return checked_size(shape, name); }
};

struct SafetensorsHeader {
  std::vector<TensorEntry> entries;  // in the order of their bytes
  std::map<std::string, std::string> metadata;
};

// `file` only names the file in errors. `bytes` is the whole file.
INKLING_FUNCTION SafetensorsHeader parse_safetensors_header(const std::string& file, std::span<const std::byte> bytes);

#if INKLING_BODIES
namespace detail {

// { "__metadata__": {"key": "value"}, "NAME": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}, ... }
class SafetensorsHeaderReader {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  SafetensorsHeaderReader(std::string file, std::size_t data_begin, std::size_t data_size)
      : file_(std::move(file)), data_begin_(data_begin), data_size_(data_size) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool start_object(std::size_t) {
    if (place_ == Place::start)
      place_ = Place::file;
    else if (place_ == Place::tensor_value) {
      place_ = Place::tensor;
      has_dtype_ = has_shape_ = false;
      offsets_.clear();
      tensor_.shape.clear();
    } else if (place_ == Place::metadata_value)
      place_ = Place::metadata;
    else
      unexpected("an object");
    return true;
  }
  bool key(string_t& name) {
    switch (place_) {
      case Place::file:
        if (name == "__metadata__") {
          if (has_metadata_) duplicate(name);
          has_metadata_ = true;
          place_ = Place::metadata_value;
        } else {
          if (!names_.insert(name).second) duplicate(name);
          tensor_.name = name;
          place_ = Place::tensor_value;
        }
        break;
      case Place::metadata:
        if (header_.metadata.contains(name)) duplicate(name);
        metadata_key_ = name;
        place_ = Place::metadata_text;
        break;
      default:  // inside a tensor
        if (name == "dtype" && !has_dtype_)
          place_ = Place::dtype_text;
        else if (name == "shape" && !has_shape_)
          place_ = Place::shape_value;
        else if (name == "data_offsets" && offsets_.empty())
          place_ = Place::offsets_value;
        else
          fail(where(), "dtype, shape and data_offsets, once each", "\"" + printable(name) + "\"");
    }
    return true;
  }
  bool string(string_t& text) {
    if (place_ == Place::metadata_text) {
      header_.metadata.emplace(metadata_key_, text);
      place_ = Place::metadata;
    } else if (place_ == Place::dtype_text) {
      const DTypeInfo* dtype = find_dtype(text);
      if (!dtype)
        fail(where(), "dtype F64, F32, F16, BF16, I64, I32, U8 or BOOL", "\"" + printable(text) + "\"",
             "convert the file to one of these types");
      tensor_.dtype = dtype->dtype;
      has_dtype_ = true;
      place_ = Place::tensor;
    } else
      unexpected("a string");
    return true;
  }
  bool start_array(std::size_t) {
    if (place_ == Place::shape_value)
      place_ = Place::shape;
    else if (place_ == Place::offsets_value)
      place_ = Place::offsets;
    else
      unexpected("an array");
    return true;
  }
  bool number_unsigned(number_unsigned_t v) {
    if (place_ == Place::shape) {
      if (tensor_.shape.size() == 32) fail(where(), "at most 32 dimensions", "more");
      if (v > static_cast<number_unsigned_t>(std::numeric_limits<Index>::max()))
        fail(where(), "dimensions that fit into memory", std::to_string(v));
      tensor_.shape.push_back(static_cast<Index>(v));
    } else if (place_ == Place::offsets && offsets_.size() < 2)
      offsets_.push_back(v);
    else
      unexpected("the number " + std::to_string(v));
    return true;
  }
  bool end_array() {
    if (place_ == Place::shape)
      has_shape_ = true;
    else if (offsets_.size() != 2)
      fail(where(), "data_offsets [begin, end]", "fewer numbers");
    place_ = Place::tensor;
    return true;
  }
  bool end_object() {
    if (place_ == Place::tensor) {
      finish_tensor();
      place_ = Place::file;
    } else
      place_ = place_ == Place::metadata ? Place::file : Place::done;
    return true;
  }
  bool number_integer(number_integer_t v) { return unexpected("the negative number " + std::to_string(v)); }
  bool number_float(number_float_t, const string_t& text) { return unexpected("the number " + printable(text)); }
  bool null() { return unexpected("null"); }
  bool boolean(bool) { return unexpected("true or false"); }
  bool binary(binary_t&) { return unexpected("binary data"); }
  template <class Exception>
  bool parse_error(std::size_t position, const std::string&, const Exception&) {
    fail("header", "json", "something else at byte " + std::to_string(8 + position),
         "the file is damaged, or is not a safetensors file");
  }

 private:
  enum class Place {
    start,
    file,
    metadata_value,
    metadata,
    metadata_text,
    tensor_value,
    tensor,
    dtype_text,
    shape_value,
    shape,
    offsets_value,
    offsets,
    done
  };

  [[noreturn]] void fail(const std::string& where, std::string_view expected, std::string_view got,
                         std::string_view hint = {}) const {
    throw FormatError(file_ + ": " + where, expected, got, hint);
  }
  [[noreturn]] void duplicate(const std::string& name) const {
    fail("header", "every name once", "\"" + printable(name) + "\" twice");
  }
  bool unexpected(const std::string& got) const {
    static constexpr std::string_view wanted[] = {"a json object",
                                                  "names",
                                                  "__metadata__ to be an object",
                                                  "names",
                                                  "metadata values to be strings",
                                                  "an object with dtype, shape and data_offsets",
                                                  "names",
                                                  "dtype to be a string",
                                                  "shape to be an array",
                                                  "dimensions that are integers of at least 0",
                                                  "data_offsets to be an array",
                                                  "data_offsets of exactly two integers of at least 0",
                                                  "the end"};
    fail(where(), wanted[static_cast<std::size_t>(place_)], got);
  }
  std::string where() const {
    return place_ >= Place::tensor_value && place_ != Place::done ? "tensor \"" + printable(tensor_.name) + "\""
                                                                  : "header";
  }
  void finish_tensor() {
    if (!has_dtype_ || !has_shape_ || offsets_.size() != 2)
      fail(where(), "dtype, shape and data_offsets",
           std::string("no ") + (!has_dtype_   ? "dtype"
                                 : !has_shape_ ? "shape"
                                               : "data_offsets"));
    Index bytes = 0;
    try {
      bytes = tensor_.size() * info(tensor_.dtype).bytes;  // checked_size leaves room for this factor
    } catch (const ShapeError&) {
      fail(where(), "a size that fits into memory", "shape " + to_string(tensor_.shape));
    }
    const auto [begin, end] = std::pair(offsets_[0], offsets_[1]);
    const std::string range = "data_offsets [" + std::to_string(begin) + ", " + std::to_string(end) + "]";
    if (begin > end || end > data_size_)
      fail(where(), "data_offsets in order and within the " + std::to_string(data_size_) + " bytes of data", range,
           end > data_size_ ? "the file may have been cut off: fetch it again" : "");
    if (end - begin != static_cast<std::uint64_t>(bytes))
      fail(where(), std::to_string(bytes) + " bytes for " + to_string(tensor_.dtype) + " " + to_string(tensor_.shape),
           range);
    tensor_.begin = data_begin_ + static_cast<std::size_t>(begin);
    tensor_.end = data_begin_ + static_cast<std::size_t>(end);
    header_.entries.push_back(tensor_);
  }

  std::string file_;
  std::size_t data_begin_, data_size_;
  SafetensorsHeader header_;
  Place place_ = Place::start;
  bool has_metadata_ = false, has_dtype_ = false, has_shape_ = false;
  TensorEntry tensor_;
  std::vector<std::uint64_t> offsets_;
  std::string metadata_key_;
  std::unordered_set<std::string> names_;
};

}  // namespace detail

INKLING_FUNCTION SafetensorsHeader parse_safetensors_header(const std::string& file, std::span<const std::byte> bytes) {
  if (bytes.size() < 8)
    throw FormatError(file, "a safetensors file (at least 8 bytes)", std::to_string(bytes.size()) + " bytes");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  constexpr std::uint64_t limit = 100'000'000;  // the limit of the format's own reader
  if (length > bytes.size() - 8 || length > limit)
    throw FormatError(
        file + ": header",
        "a length of at most " + std::to_string(std::min<std::uint64_t>(bytes.size() - 8, limit)) + " bytes",
        std::to_string(length), "the file was cut off, or is not a safetensors file");
  const std::size_t data_begin = 8 + static_cast<std::size_t>(length);
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + 8;
  detail::SafetensorsHeaderReader reader(file, data_begin, bytes.size() - data_begin);
  nlohmann::json::sax_parse(text, text + length, &reader);
  SafetensorsHeader header = reader.take();

  // Every byte of the data belongs to exactly one tensor: no overlap, no hole to hide something in.
  std::sort(header.entries.begin(), header.entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::size_t at = data_begin;
  for (const TensorEntry& entry : header.entries) {
    if (entry.begin != at)
      throw FormatError(file + ": tensor \"" + printable(entry.name) + "\"",
                        "data_offsets that begin where the tensor before ends, at " + std::to_string(at - data_begin),
                        std::to_string(entry.begin - data_begin),
                        entry.begin < at ? "two tensors overlap" : "bytes that belong to no tensor");
    at = entry.end;
  }
  if (at != bytes.size())
    throw FormatError(file, "the data to end with the last tensor, at byte " + std::to_string(at),
                      std::to_string(bytes.size()) + " bytes");
  return header;
}
#endif

}  // namespace inkling
