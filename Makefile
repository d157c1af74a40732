# `make` alone prints this list. HOST, PORT, DATA, MONITORING and PYTHON can be given: make run PORT=8001

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
DATA ?= .data
MINUTES ?= 10
# auto: where this machine has Prometheus and Alertmanager; on: and say how to have them; off
MONITORING ?= auto
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install run test containers prove-deployments prove-alerts quiet-hour ci bench check format certs requirements clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Create .venv with everything that run, test and check need

run: $(INSTALLED) ## Start PostgreSQL, migrate, serve on http://127.0.0.1:8000, and watch it by Prometheus
	@$(BIN)/python -m stack up --host $(HOST) --port $(PORT) --data $(DATA) --monitoring $(MONITORING)

test: $(INSTALLED) ## Run the tests, on a PostgreSQL of their own
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

containers: $(INSTALLED) ## Build the images and try them on a container engine, a private one where none is reachable
	@$(BIN)/python -m tests.containers $(ARGS)

prove-alerts: $(INSTALLED) ## Provoke every alert by its fault and measure; ALERT=ServiceDown for one alone
	@$(BIN)/python -m tests.alerts.prove $(addprefix --alert ,$(ALERT)) $(ARGS)

prove-deployments: $(INSTALLED) ## Deploy ten times and an eleventh, bad one under load, and measure what clients saw
	@$(BIN)/python -m tests.deployments.prove $(ARGS)

quiet-hour: $(INSTALLED) ## Serve, restart and replace for MINUTES (10) and fail where an alert fires
	@$(BIN)/python -m tests.alerts.quiet --minutes $(MINUTES)

bench: $(INSTALLED) ## Measure the service beside others that do the same; ARGS="--help" lists how
	@$(BIN)/python -m benchmarks $(ARGS)

check: $(INSTALLED) ## Check all that can be checked in seconds and offline; ARGS=--list says what
	@$(BIN)/python -m ops.pipeline check $(ARGS) || [ $$? -eq 3 ]

ci: $(INSTALLED) ## Run the pipeline's steps here: build, test, scan; ONLY="scan-code scan-secrets" for some of them
	@$(BIN)/python -m ops.pipeline ci $(ONLY) $(ARGS) || [ $$? -eq 3 ]

format: $(INSTALLED) ## Format the code and mend what can be mended by rule
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

requirements: $(INSTALLED) ## Compile the requirements files anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make requirements" --output-file requirements.txt pyproject.toml
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --extra dev --extra traces \
		--custom-compile-command "make requirements" --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make requirements" --constraint requirements.txt \
		--output-file benchmarks/requirements.txt benchmarks/requirements.in

certs: ## Make certificates for a trial of TLS to PostgreSQL, in docker/secrets/tls; ARGS="--help" lists how
	@docker/certs.sh $(ARGS)

clean: ## Remove .venv and caches; your tasks in .data stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(INSTALLED): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "Python 3.11 or newer is needed. Name one: make install PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing into $(VENV) (about half a minute, once) ..."
	@$(PYTHON) -m venv $(VENV)
	@# The pipe would hide pip's exit status, so that is kept in a file.
	@{ $(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements-dev.txt; \
		echo $$? > $(VENV)/.pip-status; } \
		| sed -u -n 's/^Collecting \([^ ]*\).*/  \1/p; s/^Installing collected.*/  unpacking .../p'
	@test "$$(cat $(VENV)/.pip-status)" = 0 \
		|| { echo "The packages could not be installed; pip's last lines say why. Mend it, then run make again."; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@
