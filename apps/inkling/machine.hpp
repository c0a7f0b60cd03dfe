// What decides how long a picture takes, and how much memory it takes while.
#pragma once
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "../console.hpp"
#include "inkling/core/parallel.hpp"
#include "inkling/core/processor.hpp"

#ifndef INKLING_BUILD_TYPE
#define INKLING_BUILD_TYPE ""
#endif

namespace app {

// Instruction sets that this processor has and this program does not use.
inline std::string instructions_left_out() {
  return inkling::instruction_names([](const inkling::InstructionSet& s) { return s.available && !s.compiled; });
}

// "instructions AVX2, FMA (this processor also has AVX-512); 2 threads; optimised build, Release"
inline std::string machine_line() {
#if defined(__OPTIMIZE__)
  std::string build = "optimised build";
#elif defined(INKLING_COMPILED_KERNELS)
  std::string build = "optimised kernels, the rest not";
#else
  std::string build = "build without optimisation";
#endif
  if (const std::string type = INKLING_BUILD_TYPE; !type.empty()) build += ", " + type;
  const std::string left_out = instructions_left_out();
  const int threads = inkling::num_threads();
  return "instructions " + inkling::instruction_names([](const inkling::InstructionSet& s) { return s.compiled; }) +
         (left_out == "none" ? " (all that this processor has)" : " (this processor also has " + left_out + ")") + "; " +
         std::to_string(threads) + (threads == 1 ? " thread; " : " threads; ") + build;
}

// A program that lacks what makes it fast looks like any other, only slower. So it says so itself.
inline void warn_of_slow_build() {
#if !defined(__OPTIMIZE__) && !defined(INKLING_COMPILED_KERNELS)
  console::line("warning: this program was built without optimisation and is some twenty times slower than need be; "
                "configure with -DCMAKE_BUILD_TYPE=Release");
#endif
  if (const std::string left_out = instructions_left_out(); left_out != "none")
    console::line("warning: this program was built without " + left_out +
                  ", which this processor has, and is slower than need be; configure with -DINKLING_NATIVE=ON");
}

// Peak resident memory, stage by stage. Linux keeps one peak for a process and lets the process itself set it back to
// what is resident now (proc(5), clear_refs); where it does not, the peak of a stage is that since the start.
class PeakMemory {
 public:
  PeakMemory() { restart(); }
  // MiB since the last call.
  double lap() {
    const double peak = now();
    most_ = std::max(most_, peak);
    restart();
    return peak;
  }
  // MiB since the start.
  double most() const { return std::max(most_, now()); }

 private:
  static void restart() { std::ofstream("/proc/self/clear_refs") << "5"; }
  static double now() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
      if (double kib = 0; word == "VmHWM:" && status >> kib) return kib / 1024;
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024;  // Linux counts in KiB
  }
  double most_ = 0;
};

}  // namespace app
