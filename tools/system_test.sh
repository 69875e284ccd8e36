#!/usr/bin/env bash
# Runs tests/system with node's test runner, one file after the other: each starts a Mainstay of its own. With arguments,
# only these files. FILE_SECONDS (900) is the limit of one file, BUDGET_SECONDS (3300) of them all: what is not run by
# then is named, and counts as failed. What a file leaves behind is named and taken away.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || exec sudo --preserve-env=MAINSTAY_BINARY,MAINSTAY_TEST_SLOT,FILE_SECONDS,BUDGET_SECONDS,PATH "$0" "$@"
files=("$@")
[ $# -gt 0 ] || files=(tests/system/*.test.mjs)
bridge=mstest${MAINSTAY_TEST_SLOT:-0}
binary=${MAINSTAY_BINARY:-build/mainstay}
budget=${BUDGET_SECONDS:-3300}
unsteady=() failed=() not_run=() untidy=() times=()

# The runner leads a process group of its own: at the limit the group gets SIGTERM, ten seconds later SIGKILL.
run_file() {
  local limit=${FILE_SECONDS:-900} left=$((budget - SECONDS)) code=0
  [ "$limit" -le "$left" ] || limit=$left
  [ "$limit" -gt 0 ] || return 1
  timeout -k 10 "$limit" node --test "$1" </dev/null || code=$?
  case $code in 124 | 137) echo "== $1 was ended: not through within $limit s" ;; esac
  return $code
}

# Only what bears this slot's bridge is ours: other runs may go on beside this one.
tidy() {
  local dir table pid left=
  for dir in "${TMPDIR:-/tmp}"/mainstay-system-*; do
    grep -qs "\"$bridge\"" "$dir/run/settings.json" || continue
    left=1
    echo "== $1 left $dir and what runs in it:"
    # The name of a data directory is in the arguments of all that Mainstay runs for it.
    for pid in $(pgrep -f -- "$dir(/| |\$)" || true); do
      echo "==   process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | cut -c1-160)"
      kill -9 "$pid" 2>/dev/null || true
    done
    timeout -k 5 60 "$binary" down --data-dir "$dir" </dev/null || true
    rm -rf --one-file-system "$dir" || true
  done
  if [ -e "/sys/class/net/$bridge" ]; then
    left=1
    echo "== $1 left the link $bridge"
    ip link delete "$bridge" || true
  fi
  while read -r table; do
    left=1
    echo "== $1 left nft table $table"
    # shellcheck disable=SC2086
    nft delete table $table || true
  done < <(nft list tables 2>/dev/null | sed -n "s/^table \(.* $bridge\(-.*\)\?\)\$/\1/p")
  [ -z "$left" ] || untidy+=("$1")
}

# A file that fails is run once more, loudly: what passes then is unsteady and to be mended, but is not what was changed.
for file in "${files[@]}"; do
  if [ "$SECONDS" -ge "$budget" ]; then not_run+=("$file"); continue; fi
  began=$SECONDS
  echo "== $file"
  if ! run_file "$file"; then
    tidy "$file"
    echo "== $file failed; once more"
    if run_file "$file"; then unsteady+=("$file"); else failed+=("$file"); fi
  fi
  tidy "$file"
  times+=("$((SECONDS - began)) s  $file")
done
echo "== seconds each, $SECONDS in all"
[ ${#times[@]} = 0 ] || printf '%s\n' "${times[@]}" | sort -rn
[ ${#untidy[@]} = 0 ] || echo "LEFT SOMETHING BEHIND: ${untidy[*]}"
[ ${#unsteady[@]} = 0 ] || echo "UNSTEADY, passed at the second try only: ${unsteady[*]}"
[ ${#failed[@]} = 0 ] || echo "FAILED: ${failed[*]}" >&2
[ ${#not_run[@]} = 0 ] || echo "NOT RUN, the budget of $budget s was used up: ${not_run[*]}" >&2
[ ${#failed[@]} = 0 ] && [ ${#not_run[@]} = 0 ]
