# make demo, make test: each sets up .venv by itself. The other targets are named in the README.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
VENV := .venv
BIN := $(VENV)/bin
# Modules are compiled as they are first imported: most never are.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))

CACHE = NUMBA_CACHE_DIR=$(CURDIR)/$(VENV)/numba-cache
# One process more than processors, as tests also wait; when one is lost the run ends instead of waiting for it for ever.
PROCESSES ?= $(shell $(PYTHON) -c 'import os; print(min(os.cpu_count(), 4) + 1)')
PYTEST = -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder --max-worker-restart 0
# Where processes of the tests leave which lines they ran.
LINES = $(CURDIR)/$(VENV)/lines

.PHONY: demo demo-messenger test test-messenger lint types tests-only bench bench-messenger bench-accuracy-small bench-full bench-intake bench-media bench-search bench-vouchers soak clean

demo: $(VENV)/demo.done
	$(BIN)/scanner demo

test: lint types tests-only

lint: $(VENV)/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.done
	$(BIN)/mypy

tests-only: $(VENV)/dev.done
	@sh tests/fetch_system_parts.sh
	@rm -rf $(VENV)/numba-cache $(LINES) && mkdir $(LINES)
	$(CACHE) $(BIN)/python -m tests.warm
	$(CACHE) PRESCAN_LINES=$(LINES) PYTHONPATH=$(CURDIR)/tests/traced $(BIN)/python $(PYTEST)
	$(BIN)/python -m tests.traced.report $(LINES)

demo-messenger: $(VENV)/demo.done $(VENV)/matrix.done
	$(BIN)/python -m scanner.demo.matrix

test-messenger: $(VENV)/dev.done
	PRESCAN_MESSENGER=full $(BIN)/python -m pytest tests/integrations

bench-messenger: $(VENV)/bench.done $(VENV)/matrix.done
	$(BIN)/python -m benchmarks.messenger

bench: $(VENV)/bench.done bench-accuracy-small
	$(BIN)/python -m benchmarks.hashing
	$(BIN)/python -m benchmarks.start

bench-intake: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.intake

soak: $(VENV)/dev.done
	@sh tests/fetch_system_parts.sh
	$(BIN)/python -m tests.intake.soak --kills 200 --seed 1

bench-accuracy-small: $(VENV)/bench.done
	$(BIN)/python -m benchmarks.accuracy run --corpus small --pictures 1500 --sources 40 --out benchmarks/results/accuracy-small

bench-full: $(VENV)/bench.done
	$(BIN)/python -m benchmarks.accuracy run --corpus full --pictures 30000 --sources 200 --out benchmarks/results/accuracy-full \
	  --hashes pdq,pdq-512,pdqhash,phash-64,phash-256,dhash-64,dhash-256,ahash-64,whash-64,blockhash-256,colorhash-42

bench-media: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.decoding
	$(BIN)/python -m benchmarks.video

bench-vouchers: $(VENV)/bench.done
	$(BIN)/python -m benchmarks.vouchers

bench-search: $(VENV)/bench.done
	$(BIN)/python -m benchmarks.search

$(VENV)/python.done:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "prescan needs Python 3.11 or newer; run: make PYTHON=python3.12"; exit 2; }
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/%.done: $(VENV)/python.done pyproject.toml constraints.txt
	$(PIP_INSTALL) --editable '.[$*]'
	@touch $@

clean:
	rm -rf $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache
