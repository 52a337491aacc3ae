# Everything a developer runs. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
# Of wall clock, in the long part.
SIMULATED_MINUTES ?= 2
ROOMS := proto raftlog service sdk txn
OURS := $(ROOMS) tests examples benchmarks
# Without it `python -m` would put this folder first on the path, and each room would be importable under two names.
export PYTHONSAFEPATH := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo demo-cluster test check format lint imports types stubs verify-stubs long soak simulate mutants chaos fuzz \
	bench bench-compare clean FORCE

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r name what; do \
		printf '  make %-14s %s\n' "$$name" "$$what"; done

# The development install is a farm of links, one for each file: made anew when a file comes or goes, and only then.
build/rooms.txt: FORCE
	@mkdir -p build
	@find $(ROOMS) -type f -not -path '*/__pycache__/*' | LC_ALL=C sort > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# A dependency that comes as source is built as it expects: with its own folder on the path, and alike by every pip.
.venv/installed: pyproject.toml build/rooms.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "TallyMQ needs Python 3.11 or newer; say which: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) comes without its module venv here:" \
		"install it (Debian, Ubuntu: apt-get install python3-venv), then run make again." >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "Installing TallyMQ and its development tools into .venv"
	@PYTHONSAFEPATH= $(BIN)/pip install --quiet --use-pep517 --editable '.[dev]' --config-settings editable_mode=strict
	@touch $@

setup: .venv/installed ## Make .venv with TallyMQ and the development tools

demo: .venv/installed ## The main job on one node: two SQLite banks, kill -9, the sum to the yuan
	@PYTHONPATH='$(CURDIR)/examples/bank' $(BIN)/python examples/bank/demo.py

# LONG=1: 20,000 transfers and at least 100 kills.
demo-cluster: .venv/installed ## The main job on three nodes, PostgreSQL and MariaDB (LONG=1: the long run)
	@PYTHONPATH='$(CURDIR)' $(BIN)/python -m tests.workloads.transfers $(if $(LONG),--long)

test: .venv/installed ## The tests, without the long ones (ARGS="-k name" chooses)
	@$(BIN)/python -m pytest -m 'not long' $(ARGS)

# With what each of them found, figures too, also when all is well.
long: .venv/installed ## The long tests: real clusters, real databases, real faults
	@$(BIN)/python -m pytest -m 'long and not soak' -rA $(ARGS)
	@PYTHONPATH='$(CURDIR)' PYTHONHASHSEED=0 $(BIN)/python -m tests.simulator --first 0 --minutes $(SIMULATED_MINUTES)

soak: .venv/installed ## Real faults for minutes, three nodes and five, as root, and their controls
	@$(BIN)/python -m pytest -m soak -rA $(ARGS)

# SEED=n replays one run exactly; MINUTES=m runs many seeds by wall clock, one process a core.
simulate: .venv/installed ## The cluster under virtual time (SEED=n or MINUTES=m); traces go to build/simulator/
	@PYTHONPATH='$(CURDIR)' PYTHONHASHSEED=0 $(BIN)/python -m tests.simulator \
		$(if $(SEED),--seed $(SEED),--minutes $(or $(MINUTES),1)) $(ARGS)

# NEMESIS=kill,half or all; NODES=3 or 5; ARGS="--seed 7 --rate 300". Results in build/chaos.
chaos: .venv/installed ## Real nodes under real faults, as root (MINUTES=10 NEMESIS=all NODES=3)
	@PYTHONPATH='$(CURDIR)' $(BIN)/python -m tests.cluster.chaos --minutes $(or $(MINUTES),10) \
		--nemesis $(or $(NEMESIS),all) --nodes $(or $(NODES),3) $(ARGS)

# TARGETS="message entry" chooses; what is found lies in build/fuzz.
fuzz: .venv/installed ## Fuzz every decoder of what a peer, a client or a disk sends (EXECUTIONS=100000)
	@$(BIN)/python -c 'import atheris' 2>/dev/null \
		|| $(BIN)/pip install --quiet --editable '.[dev,fuzz]' --config-settings editable_mode=strict
	@PYTHONPATH='$(CURDIR)' $(BIN)/python -m tests.fuzz $(TARGETS) --executions $(or $(EXECUTIONS),100000)

format: .venv/installed ## Format the code
	@$(BIN)/ruff format $(OURS)
	@$(BIN)/ruff check --fix $(OURS)

lint: .venv/installed
	@$(BIN)/ruff format --check $(OURS)
	@$(BIN)/ruff check $(OURS)

imports: .venv/installed
	@$(BIN)/lint-imports --no-cache

types: .venv/installed
	@$(BIN)/mypy

check: lint imports types verify-stubs test ## Format, lint, import contracts, types, stubs fresh, tests

# The virtual path tallymq/proto makes the stubs import each other as tallymq.proto.*; a file without a service has no
# use for the second pair of stubs.
define generate
	rm -rf build/stubs && mkdir -p build/stubs
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -Itallymq/proto=proto --python_out=build/stubs \
		--pyi_out=build/stubs --grpc_python_out=build/stubs --mypy_grpc_out=quiet:build/stubs proto/*.proto
	for proto in proto/*.proto; do name=$$(basename "$$proto" .proto); \
		grep -q '^service ' "$$proto" || rm build/stubs/tallymq/proto/"$$name"_pb2_grpc.py*; done
endef

stubs: .venv/installed ## Make the stubs of proto/ anew
	@$(generate)
	@rm -f proto/*_pb2.py proto/*_pb2.pyi proto/*_pb2_grpc.py proto/*_pb2_grpc.pyi
	@cp build/stubs/tallymq/proto/* proto/

verify-stubs: .venv/installed
	@$(generate)
	@mkdir build/stubs/committed && cp proto/*_pb2* build/stubs/committed/
	@diff -r build/stubs/tallymq/proto build/stubs/committed >/dev/null \
		|| { echo "The stubs in proto/ are not what proto/*.proto says: run make stubs" >&2; exit 1; }

mutants: .venv/installed ## Let each deliberate bug in, one at a time: the tests must notice (ARGS="--only raft")
	@PYTHONPATH='$(CURDIR)' $(BIN)/python -m tests.mutants $(ARGS)

bench: .venv/installed ## The figures of this machine (ARGS="--seconds 10"); writes build/bench/
	@PYTHONPATH='$(CURDIR)' $(BIN)/python -m benchmarks $(ARGS)

bench-compare: .venv/installed ## Compare two runs: make bench-compare A=old.json B=new.json
	@PYTHONPATH='$(CURDIR)' $(BIN)/python -m benchmarks.compare '$(A)' '$(B)'

clean: ## Remove what make made
	rm -rf .venv build dist tallymq.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find $(OURS) -name __pycache__ -type d -prune -exec rm -rf {} +

FORCE:
