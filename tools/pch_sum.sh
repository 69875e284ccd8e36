#!/usr/bin/env bash
# pch_sum.sh ROOT COMPILER…: runs the compiler, and writes beside a precompiled header the digest of what it was made of (NAME.pch.sum).
# A precompiled header holds full paths, so that those of two checkouts differ though they mean the same. ccache takes the digest
# in place of the file (CCACHE_PCH_EXTSUM), and what one checkout has compiled is a hit in the other.
set -euo pipefail
root=$1
shift
"$@"
output= depfile=
for ((i = 1; i <= $#; i++)); do
  case ${!i} in
    -o) j=$((i + 1)); output=${!j} ;;
    -MF) j=$((i + 1)); depfile=${!j} ;;
  esac
done
[[ $output == *.pch ]] || exit 0
# The compiler and its options, then every header with its content. Without the checkout's own path, which is in cmake_pch.hxx.
{
  printf '%s\n' "$@"
  "$(for word in "$@"; do [[ $word == *clang++* ]] && { echo "$word"; break; }; done)" --version
  sed -e 's/\\$//' -e 's/^[^ ]*: *//' "$depfile" | tr -s ' \n' '\n\n' | sed '/^$/d' | LC_ALL=C sort -u | while read -r header; do
    echo "$header"
    cat "$header"
  done
} | sed "s|$root|.|g" | sha256sum >"$output.sum"
