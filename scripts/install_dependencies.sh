#!/usr/bin/env bash
# Installs what inkling needs, from the packages of Debian or Ubuntu. What is there already is left alone.
#
# Usage: scripts/install_dependencies.sh [--program | --all]
#   --program   what the command line program needs
#   --all       also what the tests, examples and benchmarks need (default)
#
# Needs root, or sudo without a password; otherwise it prints the command to run and ends with status 1.
# On another distribution it installs nothing and leaves it to CMake to say what is missing.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

what=--all
for argument in "$@"; do
  case $argument in
    --help | -h)
      sed -n '2,9s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    --program | --all) what=$argument ;;
    *) die "unknown argument $argument (try --help)" ;;
  esac
done

packages=(cmake ninja-build libeigen3-dev libxtensor-dev libxsimd-dev nlohmann-json3-dev libstb-dev libcli11-dev
  zlib1g-dev)
if [[ $what == --all ]]; then packages+=(doctest-dev libbenchmark-dev ccache clang); fi
# The default g++ of an older release is too old; then a newer one lies beside it.
if ! find_compiler >/dev/null; then
  packages+=(g++)
  if command -v apt-cache >/dev/null; then
    candidate=$(apt-cache policy g++ 2>/dev/null | sed -n 's/.*Candidate: [0-9]*:\{0,1\}\([0-9]*\).*/\1/p')
    if [[ -n $candidate ]] && ((candidate < 12)); then packages+=(g++-12); fi
  fi
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "This is not Debian or Ubuntu; install what stands for: ${packages[*]}" >&2
  exit 0
fi

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }
missing=()
for package in "${packages[@]}"; do
  case $package in
    # Any program of that name will do: it may come from elsewhere.
    cmake | ccache) command -v "$package" >/dev/null && continue ;;
    ninja-build) command -v ninja >/dev/null && continue ;;
    clang) compgen -c clang++ >/dev/null && continue ;;
  esac
  installed "$package" || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then exit 0; fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  else
    echo "Packages are missing, and installing them needs root. Please run:" >&2
    echo >&2
    echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    echo >&2
    echo "and then this script again." >&2
    exit 1
  fi
fi
echo "installing: ${missing[*]}"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
"${apt[@]}" update || echo "apt-get update failed; trying with the package lists at hand" >&2
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null ||
  die "apt-get install failed for: ${missing[*]}"
