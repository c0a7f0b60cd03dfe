// What something costs: time and memory.
#pragma once
#include <chrono>
#include <cstddef>
#include <utility>

#include "inkling/core/memory.hpp"

namespace inkling {

// Seconds that work() takes, on the clock on the wall.
template <class Work>
double seconds_of(Work&& work) {
  const auto start = std::chrono::steady_clock::now();
  std::forward<Work>(work)();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
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
