// One measured case a line: time, rate, and the share of what the machine can do.
//
// Google Benchmark runs the cases and writes --benchmark_out; here stand what they share: the clocks around a call, the
// median over the repetitions, and the table.
#pragma once
#include "peaks.hpp"  // first

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "inkling/core/memory.hpp"

namespace inkling_bench {

struct Case {
  std::string name;
  double work = 0;                            // of one call: operations, or bytes where memory is the limit
  Rate roof;                                  // the most of it in a second: GFLOP/s, or GB/s
  bool memory = false;                        // work counts bytes
  std::function<std::function<void()>()> make;  // prepares operands; calling its result is what is measured
  double flops = 0, bytes = 0;                // of one call, for the roofline
};

struct Result {
  Case what;
  double seconds = 0, rate = 0, of_peak = 0, of_core = 0;  // medians over the repetitions; of_core: the best
};

class Session {
 public:
  static Session& instance() {
    static Session session;
    return session;
  }
  std::vector<Case> cases;
  std::vector<Result> results;

  void add(Case c) {
    const std::size_t at = cases.size();
    // So many calls that a repetition takes about 20 ms at half of the roof.
    const double seconds = 1e-9 * c.work / std::max(1e-9, 0.5 * c.roof.all);
    const auto calls = static_cast<benchmark::IterationCount>(std::clamp(0.02 / seconds, 1.0, 2000.0));
    benchmark::RegisterBenchmark(c.name.c_str(), [at](benchmark::State& state) { instance().measure(at, state); })
        ->Iterations(calls)
        ->UseRealTime()
        ->MeasureProcessCPUTime()
        ->Unit(benchmark::kMillisecond);
    cases.push_back(std::move(c));
  }

 private:
  std::function<void()> kernel_;
  std::size_t prepared_ = static_cast<std::size_t>(-1);

  void measure(std::size_t at, benchmark::State& state) {
    const Case& c = cases[at];
    if (prepared_ != at) {  // operands are kept over the repetitions, and only those of one case
      kernel_ = nullptr;
      inkling::MemoryPool::instance().release();
      kernel_ = c.make();
      kernel_();  // memory is there, weights are packed
      prepared_ = at;
    }
    const double core = processor_seconds(), wall = wall_seconds();
    for (auto _ : state) kernel_();
    const auto calls = static_cast<double>(state.iterations());
    const double seconds = (wall_seconds() - wall) / calls, core_seconds = (processor_seconds() - core) / calls;
    state.counters["seconds"] = seconds;
    state.counters[c.memory ? "GB/s" : "GFLOP/s"] = 1e-9 * c.work / seconds;
    state.counters["of_peak"] = 1e-9 * c.work / seconds / c.roof.all;
    state.counters["of_core"] = 1e-9 * c.work / core_seconds / c.roof.core;
  }
};

inline double median(std::vector<double> v) {
  if (v.empty()) return 0;
  std::sort(v.begin(), v.end());
  const std::size_t n = v.size();
  return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

class Table : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override {
    Peaks::measured().print(stdout);
    std::printf("\n%-52s %10s %9s %8s %8s %8s\n", "median of the repetitions", "ms", "rate", "", "of peak", "of core");
    std::fflush(stdout);
    return true;
  }
  void ReportRuns(const std::vector<Run>& runs) override {
    std::vector<double> seconds, rate, of_peak, of_core;
    const Case* found = nullptr;
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration) continue;
      if (run.error_occurred) {
        std::printf("%-52s %s\n", run.run_name.function_name.c_str(), run.error_message.c_str());
        return;
      }
      for (const Case& c : Session::instance().cases)
        if (c.name == run.run_name.function_name) found = &c;
      if (!found) return;
      seconds.push_back(run.counters.at("seconds"));
      rate.push_back(run.counters.at(found->memory ? "GB/s" : "GFLOP/s"));
      of_peak.push_back(run.counters.at("of_peak"));
      of_core.push_back(run.counters.at("of_core"));
    }
    if (!found) return;
    const Result r{*found, median(seconds), median(rate), median(of_peak),
                   *std::max_element(of_core.begin(), of_core.end())};
    std::printf("%-52s %10.3f %9.1f %-8s %7.1f%% %7.1f%%\n", r.what.name.c_str(), 1e3 * r.seconds, r.rate,
                r.what.memory ? "GB/s" : "GFLOP/s", 100 * r.of_peak, 100 * r.of_core);
    std::fflush(stdout);
    Session::instance().results.push_back(r);
  }
};

// Runs what is registered; five repetitions where the arguments ask for no other number.
inline bool run_benchmarks(std::vector<std::string> arguments, Table& table) {
  arguments.insert(arguments.begin() + 1, "--benchmark_repetitions=5");
  std::vector<char*> argv;
  for (std::string& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  int argc = static_cast<int>(arguments.size());
  benchmark::Initialize(&argc, argv.data());
  if (benchmark::ReportUnrecognizedArguments(argc, argv.data())) return false;
  benchmark::RunSpecifiedBenchmarks(&table);
  return true;
}

}  // namespace inkling_bench
