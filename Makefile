# headrace: everything a newcomer types. `make help` lists it.
# The first Python on PATH that is new enough; PYTHON=... names another one.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach each,python3 python3.13 python3.12 python3.11 python,\
  $(shell $(each) -c '$(NEW_ENOUGH)' 2>/dev/null && echo $(each))))
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test monitor-env contract simulate lint bench chaos soak image-check sbom audit changelog clean

help: ## show this list
	@echo "headrace: typed events from app servers, through Kafka, into an exact, replayable archive on S3"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20
	@echo
	@echo "All is installed into $(VENV), and Kafka's jars are kept in ~/.cache/headrace. Options go in ARGS:"
	@echo '  make demo ARGS="--events 20000 --keep"     make test ARGS="tests/schemas -q"     make demo PYTHON=python3.12'

# A stamp holds the hash-pinned install, so that it runs again only when a lock or the project file changed.
$(VENV)/.installed: requirements/all.txt pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(NEW_ENOUGH)' || { \
	  echo "headrace needs Python 3.11 or newer, and found none. Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; \
	  exit 1; }
	@echo "installing headrace and its pinned dependencies into $(VENV) (once; 820 MB, one to two minutes)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(PIP) install --require-hashes -r requirements/all.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements/dev.txt
	@echo "installing the pinned test tools into $(VENV) (once; some minutes, since a whole Spark is among them)"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

# The monitor's stream engine holds Kafka's client below the version that all else has: an environment of its own.
$(VENV)-monitor/.installed: requirements/monitor.txt pyproject.toml
	@echo "installing the monitor's stream engine into $(VENV)-monitor (once; 640 MB, up to a minute)"
	@$(PYTHON) -m venv --clear $(VENV)-monitor
	@$(VENV)-monitor/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r $<
	@$(VENV)-monitor/bin/python -m pip --quiet --disable-pip-version-check install --no-deps --no-build-isolation -e .
	@touch $@

monitor-env: $(VENV)-monitor/.installed ## what `headrace monitor run` needs, in an environment of its own: .venv-monitor

demo: $(VENV)/.installed ## the whole round on real servers: events -> Kafka -> Parquet on S3 -> replay, proven exact
	@$(BIN)/python examples/demo.py $(ARGS)

# Tests wait more than they compute: some processes share all of them file by file, each with servers of its own. What
# ARGS names runs in one process, and prints as it goes.
WORKERS ?= 3
test: $(VENV)/.installed-dev $(VENV)-monitor/.installed ## all tests, on a real Kafka and a real S3 that they start themselves
	@$(BIN)/python -m pytest $(or $(ARGS),-n $(WORKERS) --dist loadfile --no-loadscope-reorder)

contract: $(VENV)/.installed-dev ## what is asked of an object store: on the fakes, on SeaweedFS, and on LocalStack
	@localstack/run --install
	@HEADRACE_LOCALSTACK=1 $(BIN)/python -m pytest tests/contract/test_object_store.py \
	  tests/contract/test_s3_answers.py tests/contract/test_localstack_setup.py $(ARGS)

SEEDS ?= 1000
FROM ?= 0
simulate: $(VENV)/.installed-dev ## seeded schedules of the archiver on a simulated Kafka and S3: SEEDS=1000 FROM=0
	@PYTHONPATH=src:tests $(BIN)/python -m simulation.run --seeds $(SEEDS) --from $(FROM) $(ARGS)

lint: $(VENV)/.installed-dev ## style, types, and who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@MYPYPATH=examples $(BIN)/mypy examples/app.py examples/demo.py
	@$(BIN)/lint-imports

bench: $(VENV)/.installed ## the benchmarks, as ratios from one run
	@$(BIN)/python bench/run.py $(ARGS)

chaos: $(VENV)/.installed-dev ## kill, pause and cut off real archivers for 40 minutes; then judge what they archived
	@PYTHONPATH=tests $(BIN)/python -m chaos $(ARGS)

soak: $(VENV)/.installed-dev ## an archiver for 30 minutes with a fault every 10 seconds: do memory, files, threads grow?
	@PYTHONPATH=tests $(BIN)/python -m chaos --soak --minutes 30 $(ARGS)

# What looks at image, manifests and locks has a virtual environment of its own: none of it is needed to work on headrace.
$(VENV)-check/.installed: docker/check/requirements.txt
	@echo "installing what checks the image into $(VENV)-check (once; 520 MB, a Go compiler among them)"
	@$(PYTHON) -m venv --clear $(VENV)-check
	@$(VENV)-check/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r $<
	@touch $@

$(VENV)-check/bin/headrace-check: docker/check/main.go docker/check/go.mod docker/check/go.sum $(VENV)-check/.installed
	@echo "building what reads manifests as Compose and Kubernetes do (once; a minute or two)"
	@cd docker/check && GOTOOLCHAIN=local $(abspath $(VENV))-check/bin/go build -mod=readonly -buildvcs=false -o $(abspath $@) .

image-check: $(VENV)/.installed-dev $(VENV)-check/bin/headrace-check ## image, compose file, manifests: all that needs no container engine
	@docker/check/run $(BIN)/python $(VENV)-check $(ARGS)

sbom: $(VENV)-check/.installed ## what headrace consists of, as CycloneDX, into dist/
	@$(VENV)-check/bin/python docker/check/sbom.py dist

audit: $(VENV)-check/.installed ## look all pins up among known vulnerabilities; 3: the list could not be asked
	@$(VENV)-check/bin/python docker/check/audit.py --vulnerability-service osv $(ARGS)

VERSION ?= next
changelog: $(VENV)/.installed-dev ## what changes/ will add to CHANGELOG.md at a release: VERSION=0.2.0
	@$(BIN)/python -m towncrier build --draft --version $(VERSION) --date unreleased

clean: ## remove the virtual environments, caches and builds
	rm -rf $(VENV) $(VENV)-check $(VENV)-monitor localstack/.venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
