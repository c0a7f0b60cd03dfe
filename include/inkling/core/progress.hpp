// Progress of long work, and a way to stop it.
#pragma once
#include <functional>
#include <string_view>

#include "inkling/core/shape.hpp"

namespace inkling {

struct Progress {
  std::string_view stage;  // "denoise", "decode", "train"
  Index done = 0, total = 0;
};

// Called after every unit of work. Returning false stops the work, which then throws Stopped.
using ProgressCallback = std::function<bool(const Progress&)>;

inline void report(const ProgressCallback& callback, const Progress& progress) {
  if (callback && !callback(progress)) throw Stopped(progress.stage);
}

}  // namespace inkling
