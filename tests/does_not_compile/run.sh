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
passed=0 failed=0
fail() {
  echo "FAILED $1"
  failed=$((failed + 1))
}
for source in "$here"/*.cpp; do
  name=$(basename "$source")
  pattern=$(sed -n 's|^// refused: ||p' "$source")
  if [[ -z $pattern ]]; then
    fail "$name: no line \"// refused: PATTERN\""
  elif ! output=$("$compiler" "${flags[@]}" "$source" 2>&1); then
    fail "$name: the correct program is refused"
    head -n 20 <<<"$output"
  elif output=$("$compiler" "${flags[@]}" -DMISTAKE "$source" 2>&1); then
    fail "$name: the mistake compiles"
  elif ! grep -Eq "$pattern" <<<"$output"; then
    fail "$name: refused, but not for: $pattern"
    head -n 20 <<<"$output"
  else
    passed=$((passed + 1))
  fi
done
echo "test cases: $((passed + failed)) | $passed passed | $failed failed"
[[ $failed -eq 0 && $passed -gt 0 ]]
