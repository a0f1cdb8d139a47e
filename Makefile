# `make demo` and `make test` do all; both install into .venv first, from the versions in requirements.lock.
PYTHON ?= python3
BIN := .venv/bin
DEMO := out/demo

.PHONY: install install-infra demo test check bench lock
.DEFAULT_GOAL := demo

# The package alone, for the demo; what deploying to AWS needs on top; what checks, tests and benchmarks need on top.
install: .venv/.user
INSTALL = $(BIN)/python -m pip install -qq --disable-pip-version-check -c requirements.lock

.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@touch $@

.venv/.user: .venv/.python pyproject.toml requirements.lock
	@echo "installing into .venv (a minute or two the first time) ..."
	@$(INSTALL) -e .
	@touch $@

install-infra: .venv/.infra
.venv/.infra: .venv/.user pyproject.toml requirements.lock
	@$(INSTALL) -e '.[infra]'
	@touch $@

.venv/.dev: .venv/.user pyproject.toml requirements.lock
	@echo "installing what the tests need into .venv ..."
	@$(INSTALL) -e '.[dev]'
	@touch $@

# The main job on simulated exams: 8 arms x 10 exams + 10 further ones = 90 trainings. Stopped, it goes on where it was.
demo: install
	@test -f $(DEMO)/study.toml || $(BIN)/submit phantom $(DEMO) --patients 10 --visits 1
	@$(BIN)/submit check $(DEMO)/study.toml
	@$(BIN)/submit prepare $(DEMO)/study.toml
	@$(BIN)/submit sweep $(DEMO)/study.toml --array 90
	@$(BIN)/submit report --study $(DEMO)/study.toml --output $(DEMO)

test: check

check: .venv/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -n auto --dist worksteal --ignore=tests/cloud
	@$(BIN)/pytest tests/cloud

bench: .venv/.dev
	@$(BIN)/python benchmarks/store.py
	@$(BIN)/python benchmarks/step.py

# Pins what a fresh resolution of pyproject.toml gives; torch's local version (+cpu) is left out, so that the lock
# fits machines with and without a GPU.
lock:
	@rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt '.[dev]'
	@.venv-lock/bin/python -m pip freeze --exclude loosweep | sed 's/+cpu$$//' > requirements.lock
	@rm -rf .venv-lock
