# make demo: environment, native extension, and the main job on the clip that comes with the project
# make test: lint, types and tests, as CI runs them
# Nothing but Python >= 3.10 with its venv module is needed; a C++ compiler makes the kernels faster.

PYTHON ?= python3
VENV   ?= .venv
OUTPUT ?= demo-output
BIN    := $(VENV)/bin
# Commands run isolated from this folder (-I, pytest without python -m): its sources would hide the built extension.
# Everything that ends up in the installed package: a change in any of these installs it again.
SOURCES := pyproject.toml README.md LICENSE \
           $(shell find mfm_edge training export cpp_ext -type f -not -path '*/__pycache__/*' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help demo test lint types pytest clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: $(VENV)/.demo-ready
	$(BIN)/python -I -m mfm_edge.demo -o $(OUTPUT)

test: lint types pytest

lint: $(VENV)/.test-ready
	$(BIN)/ruff check .

types: $(VENV)/.test-ready
	$(BIN)/mypy

# A worker a core, each with one thread; four at most, since each loads torch. Fixtures of a file are made once.
pytest: $(VENV)/.test-ready
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(PYTEST_ARGUMENTS)

clean:
	rm -rf $(VENV) build $(OUTPUT)

# A half-made environment is removed, so that the next call starts afresh instead of failing for ever.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "make: $(PYTHON) -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo-ready: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet .
	touch $@

$(VENV)/.test-ready: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet '.[dev,train,export]'
	touch $@ $(VENV)/.demo-ready
