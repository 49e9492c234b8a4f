# Two commands: `make quickstart` and `make test`. Both set up .venv on a bare machine with Python 3.10+ and pip.
PYTHON ?= python3
TORCH ?= torch==2.14.1 torchvision==0.29.1
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test test-avx2 test-wheel test-slow clean

quickstart: $(VENV)/.installed
	$(BIN)/frcnn train --config configs/quickstart.yaml

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q

# Networks, training and predicting as processors without AVX-512 do; nothing where this one is such a processor.
AVX2 := ONEDNN_MAX_CPU_ISA=AVX2 DNNL_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2
test-avx2: $(VENV)/.installed-dev
	@if $(BIN)/python -c "import sys, torch; sys.exit(torch.backends.cpu.get_cpu_capability() != 'AVX512')"; then \
	    $(AVX2) $(BIN)/pytest -q tests/backbones tests/model tests/engine; \
	else echo "this processor has no AVX-512: the tests ran without it already"; fi

# The wheel, made from the sdist, works outside the checkout. Its environment borrows the libraries of .venv.
test-wheel: $(VENV)/.installed-dev
	$(BIN)/python tools/wheel_check.py

test-slow: $(VENV)/.installed-dev
	$(BIN)/pytest -q -m slow

$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
