# Reeve's commands. `make run` and `make test` need Python 3.11 or newer and nothing else.
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# Three: on two cores a sixth faster than two, as tests wait for servers now and then; each holds some 25 connections to Postgres.
WORKERS ?= 3

# Hundreds of processes that tests start would each compile the same modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run demo test unit faults bench lint format lock clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  make %-8s %s\n", $$1, $$2}'

run: $(VENV)/run.stamp ## Start the whole platform here (Ctrl-C stops it)
	@exec $(BIN)/python -m services run

demo: $(VENV)/dev.stamp ## Drive a running platform with believable traffic and compare the numbers
	@exec $(BIN)/python -m tests.demo $(ARGS)

test: $(VENV)/dev.stamp ## Run all tests but the long fault and bench runs
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder tests/faults tests/e2e tests/integration tests/contract tests/unit $(ARGS)

# What pytest offers and these tests do not use is asked at each of them: a quarter of the time.
UNUSED := schemathesis faker xdist anyio platformdirs logging doctest unittest legacypath pastebin stepwise subtests unraisableexception

unit: $(VENV)/dev.stamp ## Run the tests that do no I/O, with few examples of each property (seconds)
	@$(BIN)/python -m pytest $(UNUSED:%=-p no:%) --hypothesis-profile quick tests/unit $(ARGS)

faults: $(VENV)/dev.stamp ## Kill, restart, duplicate and shuffle: twenty repeats of every fault
	@REEVE_TEST_REPEATS=$${REEVE_TEST_REPEATS:-20} $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -rP tests/faults --timeout 3600 $(ARGS)

bench: $(VENV)/dev.stamp ## Measure this machine and write the table to bench-results/
	@exec $(BIN)/python -m tests.bench $(ARGS)

lint: $(VENV)/dev.stamp ## Check style, types and who imports whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(VENV)/dev.stamp ## Format the code
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

lock: ## Compile the lock files from requirements*.in (needs uv)
	uv pip compile -q --no-header --no-emit-index-url --no-emit-find-links --no-annotate --generate-hashes --universal --python-version 3.11 requirements.in -o requirements.txt
	uv pip compile -q --no-header --no-emit-index-url --no-emit-find-links --no-annotate --generate-hashes --universal --python-version 3.11 requirements-dev.in -o requirements-dev.txt

clean: ## Remove the virtual environment and caches (keeps .reeve, your data)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache bench-results

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Reeve needs Python 3.11 or newer: none was found" >&2; exit 2; }
	@echo "Making $(VENV) with $(PYTHON) (once) ..."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 2; }

$(VENV)/run.stamp: requirements.txt | $(BIN)/python
	@echo "Installing the locked packages (once, up to a minute) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt requirements.txt | $(BIN)/python
	@echo "Installing the locked packages and the tools for checks and tests (once, up to a minute) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $(VENV)/run.stamp $@
