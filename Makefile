PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What DALI and torch are made for, cuda13 or cuda12. Both run on a machine without a GPU.
CUDA ?= cuda13
PINS := constraints.txt constraints-$(CUDA).txt
PEERS ?= .venv-peers
CLIENTS ?= .venv-clients
DOCS ?= .venv-docs

.PHONY: setup demo test test-long test-clients lint format docs bench-peers clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml $(PINS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PINS:%=--constraint %) --editable '.[$(CUDA),fast,train,dev]'
	$(BIN)/python -m mixdali.prepare pipelines.augment.resampling
	@touch $@

# A second time it shows what the first one reached; without its folder, runs/demo, it trains anew.
demo: setup
	$(BIN)/python -m train demo --once

test: setup lint
	$(BIN)/python -m pytest -n 2

# About half an hour on one core: full attacks by AutoAttack's authors' package, and memory over 1,000 steps.
test-long: setup
	$(BIN)/python -m pytest -m long --timeout=7200

# Other people's training loops, in an environment of their own.
test-clients: $(CLIENTS)/.installed
	$(CLIENTS)/bin/python -m pytest tests/clients -m clients

$(CLIENTS)/.installed: tests/clients/requirements.txt constraints.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement tests/clients/requirements.txt
	@touch $@

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The site, from the Markdown and the docstrings, which are read and not run: its environment needs neither DALI nor torch.
docs: $(DOCS)/.installed
	$(DOCS)/bin/python docs/building/build.py

$(DOCS)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@touch $@

# The loaders that `python -m pipelines.bench` compares with, in an environment of their own. FFCV has to be compiled.
bench-peers: $(PEERS)/.installed

$(PEERS)/.installed: pipelines/bench/peers.txt $(PINS)
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $(PINS:%=--constraint %) --requirement pipelines/bench/peers.txt
	@command -v c++ >/dev/null && pkg-config --exists opencv4 libturbojpeg || { \
	  echo "torchvision and timm are ready in $(PEERS); FFCV is not: it is compiled, with OpenCV and TurboJPEG." >&2; \
	  echo "Debian, Ubuntu: apt-get install g++ python3-dev pkg-config libopencv-dev libturbojpeg0-dev" >&2; \
	  echo "Then once more: make bench-peers" >&2; exit 1; }
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps ffcv==1.0.2
	@touch $@

clean:
	rm -rf $(VENV) $(PEERS) $(CLIENTS) $(DOCS) site .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
