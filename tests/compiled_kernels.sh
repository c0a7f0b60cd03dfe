#!/usr/bin/env bash
# The library of compiled kernels is complete: every kernel that kernels.hpp names is in it, as reference and as fast
# version, and objects of programs that link it have none of their own. A program compiled with other flags does not link.
# Usage: tests/compiled_kernels.sh COMPILER LIBRARY OBJECT...   INKLING_INCLUDE_FLAGS: where the dependencies lie
set -euo pipefail
if [[ $# -lt 3 ]]; then
  sed -n '2,4s/^# //p' "$0"
  exit 1
fi
root=$(cd "$(dirname "$0")/.." && pwd)
compiler=$1
library=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
fail() {
  failed=$((failed + 1))
  echo "FAILED $1"
}
# fast::conv2d<float> in a file, where templates on float begin with "fast 6conv2d I f" (the C++ ABI's mangled names).
defined_in() { nm --defined-only "$@" 2>/dev/null | sed -nE 's/^[0-9a-f]* [TWuti] _ZN7inkling7kernels//p'; }
# clang 18 and later put the concept of a constrained T before it: ITkSt7same_asIfEf.
mangled() {  # mangled fast|reference NAME
  echo "^${#1}$1${#2}$2I\\(Tk.*E\\)\\{0,1\\}f"
}

defined_in "$library" >"$work/library"
names="timestep_embedding $(sed -nE 's/^INKLING_KERNEL\((.*)\)$/\1/p' \
  "$root/include/inkling/kernels/kernels.hpp" | xargs)"
[[ $(wc -w <<<"$names") -gt 50 ]] || fail "the names of the kernels in kernels.hpp"
# These are a few lines each around packed_linear and conv2d_into, which are in the library.
around=" linear_add linear_activation linear_geglu conv2d_add conv2d_activation "
for name in $names; do
  if [[ $around == *" $name "* ]]; then continue; fi
  for place in fast reference; do
    if grep -q "$(mangled $place "$name")" "$work/library"; then
      passed=$((passed + 1))
    else
      fail "$place::$name is not in the library: add it to include/inkling/kernels/instantiations.hpp"
    fi
  done
done

for object in "$@"; do
  defined_in "$object" >"$work/object"
  for name in $names gemm mixed_gemm conv2d_into row_function; do
    for place in fast reference; do
      if grep -q "$(mangled $place "$name")" "$work/object"; then
        fail "$(basename "$object") compiles $place::$name itself: add it to include/inkling/kernels/instantiations.hpp"
      else
        passed=$((passed + 1))
      fi
    done
  done
done
# The name says what the library has; the last of its three numbers is OpenMP.
alike=$(nm --defined-only "$library" 2>/dev/null | sed -nE 's/.* (_ZN7inkling7kernels47library_compiled_with_.*)/\1/p')
other=-fopenmp
if [[ $alike == *ELb1EEEiv ]]; then
  other=-fno-openmp
elif ! echo '#include <omp.h>' | "$compiler" -x c++ -fopenmp -fsyntax-only - 2>/dev/null; then
  other=-march=x86-64  # a compiler without OpenMP: other registers then
  if [[ $alike == *ILl16E* ]]; then other=-march=x86-64-v3; fi
fi
echo 'int main() {}' | cat <(echo '#include <inkling/kernels/kernels.hpp>') - >"$work/other.cpp"
read -r -a includes <<<"${INKLING_INCLUDE_FLAGS:--I$root/include -isystem /usr/include/eigen3}"
if [[ $(wc -w <<<"$alike") -ne 1 ]]; then
  fail "the library tells its flags once: got '$alike'"
elif [[ $(nm -u "$1") != *"$alike"* ]]; then
  fail "$(basename "$1") does not ask for the library's flags, $alike"
elif "$compiler" -std=c++20 -DINKLING_COMPILED_KERNELS $other "${includes[@]}" "$work/other.cpp" "$library" -lz -lpthread \
  -o "$work/other" >"$work/link.txt" 2>&1; then
  fail "a program with $other links the library $alike"
elif ! grep -q 'undefined reference.*same_march_and_openmp' "$work/link.txt"; then
  fail "a program with $other does not link, for another reason: $(head -n 5 "$work/link.txt")"
else
  passed=$((passed + 3))
fi
echo "test cases: $((passed + failed)) | $passed passed | $failed failed"
[[ $failed -eq 0 ]]
