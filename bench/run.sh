#!/usr/bin/env bash
# Each figure beside its named peer, measured in one run. With arguments, only these: start push memory pods secrets dns edge logs metrics console registry api
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || exec sudo --preserve-env=MAINSTAY_BINARY,PATH "$0" "$@"
exec node bench/run.mjs "$@"
