// Keeping every thread on a processor of its own. Each loop ends when its slowest thread does; where the system moves
// two threads onto one processor for a moment, all the others wait. A U-Net call of full size on two cores took 3.10 s
// with threads that wander and 2.85 s with pinned ones.
#pragma once
#include <cstdlib>
#include <vector>

#include "inkling/core/parallel.hpp"
#if defined(__linux__) && defined(_OPENMP)
#include <sched.h>
#endif

namespace inkling {

// Pins the threads of parallel_for, this one among them, if there are as many as processors this process may use.
// With fewer it does nothing (another process with few threads would pin itself to the same processors), nor where the
// user has decided (OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY, KMP_AFFINITY), nor outside of Linux. For programs to
// call once they have set the number of threads: a library does not pin its caller's threads unasked. Threads started
// later by this one inherit its processor. Returns whether threads are pinned.
inline bool pin_threads() {
#if defined(__linux__) && defined(_OPENMP)
  for (const char* name : {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"})
    if (std::getenv(name)) return false;
  cpu_set_t allowed;  // up to 1024 processors; the call fails on larger machines
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return false;
  std::vector<int> processors;
  for (int i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &allowed)) processors.push_back(i);
  const int threads = num_threads();
  if (threads < 2 || static_cast<std::size_t>(threads) != processors.size()) return false;
  int pinned = 0;
#pragma omp parallel num_threads(threads) reduction(+ : pinned)
  {
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(processors[static_cast<std::size_t>(omp_get_thread_num())], &own);
    pinned += sched_setaffinity(0, sizeof own, &own) == 0;
  }
  return pinned == threads;
#else
  return false;
#endif
}

}  // namespace inkling
