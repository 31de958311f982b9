# make repro   sets up .venv from the lock, runs the pipeline on the embedded default, prints the scores
# make check   sets up .venv likewise, runs ruff, mypy and the tests that take no time
# make test    sets up .venv likewise, runs all tests
# make docs    sets up .venv likewise, builds the documents into site/: open site/index.html
# All need Python 3.11 or 3.12 with venv, and nothing else; PYTHON=/path/to/python chooses one. Where uv is, it installs the
# packages, in less time. GPU=1 adds CUDA, and so does an NVIDIA GPU; GPU=0 leaves it out (docs/gpu.md).

SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)
GPU ?= $(shell [ "$$(uname -sm)" = "Linux x86_64" ] && nvidia-smi -L > /dev/null 2>&1 && echo 1 || echo 0)
WITH_GPU := $(filter-out 0,$(GPU))
LOCKS := requirements.txt $(if $(WITH_GPU),requirements-gpu.txt)
VENV := .venv/ready$(if $(WITH_GPU),-gpu)
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

$(VENV): $(LOCKS) pyproject.toml
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c '$(SUITABLE)' 2>/dev/null; then \
	  echo "nerveseg needs Python 3.11 or 3.12 with venv (TensorFlow 2.17 has no wheels for others); none was found: install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; fi
	$(if $(WITH_GPU),@echo "with CUDA for NVIDIA GPUs; GPU=0 leaves it out")
	@echo "installing into .venv: 2 to 3 minutes, less with uv"
	$(PYTHON) -m venv --clear .venv
	command -v uv > /dev/null && uv pip install --quiet --python .venv/bin/python --require-hashes $(addprefix -r ,$(LOCKS)) || \
	  { command -v uv > /dev/null && echo "uv failed, so pip installs now" >&2; \
	  .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes $(addprefix -r ,$(LOCKS)); }
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(VENV)

# After a change of the dependencies in pyproject.toml; needs uv. What CUDA adds has wheels for one platform only.
COMPILE := uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11
lock:
	$(COMPILE) --universal --extra dev pyproject.toml --output-file requirements.txt
	set -o pipefail; $(COMPILE) --python-platform linux --extra gpu --constraints requirements.txt pyproject.toml \
	  $$(sed -nE 's/^([a-z0-9-]+)==.*/--no-emit-package \1/p' requirements.txt) | sed '/^$$/,$$d' > requirements-gpu.txt
