#!/usr/bin/env bash
# Runs the tests as on processors that have fewer instructions than this one. The last line is "N passed, N failed", of
# programs.
#
# Usage: scripts/test_machines.sh [MACHINE...]     default: x86-64-v3 x86-64 scalar
#
#   x86-64-v3   AVX2, fused multiply-add
#   x86-64      SSE2
#   scalar      no vectors at all (INKLING_NO_SIMD)
#   arm64       NEON, emulated by qemu, which is slow: the tests of the kernels only.
#               On Debian and Ubuntu: apt-get install g++-12-aarch64-linux-gnu qemu-user
#
# The first three build all but the examples and benchmarks into build/machines/MACHINE, 10 to 15 minutes each on two cores.
# INKLING_GOLDEN and INKLING_DATA as for scripts/test.sh.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  sed -n '2,14s/^# \{0,1\}//p' "$0"
  exit 0
fi
machines=("$@")
if [[ $# -eq 0 ]]; then machines=(x86-64-v3 x86-64 scalar); fi
passed=0 failed=0 broken=()

count() { # count NAME STATUS
  if [[ $2 -eq 0 ]]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    broken+=("$1")
  fi
}

# test_x86 NAME FLAGS: everything but what does not depend on the processor
test_x86() {
  local build=$root/build/machines/$1 status results compiler built=0
  compiler=$(find_compiler) || die "no C++20 compiler: install g++ 12 or newer, or set CXX"
  cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_CXX_FLAGS="$2" \
    -DINKLING_NATIVE=OFF -DINKLING_BUILD_EXAMPLES=OFF -DINKLING_BUILD_BENCH=OFF >/dev/null
  cmake --build "$build" --parallel "$(jobs_that_fit)" || built=$?
  count "$1: build" $built
  results=$build/results.txt
  ctest --test-dir "$build" --exclude-regex 'headers_|does_not_compile|consumer' --output-on-failure --no-tests=error |
    tee "$results" || true
  while read -r name status; do
    count "$1: $name" "$([[ $status == Passed ]] && echo 0 || echo 1)"
  done < <(sed -nE 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: ([^ ]+) \.*( *|\*\*\*)(Passed|Skipped|Failed|Timeout|Exception).*/\1 \3/p' \
    "$results" | grep -v ' Skipped$')
}

test_arm64() {
  local build=$root/build/machines/arm64 topic status
  local compiler=(aarch64-linux-gnu-g++-12 -std=c++20 -O2 -fopenmp -static -Wno-maybe-uninitialized
    -I"$root/include" -I"$root/tests" -DINKLING_SOURCE_DIR="\"$root\"")
  # What is only headers serves any processor; after the cross compiler's own folders.
  compiler+=(-idirafter /usr/include/eigen3 -idirafter /usr/include)
  command -v "${compiler[0]}" qemu-aarch64 >/dev/null ||
    die "arm64: expected ${compiler[0]} and qemu-aarch64. Hint: apt-get install g++-12-aarch64-linux-gnu qemu-user"
  mkdir -p "$build"
  "${compiler[@]}" -c "$root/tests/main.cpp" -o "$build/main.o"
  # Those that need no library which would have to be compiled for the other processor (zlib).
  for topic in half tensor gemm attention weights winograd winograd_gradient fused fused_layers \
    compute_type kernels_random; do
    status=0
    echo "arm64: $topic"
    "${compiler[@]}" "$root/tests/test_$topic.cpp" "$build/main.o" -o "$build/$topic" 2>"$build/$topic.txt" &&
      OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive qemu-aarch64 "$build/$topic" >>"$build/$topic.txt" || status=$?
    if [[ $status -ne 0 ]]; then cat "$build/$topic.txt"; fi
    count "arm64: $topic" $status
  done
}

for machine in "${machines[@]}"; do
  case $machine in
    x86-64 | x86-64-v3) test_x86 "$machine" "-march=$machine" ;;
    scalar) test_x86 scalar "-march=x86-64 -DINKLING_NO_SIMD" ;;
    arm64) test_arm64 ;;
    *) die "unknown machine '$machine': expected x86-64-v3, x86-64, scalar or arm64" ;;
  esac
done
if [[ $failed -gt 0 ]]; then printf 'failed: %s\n' "${broken[@]}"; fi
echo "$passed passed, $failed failed"
[[ $failed -eq 0 && $passed -gt 0 ]]
