#!/usr/bin/env bash
# web.sh: builds the web console into web/dist, where its sources have changed. Needs Node.js 18 or later and npm, and the
# first time (and when web/package-lock.json changes) the npm registry.
set -euo pipefail
cd "$(dirname "$0")/../web"
fingerprint=$( (node --version; find . -path ./node_modules -prune -o -path ./dist -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum)
[ -f dist/index.html ] && [ "$(cat dist/.fingerprint 2>/dev/null)" = "$fingerprint" ] && exit 0
fail() {
  tail -n 20 "$log" >&2
  echo "web: $1 (above). The program can be built without its console: make build CONSOLE=0" >&2
  exit 1
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
locked=$(sha256sum package-lock.json)
if [ "$(cat node_modules/.locked 2>/dev/null)" != "$locked" ]; then
  echo "web: npm ci"
  npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >"$log" 2>&1 || fail "npm ci failed"
  echo "$locked" >node_modules/.locked
fi
npm run --silent check >"$log" 2>&1 || fail "the console's types or format do not fit (npm run format mends the latter)"
npx --no-install vite build --logLevel warn >"$log" 2>&1 || fail "the console could not be built"
echo "$fingerprint" >dist/.fingerprint
echo "built web/dist"
