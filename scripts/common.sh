# shellcheck shell=bash
# Shared by the scripts beside it; not a program of its own.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# How many compilers may run at once: one a processor, and each may take 3 GB.
jobs_that_fit() {
  local jobs gigabytes limit
  jobs=$(nproc)
  gigabytes=$(awk '/^MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)  # a container may hold less than the machine
  if [[ $limit =~ ^[0-9]+$ ]] && ((limit / 1073741824 < gigabytes)); then gigabytes=$((limit / 1073741824)); fi
  if ((gigabytes / 3 < jobs)); then jobs=$((gigabytes / 3)); fi
  echo $((jobs > 0 ? jobs : 1))
}

# The compiler: $CXX if set, else the first of these that is new enough for C++20 (g++ 12, clang 14).
find_compiler() {
  if [[ -n ${CXX:-} ]]; then
    echo "$CXX"
    return
  fi
  local name version
  for name in g++ g++-14 g++-13 g++-12; do
    if version=$("$name" -dumpversion 2>/dev/null) && ((${version%%.*} >= 12)); then
      echo "$name"
      return
    fi
  done
  for name in clang++ clang++-19 clang++-18 clang++-17 clang++-16 clang++-15 clang++-14; do
    if version=$("$name" -dumpversion 2>/dev/null) && ((${version%%.*} >= 14)); then
      echo "$name"
      return
    fi
  done
  return 1
}

# configure OPTION...: sets up build/ unless it was set up before with these options.
configure() {
  local stamp=$root/build/.configured options=("$@") compiler
  if [[ -e $root/build/CMakeCache.txt && -e $stamp && $(cat "$stamp") == "$*" ]]; then return; fi
  compiler=$(find_compiler) || die "no C++20 compiler: install g++ 12 or newer, or set CXX"
  rm -f "$stamp"
  # A folder set up earlier keeps its generator and its compiler: CMake cannot change them.
  if [[ ! -e $root/build/CMakeCache.txt ]]; then
    options+=(-DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Release)
    if command -v ninja >/dev/null; then options+=(-G Ninja); fi
  fi
  cmake -S "$root" -B "$root/build" "${options[@]}"
  echo "$*" >"$stamp"
}

# ccache may take a file with a precompiled header from its store only if told that time stamps do not matter.
export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros,include_file_mtime,include_file_ctime}
