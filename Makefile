# Everything a checkout needs, from Python (3.11 or newer, with venv), git and make alone.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check bench install docs

PYTHON ?= python3
UV_VERSION := 0.13.8

BIN := .venv/bin
UV := .uv/bin/uv
UV_READY := .uv/ready-$(UV_VERSION)
READY := .venv/ready

export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1
export PYTHONUTF8 := 1

# A machine's own certificates count, where it has any: some sit behind a proxy that signs for itself.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS ?= 1
export NODE_EXTRA_CA_CERTS ?= /etc/ssl/certs/ca-certificates.crt
endif

# Caches go where they always go; without a home that can be written, into the checkout.
ifeq ($(shell test -w "$$HOME" && echo yes),)
export XDG_CACHE_HOME := $(CURDIR)/.uv/cache
export XDG_CONFIG_HOME := $(CURDIR)/.uv/config
export npm_config_cache := $(CURDIR)/.uv/npm
endif

help: ## what each target does (this)
	@echo "make TARGET; each sets itself up on first use."
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-10s%s\n", $$1, $$2 }'

demo: $(READY) ## the main job on packaged real data; ONCE=1 ends instead of serving
	@$(BIN)/foretell demo $(if $(filter 1,$(ONCE)),--once)

test: $(READY) ## run the tests; T=tests/test_house.py runs some of them
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(T)

check: $(READY) ## format, lint, types, imports, budgets, clock, dead code, dependencies, documents, the client's types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/budgets.py
	$(BIN)/python tools/clock.py
	$(BIN)/python tools/unused.py
	$(BIN)/deptry src
	$(BIN)/python tools/docs.py
	$(BIN)/python tools/client.py --check

bench: $(READY) ## measure forecasts against their baselines
	@$(BIN)/python bench/run.py

install: $(READY) ## install foretell and its tools into .venv
	@echo "Installed; type: $(BIN)/foretell --help"

docs: $(READY) ## redraw the import graph in ARCHITECTURE.md, list features, and write the TypeScript client's types
	@$(BIN)/python tools/docs.py --write
	@$(BIN)/python tools/client.py

$(UV_READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "foretell needs Python 3.11 or newer; name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "this Python has no venv; on Debian or Ubuntu type: apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up uv $(UV_VERSION) in .uv ..."
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check --root-user-action ignore uv==$(UV_VERSION)
	@rm -f .uv/ready-* && touch $@

$(READY): $(UV_READY) pyproject.toml uv.lock
	@echo "Installing foretell into .venv ..."
	@$(UV) sync --quiet --locked --all-extras --python .uv/bin/python
	@touch $@
