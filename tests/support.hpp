// What the tests share: where the reference values lie, how far two results are apart, a folder that cleans itself up.
#pragma once
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>

#include "inkling/core/shape.hpp"

// The root of the source tree; the build sets it. By hand: -DINKLING_SOURCE_DIR='"/path/to/inkling"'.
#ifndef INKLING_SOURCE_DIR
#define INKLING_SOURCE_DIR "."
#endif

namespace inkling_test {

using inkling::Index;

inline std::filesystem::path source_dir() { return INKLING_SOURCE_DIR; }
inline bool have(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

inline std::filesystem::path folder_from(const char* variable, const char* name) {
  const char* value = std::getenv(variable);
  std::filesystem::path folder =
      value != nullptr && *value != '\0' ? std::filesystem::path(value) : source_dir() / ".." / "shared" / name;
  // A missing folder fails the test that asks for it: reference values that nobody compared with prove nothing.
  if (!have(folder))
    throw std::runtime_error("no folder " + folder.string() + " with the " + name + " files: set " + variable +
                             " to it, or " + variable + "=skip to leave out the test cases named \"" + name + ":...\"");
  return folder;
}

// Reference values recorded from other implementations. Test cases that use them are named "golden: ...".
inline std::filesystem::path golden_dir() { return folder_from("INKLING_GOLDEN", "golden"); }
// Real data sets and weights. Test cases that use them (and no reference values) are named "data: ...".
inline std::filesystem::path data_dir() { return folder_from("INKLING_DATA", "data"); }

// The largest difference between a result and its reference.
struct Worst {
  double error = 0;  // max |got - expected|; infinite where exactly one of the two is not a number
  double scale = 0;  // max |expected|
  Index at = 0;      // position of the largest error, counted in row-major order

  // The error as a share of the largest magnitude. An all-zero reference leaves the absolute error.
  double relative() const { return scale > 0 ? error / scale : error; }
};
inline std::ostream& operator<<(std::ostream& out, const Worst& w) {
  return out << "max error " << w.error << " (" << w.relative() << " of the largest magnitude " << w.scale
             << ") at element " << w.at;
}
inline std::string to_string(const Worst& w) {
  std::ostringstream out;
  out << w;
  return out.str();
}

// compare(got, expected): anything with data() and size(): Tensor, std::vector, std::span, of any two scalar types.
// Different sizes throw; two that are both empty compare equal.
template <class Got, class Expected>
Worst compare(const Got& got, const Expected& expected) {
  const Index n = static_cast<Index>(got.size());
  if (n != static_cast<Index>(expected.size()))
    throw std::runtime_error("compare: " + std::to_string(n) + " values against " + std::to_string(expected.size()));
  Worst worst;
  for (Index i = 0; i < n; ++i) {
    const double g = static_cast<double>(got.data()[i]), e = static_cast<double>(expected.data()[i]);
    double error = std::abs(g - e);
    if (g == e || (std::isnan(g) && std::isnan(e))) error = 0;  // also inf == inf, whose difference is NaN
    if (std::isnan(error)) error = std::numeric_limits<double>::infinity();
    if (error > worst.error) worst.error = error, worst.at = i;
    if (std::isfinite(e)) worst.scale = std::max(worst.scale, std::abs(e));
  }
  return worst;
}

// "(1, 0, 3, 2)": an element's position in a tensor of that shape.
template <std::size_t N>
std::string index_text(Index at, const inkling::Shape<N>& shape) {
  inkling::Shape<N> index{};
  for (std::size_t d = N; d-- > 0;) {
    if (shape[d] == 0) continue;
    index[d] = at % shape[d];
    at /= shape[d];
  }
  return inkling::to_string(index);
}

// A fresh folder, removed with all it holds at the end of the scope.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "inkling-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category(), name);
    path_ = name;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::filesystem::path& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace inkling_test
