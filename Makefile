# Two commands for a fresh machine: `make demo` and `make test`. Both make the environment first, once.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo registry-demo label-demo label-tests label-load test browser-tests kill-tests papers-tests accelerator-tests lint environment clean

environment: $(STAMP)

$(STAMP): setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed, this is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "python3 cannot make a virtual environment: install it with 'apt-get install python3-venv'"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/python -m tools demo

# Package, sign, serve on loopback, download with both clients, run without this project: docs/registry.md
registry-demo: $(STAMP)
	@$(BIN)/python -m tools.registry.demo

LABEL_STAMP := $(VENV)/.installed-label

$(LABEL_STAMP): $(STAMP) requirements-label.txt
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements-label.txt
	@touch $(LABEL_STAMP)

# The MONAI Label server on loopback with the sample study, asked as 3D Slicer asks; draws the answer: docs/label.md
label-demo: $(LABEL_STAMP)
	@$(BIN)/python -m tools.monailabel_app.demo

label-tests: $(LABEL_STAMP)
	@$(BIN)/python -m pytest tests/tools/monailabel_app

# A thousand mixed requests, faults among them; prints a table
label-load: $(LABEL_STAMP)
	@$(BIN)/python -m tests.tools.monailabel_app.load

# What the model zoo's own CI does in full mode, on every bundle, without a network: docs/registry.md
zoo-ci: $(STAMP)
	@$(BIN)/python -m tools validate --zoo bundles/*

# Ten thousand made-up inputs for every reader of what comes from elsewhere; the tests take a hundred each
fuzz: $(STAMP)
	@FUZZ_INPUTS=10000 $(BIN)/python -m pytest -m fuzz

test: $(STAMP)
	@$(BIN)/python -m pytest

# Reports and index pages in a real headless Chromium, which is the system's: apt-get install chromium
browser-tests: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[browser]'
	@$(BIN)/python -m pytest tests/browser

# Every row of the papers' tables, three steps each: docs/reproduce/README.md
papers-tests: $(STAMP)
	@PAPERS_TESTS=all $(BIN)/python -m pytest tests/bundles/test_papers.py

# Scan and causal convolution against the reference functions of mamba-ssm's and causal-conv1d's source distributions
accelerator-tests: $(STAMP)
	@mkdir -p build/sources
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt einops==0.8.2
	@CAUSAL_CONV1D_SKIP_CUDA_BUILD=TRUE MAMBA_SKIP_CUDA_BUILD=TRUE $(BIN)/python -m pip download --quiet --no-deps \
	  --no-build-isolation --no-binary :all: --dest build/sources causal-conv1d mamba-ssm
	@for archive in build/sources/*.tar.gz; do tar -xzf $$archive -C build/sources; done
	@ACCELERATOR_SOURCES=build/sources $(BIN)/python -m pytest tests/common/scan/test_sources.py

# A cohort that is killed at twenty random moments loses no pair and does none twice: docs/cohort.md
kill-tests: $(STAMP)
	@$(BIN)/python -m pytest tests/tools/cohort -m kills

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy common tools

clean:
	rm -rf $(VENV) demo_output build *.egg-info
