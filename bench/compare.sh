#!/usr/bin/env bash
# inkling against others at the shapes of Stable Diffusion 1.5: oneDNN, OpenBLAS and PyTorch, on this machine, now.
#
# Usage: bench/compare.sh [--threads N] [--filter REGEX] [--only NAMES] [--list] [--keep FOLDER]
#                         [--processor-time]
#
#   --threads   how many threads each program uses (default: all processors)
#   --filter    only shapes whose name matches, for example "unet conv" or "attention"
#   --only      programs to compare with, for example onednn,pytorch (default: all that are installed)
#   --list      prints the shapes and stops
#   --keep      build the programs here and use what is built already (default: a folder that is removed)
#   --processor-time   with --threads 1 on a busy machine: the seconds that the processor spent, not the clock's
#
# All programs run at the same time and wait; each shape is given to one after another, and each measures it by the same
# rule: one call that does not count, then the median of five. So all of them meet the machine in the same state. A ratio
# is their time divided by ours: above 1, inkling is faster. "-": the program has no such kernel.
#
# What is compared: inkling and PyTorch are called as a user calls them, with plain tensors; weights are packed before
# (PyTorch reorders them in every call). oneDNN gets every operand in its favourite layout beforehand, also the image.
# OpenBLAS has only a matrix product: a 3x3 convolution copies its patches into a matrix first.
#
# Nothing but a compiler is needed; what is not installed is named and left out.
set -euo pipefail
die() {
  echo "$(basename "$0"): $*" >&2
  exit 2
}
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
threads=$(nproc) filter=. only=onednn,openblas,pytorch list=no keep=
while [[ $# -gt 0 ]]; do
  case $1 in
    --help | -h)
      sed -n '2,23s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    --threads | --filter | --only | --keep)
      [[ $# -ge 2 ]] || die "$1 needs a value"
      printf -v "${1#--}" '%s' "$2"
      shift
      ;;
    --list) list=yes ;;
    --processor-time) export COMPARE_CLOCK=processor ;;
    *) die "unknown argument $1 (try --help)" ;;
  esac
  shift
done
[[ $threads =~ ^[1-9][0-9]*$ ]] || die "--threads takes a number of at least 1, not '$threads'"
[[ ${COMPARE_CLOCK:-} != processor || $threads == 1 ]] || die "--processor-time needs --threads 1"
for name in ${only//,/ }; do
  [[ $name =~ ^(onednn|openblas|pytorch)$ ]] || die "--only takes onednn, openblas and pytorch, not '$name'"
done
compiler=${CXX:-g++}
command -v "$compiler" >/dev/null || die "no compiler $compiler: apt-get install g++"

work=$(mktemp -d)
declare -A pid=()
finish() {
  for name in "${!pid[@]}"; do kill "${pid[$name]}" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT
programs=${keep:-$work}
mkdir -p "$programs"

# Slower settings that an environment may carry: a named processor type halves OpenBLAS, and PyTorch with it.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads

# build NAME FLAG...: compare/NAME.cpp unless it is built already; what the compiler said is in NAME.log
build() {
  local name=$1
  shift
  [[ -n $keep && -x $programs/$name && $programs/$name -nt $here/compare/$name.cpp &&
    $programs/$name -nt $here/compare/server.hpp ]] && return 0
  echo "building $name" >&2
  "$compiler" -std=c++20 -O3 -march=native -ffp-contract=fast -fopenmp "$here/compare/$name.cpp" \
    -o "$programs/$name" "$@" >"$work/$name.log" 2>&1
}
has_header() { echo "#include <$1>" | "$compiler" -std=c++20 -fsyntax-only -x c++ - 2>/dev/null; }
left_out() { echo "left out: $1 (to install it: $2)" >&2; }

build inkling -I"$root/include" -isystem /usr/include/eigen3 -lz || {
  cat "$work/inkling.log" >&2
  die "inkling's program does not compile; its headers need scripts/install_dependencies.sh"
}
"$programs/inkling" --list | grep -E -- "$filter" >"$work/shapes" || die "no shape matches '$filter'"
if [[ $list == yes ]]; then
  cut -f1 "$work/shapes"
  exit 0
fi

running=(inkling)
declare -A command=([inkling]="$programs/inkling")
for name in ${only//,/ }; do
  case $name in
    onednn)
      if has_header dnnl.hpp && build onednn -ldnnl; then
        command[onednn]=$programs/onednn
      else
        left_out oneDNN "apt-get install libdnnl-dev"
        continue
      fi
      ;;
    openblas)
      # The generic library of that name beside OpenBLAS's own header would compile, too, and be slow.
      if has_header cblas.h && build openblas -lopenblas; then
        command[openblas]=$programs/openblas
      else
        left_out OpenBLAS "apt-get install libopenblas-dev"
        continue
      fi
      ;;
    pytorch)
      # A distribution's module belongs to the distribution's interpreter.
      python=
      for candidate in python3 /usr/bin/python3; do
        if "$candidate" -c 'import torch' 2>/dev/null; then
          python=$candidate
          break
        fi
      done
      if [[ -z $python ]]; then
        left_out PyTorch "apt-get install python3-torch"
        continue
      fi
      command[pytorch]="$python $here/compare/pytorch.py"
      # Without it PyTorch spends half of its time in page faults of fresh buffers.
      jemalloc=$(ldconfig -p | sed -n 's/.*libjemalloc\.so\.2 .*=> //p' | head -n 1)
      if [[ -n $jemalloc ]]; then
        command[pytorch]="env LD_PRELOAD=$jemalloc MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1 ${command[pytorch]}"
      else
        echo "PyTorch runs at about half its speed without jemalloc (to install it: apt-get install libjemalloc2)" >&2
      fi
      ;;
  esac
  running+=("$name")
done

# Each program reads shapes from one pipe and answers into another.
declare -A to=() from=()
for name in "${running[@]}"; do
  mkfifo "$work/$name.in" "$work/$name.out"
  # shellcheck disable=SC2086  # a command with its arguments
  ${command[$name]} <"$work/$name.in" >"$work/$name.out" 2>"$work/$name.errors" &
  pid[$name]=$!
  exec {fd}>"$work/$name.in"
  to[$name]=$fd
  exec {fd}<"$work/$name.out"
  from[$name]=$fd
done

what=milliseconds
[[ ${COMPARE_CLOCK:-} == processor ]] && what="milliseconds of processor time"
echo "$what, $threads thread(s), median of 5 after a warm call; a ratio above 1: inkling is faster"
printf '%-46s %10s' shape inkling
for name in "${running[@]:1}"; do printf ' %10s %7s' "$name" ratio; done
echo
while IFS=$'\t' read -r label line; do
  row=$(printf '%-46s' "$label")
  ours=
  for name in "${running[@]}"; do
    echo "$line" >&"${to[$name]}" || die "$name stopped: $(tail -n 1 "$work/$name.errors")"
    read -r seconds <&"${from[$name]}" || die "$name stopped: $(tail -n 1 "$work/$name.errors")"
    if [[ $name == inkling ]]; then
      ours=$seconds
      row+=$(awk -v s="$seconds" 'BEGIN {printf s == "-" ? " %10s" : " %10.3f", s == "-" ? s : 1e3 * s}')
    else
      row+=$(awk -v s="$seconds" -v ours="$ours" 'BEGIN {
        if (s == "-" || ours == "-") printf " %10s %7s", s == "-" ? s : sprintf("%.3f", 1e3 * s), "-"
        else printf " %10.3f %7.2f", 1e3 * s, s / ours
      }')
    fi
  done
  echo "$row"
done <"$work/shapes"
