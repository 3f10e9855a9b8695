# Two commands on a fresh machine: `make demo` shows a real translation live, `make test` proves it works.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test check lint types bench clean

help:
	@echo "make demo          install, start the monitor, translate a bundled text and watch it (Ctrl-C ends)"
	@echo "make demo ONCE=1   the same, ends by itself"
	@echo "make test          install and run the tests"
	@echo "make check         lint, types and every test, the slow ones too"
	@echo "make bench         measure against the peers (takes minutes, wants a quiet machine)"

$(STAMP): pyproject.toml translation_events/version.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "The venv module is missing. Debian, Ubuntu: sudo apt-get install python3-venv. Fedora: sudo dnf install python3-pip."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[llm]'
	@touch $@

$(VENV)/.installed-test: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[llm,test]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/translation-monitor demo $(if $(ONCE),--once) $(DEMO_FLAGS)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m "not slow and not soak" -n auto --dist loadfile $(PYTEST_FLAGS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

check: lint types
	$(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST_FLAGS)

bench: $(VENV)/.installed-test
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m benchmarks $(BENCH_FLAGS)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
