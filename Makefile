# Two commands for a fresh machine with Python and make:
#   make demo   builds .venv, installs nnunet-ext, runs the demo into ./demo
#   make test   builds .venv, installs nnunet-ext with its tests, runs them
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test lint clean

$(VENV)/.installed: pyproject.toml setup.py nnunet_ext.pth
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
	$(BIN)/python -m pytest -n 2 --dist loadscope

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info
