# `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH ?= torch==2.13.0
DSPY ?= dspy==3.4.1
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install demo tour test check format lint types layers proof audit bench clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## Make .venv with all pinned dependencies (about 2 GB)

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Ratchet needs Python 3.11 or newer; name one with: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "This Python cannot make virtual environments; installing Debian's python3-venv"; \
		apt-get update -qq && apt-get install -y -qq python3-venv || { echo "run: sudo apt-get install python3-venv"; exit 1; }; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[local,embed,knowledge,hosted,postgres,ray,serve,dspy,dev]'
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps $(DSPY)
	@$(BIN)/ratchet models add smollm2 || echo "The small language model is not there yet, and all else works; later: $(BIN)/ratchet models add smollm2"
	@touch $@

demo: install ## A real small model climbs on commands to a home: forced labels, demonstrations, a fine-tune; offline
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/home/demo.sh demo

tour: install ## The quickest way round: PII redaction with the tiny model that ships, offline
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/pii/demo.sh tour

test: install ## Run all tests, in JOBS processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

check: format lint types layers test ## Format, lint, types, layers, tests

format: install ## Check the formatting
	$(BIN)/ruff format --check -q .

lint: install ## Check the style
	$(BIN)/ruff check -q .

types: install ## Check the types
	$(BIN)/mypy

layers: install ## Check that no floor imports from above
	$(BIN)/lint-imports --no-cache | tail -4

proof: install ## Run our statistical claims again; writes docs/proof.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/proof/run.py

audit: install ## Licences of all dependencies, and their known holes
	$(BIN)/python tools/audit.py

bench: install ## Measure throughput side by side with a bare loop
	$(BIN)/python benchmarks/throughput/run.py

clean: ## Remove what was made, .venv too
	rm -rf $(VENV) demo tour build dist .mypy_cache .ruff_cache .pytest_cache
