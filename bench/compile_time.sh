#!/usr/bin/env bash
# What including each public header costs: seconds and peak memory of a file that includes only it.
#
# Usage: bench/compile_time.sh [--compiler g++] [--flags "-O0"] [--limit 4] [HEADER...]
#
#   --compiler   default g++; for example clang++-14
#   --flags      default "-O0"
#   --limit      a header that takes more processor seconds is marked, and the exit status is 1 (default 4)
#   HEADER       for example inkling/models/unet.hpp; default: all
#
# Sorted, the dearest first. "seconds" is processor time, the same on a busy machine; "wait" is by the clock.
set -euo pipefail
die() {
  echo "$(basename "$0"): $*" >&2
  exit 2
}
root=$(cd "$(dirname "$0")/.." && pwd)
compiler=g++ flags=-O0 limit=4 headers=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --help | -h)
      sed -n '2,11s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    --compiler | --flags | --limit)
      [[ $# -ge 2 ]] || die "$1 needs a value"
      printf -v "${1#--}" '%s' "$2"
      shift
      ;;
    -*) die "unknown option $1 (try --help)" ;;
    *) headers+=("$1") ;;
  esac
  shift
done
[[ -x /usr/bin/time ]] || die "/usr/bin/time not found: apt-get install time"
command -v "$compiler" >/dev/null || die "no compiler $compiler"
if [[ ${#headers[@]} -eq 0 ]]; then
  while IFS= read -r header; do headers+=("${header#"$root/include/"}"); done \
    < <(find "$root/include" -name '*.hpp' | LC_ALL=C sort)
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
read -r -a flag_list <<<"$flags"
openmp=()
echo '#include <omp.h>' >"$work/omp.cpp"
if "$compiler" -fopenmp -fsyntax-only "$work/omp.cpp" 2>/dev/null; then openmp=(-fopenmp); fi

broken=0
for header in "${headers[@]}"; do
  echo "#include \"$header\"" >"$work/one.cpp"
  if /usr/bin/time -o "$work/time" -f '%U %S %e %M' "$compiler" -std=c++20 "${flag_list[@]}" "${openmp[@]}" \
    -I"$root/include" -isystem /usr/include/eigen3 -c "$work/one.cpp" -o "$work/one.o" 2>"$work/errors"; then
    read -r user system wait memory <"$work/time"
    echo "$user $system $wait $memory $header"
  else
    echo "does not compile: $header: $(grep -m1 error: "$work/errors" || head -n 1 "$work/errors")" >&2
    broken=1
  fi
done >"$work/table"

LC_ALL=C awk '{printf "%.2f %.2f %.0f %s\n", $1 + $2, $3, $4 / 1024, $5}' "$work/table" | LC_ALL=C sort -rn |
  awk -v limit="$limit" -v title="$compiler $flags" -v broken="$broken" '
    BEGIN {printf "%8s %8s %8s  header (%s)\n", "seconds", "wait", "MB", title}
    {
      over = $1 > limit
      printf "%8.2f %8.2f %8d  %s%s\n", $1, $2, $3, $4, over ? "   <- over the limit of " limit " s" : ""
      many += over
    }
    END {
      printf "%d headers, %d over %g s\n", NR, many, limit
      exit many > 0 || broken || NR == 0
    }'
