# Needs python3 (3.11 or newer) and make. Every target sets up .venv by itself.

.NOTPARALLEL:
.PHONY: help demo test lint check-generated types unit bench soak clean

PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
CODE := amgen runtime generated
SCRIPTS = $(shell grep -l __main__ benchmarks/*.py)

help:  ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 18

$(READY): pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	touch $(READY)

demo: $(READY)  ## run the census: a supervisor, its workers and a client
	$(PY) examples/census/main.py

# The one list of checks, fastest first. .ci/run calls this target.
test: lint check-generated types unit  ## all checks

lint: $(READY)  ## style, format and import contracts
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports --no-logo

check-generated: $(READY)  ## generated/ is what schemas/ compile to
	$(PY) -m amgen check

types: $(READY)  ## mypy --strict and basedpyright
	$(PY) -m mypy --strict $(CODE)
	$(PY) -m basedpyright

unit: $(READY)  ## the test suite
	$(PY) -m pytest -q

bench: $(READY)  ## the benchmarks, each against a named peer or limit
	@set -e; for script in $(SCRIPTS); do echo "== $$script"; $(PY) $$script; done

soak: $(READY)  ## long random runs
	ASYNCMACHINE_PROFILE=explore $(PY) -m pytest -q -m soak

clean:  ## remove .venv and all caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
