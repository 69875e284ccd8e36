#!/usr/bin/env bash
# clang_tidy.sh [FILE…]: clang-tidy with .clang-tidy's checks over these sources; without arguments over those that differ from
# BASE (the commit before, and what is not committed); BASE=all: over all of them, which takes hours. Needs `make build`.
set -euo pipefail
cd "$(dirname "$0")/.."
files=("$@")
if [ ${#files[@]} = 0 ] && [ "${BASE:-}" = all ]; then
  mapfile -t files < <(git ls-files 'src/*.cc')
elif [ ${#files[@]} = 0 ]; then
  mapfile -t files < <(git diff --name-only --diff-filter=d "${BASE:-HEAD~1}" -- 'src/*.cc'; git ls-files -o --exclude-standard 'src/*.cc')
fi
# Fuzzers and benchmarks are in no database of the release preset.
mapfile -t files < <(printf '%s\n' "${files[@]}" | grep -vE '_(fuzz|bench)\.cc$|^$' | sort -u)
[ ${#files[@]} -gt 0 ] || { echo "clang-tidy: no source differs"; exit 0; }
[ -f build/release/compile_commands.json ] || { echo "clang-tidy needs build/release: make build" >&2; exit 1; }
tools/build.sh release mainstay_pch_core mainstay_pch_async >/dev/null
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "${JOBS:-$(nproc)}" clang-tidy-19 --quiet -p build/release
echo "clang-tidy: clean (${#files[@]} files)"
