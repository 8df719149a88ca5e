# Each target makes .venv by itself; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A module is one worker's; in the order of tests/conftest.py, where the long ones come first.
SHARES := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all lint docs clean

demo: $(VENV)/.installed  ## train on a drawn set for a few minutes and show samples
	$(BIN)/python -m sle_gan.demo

test: $(VENV)/.installed-dev lint  ## the tests, under 10 minutes on 2 cores
	$(BIN)/python -m pytest $(SHARES) -m "not slow"

test-all: $(VENV)/.installed-dev lint  ## the long ones too
	$(BIN)/python -m pytest $(SHARES)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/zizmor --offline --quiet .github/workflows

docs: $(VENV)/.installed-docs  ## the documentation into site/: open site/index.html; warnings and dead links are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

$(VENV)/.installed: requirements.txt requirements-core.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[tensorflow,projected]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	# gradio asks for a Pillow below 13, runs with 13, and the reference's numbers are of 13: 12 resizes otherwise.
	$(BIN)/python -m pip install --quiet --no-deps --no-warn-conflicts "pillow>=13"
	touch $@

$(VENV)/.installed-docs: requirements-core.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis site
