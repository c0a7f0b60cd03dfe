// Writing safetensors: the header is known before the data, so tensors of any number pass through one small buffer.
#pragma once
#include <cmath>
#include <filesystem>
#include <map>
#include <set>
#include <variant>
#include <vector>

#include "inkling/core/tensor.hpp"
#include "inkling/io/atomic_file.hpp"
#include "inkling/io/dtype.hpp"
#include "inkling/io/utf8.hpp"

namespace inkling {

namespace detail {
inline std::string json_string(const std::string& text, const std::string& file) {
  if (!is_utf8(text)) throw FormatError(file, "names and metadata in UTF-8", "other bytes");
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) {
      out += c;
    } else {  // \u00XX
      out += "\\u00";
      out += "0123456789abcdef"[c >> 4];
      out += "0123456789abcdef"[c & 15];
    }
  }
  return out + "\"";
}
}  // namespace detail

// One tensor as it will stand in the file.
struct TensorSpec {
  std::string name;
  DType dtype = DType::f32;
  std::vector<Index> shape;
};

// Names, types and shapes first; then write() once for each, in the same order; then commit(). Until then there is
// no file.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorSpec> tensors,
                    const std::map<std::string, std::string>& metadata = {})
      : where_(path.string()), tensors_(std::move(tensors)), file_(path) {
    std::string header = "{";
    if (!metadata.empty()) {
      header += "\"__metadata__\":{";
      for (const auto& [key, value] : metadata)
        header += (header.back() == '{' ? "" : ",") + detail::json_string(key, where_) + ":" +
                  detail::json_string(value, where_);
      header += "}";
    }
    std::set<std::string> names{"__metadata__"};
    Index at = 0;
    for (const TensorSpec& t : tensors_) {
      if (!names.insert(t.name).second) throw FormatError(where_, "every name once", "\"" + t.name + "\" twice");
      const Index bytes = checked_size(t.shape, t.name) * info(t.dtype).bytes;
      if (bytes > std::numeric_limits<Index>::max() - at) throw ShapeError(where_, "a file size that fits", "more");
      if (header.size() > 1) header += ',';
      header += detail::json_string(t.name, where_) + ":{\"dtype\":\"" + to_string(t.dtype) + "\",\"shape\":[";
      for (std::size_t d = 0; d < t.shape.size(); ++d) header += (d ? "," : "") + std::to_string(t.shape[d]);
      header += "],\"data_offsets\":[" + std::to_string(at) + "," + std::to_string(at + bytes) + "]}";
      at += bytes;
    }
    header += "}";
    header.append((64 - (8 + header.size()) % 64) % 64, ' ');  // so that the data begins at a multiple of 64
    const std::uint64_t length = header.size();
    file_.write(std::as_bytes(std::span(&length, 1)));
    file_.write(header);
  }

  // The next tensor's elements. Floating-point types convert into each other; integers must have the file's type.
  template <class T>
  void write(std::span<const T> values) {
    if (next_ == tensors_.size()) throw FormatError(where_, std::to_string(next_) + " tensors", "one more");
    const TensorSpec& t = tensors_[next_];
    const std::string where = where_ + ": tensor \"" + t.name + "\"";
    if (static_cast<Index>(values.size()) != checked_size(t.shape, where))
      throw ShapeError(where, to_string(t.shape), std::to_string(values.size()) + " elements");
    if (t.dtype == dtype_of<T>())
      file_.write(std::as_bytes(values));
    else if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>)
      switch (t.dtype) {
        case DType::f64:
          write_as<double>(values, where);
          break;
        case DType::f32:
          write_as<float>(values, where);
          break;
        case DType::f16:
          write_as<half>(values, where);
          break;
        case DType::bf16:
          write_as<bfloat16>(values, where);
          break;
        default:
          throw FormatError(where, to_string(t.dtype) + " values", to_string(dtype_of<T>()));
      }
    else
      throw FormatError(where, to_string(t.dtype) + " values", to_string(dtype_of<T>()));
    ++next_;
  }
  template <class T, std::size_t N>
  void write(const Tensor<T, N>& tensor) {
    write(tensor.span());
  }

  void commit() {
    if (next_ != tensors_.size())
      throw FormatError(where_, std::to_string(tensors_.size()) + " tensors", std::to_string(next_));
    file_.commit();
  }

 private:
  template <class To, class T>
  void write_as(std::span<const T> values, const std::string& where) {
    std::vector<To> block;
    for (std::size_t i = 0; i < values.size(); i += block.size()) {
      block.resize(std::min<std::size_t>(values.size() - i, 1 << 16));
      for (std::size_t k = 0; k < block.size(); ++k) {
        const T v = values[i + k];
        block[k] = detail::convert_number<T, To>(v);
        if (std::isfinite(v) && !std::isfinite(static_cast<double>(block[k])))
          throw FormatError(where, "values that " + to_string(dtype_of<To>()) + " can hold", std::to_string(v),
                            "write this tensor as F32 or BF16");
      }
      file_.write(std::as_bytes(std::span<const To>(block)));
    }
  }

  std::string where_;
  std::vector<TensorSpec> tensors_;
  std::size_t next_ = 0;
  AtomicFile file_;
};

// A tensor that lies somewhere in memory, to be written under a name, by default as its own type.
struct TensorToWrite {
  template <class T, std::size_t N>
  TensorToWrite(std::string name, const Tensor<T, N>& tensor, DType dtype = dtype_of<T>())
      : spec{std::move(name), dtype, {tensor.shape().begin(), tensor.shape().end()}}, values(tensor.span()) {}
  template <class T>
  TensorToWrite(std::string name, DType dtype, std::vector<Index> shape, std::span<const T> elements)
      : spec{std::move(name), dtype, std::move(shape)}, values(elements) {}
  // The values are not copied, so they must outlive this.
  template <class T, std::size_t N>
  TensorToWrite(std::string, Tensor<T, N>&&, DType = dtype_of<T>()) = delete;

  TensorSpec spec;
  std::variant<std::span<const float>, std::span<const double>, std::span<const half>, std::span<const bfloat16>,
               std::span<const std::int64_t>, std::span<const std::int32_t>, std::span<const std::uint8_t>>
      values;
};

// write_safetensors("out.safetensors", {{"x", x}, {"w", w, DType::f16}}, {{"format", "pt"}})
inline void write_safetensors(const std::filesystem::path& path, const std::vector<TensorToWrite>& tensors,
                              const std::map<std::string, std::string>& metadata = {}) {
  std::vector<TensorSpec> specs;
  for (const TensorToWrite& t : tensors) specs.push_back(t.spec);
  SafetensorsWriter writer(path, std::move(specs), metadata);
  for (const TensorToWrite& t : tensors) std::visit([&](auto values) { writer.write(values); }, t.values);
  writer.commit();
}

}  // namespace inkling
