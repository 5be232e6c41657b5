# The same targets for people and for CI. `make demo` or `make test` on a fresh clone does all the set-up it needs.
#
#   make setup              virtual environment, dependencies, embedded draft model
#   make check              ruff, mypy --strict, import-linter
#   make test               the test suite (no network)
#   make test-query-pipeline  tests with the last LlamaIndex that has a QueryPipeline, in an environment of its own
#   make test-ray           tests with two replicas on Ray Serve, in an environment of its own
#   make test-device        tests on a device that is not the processor, made for them by a C++ compiler
#   make test-package       wheel and sdist, installed with each extra alone in environments of their own
#   make demo               an agent loop with compression, end to end
#   make bench              every number of the README, measured anew; goes on where it was interrupted
#   make bench-NAME         one benchmark of benchmarks/suite/plan.toml, such as bench-local-quality
#   make report             docs/benchmarks.md and the README's tables from the stored results
#   make clean              remove the virtual environment and caches
#
#   PYTHON=python3.11       interpreter the environment is made with (>= 3.10)
#   TORCH=cu                a CUDA build of torch; the default is TORCH=cpu
#   N=40 DATA=DIR           of make bench and bench-NAME: rows per set in place of the plan's, folder of the evaluation data
#   RESULTS=DIR DEVICE=cuda of the same: folder of the JSON files, where the models run
#   TORCH_ARGS='...'        more arguments for installing torch, such as '--index-url URL' of a wheel index

PYTHON ?= python3
TORCH ?= cpu
TORCH_ARGS ?=
DRAFT := smollm2-135m
N ?=
DATA ?=
RESULTS ?= benchmarks/results
DEVICE ?= auto
VENV := .venv
BIN := $(VENV)/bin
PIP_OPTIONS := --disable-pip-version-check --quiet --quiet
PIP := $(BIN)/python -m pip $(PIP_OPTIONS)
QUERY_PIPELINE := .venv-query-pipeline
RAY := .venv-ray
PACKAGE := .venv-package
QUERY_PIPELINE_NEEDS := llama-index-core==0.12.52.post1 llama-index-retrievers-bm25 'pytest>=8.3' 'pytest-asyncio>=1.0'

TORCH_cpu := torch==2.13.0
TORCH_cu := torch

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup check test test-query-pipeline test-ray test-device test-package demo bench report clean

help:
	@sed -n 's/^#   //p' Makefile

setup: $(VENV)/.installed
	@$(BIN)/specprefill models pull $(DRAFT)

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# One thread for each of the workers, of which there is one for each core.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest

# The folder has a pytest.ini of its own, which is found from there.
test-query-pipeline: $(QUERY_PIPELINE)/.installed
	cd tests/query_pipeline && OMP_NUM_THREADS=1 ../../$(QUERY_PIPELINE)/bin/python -m pytest

# Its pytest.ini is in the folder too. The draft is that of `make setup`; llama-index-core brings the tokenizer's file.
test-ray: setup $(RAY)/.installed
	cd tests/ray_serve && OMP_NUM_THREADS=1 ../../$(RAY)/bin/python -m pytest

# The device stays with the process that made it.
test-device: setup
	cd tests/second_device && OMP_NUM_THREADS=1 ../../$(BIN)/python -m pytest

test-package: $(PACKAGE)/.installed
	cd tests/package && ../../$(PACKAGE)/bin/python -m pytest

demo: setup
	$(BIN)/specprefill demo

SUITE = $(BIN)/python -m benchmarks.suite
SUITE_OPTIONS = --results '$(RESULTS)' --device $(DEVICE) $(if $(DATA),--data '$(DATA)') $(if $(N),--n $(N))

bench: setup
	$(SUITE) $(SUITE_OPTIONS)

bench-%: setup
	$(SUITE) $* $(SUITE_OPTIONS)

report: $(VENV)/.installed
	$(SUITE) report --results '$(RESULTS)'

clean:
	rm -rf $(VENV) $(QUERY_PIPELINE) $(RAY) $(PACKAGE) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist

# A stamp file stands for each step that is done, so that a second run starts at once.
$(VENV)/.created:
	@echo "creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.torch-$(TORCH): $(VENV)/.created
	$(if $(TORCH_$(TORCH)),,$(error TORCH=$(TORCH) is not valid; allowed: cpu, cu))
	@echo "installing $(TORCH_$(TORCH)) ($(TORCH) build; some minutes the first time)"
	@rm -f $(VENV)/.torch-*
	@$(PIP) uninstall --yes torch
	@$(PIP) install $(TORCH_$(TORCH)) $(TORCH_ARGS)
	@touch $@

$(VENV)/.installed: $(VENV)/.torch-$(TORCH) pyproject.toml
	@echo "installing specprefill-agents with all extras and the development tools"
	@$(PIP) install --editable '.[all,dev]'
	@touch $@

# Without torch: the tests there score by BM25.
$(QUERY_PIPELINE)/.installed: pyproject.toml
	@echo "creating $(QUERY_PIPELINE) for LlamaIndex's QueryPipeline"
	@$(PYTHON) -m venv --clear $(QUERY_PIPELINE)
	@$(QUERY_PIPELINE)/bin/python -m pip $(PIP_OPTIONS) install --editable . $(QUERY_PIPELINE_NEEDS)
	@touch $@

$(RAY)/.installed: pyproject.toml
	@echo "creating $(RAY) for Ray Serve (some hundred megabytes)"
	@$(PYTHON) -m venv --clear $(RAY)
	@$(RAY)/bin/python -m pip $(PIP_OPTIONS) install $(TORCH_$(TORCH)) $(TORCH_ARGS)
	@$(RAY)/bin/python -m pip $(PIP_OPTIONS) install --editable '.[draft,ray]' llama-index-core 'pytest>=8.3' 'pytest-asyncio>=1.0'
	@touch $@

$(PACKAGE)/.installed:
	@echo "creating $(PACKAGE) for building and trying what is uploaded"
	@$(PYTHON) -m venv --clear $(PACKAGE)
	@$(PACKAGE)/bin/python -m pip $(PIP_OPTIONS) install build twine 'pytest>=8.3'
	@touch $@
