#!/usr/bin/env bash
# The C++ of README.md compiles: every block between ```cpp and ``` that has a main().
# Usage: tests/readme.sh COMPILER            INKLING_INCLUDE_FLAGS: where the dependencies lie
set -euo pipefail
if [[ $# -ne 1 || $1 == --help ]]; then
  sed -n '2,3s/^# //p' "$0"
  exit 1
fi
compiler=$1
root=$(cd "$(dirname "$0")/.." && pwd)
read -r -a includes <<<"${INKLING_INCLUDE_FLAGS:--I$root/include -isystem /usr/include/eigen3}"
if [[ ! -e $root/README.md ]]; then
  echo "no README.md yet"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk -v folder="$work" '/^```cpp/ {file = folder "/block" ++n ".cpp"; next} /^```/ {file = ""} file {print > file}' \
  "$root/README.md"
passed=0 failed=0
for block in "$work"/block*.cpp; do
  if [[ ! -e $block ]] || ! grep -q 'int main' "$block"; then continue; fi
  if "$compiler" -std=c++20 -fsyntax-only -Wall -Wextra -Werror "${includes[@]}" "$block"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    cat "$block"
  fi
done
echo "test cases: $((passed + failed)) | $passed passed | $failed failed"
[[ $failed -eq 0 && $passed -gt 0 ]]
