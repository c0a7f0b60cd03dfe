// safetensors files: reading through a memory map, writing whole or not at all.
//
//   8 bytes   length of the header, little-endian
//   header    json: per tensor its dtype, shape and byte range; and text under "__metadata__"
//   data      the tensors, row-major, little-endian, without gaps
#pragma once
#include <functional>
#include <optional>
#include <unordered_map>

#include "inkling/core/parallel.hpp"
#include "inkling/core/tensor.hpp"
#include "inkling/io/mapped_file.hpp"
#include "inkling/io/nearest_name.hpp"
#include "inkling/io/safetensors_header.hpp"

namespace inkling {

// Whether integers in a file may be read into a tensor of floating-point numbers.
enum class Integers { only_to_integers, to_any };

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path)
      : file_(path), header_(parse_safetensors_header(path.string(), file_.bytes())) {
    for (std::size_t i = 0; i < header_.entries.size(); ++i) index_.emplace(header_.entries[i].name, i);
  }

  const std::filesystem::path& path() const noexcept { return file_.path(); }
  const std::vector<TensorEntry>& entries() const noexcept { return header_.entries; }
  const std::map<std::string, std::string>& metadata() const noexcept { return header_.metadata; }
  // Throws FormatError when there is no such key.
  const std::string& metadata(const std::string& key) const {
    const auto found = header_.metadata.find(key);
    if (found == header_.metadata.end()) throw FormatError(where(), "metadata \"" + key + "\"", "none of that name");
    return found->second;
  }
  bool contains(const std::string& name) const { return index_.contains(name); }

  // Throws LoadError when there is no such tensor.
  const TensorEntry& entry(const std::string& name) const {
    const auto found = index_.find(name);
    if (found != index_.end()) return header_.entries[found->second];
    std::vector<std::string> names;
    for (const TensorEntry& e : header_.entries) names.push_back(e.name);
    const std::string nearest = nearest_name(name, names);
    throw LoadError(where(), "tensor \"" + name + "\"", "none of that name",
                    nearest.empty() ? "" : "there is \"" + printable(nearest) + "\"");
  }
  const std::vector<Index>& shape(const std::string& name) const { return entry(name).shape; }
  // The bytes in the file. They need not lie at a multiple of the element's size.
  std::span<const std::byte> bytes(const std::string& name) const {
    const TensorEntry& e = entry(name);
    return file_.bytes().subspan(e.begin, e.end - e.begin);
  }

  // Tensor `name` as T, exactly N dimensions. Floating-point types convert into each other, rounding to nearest.
  template <class T, std::size_t N>
  Tensor<T, N> read(const std::string& name, Integers integers = Integers::only_to_integers) const {
    const TensorEntry& e = entry(name);
    if (e.shape.size() != N) throw ShapeError(where(name), std::to_string(N) + " dimensions", to_string(e.shape));
    Shape<N> shape{};
    for (std::size_t d = 0; d < N; ++d) shape[d] = e.shape[d];
    Tensor<T, N> out(shape, uninitialized);
    read(name, out.span(), integers);
    return out;
  }
  // The same into memory that is there already; as many elements as the tensor has.
  template <class T>
  void read(const std::string& name, std::span<T> out, Integers integers = Integers::only_to_integers) const {
    const TensorEntry& e = entry(name);
    if (static_cast<Index>(out.size()) != e.size())
      throw ShapeError(where(name), std::to_string(out.size()) + " elements", to_string(e.shape));
    read_part(name, 0, out, integers);
  }
  // out.size() elements from number `first` on.
  template <class T>
  void read_part(const std::string& name, Index first, std::span<T> out,
                 Integers integers = Integers::only_to_integers) const {
    const TensorEntry& e = entry(name);
    if (first < 0 || first > e.size() || static_cast<Index>(out.size()) > e.size() - first)
      throw ShapeError(where(name), "elements of " + to_string(e.shape),
                       std::to_string(out.size()) + " from " + std::to_string(first));
    check_type<T>(e, integers);
    const auto width = static_cast<std::size_t>(info(e.dtype).bytes);
    const std::size_t begin = e.begin + static_cast<std::size_t>(first) * width;
    const std::byte* source = file_.bytes().data() + begin;
    constexpr std::size_t block = std::size_t{1} << 18;  // elements a thread takes at once
    parallel_for(static_cast<Index>((out.size() + block - 1) / block), static_cast<Index>(block), [&](Index b) {
      const std::size_t at = static_cast<std::size_t>(b) * block;
      convert_from(e.dtype, source + at * width, out.subspan(at, std::min(block, out.size() - at)));
    });
    file_.release_pages(begin, begin + out.size() * width);
  }
  void release_pages() const noexcept { file_.release_pages(0, file_.size()); }

 private:
  std::string where() const { return path().string(); }
  std::string where(const std::string& name) const { return where() + ": tensor \"" + printable(name) + "\""; }

  template <class T>
  void check_type(const TensorEntry& e, Integers integers) const {
    const bool floating_file = info(e.dtype).floating, floating_memory = info(dtype_of<T>()).floating;
    if (floating_file && !floating_memory) throw FormatError(where(e.name), "an integer type", to_string(e.dtype));
    if (!floating_file && floating_memory && integers == Integers::only_to_integers)
      throw FormatError(where(e.name), "a floating-point type", to_string(e.dtype));
    if (!floating_file && !floating_memory && info(e.dtype).bytes > static_cast<Index>(sizeof(T)))
      throw FormatError(where(e.name), "integers of at most " + std::to_string(sizeof(T)) + " bytes",
                        to_string(e.dtype), "read it as int64");
  }

  MappedFile file_;
  SafetensorsHeader header_;
  std::unordered_map<std::string, std::size_t> index_;
};

}  // namespace inkling
