#!/usr/bin/env bash
# Runs tests/system with node's test runner, one file after the other: each starts a Mainstay of its own. With arguments,
# only these files.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || exec sudo --preserve-env=MAINSTAY_BINARY,PATH "$0" "$@"
files=("$@")
[ $# -gt 0 ] || files=(tests/system/*.test.mjs)
failed=0
for file in "${files[@]}"; do
  echo "== $file"
  timeout 900 node --test "$file" || failed=1
done
exit $failed
