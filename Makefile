# `make search` and `make test` need nothing but this file, Python 3.11 or newer and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Compiled once and not in each of some hundred processes, whatever the environment says.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 3 --dist worksteal --durations=20
NUMERIC := tests/method tests/training tests/estimators tests/export tests/tables tests/auto

.PHONY: install search test test-all test-numeric test-slow lint format table-3-7 clean

install: $(STAMP)

$(STAMP): pyproject.toml setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

search: install
	$(BIN)/python -m rebnn_search.run search_spaces/gamma.yaml

test: install lint
	$(PYTEST)

# With what takes longer: MINUTES=20 leaves out, and names, what would not end in so many. Nearly each of these starts a Ray of its own.
test-all: test test-slow

test-slow: install
	$(PYTEST) --numprocesses 2 -m "slow and not gpu" --minutes=$(or $(MINUTES),0)

# What could depend on which CPU adds the numbers. ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA make one machine behave as several.
test-numeric: install
	$(PYTEST) -m "not slow and not gpu and not ray" $(NUMERIC)

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Table 3.7's ten rows on a subset of CIFAR-10, trained anew, and whether they are those in benchmarks/results: docs/table_3_7.md. One and a
# half to two hours on 2 cores; give it again after any pause. TABLE=table_3_7_cifar10_subset is the whole search, in four to five hours.
# ARCHIVE is a tar of train/CLASS/* and test/CLASS/*, or torchvision's directory with CIFAR-10.
TABLE := table_3_7_cifar10_subset_rows
table-3-7: install data/cifar10_subset
	$(BIN)/python -m rebnn_search.run search_spaces/$(TABLE).yaml --set precision.compile=true --name $(TABLE) --resume-or-start
	$(BIN)/python benchmarks/table_3_7.py results/$(TABLE) --out results/$(TABLE)/table
	$(BIN)/python benchmarks/table_3_7_again.py benchmarks/results/table_3_7_cifar10_subset/runs.csv results/$(TABLE)/table/runs.csv

data/cifar10_subset: | install
	$(BIN)/python benchmarks/cifar10_folder.py $(or $(ARCHIVE),$(error say where CIFAR-10 is: make table-3-7 ARCHIVE=FILE)) $@ --per-class 1000

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
