# Commands for a fresh machine with Python and make; each builds .venv and installs nnunet-ext first:
#   make demo        runs the demo into ./demo
#   make test        runs all tests
#   make test-fast   runs all tests but those that train, install or take seconds
#   make lint        style, and types of the package as it is installed
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# pytest is silent while it collects the tests, for which it imports PyTorch and nnU-Net
SILENCE = PyTorch and nnU-Net are imported first: up to a minute without a sign.

.PHONY: demo test test-fast lint types clean

$(VENV)/.installed: pyproject.toml setup.py nnunet_ext.pth
	@echo "Installing into $(VENV): downloads PyTorch, about 6 GB on disk with the CUDA one; takes minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/pip install --quiet -e ".[dev]"
	touch $@

demo: $(VENV)/.installed
	$(BIN)/nnunet_ext demo -o demo

test: $(VENV)/.installed-test
	@echo "All tests: 20 to 25 minutes on two cores. $(SILENCE)"
	$(BIN)/python -m pytest -n 2 --dist loadscope

test-fast: $(VENV)/.installed-test
	@echo "Fast tests: 2 minutes on two idle cores, more on busy ones. $(SILENCE)"
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not slow"

lint: $(VENV)/.installed-test types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Of the package as it is installed: in the checkout mypy would not find trainers/ and dataset_conversion/ under
# their names in nnunet_ext, take everything from them for "Any", and check nothing. Without a cache: with one
# it missed files that had changed.
types: $(VENV)/.installed-test
	rm -rf build
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --target build/installed .
	cd build/installed && $(abspath $(BIN))/mypy --config-file $(CURDIR)/pyproject.toml \
		--cache-dir /dev/null --package nnunet_ext

clean:
	rm -rf $(VENV) build dist *.egg-info
