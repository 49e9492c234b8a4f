# Two commands: `make quickstart` and `make test`. Both set up .venv on a bare machine with Python 3.10+ and pip.
PYTHON ?= python3
TORCH ?= torch==2.14.1 torchvision==0.29.1
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test test-thorough test-avx2 test-wheel test-slow docs release-check clean

quickstart: $(VENV)/.installed
	$(BIN)/frcnn train --config configs/quickstart.yaml

# A process for each core, with one thread each; neighbouring tests stay together, since they share trained runs.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist worksteal

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST)

# That every option and setting is heeded, that kills cost nothing, that processes agree: what takes longer than all else.
test-thorough: $(VENV)/.installed-dev
	$(PYTEST) -m "thorough and not slow"

# Networks, training and predicting as processors without AVX-512 do; nothing where this one is such a processor.
AVX2 := ONEDNN_MAX_CPU_ISA=AVX2 DNNL_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2
test-avx2: $(VENV)/.installed-dev
	@if $(BIN)/python -c "import sys, torch; sys.exit(torch.backends.cpu.get_cpu_capability() != 'AVX512')"; then \
	    $(AVX2) $(PYTEST) tests/backbones tests/model tests/engine; \
	else echo "this processor has no AVX-512: the tests ran without it already"; fi

# The wheel, made from the sdist, works outside the checkout. Its environment borrows the libraries of .venv.
test-wheel: $(VENV)/.installed-dev
	$(BIN)/python tools/wheel_check.py

test-slow: $(VENV)/.installed-dev
	$(BIN)/pytest -q -m slow

# The documentation as a site; a dead link or anchor, or a page that is missing, ends it.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

# Everything that a release needs: tests, slow ones too, the wheel outside the checkout, a changelog that names the version.
release-check: test test-thorough test-avx2 test-wheel test-slow docs
	@$(BIN)/python -c "import detection; t = open('CHANGELOG.md').read(); v = detection.__version__; \
	    exit(0 if f'## [{v}]' in t else f'CHANGELOG.md has no heading for {v}')"

$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
