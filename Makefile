# One word per chore. Everything made goes into .build/; `make clean` takes it away.
#
#   PYTHON=python3.12 make test     another interpreter (3.11 or newer)
#   make test WORKERS=4             more tests side by side
#   make test TESTS=tests/ground    a part of the suite, on this Python alone
#   make demo ARGS=--keep           arguments of the chore itself

PYTHON ?= python3
WORKERS ?= 2
TESTS ?=
ARGS ?=

BUILD := .build
TOOLS := $(BUILD)/tools
DEMO := $(BUILD)/demo-venv
TEST := $(BUILD)/test-venv
UV := $(TOOLS)/bin/uv
SOURCES := pyproject.toml README.md LICENSE $(shell find src examples -type f ! -name '*.pyc')

export PYTHON UV WORKERS
# What make runs is our own: no settings of the person at the keyboard.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

.DELETE_ON_ERROR:
.PHONY: help demo test test-whole test-ground test-pythons coverage check bench bench-large race chaos docs lock clean FORCE

help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | \
	    while IFS='	' read -r word meaning; do printf '  make %-11s %s\n' "$$word" "$$meaning"; done

demo: $(DEMO)/.made ## Play the whole story in the terminal: emulator, service, phone, backend
	@$(DEMO)/bin/grantkeeper demo --report $(BUILD)/demo.html $(ARGS)

test: test-whole $(if $(TESTS),,test-ground test-pythons) ## Run the suite against the built wheel, on every supported Python found

test-whole: $(TEST)/.made $(BUILD)/node/.made
	tools/bootstrap tests
	tools/test whole $(TEST) $(or $(TESTS),--ignore=tests/ground)

coverage: $(TEST)/.made $(BUILD)/node/.made ## Run the suite under coverage, processes that it starts included
	tools/bootstrap tests
	tools/test coverage $(TEST) $(TESTS)

test-ground: $(TEST)/.made | test-whole
	tools/test ground $(TEST)

test-pythons: $(BUILD)/dist/.made | test-ground
	@tools/pythons | while read -r other; do \
	    venv=$(BUILD)/fast-venv-$$("$$other" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    if [ ! $$venv/.made -nt $(BUILD)/dist/.made ] || [ requirements/test.txt -nt $$venv/.made ]; then \
	        PYTHON=$$other tools/install $$venv requirements/test.txt $(BUILD)/dist/*.whl || exit 1; \
	        touch $$venv/.made; \
	    fi; \
	    tools/test fast $$venv || exit 1; \
	done

check: $(TEST)/.made ## Check format, style, types, locks, floors, changelog and documentation
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/ruff check .
	$(TEST)/bin/mypy src docs tests examples $(wildcard bench)
	tools/test repository $(TEST)
	$(TEST)/bin/towncrier build --draft --version next >$(BUILD)/changelog-draft.md
	$(TEST)/bin/sphinx-build -q -n -W --keep-going -b html docs $(BUILD)/docs

docs: $(TEST)/.made ## Build the documentation into .build/docs
	$(TEST)/bin/sphinx-build -q -n -W --keep-going -b html docs $(BUILD)/docs
	@echo "open $(BUILD)/docs/index.html"

bench: $(TEST)/.made ## Measure: hot path, hand-written rival, library, memory, PostgreSQL, a million grants
	$(TEST)/bin/python -m bench $(ARGS)

bench-large: $(TEST)/.made ## Measure ten million grants on PostgreSQL (20 minutes, 50 GB of disk)
	$(TEST)/bin/python -m bench stored-large $(ARGS)

race: $(TEST)/.made ## Race grantkeeper and the hand-written service, side by side
	$(TEST)/bin/python -m bench.race $(ARGS)

chaos: $(TEST)/.made ## Kill and race real processes for some minutes
	$(TEST)/bin/python -m tests.chaos $(ARGS)

lock: $(TOOLS)/.made ## Write the lock files anew (ARGS=--upgrade takes the newest versions)
	tools/lock $(ARGS)

clean: ## Take away everything that was made
	rm -rf $(BUILD)

# -- what the chores stand on -------------------------------------------------------------------

# Changes when PYTHON means another interpreter, and with it everything below.
$(BUILD)/python: FORCE
	@mkdir -p $(BUILD)
	@PYTHON=$(PYTHON) tools/bootstrap python
	@$(PYTHON) -c 'import sys; print(sys.base_prefix, sys.version)' >$@.new
	@if cmp -s $@ $@.new; then rm $@.new; else mv $@.new $@; fi

$(TOOLS)/.made: requirements/tools.txt $(BUILD)/python
	@rm -rf $(TOOLS)
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --only-binary :all: \
	    --compile -r requirements/tools.txt
	@touch $@

$(BUILD)/dist/.made: $(SOURCES) $(TOOLS)/.made
	@rm -rf $(BUILD)/dist
	$(TOOLS)/bin/python -m hatchling build -t wheel -d $(BUILD)/dist
	@touch $@

$(DEMO)/.made: requirements/run.txt tools/install $(BUILD)/dist/.made
	tools/install $(DEMO) requirements/run.txt $(BUILD)/dist/*.whl
	@touch $@

$(TEST)/.made: requirements/test.txt tools/install $(BUILD)/dist/.made
	tools/install $(TEST) requirements/test.txt $(BUILD)/dist/*.whl
	@touch $@

$(BUILD)/node/.made: tests/clients/node/package-lock.json tools/node | $(TEST)/.made
	tools/node $(TEST)
	@touch $@
