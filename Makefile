# Every target makes the environment it needs first, so that each works on a fresh clone.
# What the targets run stands in README.md too, for those without make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# As many test processes as there are cores, at most four: each has its own share of the database.
TEST_PROCESSES ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ $$n -gt 4 ] && echo 4 || echo $$n)
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help run test test-slow bench bench-quick lint format clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/installed  ## start everything: PostgreSQL, API, projections, scheduler; Ctrl-C stops it
	@exec $(BIN)/jifen serve

test: $(VENV)/installed-dev  ## run the tests, in under five minutes
	$(PYTEST) -n $(TEST_PROCESSES) -m "not slow" $(ARGS)

test-slow: $(VENV)/installed-dev  ## run the longer proofs too
	$(PYTEST) -n $(TEST_PROCESSES) $(ARGS)

bench: $(VENV)/installed-dev  ## measure everything that has a target
	$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(VENV)/installed-dev  ## measure the same on a fifth of the data
	$(BIN)/python -m benchmarks --quick $(ARGS)

lint: $(VENV)/installed-dev  ## check style, layout and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-dev  ## mend style and layout where a machine can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and all caches; data in var/ stays
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# --- the environment, made anew when pyproject.toml changes ---

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Jifen needs Python 3.11 or later, and $(PYTHON) is not: make PYTHON=/path/to/python3.11 ..." >&2; \
	  exit 2; }
	@$(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); \
	  echo "This Python can't make environments: install its venv module (on Debian and Ubuntu:" >&2; \
	  echo "apt-get install python3-venv), then try again." >&2; \
	  exit 2; }

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	@echo "Installing what Jifen needs into $(VENV)/ (once; takes a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/bin/python pyproject.toml
	@echo "Installing what Jifen and its tests need into $(VENV)/ (once; takes a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/installed
