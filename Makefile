# Bare `make` prints help. Everything goes through .venv and build/: nothing else on the machine is touched,
# except Debian packages that `make setup` installs when they are missing.

SHELL := /bin/sh
PY := .venv/bin/python
O ?= $(CURDIR)/build

.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo test test-fast workloads conformance lint format bench fuzz clean golden man

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing, build HyperKernel and HyperStart (cached), make .venv
	@tools/setup.sh run

setup-test: ## the same, and what the tests need (registry, docker CLI, clang)
	@tools/setup.sh test

demo: setup-test ## serve a page from a real nginx in a microVM, saying how long each step took
	@$(PY) -m tools.demo

test: setup-test ## the whole test suite, VMs included
	@$(PY) -m pytest -m 'not soak and not workload' $(ARGS)

test-fast: setup-test ## tests that boot nothing
	@$(PY) -m pytest tests/unit tests/property $(ARGS)

workloads: ## programs of Debian as their users run them, on hyperd and on dockerd (an hour); writes docs/workloads.md
	@tools/setup.sh workloads
	@$(PY) -m pytest tests/workloads -v $(or $(ARGS),--workloads-table docs/workloads.md)

conformance: setup-test ## other people's suites and clients, and schemathesis, against hyperd; DOCKERD=1: the suites against dockerd
	@$(PY) -m tests.suites $(if $(DOCKERD),--dockerd) $(ARGS)
	@$(if $(DOCKERD)$(ARGS),:,$(PY) -m tests.suites.readonly)

lint: setup-test ## ruff, mypy, import-linter, clang-format
	$(PY) -m ruff check src tests tools bench
	$(PY) -m ruff format --check src tests tools bench
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(MAKE) -C guest/hyperstart format-check

format: ## format Python and C
	$(PY) -m ruff check --fix src tests tools bench
	$(PY) -m ruff format src tests tools bench
	$(MAKE) -C guest/hyperstart format

fuzz: setup-test ## fuzz the agent's decoders for FUZZ_SECONDS (default 20)
	$(MAKE) -C guest/hyperstart fuzz O=$(O)/hyperstart FUZZ_SECONDS=$(or $(FUZZ_SECONDS),20)

bench: setup-test ## measure beside Docker and gVisor; writes bench/RESULTS.md and its plot
	@$(PY) -m bench $(ARGS)

man: setup ## write a man page for each command to build/man (man -l build/man/hyper-run.1)
	@$(PY) -m tools.manpages $(O)/man

clean: ## remove .venv and build/ (the kernel stays in the user's cache)
	rm -rf .venv build
