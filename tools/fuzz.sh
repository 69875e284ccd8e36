#!/usr/bin/env bash
# fuzz.sh [FUZZER…]: runs each fuzzer, or these, from its seeds for SECONDS_EACH (60). What it finds on the way is kept below
# build/fuzz/corpus, the seeds stay as they are; an input that fails is left in build/fuzz and named.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
while read -r program; do
  name=$(basename "$program")
  [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
  mkdir -p "build/fuzz/corpus/$name"
  seeds=$(find src -type d -path "*/corpus/$name")
  echo "== $name"
  # shellcheck disable=SC2086
  if ! "$program" "build/fuzz/corpus/$name" $seeds -max_total_time="${SECONDS_EACH:-60}" -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="build/fuzz/$name-" -print_final_stats=0 -verbosity=0; then
    failed=1
  fi
done < <(find build/fuzz/src -type f -name '*_fuzz' -executable | sort)
exit $failed
