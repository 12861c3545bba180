# Everything a fresh clone needs, with nothing but Python 3.11 or newer, gcc and make.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

.PHONY: demo test test-all lint clean

demo: $(VENV)/.installed  ## run the quick suite and say where the report is
	@$(PY) -m bench run --suite quick

test: $(VENV)/.installed-test  ## all tests but the long ones
	@$(PY) -m pytest -m "not slow"

test-all: $(VENV)/.installed-test  ## all tests
	@$(PY) -m pytest

lint: $(VENV)/.installed-test  ## style and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

clean:  ## remove the environment
	rm -rf $(VENV)

# A stamp per set of packages: a second call finds it newer than pyproject.toml and installs nothing.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PY) -m pip install --quiet --editable '.[test]'
	@touch $@
