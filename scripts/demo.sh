#!/usr/bin/env bash
# From a fresh copy to a picture: installs what is missing, builds the program, paints a prompt with the small model.
#
# Usage: scripts/demo.sh ["a bold red seven on a blue background"] [OPTION...]
#
# Everything after the prompt is handed to `inkling txt2img`, for example --seed 5 --steps 50. The picture, a strip of
# the denoising steps and a map of where each word was looked at go to out/.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

prompt="a bold red seven on a blue background"
if [[ $# -gt 0 ]]; then
  if [[ $1 == --help || $1 == -h ]]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 0
  fi
  if [[ $1 != -* ]]; then
    prompt=$1
    shift
  fi
fi

# stage NAME COMMAND...: runs the command, its output into a file that is shown when it fails, and tells the time.
stage() {
  local name=$1 log begin end
  shift
  log=$(mktemp)
  begin=$(date +%s%N)
  printf '%-12s' "$name"
  if ! "$@" >"$log" 2>&1; then
    printf 'failed\n\n'
    tail -n 60 "$log" >&2
    rm -f "$log"
    exit 1
  fi
  end=$(date +%s%N)
  rm -f "$log"
  awk -v t=$(((end - begin) / 1000000)) 'BEGIN {printf "%7.1f s\n", t / 1000}'
}

# A folder that scripts/test.sh has set up serves as well.
configure_program() {
  if [[ -e $root/build/.configured ]]; then return; fi
  configure -DINKLING_BUILD_TESTS=OFF -DINKLING_BUILD_EXAMPLES=OFF -DINKLING_BUILD_BENCH=OFF
}
build_program() { cmake --build "$root/build" --target app_inkling --parallel "$(jobs_that_fit)"; }

stage install "$root/scripts/install_dependencies.sh" --program
stage configure configure_program
stage build build_program

model=$root/models/mini
if [[ ! -d $model ]]; then die "no model in $model; scripts/train_mini.sh trains it"; fi
out=$root/out
mkdir -p "$out"
echo
echo "painting: $prompt"
# The small model paints 32 x 32 pixels: enlarged, unless the caller says how.
scale=(--scale 8)
if [[ " $* " == *" --scale"* ]]; then scale=(); fi
begin=$(date +%s%N)
"$root/build/inkling" txt2img --model "$model" --prompt "$prompt" --out "$out/picture.png" \
  --save-steps "$out/steps.png" --attention-maps "$out/attention.png" "${scale[@]}" "$@"
end=$(date +%s%N)
awk -v t=$(((end - begin) / 1000000)) 'BEGIN {printf "%-12s%7.1f s\n\n", "paint", t / 1000}'
for file in picture.png steps.png attention.png; do
  if [[ -e $out/$file ]]; then echo "$out/$file"; fi
done
