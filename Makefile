# One word per chore. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROCESSES ?= auto
# Whatever happens on a cluster, this ends, and ends what it started.
CLUSTER_TESTS = timeout --signal=INT --kill-after=60 1200 $(BIN)/python -m pytest -m cluster

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format fetch-cluster test-cluster test-flink fetch-readers test-readers soak pictures bench clean

help:  ## list these chores
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: $(VENV)/ready  ## make .venv in this folder, with the pinned packages

$(VENV)/ready: requirements.txt requirements-dev.txt setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "boxbeam needs Python 3.11 or newer as $(PYTHON); found: $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) has no venv module. On Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	@echo "setting up $(VENV) (once; some minutes, about 3 GB of packages) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(VENV)/ready  ## the whole chain on a scene that boxbeam draws; pictures and a video land in demo_out/pictures/
	@$(BIN)/boxbeam demo --output demo_out

test: $(VENV)/ready  ## run the test suite on all cores (without cluster, soak and other projects' readers)
	@$(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal -m "not cluster and not readers and not soak"

fetch-cluster: $(VENV)/ready  ## fetch and build what test-cluster runs, ahead of it (minutes, once)
	@PYTHONPATH=tests $(BIN)/python -m cluster.fetch

test-cluster: $(VENV)/ready  ## run boxbeam on a real Flink, a real S3 server, Spark and Prism (needs Java, Maven, Go)
	@$(CLUSTER_TESTS) tests/cluster

test-flink: $(VENV)/ready  ## of test-cluster what runs on Flink: the whole chain, a long video, faults (needs Java, Maven, Go)
	@$(CLUSTER_TESTS) tests/cluster/test_flink.py tests/cluster/test_flink_faults.py

fetch-readers: $(VENV)/ready  ## fetch what test-readers runs, ahead of it (1 GB, once)
	@$(BIN)/python -m tests.readers.environment

test-readers: fetch-readers  ## let other tools read our records and exports: supervision, datumaro, TensorFlow ...
	@timeout --kill-after=10 170 $(BIN)/python -m pytest tests/readers

soak: $(VENV)/ready  ## run infer, convert and render on many inputs and kill them at random, for about three minutes
	@$(BIN)/python -m pytest -s -m soak tests/soak

check: $(VENV)/ready  ## ruff and mypy
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(VENV)/ready  ## let ruff rewrite
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

pictures: $(VENV)/ready  ## make the pictures of README.md and the notebook in examples/ anew (needs Chromium)
	@PYTHONPATH=. $(BIN)/python docs/make_pictures.py
	@PYTHONPATH=. $(BIN)/python docs/make_notebook.py

bench: $(VENV)/ready  ## speed and memory of infer beside bare Session loops
	@$(BIN)/python -m benchmarks.infer

clean:  ## remove what setup and tests made
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist demo_out *.egg-info
