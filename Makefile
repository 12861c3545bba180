# Everything a fresh clone needs, with nothing but Python 3.11 or newer, gcc and make: `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
# An index of torch's builds, such as the one without CUDA that torch's own page of installation names.
TORCH_INDEX ?=

.PHONY: demo help test-fast test test-all lint format site docs test-lowest learn2learn peers speed race torture false-alarms audit clean

demo: $(VENV)/.installed  ## run the quick suite, whose report grows meanwhile, and say where it is
	@$(PY) -m bench run --suite quick

help:  ## this list
	@sed -nE 's/^([a-z0-9-]+):[^#]*## (.*)/  \1\t\2/p' Makefile | expand -t 16

# Two processes of one thread each: with more, they would slow each other down.
test-fast test: export OMP_NUM_THREADS = 1

test-fast: $(VENV)/.installed-test  ## the tests that neither train nor build pages, in about a minute
	@$(PY) -m pytest -m "not slow and not heavy" -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-test $(VENV)/.installed-peers  ## all tests but the long ones, most of an hour on two slow processors
	@$(PY) -m compileall -q bench  # once, not by each command of a test where Python is told not to keep it
	@$(PY) -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder --durations 25

test-all: $(VENV)/.installed-test $(VENV)/.installed-peers  ## all tests, and which lines of this process they reach
	@$(PY) -m pytest --cov --cov-report=term:skip-covered

lint: $(VENV)/.installed-test  ## style and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

format: $(VENV)/.installed-test  ## rewrite files in the style that `make lint` checks
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

site: $(VENV)/.installed  ## a static site of the committed results, in build/site
	@$(PY) -m bench site results/baselines/* --out build/site

# The README is the first page; documents and what they link to are copied as they lie, so that links between files stay.
docs: $(VENV)/.installed-docs  ## the documents as a site, in build/docs; fails on a link that leads nowhere
	@rm -rf build/docs build/docs-source && mkdir -p build/docs-source
	@cp -r *.md docs examples ci build/docs-source
	@$(VENV)/bin/zensical build --strict --clean --config-file zensical.toml
	@$(PY) -m tests.project.links build/docs

# What the lowest versions break is an import or a call: the tests that train nothing find it.
test-lowest: $(VENV)/.installed  ## the quick tests, with the lowest versions of what pyproject.toml asks for
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet uv
	VIRTUAL_ENV=$(VENV)-lowest $(VENV)-lowest/bin/uv pip install --quiet --resolution lowest-direct --editable '.[test]'
	@OMP_NUM_THREADS=1 $(VENV)-lowest/bin/python -m pytest -m "not slow and not heavy" -n 2 --dist loadfile --no-loadscope-reorder

learn2learn: $(VENV)/.installed-learn2learn  ## the reference for MAML: the method maml-l2l, and tests of maml

peers: $(VENV)/.installed-peers  ## published software that tests and races compare with

speed: $(VENV)/.installed-test  ## benchmarks, by pytest-benchmark
	@$(PY) -m pytest tests/speed --benchmark-only

race: $(VENV)/.installed-test $(VENV)/.installed-peers  ## races against other software; an hour of quiet on the machine
	@$(PY) -m tests.speed.race

torture: $(VENV)/.installed-test  ## kill, crowd, fill up and confuse runs; prints what came of it
	@$(PY) -m tests.torture

false-alarms: SEEDS ?= 0
false-alarms: $(VENV)/.installed  ## how often `bench compare` cries wolf, from ten runs of smoke (SEEDS=0,1,2 for more)
	@for run in 0 1 2 3 4 5 6 7 8 9; do \
		cache=$$(mktemp -d) && BENCH_CACHE=$$cache $(PY) -m bench run --suite smoke --seeds $(SEEDS) --fresh --results results/false-alarms-$$run && rm -rf $$cache || exit 1; \
	done
	@$(PY) -m bench.report.regression.false_alarms results/false-alarms-?

audit: $(VENV)/.installed-test  ## known vulnerabilities of what is installed, where the list can be had: a warning
	@$(PY) -m pip install --quiet pip-audit 2>/dev/null && $(PY) -m pip_audit --progress-spinner off --skip-editable --timeout 15 \
		|| echo "warning: pip-audit found something, or could not ask; see above"

clean:  ## remove the environment
	rm -rf $(VENV)

# A stamp per set of packages: a second call finds it newer than pyproject.toml and installs nothing.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),PIP_INDEX_URL=$(TORCH_INDEX) $(PY) -m pip install --quiet torch torchvision)
	$(PY) -m pip install --quiet --no-warn-conflicts --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PY) -m pip install --quiet --no-warn-conflicts --editable '.[test]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PY) -m pip install --quiet --no-warn-conflicts --editable '.[docs]'
	@touch $@

# pytorch-adapt asks for other packages in versions of 2022, avalanche-lib for ten solvers, flwr for a web server; what they import is in the extra.
$(VENV)/.installed-peers: $(VENV)/.installed $(VENV)/.installed-learn2learn
	$(PY) -m pip install --quiet --no-warn-conflicts --editable '.[peers]'
	$(PY) -m pip install --quiet --no-deps pytorch-adapt==0.0.83 avalanche-lib==0.6.0 flwr==1.42.0
	@touch $@

# The C files in learn2learn's release are too old for Python 3.11. Its setup.py writes new ones with Cython,
# which pip fetches for the build, if `build_ext` is among its arguments. Of its dependencies we install what
# `import learn2learn` needs; the others serve parts that are not used here, which is why pip is told above
# not to warn of them. Nothing of ours decides on a version: once per environment is enough.
$(VENV)/.installed-learn2learn: | $(VENV)/.installed
	$(PY) -m pip install --quiet gym requests scipy tqdm
	$(PY) -m pip install --quiet --no-deps --config-settings=--build-option=build_ext learn2learn==0.2.0
	@touch $@
