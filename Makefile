# Two commands on a fresh machine: `make demo` shows a real translation live, `make test` proves it works.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The first that is there. Compose of the first generation does not understand the file.
COMPOSE ?= $(shell for one in 'docker compose' docker-compose 'podman compose'; do \
  case $$($$one version --short 2>/dev/null) in (''|1.*) ;; (*) echo "$$one"; break ;; esac; done)

.PHONY: help demo test check lint types bench up down clean

help:
	@echo "make demo          install, start the monitor, translate a bundled text and watch it (Ctrl-C ends)"
	@echo "make demo ONCE=1   the same, ends by itself"
	@echo "make up            start it with Prometheus, Grafana, alerts and traces in containers; WORKERS=1 adds two workers"
	@echo "make down          stop those; what they recorded stays"
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

up: .compose
	@MONITOR_REVISION=$$(git rev-parse --short HEAD 2>/dev/null || echo unknown) \
	  COMPOSE_PROFILES=$(if $(WORKERS),workers) $(COMPOSE) up --build --detach
	@echo "Monitor http://127.0.0.1:$${SERVICE_PORT:-8090}/monitor  Grafana http://127.0.0.1:$${GRAFANA_PORT:-3000}"

down: .compose
	@COMPOSE_PROFILES=workers $(COMPOSE) down

.PHONY: .compose
.compose:
	@test -n "$(COMPOSE)" || { echo "No Docker Compose 2 here. Docker with Compose: https://docs.docker.com/engine/install/"; \
	  echo "Ubuntu: sudo apt-get install docker.io docker-compose-v2. Debian 13: sudo apt-get install docker.io docker-compose."; exit 1; }
	@$(firstword $(subst -compose,,$(COMPOSE))) info >/dev/null 2>&1 \
	  || { echo "No container engine answers. Start it (sudo systemctl start docker), and see that you may use it: \"docker info\" says why not."; exit 1; }

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
