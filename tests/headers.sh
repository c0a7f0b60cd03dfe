#!/usr/bin/env bash
# Every public header must compile alone, and twice in a row, with warnings as errors.
# With --together all of them are compiled at once instead, in order and backwards, which is quick.
# Usage: tests/headers.sh COMPILER [--together | HEADER...]   INKLING_INCLUDE_FLAGS: where the dependencies lie
set -euo pipefail
if [[ $# -lt 1 || $1 == --help ]]; then
  sed -n '2,4s/^# //p' "$0"
  exit $(($# < 1))
fi
compiler=$1
shift
root=$(cd "$(dirname "$0")/.." && pwd)
read -r -a includes <<<"${INKLING_INCLUDE_FLAGS:--I$root/include -isystem /usr/include/eigen3}"
flags=(-std=c++20 -O0 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror "${includes[@]}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# OpenMP changes what the headers hold; a compiler without it still has to accept them.
echo '#include <omp.h>' >"$work/omp.cpp"
if "$compiler" -fopenmp -fsyntax-only "$work/omp.cpp" 2>/dev/null; then flags+=(-fopenmp); fi
# ccache remembers compilations, not syntax checks. With it the object file costs little and the next run nothing.
launcher=()
if command -v ccache >/dev/null; then launcher=(ccache); fi

together=0
if [[ ${1:-} == --together ]]; then
  together=1
  shift
fi
headers=("$@")
if [[ ${#headers[@]} -eq 0 ]]; then
  while IFS= read -r header; do headers+=("${header#"$root/include/"}"); done \
    < <(find "$root/include" -name '*.hpp' | LC_ALL=C sort)
fi
if [[ ${#headers[@]} -eq 0 ]]; then
  echo "no header under $root/include" >&2
  exit 1
fi

if [[ $together -eq 1 ]]; then
  # Backwards, a header comes before those that it needs and does not include.
  printf '#include "%s"\n' "${headers[@]}" >"$work/all.cpp"
  tac "$work/all.cpp" >"$work/backwards.cpp"
  "$compiler" "${flags[@]}" -fsyntax-only "$work/all.cpp"
  "$compiler" "${flags[@]}" -fsyntax-only "$work/backwards.cpp"
  exit 0
fi

check() {
  local header=$1 name=${1//\//_}
  printf '#include "%s"\n#include "%s"\n' "$header" "$header" >"$work/$name.cpp"
  if [[ ${#launcher[@]} -gt 0 ]]; then
    "${launcher[@]}" "$compiler" "${flags[@]}" -c "$work/$name.cpp" -o "$work/$name.o" >"$work/$name.log" 2>&1
  else
    "$compiler" "${flags[@]}" -fsyntax-only "$work/$name.cpp" >"$work/$name.log" 2>&1
  fi || touch "$work/$name.failed"
  rm -f "$work/$name.o"
}
# ccache keys on the path of the source unless told that only its text counts.
export CCACHE_BASEDIR=$work CCACHE_NOHASHDIR=1
for header in "${headers[@]}"; do
  while [[ $(jobs -rp | wc -l) -ge 2 ]]; do wait -n || true; done
  check "$header" &
done
wait

failed=0
for header in "${headers[@]}"; do
  name=${header//\//_}
  if [[ -e $work/$name.failed ]]; then
    echo "FAILED $header"
    head -n 25 "$work/$name.log"
    failed=$((failed + 1))
  fi
done
echo "test cases: ${#headers[@]} | $((${#headers[@]} - failed)) passed | $failed failed"
[[ $failed -eq 0 ]]
