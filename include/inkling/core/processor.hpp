// Which vector instructions this program was compiled for, and which the processor at hand has: a program that silently
// lacks them is several times slower than it need be.
#pragma once
#include <string>
#include <vector>

namespace inkling {

struct InstructionSet {
  const char* name;
  bool compiled;   // the compiler may use it
  bool available;  // this processor has it
};

// Those that the kernels use, the older first.
inline std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets;
#if defined(__aarch64__) || defined(__ARM_NEON)
  sets.push_back({"NEON", true, true});  // compiled in means present: the program runs
#elif defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#if defined(__SSE2__)
  sets.push_back({"SSE2", true, true});
#endif
#define INKLING_INSTRUCTION_SET(name, macro, builtin_name) \
  sets.push_back({name, macro, __builtin_cpu_supports(builtin_name) != 0})
#ifdef __SSE4_2__
  INKLING_INSTRUCTION_SET("SSE4.2", true, "sse4.2");
#else
  INKLING_INSTRUCTION_SET("SSE4.2", false, "sse4.2");
#endif
#ifdef __AVX2__
  INKLING_INSTRUCTION_SET("AVX2", true, "avx2");
#else
  INKLING_INSTRUCTION_SET("AVX2", false, "avx2");
#endif
#ifdef __FMA__
  INKLING_INSTRUCTION_SET("FMA", true, "fma");
#else
  INKLING_INSTRUCTION_SET("FMA", false, "fma");
#endif
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
  INKLING_INSTRUCTION_SET("AVX-512", true, "avx512vl");
#else
  INKLING_INSTRUCTION_SET("AVX-512", false, "avx512vl");
#endif
#ifdef __AVX512BF16__
  INKLING_INSTRUCTION_SET("AVX-512 BF16", true, "avx512bf16");
#else
  INKLING_INSTRUCTION_SET("AVX-512 BF16", false, "avx512bf16");
#endif
#ifdef __AVX512VNNI__
  INKLING_INSTRUCTION_SET("AVX-512 VNNI", true, "avx512vnni");
#else
  INKLING_INSTRUCTION_SET("AVX-512 VNNI", false, "avx512vnni");
#endif
#undef INKLING_INSTRUCTION_SET
#endif
  return sets;
}

// "AVX2, FMA", of those sets that `wanted` picks; "none" where there are none.
template <class Wanted>
std::string instruction_names(Wanted&& wanted) {
  std::string names;
  for (const InstructionSet& s : instruction_sets())
    if (wanted(s)) names += (names.empty() ? "" : ", ") + std::string(s.name);
  return names.empty() ? "none" : names;
}

}  // namespace inkling
