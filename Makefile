# make run    serve the studio            make run ARGS="--checkpoint 3b"
# make test   run every test              make test ARGS="tests/test_script.py -k divider"
# make check  format, lint and types

PYTHON ?= python3
BIN := .venv/bin
# threads that spin while they wait starve everything else on a busy machine
export OMP_WAIT_POLICY ?= PASSIVE

run: .venv/ready
	$(BIN)/python app.py $(ARGS)

# all but the browser's tests in two processes; those wait for what a person sees, and are steadier alone
test: .venv/ready-to-test
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	$(BIN)/python -m pytest -n 2 --ignore tests/browser
	$(BIN)/python -m pytest tests/browser
endif

check: .venv/ready-to-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.venv/ready: requirements.txt requirements-extra.txt scripts/setup.py
	$(PYTHON) scripts/setup.py
	touch $@

.venv/ready-to-test: requirements.txt requirements-extra.txt requirements-dev.txt scripts/setup.py
	$(PYTHON) scripts/setup.py --test
	touch .venv/ready $@

.PHONY: run test check
