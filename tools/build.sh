#!/usr/bin/env bash
# build.sh PRESET [TARGET…]: configures where needed and builds, with the environment that CMakePresets.json names for ccache.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
[ -f "build/$preset/build.ninja" ] || cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" -j "${JOBS:-$(nproc)}" ${1:+--target "$@"}
