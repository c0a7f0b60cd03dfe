#!/usr/bin/env bash
# Builds and runs the program beside this script as a project of somebody else would.
# Usage: tests/consumer/run.sh find_package|add_subdirectory|fetch_content COMPILER
set -euo pipefail
if [[ $# -ne 2 ]]; then
  sed -n '2,3s/^# //p' "$0"
  exit 1
fi
way=$1 compiler=$2
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
options=(-DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Release)
if command -v ninja >/dev/null; then options+=(-G Ninja); fi
if [[ $way == find_package ]]; then
  # The headers and the package files alone: the programs of this build may not exist.
  cmake -S "$root" -B "$work/inkling" "${options[@]}" -DCMAKE_INSTALL_PREFIX="$work/prefix" -DINKLING_NATIVE=OFF \
    -DINKLING_BUILD_APPS=OFF -DINKLING_BUILD_TESTS=OFF -DINKLING_BUILD_EXAMPLES=OFF -DINKLING_BUILD_BENCH=OFF \
    >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
  cmake --install "$work/inkling" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
  if grep -rl "$root" "$work/prefix/share"; then
    echo "the installed package names the source tree" >&2
    exit 1
  fi
  options+=(-DCMAKE_PREFIX_PATH="$work/prefix")
else
  options+=(-DINKLING_SOURCE="$root")
fi
cmake -S "$here/$way" -B "$work/build" "${options[@]}"
cmake --build "$work/build"
# A library must not bring its own tests and programs into somebody else's build.
if find "$work/build" -type f -name 'test_*' | grep -q .; then
  echo "tests were built inside the user's project" >&2
  exit 1
fi
"$work/build/consumer"
