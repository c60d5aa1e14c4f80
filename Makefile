# Two commands matter to a user: `make demo` and `make test`. Each does all its own set-up, from a machine that has Python 3.11+ and make.
# `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv

# Keyed on content, not on time: a checkout that touches every file installs nothing, and one that was moved installs again, because an
# editable install holds the path of its checkout.
KEY := $(shell { cat requirements/uv.txt requirements/lock.txt pyproject.toml $(wildcard src/trueloop/*/compiled.c src/trueloop/*/*/compiled.c); echo '$(CURDIR)'; } | cksum | cut -d ' ' -f 1)
INSTALLED := $(VENV)/installed-$(KEY)

# A room that has no tests yet is no error.
PARALLEL_TESTS := $(wildcard tests/unit tests/processors tests/contract src)
BROKER_TESTS := $(wildcard tests/faults tests/integration tests/browser)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-17s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: install
install: $(INSTALLED) ## Create .venv and install everything that is locked; again only when the locks, pyproject.toml or what is compiled have changed.

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Trueloop needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. Run: make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo 'This Python cannot make virtual environments; on Debian and Ubuntu run: apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): | $(BIN)/python
	@rm -f $(VENV)/installed-*
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/uv.txt
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements/lock.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: fetch
fetch: install ## Fetch the locked jars of Kafka and the schema registry; nothing when they are there.
	@$(BIN)/trueloop fetch

.PHONY: demo
demo: fetch ## Run the whole loop on this machine. ARGS="..." go to `trueloop demo`.
	$(BIN)/trueloop demo $(ARGS)

.PHONY: test
test: fetch test-unit test-broker ## Run all tests but the long ones: unit tests, then those with a broker, the short forms of the faults among them.

.PHONY: test-unit
test-unit: install ## Run the tests that need no broker, on two cores, and the doctests.
	$(BIN)/pytest -n 2 $(PARALLEL_TESTS) $(ARGS)

# Two files at a time, for each waits for much; the tests of a file share its broker, one after the other.
.PHONY: test-broker
test-broker: fetch ## Run the tests that start the broker, the registry and the workers, and the short forms of the faults.
	$(if $(BROKER_TESTS),$(BIN)/pytest -n 2 --dist loadfile $(BROKER_TESTS) $(ARGS),@echo 'no such tests')

.PHONY: test-faults-short
test-faults-short: fetch ## Run the short forms of the faults alone, which `make test` runs too; prints their table.
	$(BIN)/pytest tests/faults $(ARGS)

.PHONY: test-faults
test-faults: fetch ## Run the long forms of the faults, one after the other (some 40 minutes); prints and writes bench/results/faults.md.
	$(BIN)/pytest -m faults tests/faults $(ARGS)

.PHONY: test-long
test-long: install ## Run the long tests: soak runs and the simulations of the statistics.
	$(BIN)/pytest -m long $(PARALLEL_TESTS) $(BROKER_TESTS)
	$(BIN)/pytest -n 2 --hypothesis-profile exploring -m 'hypothesis and not long' tests/unit tests/processors

.PHONY: operating-characteristics
operating-characteristics: install ## Simulate what the statistics declare: coverage, bias, false alarms, attacks; writes bench/results/operating_characteristics.md.
	$(BIN)/python bench/operating.py

# Independent libraries that say what our statistics should be. One is under the GPL and one pins an old scipy, so they never meet our environment.
build/oracles/installed: requirements/oracles.txt | $(INSTALLED)
	$(PYTHON) -m venv build/oracles
	$(UV) pip install --quiet --python build/oracles/bin/python --require-hashes --requirement requirements/oracles.txt
	@touch $@

.PHONY: test-oracles
test-oracles: install build/oracles/installed ## Compare the agreement statistics with independent libraries, in an environment of their own.
	$(BIN)/pytest tests/oracles

.PHONY: bench
bench: fetch ## Measure latency and throughput of the loop; prints and writes bench/results/loop.json.
	$(BIN)/python bench/loop.py

# The peers that our own environment must not hold, because they pin what we pin otherwise.
build/peers/installed: requirements/peers.txt | $(INSTALLED)
	$(PYTHON) -m venv build/peers
	$(UV) pip install --quiet --python build/peers/bin/python --require-hashes --requirement requirements/peers.txt
	@touch $@

.PHONY: bench-stream
bench-stream: fetch build/peers/installed ## Measure the stream workers beside the client alone, stock Faust and Quix Streams; writes bench/results/stream.md.
	$(BIN)/python bench/stream.py $(ARGS)

.PHONY: bench-scaling
bench-scaling: fetch ## Measure two stream workers beside one, and a worker's memory over 5 M traces; writes bench/results/scaling.md.
	$(BIN)/python bench/scaling.py $(ARGS)

.PHONY: bench-sink
bench-sink: fetch ## Measure what a trace costs from Kafka into ClickHouse, on one core; writes bench/results/sink.md.
	$(BIN)/python bench/sink.py $(ARGS)

