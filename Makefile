# make app: set everything up and start the page.    make test: set everything up and pass the tests.
PYTHON ?= $(shell command -v python3.12 >/dev/null 2>&1 && python3.12 -c 'import venv, ensurepip' 2>/dev/null && echo python3.12 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
NPM := tests/npm

.PHONY: app test lint kernels clean

app: $(VENV)/.app
	$(BIN)/python app.py

test: $(VENV)/.test $(NPM)/node_modules lint kernels
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.test
	$(BIN)/ruff check .

# Compiled once, instead of by every process of the tests at the same time.
kernels: $(VENV)/.test
	$(BIN)/python -c "from ds4d.pipeline.warm_up import warm_up; warm_up()"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
		|| { echo "Python 3.11 or 3.12 is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.app: $(BIN)/python requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.test: $(BIN)/python requirements.txt requirements-test.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-test.txt
	touch $(VENV)/.app $@

# Readers of the exported files; their tests are skipped without them.
$(NPM)/node_modules: $(NPM)/package.json
	if command -v npm >/dev/null; then \
		npm install --prefix $(NPM) --no-audit --no-fund --no-package-lock --ignore-scripts --silent \
		&& touch $@ || echo "The tests with npm packages are skipped."; fi

clean:
	rm -rf $(VENV) $(NPM)/node_modules
