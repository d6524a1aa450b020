# Two commands do everything: `make run` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The tests of a file share what they start: one worker runs them. Four workers, also on two cores, because many tests wait;
# the quick ones do not, and each worker takes five seconds to collect them.
TOGETHER := --dist loadgroup --no-loadscope-reorder
# The core, what adapters promise, and the API, without what is `slow`: it asks the test provider, or works for seconds.
QUICK := tests/core tests/contracts tests/api $(wildcard tests/test_*.py)

.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.runtime ## Serve the page and the API on http://127.0.0.1:8000 (HOST, PORT and .env change that)
	@exec $(BIN)/gunicorn -c deploy/gunicorn.conf.py wsgi:app

test: $(VENV)/.dev ## Run every check and every test
	@sh tests/system_packages.sh
	$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest -n 4 $(TOGETHER)

test-quick: $(VENV)/.dev ## While you work: every check, and the fast tests, in a minute or so
	$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest -n auto $(TOGETHER) -m "not slow" $(QUICK)

test-real: $(VENV)/.dev ## Tests with packages of npm and PyPI that they download: clients, LiteLLM, transformers serve (several GB)
	TEST_REAL=1 $(BIN)/python -m pytest tests/real

check: $(VENV)/.dev ## Lint, format, types, import contracts (no tests)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: $(VENV)/.dev ## For ten minutes: data of all kinds against the document, and 10,000 answers with callers that hang up
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-100} FUZZ_SECONDS=$${FUZZ_SECONDS:-480} FUZZ_SEED=$${FUZZ_SEED:-$$(date +%s)} \
	MIXED_REQUESTS=$${MIXED_REQUESTS:-10000} $(BIN)/python -m pytest tests/system/test_document.py tests/system/test_mixed.py

soak: $(VENV)/.dev ## Half an hour, with longer loads by SOAK_SECONDS: all kinds of callers, two nodes that lose processes; nothing grows or is lost
	$(BIN)/python -m pytest -m soak -s tests/soak tests/system/test_locks.py

screenshots: $(VENV)/.dev ## Take the pictures of the README again (docs/img)
	$(BIN)/python -m docs.img.make

docs: $(VENV)/.runtime ## Write .env.example and the tables of docs/ from the code
	$(BIN)/python -m llm_service.cli.docs
	$(BIN)/python -m tests.servers.matrix

audit: $(VENV)/.dev ## Known faults of the packages in requirements.lock (asks PyPI)
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip -r requirements.lock || { \
	echo "make audit: a package has a known fault (named above); or, if it could not be found or reached, the service is not"; \
	echo "reachable from here: then nothing was checked."; exit 1; }

bench: $(VENV)/.dev ## Measure everything beside two other services (ARGS="--quick"; see bench/README.md)
	@$(BIN)/python -m bench $(ARGS)

bench-cost: $(VENV)/.dev ## In a minute: the CPU of a hit, a miss and a token, against bench/bounds.toml
	@$(BIN)/python -m bench.cost $(ARGS)

bench-nodes: $(VENV)/.dev ## Measure what PostgreSQL, Redis and nginx cost (ARGS="--quick")
	@$(BIN)/python -m bench.nodes $(ARGS)

lock: $(VENV)/.dev ## Resolve the ranges of setup.cfg into the lock files, with hashes
	$(BIN)/uv pip compile -q --generate-hashes --no-header setup.cfg -o requirements.lock
	$(BIN)/uv pip compile -q --generate-hashes --no-header setup.cfg --extra dev -c requirements.lock -o requirements-dev.lock

clean: ## Remove the virtual environment and caches; the database in var/ stays
	rm -rf $(VENV) .bench .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock | $(VENV)/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock | $(VENV)/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@ $(VENV)/.runtime

.PHONY: help run test test-quick test-real check fuzz soak screenshots docs audit bench bench-cost bench-nodes lock clean
