# make build | up | down | test | bench: each installs what it needs first. README.md says what each does.
SHELL := /bin/bash
DATA_DIR ?= /var/lib/mainstay
LISTEN ?= 127.0.0.1:6443
HTTP ?= 127.0.0.1:8080
HTTPS ?= 127.0.0.1:8443
DOMAIN ?= localhost
JOBS ?= $(shell nproc)
export DATA_DIR LISTEN HTTP HTTPS DOMAIN

.PHONY: build up down test unit-test system-test check tidy format bench fuzz deps-build deps-run deps-test deps-bench clean

build: deps-build
	@[ "$(CONSOLE)" = 0 ] || tools/web.sh
	@tools/build.sh release mainstay
	@ln -sfn release/src/daemon/mainstay build/mainstay
	@echo "built build/mainstay"

up: deps-run
	@tools/preflight.sh
	@$(MAKE) --no-print-directory build
	@tools/up.sh

down:
	@tools/down.sh

test: deps-run deps-test
	@$(MAKE) --no-print-directory build
	@$(MAKE) --no-print-directory check unit-test system-test

unit-test: deps-build
	@tools/build.sh asan
	@tools/unit_test.sh asan

system-test: build deps-run deps-test
	@tools/system_test.sh

check: deps-build
	@tools/check_layers.py
	@tools/tidy.py

# clang-tidy over what differs from the commit before: some 15 s a file. BASE=<commit>, or BASE=all.
tidy: deps-build
	@tools/clang_tidy.sh

format: deps-build
	@git ls-files 'src/*.cc' 'src/*.h' | xargs clang-format-19 -i

bench: build deps-run deps-bench
	@bench/run.sh

fuzz: deps-build
	@tools/build.sh fuzz
	@tools/fuzz.sh

deps-build deps-run deps-test deps-bench: deps-%:
	@tools/install.sh $*
	@if [ $* = test ]; then tools/npm.sh tests; fi

clean:
	rm -rf build
