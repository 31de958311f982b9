# make repro   sets up .venv from the lock, runs the pipeline on the embedded default, prints the scores
# make check   sets up .venv likewise, runs ruff, mypy and the tests that take no time
# make test    sets up .venv likewise, runs all tests
# make docs    sets up .venv likewise, builds the documents into site/: open site/index.html
# All need Python 3.11 or 3.12 with venv, and nothing else; PYTHON=/path/to/python chooses one. Where uv is, it installs the
# packages, in less time.

SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)
VENV := .venv/ready
SIDE_BY_SIDE := -n logical --dist loadfile --no-loadscope-reorder  # the order is that of tests/conftest.py
CANDIDATES := python3.11 python3.12 python3 python
SUITABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for p in $(CANDIDATES); do $$p -c '$(SUITABLE)' 2>/dev/null && echo $$p && break; done)

.PHONY: repro test check lint docs lock setup

repro: $(VENV)
	dvc repro
	nerveseg scores

test: $(VENV)
	pytest $(SIDE_BY_SIDE)

check: lint
	pytest -m "not slow" $(SIDE_BY_SIDE)

lint: $(VENV)
	ruff check .
	ruff format --check .
	mypy

docs: $(VENV)
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

setup: $(VENV)

$(VENV): requirements.txt pyproject.toml
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c '$(SUITABLE)' 2>/dev/null; then \
	  echo "nerveseg needs Python 3.11 or 3.12 with venv (TensorFlow 2.17 has no wheels for others); none was found: install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; fi
	$(PYTHON) -m venv --clear .venv
	command -v uv > /dev/null && uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements.txt || \
	  .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(VENV)

# After a change of the dependencies in pyproject.toml; needs uv.
lock:
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  --extra dev --python-version 3.11 pyproject.toml --output-file requirements.txt
