// Work split over threads.
//
// Results never depend on the number of threads: every element of an output is computed by exactly one call of
// the body, in an order that is fixed by the loop inside that call. Sums over threads are therefore not offered.
#pragma once
#include <algorithm>
#include <exception>
#include <mutex>

#include "inkling/core/shape.hpp"
#ifdef _OPENMP
#include <omp.h>
#endif

namespace inkling {

// How many threads a parallel_for may use.
inline int num_threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}
inline void set_num_threads([[maybe_unused]] int n) {
  if (n < 1) throw ConfigError("set_num_threads", "at least 1", std::to_string(n));
#ifdef _OPENMP
  omp_set_num_threads(n);
#endif
}

namespace detail {

// The one place where a body is called, never inlined: a compiler that inlined the body twice, into the loop of one
// thread and into that of many, could fuse multiplications and additions differently in the two, and the last bit of
// a result would tell the number of threads.
#if defined(__clang__)
#define INKLING_ONE_COPY __attribute__((noinline))
#elif defined(__GNUC__)
#define INKLING_ONE_COPY __attribute__((noinline, noclone))
#elif defined(_MSC_VER)
#define INKLING_ONE_COPY __declspec(noinline)
#else
#define INKLING_ONE_COPY
#endif
template <class Body>
INKLING_ONE_COPY void call_body(Body& body, Index i) {
  body(i);
}

}  // namespace detail

// body(i) for every i in [0, count), on several threads. `work` is a guess of the multiply-adds of one call: a loop
// too small to pay for waking threads runs here. An exception in the body is thrown again in the caller.
//
// Threads take neighbouring i, a share of them at a time: up to 8 shares for each thread, as one core may be slower than
// another, but none that is not worth the taking.
template <class Body>
void parallel_for(Index count, Index work, Body&& body) {
#ifdef _OPENMP
  constexpr Index worth_a_thread = 20000;  // waking a team costs about 5 microseconds, 10^4 multiply-adds
  if (count > 1 && count * work >= worth_a_thread && num_threads() > 1 && !omp_in_parallel()) {
    const Index threads = num_threads();
    const Index shares = std::clamp(count * work / worth_a_thread, threads, 8 * threads);
    const Index share = (count + shares - 1) / shares;
    std::exception_ptr error;
    std::mutex mutex;
#pragma omp parallel for schedule(dynamic, share)
    for (Index i = 0; i < count; ++i) {
      try {
        detail::call_body(body, i);
      } catch (...) {
        std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
      }
    }
    if (error) std::rethrow_exception(error);
    return;
  }
#endif
  (void)work;
  for (Index i = 0; i < count; ++i) detail::call_body(body, i);
}

// The same, but the threads take one i after another as they become free: for calls of very different length.
template <class Body>
void parallel_for_dynamic(Index count, Body&& body) {
#ifdef _OPENMP
  if (count > 1 && num_threads() > 1 && !omp_in_parallel()) {
    std::exception_ptr error;
    std::mutex mutex;
#pragma omp parallel for schedule(dynamic, 1)
    for (Index i = 0; i < count; ++i) {
      try {
        detail::call_body(body, i);
      } catch (...) {
        std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
      }
    }
    if (error) std::rethrow_exception(error);
    return;
  }
#endif
  for (Index i = 0; i < count; ++i) detail::call_body(body, i);
}

}  // namespace inkling
