PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# editable_mode=compat puts a path in place, not an import hook that costs each start 20 ms.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable

.DEFAULT_GOAL := help
.PHONY: help demo test lint types layers bench compare dialects fuzz check clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/installed ## Hand a TAP and a disk from one process to another, under traffic
	@$(BIN)/python examples/demo

test: $(VENV)/tested ## Run all tests; each skip prints its reason
	$(BIN)/python -m pytest

lint: $(VENV)/developed ## Check style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/developed ## Check types
	$(BIN)/mypy

layers: $(VENV)/developed ## Check that imports only go down
	$(BIN)/lint-imports

bench: $(VENV)/tested ## Measure, beside a real QEMU if there is one
	$(BIN)/python tests/bench

compare: $(VENV)/tested ## Replay what real QEMUs answered, and list what differs
	$(BIN)/python tests/compare

dialects: $(VENV)/tested ## Print what becomes of a migration in each dialect, as the README has it
	$(BIN)/python tests/dialects

fuzz: $(VENV)/tested ## Try some ten thousand inputs made at random: minutes
	$(BIN)/python -m pytest tests/fuzz tests/wire/test_json_stream.py tests/wire/test_qmp.py --hypothesis-profile=fuzz
	@$(INSTALL) '.[fuzz]' || echo "atheris cannot be had here"
	$(BIN)/python tests/guided

check: lint types layers test ## Everything that must be green

clean: ## Remove what the other targets made
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(INSTALL) .
	@touch $@

$(VENV)/tested: pyproject.toml | $(VENV)/bin/python
	$(INSTALL) '.[test]'
	@touch $@ $(VENV)/installed

$(VENV)/developed: pyproject.toml | $(VENV)/bin/python
	$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/installed $(VENV)/tested
