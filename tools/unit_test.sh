#!/usr/bin/env bash
# unit_test.sh PRESET: runs every test program of that build through ctest.
set -euo pipefail
cd "$(dirname "$0")/.."
# Coroutine frames live on the heap and are freed by their owner at stop; anything left is a leak and fails the test.
export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
# As with the system tests: a program that fails is run once more, and ctest says so.
ctest --test-dir "build/$1" --output-on-failure --no-tests=error --repeat until-pass:2 -j 2
