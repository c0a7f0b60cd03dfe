// The entry point of every test program.
//
// Two things differ from doctest's own main. A run in which no test case ran is a failure: a filter with a typing
// error must not look like success. And INKLING_GOLDEN=skip / INKLING_DATA=skip leave out the test cases that need
// those folders, which are the ones whose names start with "golden:" / "data:"; what is left out is said aloud, and
// a program with nothing left to run exits with 77, which CTest shows as "Skipped".
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>
#include <string_view>

namespace {

unsigned test_cases_run = 0;

struct CountRuns : doctest::IReporter {
  explicit CountRuns(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats& stats) override { test_cases_run = stats.numTestCasesPassingFilters; }
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};

bool asked_to_skip(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::string_view(value) == "skip";
}

}  // namespace

REGISTER_LISTENER("count_runs", 1, CountRuns);

int main(int argc, char** argv) {
  doctest::Context context;
  context.applyCommandLine(argc, argv);
  bool skipping = false;
  if (asked_to_skip("INKLING_GOLDEN")) {
    context.addFilter("test-case-exclude", "golden:*");
    std::cout << "skipped: test cases named \"golden:...\" (INKLING_GOLDEN=skip)\n";
    skipping = true;
  }
  if (asked_to_skip("INKLING_DATA")) {
    context.addFilter("test-case-exclude", "data:*");
    std::cout << "skipped: test cases named \"data:...\" (INKLING_DATA=skip)\n";
    skipping = true;
  }
  const int failures = context.run();
  if (context.shouldExit() || failures != 0 || test_cases_run > 0) return failures;
  if (skipping) return 77;
  std::cerr << "no test case ran: does the filter match any?\n";
  return 1;
}
