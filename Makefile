# Fennel's commands. `make` alone lists them.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Tests wait more than they compute: two processes a core.
TEST_PROCESSES ?= $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2))
# The oldest first: it is the one that the pins were made with.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)

# A word for the shell, whatever is in it.
quoted = '$(subst ','\'',$(1))'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test lint format docs pages recording bench chaos kill-sync test-upgrade test-gpu test-web test-hosts up down clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(VENV)/.installed ## make .venv and install the pinned packages in it

demo: venv ## start everything, ask the sample handbook one question, stop; QUESTION="…" asks another
	@$(BIN)/fennel demo $(if $(value QUESTION),-- $(call quoted,$(value QUESTION)))

test: venv ## run all tests
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

lint: venv ## check style, the tests' sentences, types, imports, news and the generated pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/interrogate tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/towncrier build --draft --version next >/dev/null
	$(BIN)/python -m pages --check

format: venv ## put the code in the common form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: venv ## make the documentation's site in build/docs; open build/docs/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open build/docs/index.html."

test-web: venv ## the tests of the web page, in a headless Chromium; pictures of it go to var/web/
	$(BIN)/python -m pytest -m web tests/web

recording: venv ## run the demo and draw what it printed in docs/demo.svg
	$(BIN)/python -m pages.recording

pages: venv ## write the generated parts of the documentation anew: settings, commands, metrics
	$(BIN)/python -m pages

bench: venv ## measure speed and memory; the table is kept in benchmarks/results/
	$(BIN)/python -m benchmarks

chaos: venv ## kill everything at random and see whether every question is answered once; EVENTS=1500 SEED=…
	$(BIN)/python -m tests.chaos --events $(or $(EVENTS),1500) $(if $(SEED),--seed $(SEED))

.PHONY: pins
pins: venv ## write requirements.lock, the hashes of all pinned packages, anew; after a change of constraints.txt
	$(PIP) install -q uv==0.13.9
	grep -v '^torch==' constraints.txt | $(BIN)/uv pip compile - --no-deps --universal --python-version 3.11 \
		--generate-hashes --no-annotate --quiet --custom-compile-command 'make pins' --output-file requirements.lock

.PHONY: audit
audit: venv ## ask whether a pinned package has a known hole; needs the advisories of the package index
	$(PIP) install -q pip-audit
	$(BIN)/pip-audit --requirement constraints.txt --disable-pip --no-deps --strict

.PHONY: fuzz
fuzz: venv ## a million bad inputs for everything that reads what comes from outside; INPUTS=1000000 SEED=…
	$(BIN)/python -m tests.fuzz --inputs $(or $(INPUTS),1000000) $(if $(SEED),--seed $(SEED))

kill-sync: venv ## kill a sync of 1,000 files at random moments and look at the index each time; KILLS=50 SEED=…
	$(BIN)/python -m tests.workers.knowledge.kill_sync --kills $(or $(KILLS),50) $(if $(SEED),--seed $(SEED))

test-upgrade: venv ## run bots and workers of another commit together with these, there and back; OLD=REF
	$(BIN)/python -m tests.upgrade --old $(or $(OLD),$$(git describe --tags --abbrev=0 2>/dev/null || echo HEAD~1))

test-gpu: venv ## the tests that need a GPU, on a machine that has one
	$(BIN)/python -m pytest -m gpu tests --junitxml=benchmarks/results/gpu-tests.xml

test-hosts: venv ## the tests with several hosts in network namespaces, as root; QUESTIONS=100 TESTS="replaced or cut_off"
	@$(BIN)/python -m tests.hosts.network
	$(BIN)/python -m pytest -m hosts tests/hosts -n 2 --questions $(or $(QUESTIONS),100) $(if $(TESTS),-k "$(TESTS)")

up: venv ## start everything and leave it running
	@$(BIN)/fennel up --wait

down: venv ## stop everything: bots, then workers when they have finished, then Redis
	@$(BIN)/fennel down

clean: ## remove .venv and caches; var/, where your documents are, stays
	rm -rf $(VENV) tests/fakes/node/node_modules pages/node/node_modules build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info

# Every file has to have a hash that requirements.lock names; what it asks for besides is not looked at, as all of it is
# in the lock. torch is not: the same release is one file for CPUs and another for GPUs, and not all come from one index.
# It comes by its exact pin: asked for in passing, it brings gigabytes of GPU libraries along.
$(VENV)/.installed: pyproject.toml constraints.txt requirements.lock
	@test -n "$(PYTHON)" || { echo "Fennel needs Python 3.11 or newer, which is not here: install it, then run make again." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make environments: run 'apt-get install python3-venv' (as root), then make again." >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version); the first time downloads about 1 GB."
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --no-deps --require-hashes -r requirements.lock
	$(PIP) install -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
