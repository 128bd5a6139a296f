# The everyday commands. `make up` starts everything on this machine, `make down` ends it.

UV_VERSION := 0.13.9
VENV       := .venv
BIN        := $(VENV)/bin
READY      := $(VENV)/.ready
TIERS      := unit conformance integration kubernetes engine chaos
PARTS      := chaos conformance integration kubernetes

# As pip does, uv trusts the certificates of the system: those of a company's proxy are there alone.
export UV_SYSTEM_CERTS := 1

# Python is started some hundred times: without byte code that is kept, each start would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help up down test bench lint fmt crds architectures sizing lock clean test-parts $(TIERS:%=test-%)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r name what; do \
		printf '  make %-17s %s\n' "$$name" "$$what"; done

up: $(READY) ## start everything on this machine and ask a model a question
	@$(BIN)/kaitobus up

down: ## end what `make up` started, leave nothing behind
	@if [ -x $(BIN)/kaitobus ]; then $(BIN)/kaitobus down; else echo "Nothing to end: $(VENV) is not there."; fi

# The control plane's own Python environment, made anew when the lock changes.
$(READY): requirements.lock pyproject.toml deploy/local/bootstrap.sh
	@sh deploy/local/bootstrap.sh $(VENV) $(UV_VERSION)
	@touch $@

test: lint test-unit test-parts test-engine ## lint, then all tiers of tests

test-unit: $(READY) ## pure logic, no I/O
test-conformance: $(READY) ## every provider against the same suite
test-integration: $(READY) ## on a real nats-server
test-kubernetes: $(READY) ## on a real API server
test-engine: $(READY) ## from kubectl apply to an answer of a real model
test-chaos: $(READY) ## kill things, nothing is lost
test-parts: $(READY) ## the four tiers on real servers at once: where one test waits, another works
# Most of these tests wait most of the time: several at once, each worker with servers of its own. Where a file makes
# something for all its tests, it stays with one worker. Another number: make test-chaos WORKERS=4.
test-unit: WORKERS := 2
test-unit: SPREAD = -n $(WORKERS)
test-parts test-conformance test-integration: WORKERS := 4
test-kubernetes test-chaos: WORKERS := 3
test-parts $(PARTS:%=test-%): SPREAD = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# How often a test of real parts that failed is run again; the summary names each. CI's machines are shared and slow.
RERUNS := 0
test-parts test-engine $(PARTS:%=test-%): AGAIN = --reruns $(RERUNS) -raR
test-parts:
	@echo "== $(PARTS:%=tests/%)"; $(BIN)/python -m pytest $(SPREAD) $(AGAIN) $(PARTS:%=tests/%)
$(TIERS:%=test-%): test-%:
	@if [ -d tests/$* ]; then echo "== tests/$*"; $(BIN)/python -m pytest $(SPREAD) $(AGAIN) tests/$*; fi

bench: $(READY) ## print the figures: plans, bus hop, apply to workload, memory, provisioner, time to the answer
	@$(BIN)/python -m tests.bench

lint: $(READY) ## ruff, mypy, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m services.contracts.publish --check
	$(BIN)/python -m tests.measured --check

fmt: $(READY) ## format, and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

sizing: $(READY) ## write the table and the plot of docs/sizing.md from what was measured
	@$(BIN)/python -m tests.measured

crds: $(READY) ## write deploy/crds from the Workspace model
	$(BIN)/python -m deploy.crds.generate

architectures: $(READY) ## write presets/architectures.yaml from the engine's own registry
	$(BIN)/python -m deploy.local.engine.architectures

lock: $(READY) ## write requirements.lock from pyproject.toml
	$(BIN)/uv pip compile --universal --python-version 3.11 --extra dev pyproject.toml -o requirements.lock \
		--custom-compile-command "make lock" $${PIP_FIND_LINKS:+--find-links "$$PIP_FIND_LINKS"} --quiet

clean: down ## down, and remove the Python environment
	rm -rf $(VENV)
