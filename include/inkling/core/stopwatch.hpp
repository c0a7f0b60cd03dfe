// What something costs: time and memory.
#pragma once
#include <chrono>
#include <cstddef>
#include <utility>

#include "inkling/core/memory.hpp"

namespace inkling {

// Seconds on the clock on the wall.
class Stopwatch {
 public:
  // Seconds since the last call, or since the start.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    return std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};
// Those that work() takes.
template <class Work>
double seconds_of(Work&& work) {
  Stopwatch watch;
  std::forward<Work>(work)();
  return watch.lap();
}
// Memory of tensors that work() holds at most, beyond what was held before it; in bytes. The pool's waiting blocks are
// given back first.
template <class Work>
std::size_t memory_of(Work&& work) {
  MemoryPool::instance().release();
  const std::size_t before = MemoryPool::instance().most_used();
  std::forward<Work>(work)();
  return MemoryPool::instance().most_used() - before;
}

}  // namespace inkling
