# `make demo` and `make test` need nothing but Python 3.11+, make and git beforehand.
# Pass options of the program behind a target in ARGS: make test ARGS="-k escrow", make localnet ARGS="--validators 7".

export PATH := $(CURDIR)/.tools/bin:$(PATH)
PY := .venv/bin/python
SOURCES := chain client validator_node prover_node
OURS := $(SOURCES) scripts hatch_build.py conftest.py tests $(wildcard benchmarks)

.DEFAULT_GOAL := help
.PHONY: help setup protos demo test check bench programs simulate localnet lock clean distclean

help:
	@echo "make demo      one real proof, end to end, on a local network (KEEP=1 leaves it running; FAULTS=1 goes on"
	@echo "               with a prover that is killed at work, and its fallback)"
	@echo "make test      all tests, with real CometBFT and real containers"
	@echo "make check     format, lint, types, import rules, and the fast tests"
	@echo "make localnet  a local network that stays up; .venv/bin/mill localnet stop ends it"
	@echo "make bench     the benchmarks"
	@echo "make simulate  who earns what: the state machine under simulated nodes, into docs/simulation.md (a quarter of an hour)"
	@echo "make programs  the image archives of all programs, into tmp/programs"
	@echo "make setup     what the others do first: .venv, protobuf stubs, tools"
	@echo "make protos    the protobuf stubs alone"
	@echo "make lock      renew requirements.lock, scripts/tools.lock and CosmPy's environment"
	@echo "make clean     remove what was generated; distclean removes .venv and .tools too"

.venv/.installed: requirements.lock pyproject.toml hatch_build.py scripts/bootstrap.sh
	@scripts/bootstrap.sh

protos: .venv/.installed
	@$(PY) scripts/protos.py

setup: protos
	@$(PY) scripts/tools.py ensure cometbft go --optional bwrap

demo: setup
	@$(PY) scripts/demo.py

test: setup
	@$(PY) scripts/tools.py ensure --optional dockerd node registry rust s3
	$(PY) -m pytest $(ARGS)

check: protos
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy $(OURS)
	.venv/bin/lint-imports
	$(PY) -m pytest -q tests/lint tests/unit tests/property $(ARGS)

bench: setup
	$(PY) -m benchmarks $(ARGS)

programs: setup
	@$(PY) scripts/tools.py ensure node rust
	@for manifest in programs/*/*.yaml; do \
		name=$$(basename $$(dirname $$manifest))-$$(basename $$manifest .yaml); \
		.venv/bin/mill program build $$manifest --out tmp/programs/$${name%-program} $(ARGS) || exit; \
	done

simulate: protos
	$(PY) -m benchmarks.simulation $(ARGS)

localnet: setup
	.venv/bin/mill localnet start $(ARGS)

COMPILE := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-annotate --no-header --upgrade
lock: .venv/.installed
	$(COMPILE) --extra dev --output-file requirements.lock pyproject.toml
	$(COMPILE) --output-file scripts/tools.lock scripts/tools.in
	$(COMPILE) --output-file tests/conformance/cosmpy/requirements.txt tests/conformance/cosmpy/requirements.in

clean:
	rm -rf gen gen.new gen.old .protos.lock build dist tmp .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf .import_linter_cache
	find $(SOURCES) tests scripts $(wildcard benchmarks) -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv .tools
