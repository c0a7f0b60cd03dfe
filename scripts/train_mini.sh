#!/usr/bin/env bash
# Trains inkling-mini, the small model under models/mini, from the MNIST digits: two and a half hours on one core,
# less on two. It can be stopped at any time (Ctrl-C) and goes on where it was when started again.
#
# Usage: scripts/train_mini.sh [OPTION...]         options of build/train_mini, see build/train_mini --help
#
#   INKLING_DATA   folder with mnist/ in it (default ../shared/data), the four files of MNIST
#                  (train-images-idx3-ubyte.gz and so on); scripts/get_data.py mnist gets them
#
# Checkpoints, a log, loss curves and sample pictures go to build/train_mini.work.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  sed -n '2,10s/^# \{0,1\}//p' "$0"
  exit 0
fi
data=${INKLING_DATA:-$root/../shared/data}/mnist
if [[ ! -e $data/train-images-idx3-ubyte.gz && ! -e $data/train-images-idx3-ubyte ]]; then
  die "no MNIST in $data: scripts/get_data.py mnist gets it, or set INKLING_DATA to the folder that holds mnist/"
fi
"$root/scripts/install_dependencies.sh" --program
if [[ ! -e $root/build/.configured ]]; then
  configure -DINKLING_BUILD_TESTS=OFF -DINKLING_BUILD_EXAMPLES=OFF -DINKLING_BUILD_BENCH=OFF
fi
cmake --build "$root/build" --target app_train_mini --parallel "$(jobs_that_fit)"
exec "$root/build/train_mini" --data "$data" --out "$root/models/mini" --work "$root/build/train_mini.work" "$@"
