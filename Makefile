# Every task of this project; `make` alone lists them.

PYTHON           ?= python3
DEMO_HOUSEHOLDS  ?= 150
WORKERS          ?= auto
BENCH            ?=
CHAOS            ?=
FUZZ             ?=
SOAK             ?= 1000000
SEED             ?=
MUTANTS          ?=
LOCK_FLAGS       ?=

BIN   := .venv/bin
READY := .venv/.stamp
CODE  := $(wildcard src bench migrations tests)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test check soak bench chaos fuzz mutants lock openapi schema clean

help: ## List the tasks
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

setup: $(READY) ## Build .venv with the `loyalty` command in it

demo: $(READY) ## Serve a demo with real households: DEMO_HOUSEHOLDS=150, or all
	@mkdir -p .loyalty
	$(BIN)/python -m bench.real_year.convert --households $(DEMO_HOUSEHOLDS) --out .loyalty/real-year.parquet
	$(BIN)/loyalty dev --basket-file .loyalty/real-year.parquet

test: check ## Check, then test everything: WORKERS=auto
	@$(BIN)/python -m pytest -n $(WORKERS)

check: $(READY) ## Lint, types, layers, dependencies, contracts, migrations
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports
	$(BIN)/deptry src
	$(BIN)/vulture
	$(BIN)/loyalty openapi --check
	$(BIN)/loyalty schema --check
	$(BIN)/loyalty migrate --sql > .venv/migrations.sql
	$(BIN)/squawk .venv/migrations.sql
	$(BIN)/hadolint Dockerfile

soak: $(READY) ## Hold the ledger in memory against its naive twin: SOAK=1000000 commands, SEED=random
	$(BIN)/python -m tests.soak --commands $(SOAK) $(SEED:%=--seed %)

bench: $(READY) ## Measure against the yardsticks: BENCH='name ...'
	$(BIN)/python -m bench $(BENCH)

chaos: $(READY) ## Break everything around the service, look for a lie: CHAOS='--faults 200 --seed 7'
	$(BIN)/python -m bench.chaos $(CHAOS)

fuzz: $(READY) ## Send whatever the contract allows and what it does not: FUZZ='--minutes 10 --seed 7'
	$(BIN)/python -m bench.fuzz $(FUZZ)

mutants: $(READY) ## Change the domain a little, does a test notice? MUTANTS=all, or '200 --seed 7'
	$(BIN)/python -m bench.mutants $(MUTANTS)

openapi: $(READY) ## Write openapi/loyalty.json from the code
	$(BIN)/loyalty openapi

schema: $(READY) ## Write migrations/schema.sql from the migrations
	$(BIN)/loyalty schema

lock: ## Lock the dependencies with hashes: LOCK_FLAGS=--upgrade to renew them
	@command -v uv >/dev/null || test -x $(BIN)/uv || { $(need_python) && $(PYTHON) -m venv .venv && $(BIN)/pip install --quiet uv; }
	$(compile) pyproject.toml --output-file requirements/run.txt
	$(compile) pyproject.toml --output-file requirements/dev.txt --extra dev --extra embedded --constraint requirements/run.txt
	echo hatchling | $(compile) - --output-file requirements/build.txt --constraint requirements/dev.txt

clean: ## Remove what the tools left behind (.venv and the data in .loyalty stay)
	rm -rf build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

# The locked packages come first and the project after them, alone: --require-hashes refuses `-e .`.
$(READY): requirements/dev.txt pyproject.toml
	@$(need_python)
	@$(PYTHON) -m venv .venv
	@echo "Installing into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# No registry's address is written down: whoever installs decides where packages come from.
compile = PATH="$$PATH:$(CURDIR)/$(BIN)" uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(LOCK_FLAGS)

# Each failure names the one command that mends it.
need_python = sh requirements/need-python.sh $(PYTHON)
