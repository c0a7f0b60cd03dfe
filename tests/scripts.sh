#!/usr/bin/env bash
# The scripts' own tests: how results are counted, and that every script explains itself.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
passed=0 failed=0
expect() {  # expect NAME EXPECTED GOT
  if [[ $2 == "$3" ]]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED $1: expected \"$2\", got \"$3\""
  fi
}
report() {  # report STATUS TEXT: one test in the form of CTest's report
  printf '<testcase name="t" classname="t" time="0" status="%s">\n<system-out>%s\n</testcase>\n' "$1" "$2"
}
count() { awk -f "$root/scripts/count_tests.awk" 2>/dev/null; }

expect "nothing ran" "0 0 0" "$(count </dev/null)"
expect "test cases" "22 0 0" "$(report run '[doctest] test cases:   22 |   22 passed | 0 failed | 0 skipped' | count)"
expect "some failed" "3 2 0" "$(report fail '[doctest] test cases: 5 | 3 passed | 2 failed | 0 skipped' | count)"
expect "died without a word" "0 1 0" "$(report fail 'Segmentation fault' | count)"
expect "died after all passed" "5 1 0" "$(report fail '[doctest] test cases: 5 | 5 passed | 0 failed' | count)"
expect "a program without test cases" "1 0 0" "$(report run 'drew three pictures' | count)"
expect "never built" "0 1 0" "$(report notrun '<skipped message="Unable to find executable"/>' | count)"
expect "left out on purpose" "0 0 1" "$(report notrun '
<skipped message="SKIP_RETURN_CODE=77"/>' | count)"
expect "several" "8 3 0" "$({
  report run 'test cases: 5 | 5 passed | 0 failed'
  report fail 'test cases: 5 | 3 passed | 2 failed'
  report fail ''
} | count)"

for script in "$root"/scripts/*.sh "$root"/bench/*.sh; do
  if [[ ! -x $script ]]; then continue; fi
  expect "$(basename "$script") --help" "Usage:" "$("$script" --help | grep -o 'Usage:' | head -n 1)"
done
expect "unknown argument" 1 "$("$root/scripts/install_dependencies.sh" --nonsense 2>/dev/null || echo $?)"

echo "test cases: $((passed + failed)) | $passed passed | $failed failed"
[[ $failed -eq 0 ]]
