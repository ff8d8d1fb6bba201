PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The DALI wheel's extra: cuda13 or cuda12. Both run on a machine without a GPU.
CUDA ?= cuda13

.PHONY: setup demo test lint format clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(CUDA),fast,train,dev]'
	@touch $@

demo: setup
	$(BIN)/python -m train demo

test: setup lint
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
