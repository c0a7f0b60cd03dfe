// Errors. Every error tells where it happened, what was expected, what was found instead, and what to do.
#pragma once
#include <stdexcept>
#include <string>
#include <string_view>

namespace inkling {

// Base of everything this library throws on a user's input. what() is one line:
//   "<where>: expected <expected>, got <got>; hint: <hint>"       (empty parts are left out)
class Error : public std::runtime_error {
 public:
  Error(std::string_view where, std::string_view expected, std::string_view got, std::string_view hint = {})
      : std::runtime_error(text(where, expected, got, hint)), where_(where) {}

  const std::string& where() const noexcept { return where_; }

 private:
  static std::string text(std::string_view where, std::string_view expected, std::string_view got,
                          std::string_view hint) {
    std::string s(where);
    if (!expected.empty()) s.append(": expected ").append(expected);
    if (!got.empty()) s.append(expected.empty() ? ": got " : ", got ").append(got);
    if (!hint.empty()) s.append("; hint: ").append(hint);
    return s;
  }
  std::string where_;
};

// Dimensions, ranks or sizes that do not fit together.
class ShapeError : public Error {
  using Error::Error;
};
// A weight file that does not fit the model: missing, unexpected or wrongly shaped tensors.
class LoadError : public Error {
  using Error::Error;
};
// A file that breaks its own format, or that cannot be read or written.
class FormatError : public Error {
  using Error::Error;
};
// A setting outside what makes sense: unknown sampler, width not a multiple of 8, NaN guidance.
class ConfigError : public Error {
  using Error::Error;
};
// The work was stopped on request (a progress callback returned false, Ctrl-C). Not the user's mistake.
class Stopped : public Error {
 public:
  explicit Stopped(std::string_view where) : Error(where, {}, "a request to stop") {}
};

}  // namespace inkling
