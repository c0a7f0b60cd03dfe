// Threads pinned to processors of their own: as many as threads, one each, and only where nobody has decided otherwise.
#include "inkling/core/thread_affinity.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#if defined(__linux__) && defined(_OPENMP)
namespace {

cpu_set_t allowed_processors() {
  cpu_set_t set;
  REQUIRE(sched_getaffinity(0, sizeof set, &set) == 0);
  return set;
}

// The tests of a program share its threads: what they were allowed before comes back at the end.
struct Restore {
  cpu_set_t before = allowed_processors();
  int threads = inkling::num_threads();
  ~Restore() {
    inkling::set_num_threads(threads);
#pragma omp parallel
    sched_setaffinity(0, sizeof before, &before);
  }
};

}  // namespace

TEST_CASE("as many threads as processors: each keeps one of its own") {
  const Restore restore;
  const int processors = CPU_COUNT(&restore.before);
  unsetenv("OMP_PROC_BIND");
  unsetenv("OMP_PLACES");
  inkling::set_num_threads(processors);
  CHECK(inkling::pin_threads() == (processors > 1));
  std::set<int> taken;
  int widest = 0;
#pragma omp parallel num_threads(processors)
  {
    cpu_set_t own;
    sched_getaffinity(0, sizeof own, &own);
#pragma omp critical
    {
      widest = std::max(widest, CPU_COUNT(&own));
      for (int i = 0; i < CPU_SETSIZE; ++i)
        if (CPU_ISSET(i, &own)) taken.insert(i);
    }
  }
  CHECK(widest == 1);
  CHECK(static_cast<int>(taken.size()) == processors);
}

TEST_CASE("threads wander where there are fewer of them, or where the user has decided") {
  const Restore restore;
  const int processors = CPU_COUNT(&restore.before);
  unsetenv("OMP_PROC_BIND");
  inkling::set_num_threads(processors + 1);
  CHECK_FALSE(inkling::pin_threads());
  inkling::set_num_threads(processors);
  setenv("OMP_PROC_BIND", "false", 1);
  CHECK_FALSE(inkling::pin_threads());
  unsetenv("OMP_PROC_BIND");
  const cpu_set_t now = allowed_processors();
  CHECK(CPU_COUNT(&now) == processors);
}
#endif
