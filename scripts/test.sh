#!/usr/bin/env bash
# Installs what is missing, builds everything into build/, runs every test. The last line is "N passed, N failed".
#
# Usage: scripts/test.sh [CTEST OPTION...]         for example scripts/test.sh -R tensor, scripts/test.sh -L golden
#
#   INKLING_GOLDEN   folder of the recorded reference values (default ../shared/golden); "skip" leaves those tests out
#   INKLING_DATA     folder of data sets and weights (default ../shared/data); "skip" likewise
#   CXX              the compiler
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  sed -n '2,8s/^# \{0,1\}//p' "$0"
  exit 0
fi

"$root/scripts/install_dependencies.sh" --all
jobs=$(jobs_that_fit)
configure -DINKLING_BUILD_APPS=ON -DINKLING_BUILD_TESTS=ON -DINKLING_BUILD_EXAMPLES=ON -DINKLING_BUILD_BENCH=ON

# A file that does not compile must not hide the results of the others: build all that can be built, run it, and count
# the broken build as a failure.
built=0
begin=$SECONDS
keep_going=()
if [[ -e $root/build/build.ninja ]]; then keep_going=(-- -k 0); fi
cmake --build "$root/build" --parallel "$jobs" "${keep_going[@]}" || built=$?
echo "built in $((SECONDS - begin)) s"

results=$root/build/results.xml
rm -f "$results"
# CTest's own summary counts programs; the test cases inside them are counted below.
ctest --test-dir "$root/build" --output-on-failure --no-tests=error --parallel "$jobs" --output-junit "$results" \
  --test-output-size-passed 100000 --test-output-size-failed 100000 "$@" || true

counts=$(if [[ -e $results ]]; then cat "$results"; fi | awk -f "$root/scripts/count_tests.awk")
read -r passed failed skipped <<<"$counts"
if [[ $built -ne 0 ]]; then
  echo "FAILED the build (see above)" >&2
  failed=$((failed + 1))
fi
if [[ $skipped -gt 0 ]]; then echo "$skipped skipped"; fi
echo "$passed passed, $failed failed"
[[ $failed -eq 0 && $passed -gt 0 ]]
