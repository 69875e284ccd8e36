#!/usr/bin/env bash
# npm.sh FOLDER: installs what FOLDER/package-lock.json names, where it is not there already.
set -euo pipefail
cd "$(dirname "$0")/../$1"
mark=node_modules/.installed
cmp -s package-lock.json "$mark" 2>/dev/null && exit 0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! npm ci --no-audit --no-fund >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "npm: the packages of $1 could not be installed (above); mend that and run make again" >&2
  exit 1
fi
cp package-lock.json "$mark"
