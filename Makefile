# Everything a newcomer types. Needs Python 3.11 to 3.13, git and make; pip takes packages from wherever it is set up to.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOG := $(VENV)/install.log

HOSTS := (extra-)?index-url|trusted-host|find-links

.DEFAULT_GOAL := help
.PHONY: help demo test chaos simulate mutation check bench schemas format clean

help: ## Show this
	@echo "model-reconciler: keeps the MLflow registry and KServe as Git says, and records why."
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "Options go into ARGS:"
	@echo "  make demo ARGS=--exit          end after the stories; exit code 0 if the end states hold"
	@echo "  make demo ARGS=--reset         start anew"
	@echo "  make demo ARGS=--standard      in KServe's Standard mode"
	@echo "  make test ARGS='tests/plan -x'"
	@echo "  make test ARGS='--kubeconfig FILE'   on that cluster, see CONTRIBUTING.md"
	@echo "  make demo PYTHON=python3.12    only matters while $(VENV) does not exist yet"

demo: $(STAMP) ## Watch models being trained, canaried, promoted and rolled back, on this machine
	@$(BIN)/reconciler demo $(ARGS)

# Two at a time, a file never apart from itself: tests of one file share what they start. On a cluster all share that.
AT_ONCE = $(if $(findstring --kubeconfig,$(ARGS)),-n 0,-n 2 --dist loadfile --no-loadscope-reorder)

# pytest takes a file that stands apart from its option for a place to look for tests, before it knows the option.
test: $(STAMP) ## Run the tests
	$(BIN)/python -m pytest $(AT_ONCE) $(subst --kubeconfig ,--kubeconfig=,$(ARGS))

chaos: $(STAMP) ## Kill, stop and starve the real service; CHAOS=long goes through each fault alone
	CHAOS=$${CHAOS:-short} $(BIN)/python -m pytest tests/chaos $(ARGS)

simulate: $(STAMP) ## Look for failing stories in the simulated world, for MINUTES=60
	$(BIN)/python -m tests.simulation --minutes $${MINUTES:-60} $(ARGS)

mutation: $(STAMP) ## Change the code in every small way: does a test notice?
	$(BIN)/python -m tests.mutation $(ARGS)

check: $(STAMP) ## Lint, types, directions of imports, generated files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m reconciler.schemas_command --check
	$(BIN)/python example-repo/compile.py --check
	@! git grep -nIE '$(HOSTS)' -- . ':!Makefile' || { \
	  echo "Name no package index in the tree: where pip looks is for each machine to say" >&2; exit 1; }

bench: $(STAMP) ## Measure speed and memory against raw baselines
	$(BIN)/python -m tests.bench $(ARGS)

schemas: $(STAMP) ## Generate schemas/ and compile the example's pipelines again
	$(BIN)/python -m reconciler.schemas_command --write
	$(BIN)/python example-repo/compile.py

format: $(STAMP) ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove the environment, caches and what the demo left
	rm -rf $(VENV) .demo .demo-standard build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made anew only when what is to be installed changes.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed, but $(PYTHON) is $$($(PYTHON) --version 2>&1 || echo missing)." >&2; \
	  echo "help: install one, or name it: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments: its modules venv and ensurepip are missing." >&2; \
	  echo "help: Debian and Ubuntu keep them in a package of their own: apt install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing into $(VENV); the first time takes a few minutes"
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[demo,dev]' >$(LOG) 2>&1 || { \
	  tail -n 20 $(LOG) >&2; echo "help: pip could not install; all it said is in $(LOG)" >&2; exit 1; }
	@touch $@
