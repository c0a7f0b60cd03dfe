#!/usr/bin/env bash
# What must not compile does not. Each *.cpp here holds a mistake under #ifdef MISTAKE and, in the #else branch, the
# nearest correct program. The correct one has to compile (or the mistake might be refused for some other reason), the
# mistake must not, and the compiler's words must match the pattern in the file's line "// refused: PATTERN".
# Usage: tests/does_not_compile/run.sh COMPILER            INKLING_INCLUDE_FLAGS: where the dependencies lie
set -euo pipefail
if [[ $# -ne 1 || $1 == --help ]]; then
  sed -n '2,5s/^# //p' "$0"
  exit 1
fi
compiler=$1
here=$(cd "$(dirname "$0")" && pwd)
read -r -a includes <<<"${INKLING_INCLUDE_FLAGS:--I$here/../../include -isystem /usr/include/eigen3}"
flags=(-std=c++20 -fsyntax-only "${includes[@]}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# All the correct programs at once, each in a namespace of its own: that saves a dozen compiler runs.
{
  grep -h '^#include <' "$here"/*.cpp | sort -u
  grep -h '^#include "' "$here"/*.cpp | sort -u
  for source in "$here"/*.cpp; do
    printf 'namespace %s {\n#include "%s"\n}\n' "$(basename "$source" .cpp)" "$source"
  done
} >"$work/correct.cpp"
if ! "$compiler" "${flags[@]}" "$work/correct.cpp"; then
  echo "FAILED: the correct programs are refused"
  exit 1
fi

check() {
  local source=$1 name pattern output
  name=$(basename "$source")
  pattern=$(sed -n 's|^// refused: ||p' "$source")
  if [[ -z $pattern ]]; then
    echo "$name: no line \"// refused: PATTERN\""
  elif output=$("$compiler" "${flags[@]}" -DMISTAKE "$source" 2>&1); then
    echo "$name: the mistake compiles"
  elif ! grep -Eq "$pattern" <<<"$output"; then
    echo "$name: refused, but not for: $pattern"
    head -n 20 <<<"$output"
  fi >"$work/$name.problem"
}
for source in "$here"/*.cpp; do
  while [[ $(jobs -rp | wc -l) -ge 2 ]]; do wait -n || true; done
  check "$source" &
done
wait

passed=0 failed=0
for problem in "$work"/*.problem; do
  if [[ -s $problem ]]; then
    echo "FAILED $(cat "$problem")"
    failed=$((failed + 1))
  else
    passed=$((passed + 1))
  fi
done
echo "test cases: $((passed + failed)) | $passed passed | $failed failed"
[[ $failed -eq 0 && $passed -gt 0 ]]
