# `make help` lists the targets. Each does its own set-up: a virtual environment in the checkout, pinned packages.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
PYTHON = $(or $(shell infra/find-python 3.11+),$(error fusionrec needs Python 3.11 or newer))
PIP := -m pip install --disable-pip-version-check --no-compile # a minute and a half; Python compiles what it imports
PIP_INSTALL := $(PIP) -qq
export PIP_DISABLE_PIP_VERSION_CHECK := 1
DATASET ?= completejourney

include infra/tools.mk infra/build.mk

.PHONY: help
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  \1\t/' | expand -t 14

.PHONY: install
install: $(VENV)/.ready ## everything for development into .venv

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "installing fusionrec with its development packages into $(VENV) (some minutes the first time)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@infra/calm-pip $(VENV)/install.log $(BIN)/python $(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@

# The demo needs neither test tools nor the cloud's emulators; a full installation serves it as well.
$(VENV)/.demo: pyproject.toml constraints.txt
	@echo "installing fusionrec into $(VENV) (some minutes the first time)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@test -f $(VENV)/.ready || infra/calm-pip $(VENV)/install.log \
	  $(BIN)/python $(PIP) --constraint constraints.txt --editable '.[serve,train]'
	@touch $@

# --- use ---------------------------------------------------------------------------------------------------------

.PHONY: demo serve data train evaluate
demo: $(VENV)/.demo ## from nothing to recommendations for a real shopper
	$(BIN)/fusionrec demo

serve: $(VENV)/.demo ## the HTTP API on a local port, over what `make demo` made; open: for development only
	$(BIN)/fusionrec serve --data $(DATASET) --open

data: $(VENV)/.demo ## read, clean and split DATASET, compute its features
	$(BIN)/fusionrec data prepare --source $(DATASET)
	$(BIN)/fusionrec features sync --data $(DATASET)

train: $(VENV)/.demo ## train the parts and their fusion on DATASET
	$(BIN)/fusionrec train --data $(DATASET)

evaluate: $(VENV)/.demo ## every part, the fusion and the baseline on DATASET's test window
	$(BIN)/fusionrec evaluate --data $(DATASET)

# --- develop -----------------------------------------------------------------------------------------------------

.PHONY: lint type test e2e localstack docker pr bench peers docs
lint: $(VENV)/.ready ## ruff and import-linter
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

type: $(VENV)/.ready ## mypy, strict
	$(BIN)/mypy

test: lint ## everything that CI runs: lint, types, all tests, one small benchmark
	@# Two at once, and the lines of each command together, where make can do that.
	@$(MAKE) --no-print-directory -j2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=line) type tools build
	$(BIN)/python -m benchmarks.serving --quick
	@# DuckDB's binding reports leaks of its own at exit, a hundred lines below pytest's summary: shown on failure only.
	@mkdir -p build
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile 2>build/pytest.stderr || { status=$$?; cat build/pytest.stderr >&2; exit $$status; }

e2e: $(VENV)/.ready tools build ## the built artifact in the real runtime, and a real deployment onto the emulator
	$(BIN)/python -m pytest tests/e2e

localstack: docker $(VENV)/.ready tools build ## the same deployment test against LocalStack (needs Docker)
	docker compose --file infra/compose.localstack.yaml up --detach --wait
	FUSIONREC_E2E_ENDPOINT=http://localhost:4566 $(BIN)/python -m pytest tests/e2e/test_deploy.py; \
	  status=$$?; docker compose --file infra/compose.localstack.yaml down --volumes; exit $$status

docker:
	@docker info >/dev/null 2>&1 || { echo "make localstack needs a running Docker daemon; make e2e needs none"; exit 1; }

pr: ## what CI runs, in a clean clone of the last commit
	infra/in-clean-clone .ci/run

bench: $(VENV)/.ready tools build demo ## measure serving and quality; writes benchmarks/results/ and the tables of the README
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.quality

peers: $(VENV)/.ready $(TOOLS)/peers/.ready ## our models beside those of libraries from PyPI, on the prepared data set beauty
	$(BIN)/python -m benchmarks.peers

docs: $(VENV)/.ready ## write docs/openapi.json anew and run the commands in the documentation
	$(BIN)/python -m functions.openapi docs/openapi.json
	$(BIN)/python -m pytest tests/test_docs.py

# --- housekeeping ------------------------------------------------------------------------------------------------

.PHONY: constraints clean
constraints: ## resolve every dependency anew and pin it
	infra/renew-constraints

clean: ## remove what was built; keeps data and environments
	rm -rf build dist .aws-sam .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
