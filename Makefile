# Every target does the set-up that it needs; run as root where packages are missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests
SIDE_BY_SIDE ?= 3
MARKS ?= not soak
INSTALLED := $(VENV)/.installed
BUILT := $(VENV)/.built
BOOTS := $(VENV)/.boots
SHOWN := $(VENV)/.shown

BPF_SOURCES := $(wildcard bpf/*/*.c bpf/*/*.h)
WORKER_SOURCES := $(wildcard native/*.c native/*.h)
C_SOURCES := $(BPF_SOURCES) $(WORKER_SOURCES) $(wildcard tests/native/*.c tests/native/*.h) $(wildcard sockproxy/bench/load/pingpong/*.c sockproxy/bench/load/pingpong/*.h)
BUILD_INPUTS := $(BPF_SOURCES) $(WORKER_SOURCES) hatch_build.py sockproxy/bpf/_build.py sockproxy/native/_build.py

# What is tried here is nothing that `sockproxy audit` should tell of.
export SOCKPROXY_AUDIT := off

# A virtual environment knows its own path: one that came with a copied checkout is stale.
ifneq ($(file <$(INSTALLED)),$(CURDIR))
STALE := stale
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help system system-matrix system-suites system-package system-cluster system-tour setup build man dist deb agent lint format test walks conformance ends suites soak matrix cluster tour demo bench clean stale

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

system:
	@tools/setup-debian

system-matrix:
	@tools/setup-debian matrix

system-suites:
	@tools/setup-debian suites

system-package:
	@tools/setup-debian package

system-cluster:
	@tools/setup-debian cluster

system-tour:
	@tools/setup-debian tour

stale:

$(INSTALLED): pyproject.toml $(STALE) | system
	@echo "setup: virtual environment in $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --use-pep517 --editable '.[dev]'
	@printf %s '$(CURDIR)' >$@

$(BUILT): $(INSTALLED) $(BUILD_INPUTS)
	@echo "build: BPF objects, native worker and bindings"
	@$(BIN)/python hatch_build.py
	@touch $@

$(BOOTS): $(INSTALLED) | system-matrix
	@echo "setup: virtme-ng"
	@$(BIN)/pip install --quiet --disable-pip-version-check --use-pep517 --editable '.[matrix]'
	@touch $@

$(SHOWN): $(INSTALLED) | system-tour
	@echo "setup: what takes the tour's pictures"
	@$(BIN)/pip install --quiet --disable-pip-version-check --use-pep517 --editable '.[tour]'
	@touch $@

setup: $(BUILT) ## install system packages, a virtual environment and sockproxy in it

build: $(BUILT) ## compile the BPF objects and the native worker, and generate their bindings, in place

dist: $(BUILT) ## build the sdist and the wheel in dist/
	@rm -rf build/dist
	@$(BIN)/python -m build --no-isolation --outdir build/dist .
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist build/dist/*.whl >build/dist/log 2>&1 || { cat build/dist/log; exit 1; } # for its tag alone
	@mv build/dist/*.tar.gz dist

man: $(BUILT) ## make man pages of the commands, in build/man
	@$(BIN)/python -m tools.man_pages build/man

deb: $(BUILT) | system-package ## build the Debian package in dist/
	@package/build_deb $(BIN)/python

agent: $(BUILT) ## lay out in build/agent what an image of the Kubernetes agent has beyond the package
	@$(BIN)/python -m package.agent build/agent

lint: $(BUILT) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	clang-format --dry-run -Werror $(C_SOURCES)

format: $(BUILT) ## put Python and C into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	clang-format -i $(C_SOURCES)

test: lint ## check style and types, run all tests but the long ones; TESTS=path, MARKS=expression, ARGS go to pytest
	@$(BIN)/pytest -q -n $(SIDE_BY_SIDE) --dist worksteal -m '($(MARKS)) and not alone' $(TESTS) $(ARGS); \
	beside=$$?; \
	$(BIN)/pytest -q -m '($(MARKS)) and alone' $(TESTS) $(ARGS); \
	case $$beside,$$? in 0,0|0,5|5,0) ;; *) exit 1 ;; esac # 5: there was none to run

walks: $(BUILT) ## count a job's steps between files and between folders, as root
	@$(BIN)/python -m tools.walks $(ARGS)

conformance: $(BUILT) ## table of what this kernel does, in build/conformance; ARGS go to pytest
	$(BIN)/pytest -q --conformance=build/conformance $(ARGS)

ends: $(BUILT) ## count how connections end, plain and through each way, as root; the table is docs/ends.md
	@$(BIN)/python -m tests.support.ends_table $(ARGS)

suites: $(BUILT) | system-suites ## run test suites of CPython, Redis and libuv plain and bypassed; ARGS go to it
	@$(BIN)/python -m tests.suites run $(ARGS)

soak: $(BUILT) ## run the tests that take minutes
	$(BIN)/pytest -q $(TESTS) -m soak --timeout 3600 $(ARGS)

matrix: $(BUILT) $(BOOTS) ## try other kernels under emulation, see vagrant/README.md; ARGS go to it
	@$(BIN)/python -m vagrant.matrix run $(ARGS)

cluster: $(BUILT) | system-cluster ## try the agent on two real Kubernetes nodes, as root; built once, see docs/kubernetes.md
	@tools/cluster/run $(BIN)/python $(ARGS)

tour: $(BUILT) $(SHOWN) | system-tour ## make docs/tour, a small system in pictures, as root; takes some minutes
	@tools/tour/run $(BIN)/python $(ARGS)

demo: $(BUILT) ## measure plain TCP, bypass, short-circuit, splice, relay and HAProxy in four minutes; ARGS go to it
	@$(BIN)/sockproxy bench run quick $(ARGS)

bench: $(BUILT) ## measure all tools and all peers, in half an hour; ARGS go to it
	@$(BIN)/sockproxy bench run standard $(ARGS)

clean: ## remove what was made, the virtual environment included
	rm -rf $(VENV) build dist sockproxy/_bpf sockproxy/bpf/_binding.py sockproxy/bpf/_layout.py sockproxy/native/_binding.py sockproxy/native/_native.so
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path "./.git/*" -prune -exec rm -rf {} +
