# Every target sets up what it needs: a virtual environment with the locked packages.
VENV    ?= .venv
PYTHON  ?= python3
BIN     := $(VENV)/bin
# Where install-service puts the daemon.
PREFIX  ?= /opt/portfoliod
READY   := $(VENV)/.ready
# Most tests wait for a process or a socket: two a core.
WORKERS ?= $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2))

# The tests start hundreds of processes: without bytecode each of them compiles the daemon.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo run test test-fast test-service lint format bench bench-allocation simulate soak install-service lock clean help

help:             ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)    ## a temporary workspace, sample strategies, the paper venue: watch it trade
	$(BIN)/portfoliod demo

run: $(READY)     ## the daemon in this checkout, on paper
	$(BIN)/portfoliod --root . run

test: $(READY)    ## everything
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not alone and not service"
	$(BIN)/pytest -m alone

test-fast: $(READY) ## what one runs while working: under a minute
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not slow and not service"

test-service: $(READY) ## the units on a real systemd, in a container: as root; says so where it cannot
	PORTFOLIOD_TEST_SERVICE=1 $(BIN)/pytest -v -rP -m service tests/service
	$(BIN)/pytest -q tests/tasks/test_metrics.py -k "prometheus or alerts"

lint: $(READY)    ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## let ruff rewrite
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)   ## latency, memory, processor time, solver ratios
	$(BIN)/python -m benchmarks

bench-allocation: $(VENV)-bench/.ready ## the solver beside SLSQP and three libraries; CANDLES=dir, COUNTS="5 20"
	$(VENV)-bench/bin/python -m benchmarks.allocation $(if $(CANDLES),--candles $(CANDLES)) $(if $(COUNTS),--counts $(COUNTS))

$(VENV)-bench/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(VENV)-bench/bin/pip install --quiet --editable . --group bench
	@touch $@

simulate: $(READY) ## 10,000 simulated hours; HOURS=n, or one run: SEED=n
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(HOURS),--hours $(HOURS))

soak: $(READY)    ## the daemon with 200 strategies and a faulty exchange: MINUTES=n
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),20)

install-service:  ## as root: the daemon into PREFIX, its users, its units; start it with systemctl
	$(PYTHON) -m venv $(PREFIX)
	$(PREFIX)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-service.lock
	$(PREFIX)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall .
	for user in portfoliod portfoliod-strategy; do \
	  id -u $$user >/dev/null 2>&1 || useradd --system --home-dir /srv/portfoliod --shell /usr/sbin/nologin $$user; done
	install -d -o portfoliod -g portfoliod -m 755 /srv/portfoliod /srv/portfoliod/strategies /srv/portfoliod/config
	for unit in systemd/*.service systemd/*.timer; do \
	  sed 's|/opt/portfoliod/|$(abspath $(PREFIX))/|' $$unit >/etc/systemd/system/$${unit##*/}; done
	! test -d /run/systemd/system || systemctl daemon-reload

lock:             ## resolve the dependencies anew, with hashes, for every platform and Python
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet uv
	$(VENV)-lock/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --group dev pyproject.toml --output-file requirements.lock
	$(VENV)-lock/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --all-extras --group build --constraint requirements.lock pyproject.toml --output-file requirements-service.lock
	rm -r $(VENV)-lock

clean:            ## remove the virtual environment and the caches
	rm -rf $(VENV) $(VENV)-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache
