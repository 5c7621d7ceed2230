# Needs Python 3.11 or later, git and make; everything else goes into .venv and .tox.
#   make test     lint, types and the tests on one Python, in minutes
#   make test-slow    the same tests with everything installed, and which 20 of them take longest
#   make demo     the example applications, side by side, and a console at the end
#   make demo-console   the console alone, over a made-up company
#   make bench    what decisions cost, beside other libraries, within two minutes
#   make bench-full   all benchmarks, and the page in the docs
#   make bench-check  whether every ratio reaches its floor
#   make docs     the documentation's site, into site/; any warning is a failure
#   make docs-serve   the same, shown on http://localhost:8000 and built again when a page changes
#   make dist     sdist and wheel, into dist/
#   make clean    removes what the other targets made

.DEFAULT_GOAL := test
.PHONY: test test-slow demo demo-console bench bench-full bench-check bench-long bench-page docs docs-serve dist clean everyday

# The newest Python that we test on, then any other; one that only seems to be there (a shim) is passed over.
# PYTHON=/path/to/python make test  says which one instead.
PYTHON ?=
find_python = for python in "$(PYTHON)" python3.13 python3.12 python3.11 python3 python python3.14 python3.15; do \
	test -n "$$python" || continue; \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
		&& { command -v "$$python"; exit 0; }; \
	done; exit 1

VENV := .venv
BIN := $(VENV)/bin
# Other libraries to measure beside ours, pinned, so in an environment of their own.
BENCH := .venv-bench
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# shell code: the environment that has everything, and the environments of `make test`
ALL = py$$($(BIN)/python -c 'import sys; print(*sys.version_info[:2], sep="")')-all
EVERYDAY = $(ALL),typing,lint

# Two environments at a time; each is shown in one piece when it has ended.
test: $(VENV)/.tox-ready
	@echo "==> tox run-parallel -p 2 -e $(EVERYDAY)"
	@$(BIN)/tox run-parallel -p 2 --parallel-no-spinner -e $(EVERYDAY)
	@echo "==> make test: all passed"

test-slow: $(VENV)/.tox-ready
	@$(BIN)/tox run -e $(ALL) -- --durations=20

# which environments `make test` runs
everyday: $(VENV)/.tox-ready
	@echo $(EVERYDAY)

demo: $(VENV)/.jwt-lp-ready
	@$(BIN)/jwt-lp demo

demo-console: $(VENV)/.jwt-lp-ready
	@$(BIN)/jwt-lp demo --console

# `ONLY="cold warm"` restricts these to some sections, `SCALE=quick` takes fewer rounds, `RESULTS=FILE` makes bench-check judge figures of before.
BENCHMARKS = $(BENCH)/bin/python -m benchmarks
SECTIONS = $(foreach section,$(ONLY),--only $(section)) $(if $(SCALE),--scale $(SCALE))

bench: $(BENCH)/.ready
	@$(BENCHMARKS) quick $(SECTIONS)

bench-full: $(BENCH)/.ready
	@$(BENCHMARKS) full $(SECTIONS)

bench-check: $(BENCH)/.ready
	@$(BENCHMARKS) check $(SECTIONS) $(if $(RESULTS),--results $(RESULTS))

# the reviews, one of which needs PostgreSQL where BENCH_POSTGRES says, and the revocations: many minutes
bench-long: $(BENCH)/.ready
	@$(BENCHMARKS) long $(SECTIONS)

# page and charts again, from the figures that are there
bench-page: $(BENCH)/.ready
	@$(BENCHMARKS) render

docs: $(VENV)/.site-ready
	@$(BIN)/zensical build --clean --strict

docs-serve: $(VENV)/.site-ready
	@$(BIN)/zensical serve

dist: $(VENV)/.build-ready
	@rm -rf dist
	@$(BIN)/python -m build --outdir dist .

clean:
	rm -rf $(VENV) $(BENCH) .tox dist site .cache .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# shell code: makes the environment that $(1) names
make_venv = python=$$($(find_python)) || { \
	echo "jwt-lp needs Python 3.11 or later with venv and ensurepip, and found none on PATH." >&2; \
	echo "Install one (on Debian also python3-venv), or name it: make PYTHON=/path/to/python" >&2; \
	exit 1; }; \
	echo "==> $(1): $$python ($$("$$python" --version))"; \
	"$$python" -m venv --clear $(1)

$(VENV)/.python-ready:
	@$(call make_venv,$(VENV))
	@touch $@

$(BENCH)/.ready: benchmarks/peers.txt pyproject.toml
	@$(call make_venv,$(BENCH))
	@echo "==> $(BENCH): installing jwt-lp from this checkout, and what it is compared with"
	@$(BENCH)/bin/python -m pip --disable-pip-version-check -qq install \
		--requirement benchmarks/peers.txt --editable ".[console,drf,fastapi,flask,parquet,sql]"
	@touch $@

$(VENV)/.tox-ready: $(VENV)/.python-ready
	@echo "==> $(VENV): installing tox and uv"
	@$(PIP) install "tox>=4.30,<5" "tox-uv>=1.28,<2"
	@touch $@

$(VENV)/.site-ready: $(VENV)/.python-ready pyproject.toml
	@echo "==> $(VENV): installing what builds the documentation's site"
	@$(PIP) install --upgrade "pip>=25.1"
	@$(PIP) install --group site
	@touch $@

$(VENV)/.build-ready: $(VENV)/.python-ready
	@echo "==> $(VENV): installing build"
	@$(PIP) install "build>=1.2,<2"
	@touch $@

$(VENV)/.jwt-lp-ready: $(VENV)/.python-ready pyproject.toml
	@echo "==> $(VENV): installing jwt-lp with every extra from this checkout, and uvicorn to serve the examples"
	@$(PIP) install --editable ".[all]" uvicorn
	@touch $@