# A peer that lives beside our environment, not in it.
build/rocksdb/installed: requirements/rocksdb.txt | $(INSTALLED)
	$(UV) pip install --quiet --target build/rocksdb --no-deps --require-hashes --requirement requirements/rocksdb.txt
	@touch $@

.PHONY: bench-state
bench-state: fetch build/rocksdb/installed ## Measure state in memory beside RocksDB, on the broker's changelog; writes bench/results/state.md.
	PYTHONPATH=build/rocksdb $(BIN)/python bench/state.py $(ARGS)

.PHONY: bench-dpo
bench-dpo: install ## Measure a DPO step beside a bare loop of torch and beside TRL; writes bench/results/dpo_step.md.
	$(BIN)/python bench/dpo_step.py $(ARGS)

.PHONY: bench-jobs
bench-jobs: fetch ## Measure how long a small training job waits before it starts; writes bench/results/job_start.md.
	$(BIN)/python bench/job_start.py $(ARGS)

.PHONY: bench-optimisers
bench-optimisers: install ## Train by every method on the same labels, of which some are wrong (an hour or two, goes on where it was); writes bench/results/optimisers.md.
	$(BIN)/python bench/optimisers.py $(ARGS)

.PHONY: bench-hh-reward
bench-hh-reward: install ## Train our reward model on HH-RLHF's pairs, three folds (some twenty CPU minutes); writes bench/results/hh_reward.md. Needs the data.
	$(BIN)/python bench/hh_reward.py $(ARGS)

.PHONY: bench-agreement
bench-agreement: install ## Measure what agreement costs per label and per key; writes bench/results/agreement.md.
	$(BIN)/python bench/agreement.py

.PHONY: bench-labels
bench-labels: install ## Measure what the other statistics of labels cost: reviewers, estimates, spans; writes bench/results/label_statistics.md.
	$(BIN)/python bench/label_statistics.py

build/river/installed: requirements/river.txt | $(INSTALLED)
	$(PYTHON) -m venv build/river
	$(UV) pip install --quiet --python build/river/bin/python --require-hashes --requirement requirements/river.txt
	@touch $@

.PHONY: bench-drift
bench-drift: install build/river/installed ## Measure the cost of the drift statistics, and our detector beside river's; writes bench/results/drift.md.
	$(BIN)/python bench/drift.py $(ARGS)

.PHONY: bench-real
bench-real: install ## Agreement per pair of models on PandaLM's annotators; writes bench/results/real_agreement.md. Needs the data.
	$(BIN)/python bench/real_agreement.py $(ARGS)

.PHONY: bench-gates
bench-gates: install ## Simulate what a gate passes and blocks, with and without many looks; writes bench/results/gates.md.
	$(BIN)/python bench/gates.py $(ARGS)

.PHONY: wheel-test
wheel-test: fetch ## Build the wheel, install it in a clean environment and use it there.
	$(BIN)/pytest tests/integration/test_wheel.py

.PHONY: check
check: install types ## Lint, formatting, types and the layout: what can be said without running anything.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	MYPYPATH=build/types $(BIN)/mypy --package trueloop
	$(BIN)/pytest tests/unit/test_layout.py

# mypy does not know setuptools' package-dir, so it gets the tree as it will be installed, made of links.
.PHONY: types
types:
	@rm -rf build/types && mkdir -p build/types/trueloop
	@ln -s $(addprefix $(CURDIR)/,$(wildcard src/trueloop/*) schemas streams trainers) build/types/trueloop/

.PHONY: format
format: install ## Sort imports, mend what ruff can mend, format.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: schemas
schemas: install ## Write schemas/*.avsc from the event models.
	$(BIN)/python -m trueloop.events.avro schemas/

COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(if $(UPGRADE),--upgrade)

# The locks of the images are cut from the one that is tested, so no image runs a version that no test has seen.
.PHONY: lock
lock: install ## Resolve the dependencies anew into requirements/; UPGRADE=1 takes newer versions than those locked.
	$(COMPILE) requirements/uv.in --output-file requirements/uv.txt
	$(COMPILE) requirements/peers.in --output-file requirements/peers.txt
	$(COMPILE) requirements/oracles.in --output-file requirements/oracles.txt
	$(COMPILE) requirements/river.in --output-file requirements/river.txt
	$(COMPILE) requirements/rocksdb.in --output-file requirements/rocksdb.txt
	$(COMPILE) pyproject.toml --all-extras --output-file requirements/lock.txt
	$(COMPILE) pyproject.toml --constraints requirements/lock.txt --output-file requirements/workers.txt
	$(COMPILE) pyproject.toml --constraints requirements/lock.txt --extra train --output-file requirements/trainer.txt

.PHONY: clean
clean: ## Remove what was built and cached here. The environment, .trueloop/ and the fetched jars stay.
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
	find $(wildcard src streams trainers schemas tests bench) -name __pycache__ -type d -prune -exec rm -rf {} +
