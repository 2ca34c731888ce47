# make run    serve the studio            make run ARGS="--checkpoint 3b"
# make test   run every test              make test ARGS="tests/test_script.py -k divider"   (in one process)
# make check  format, lint and types

PYTHON ?= python3
BIN := .venv/bin
# threads that spin while they wait starve everything else on a busy machine
export OMP_WAIT_POLICY ?= PASSIVE

# the browser's tests in one process, all others in another: each by itself leaves most of a core idle
SIDE_BY_SIDE := -n 2

run: .venv/ready
	$(BIN)/python app.py $(ARGS)

test: .venv/ready-to-test
	$(BIN)/python -m pytest $(or $(ARGS),$(SIDE_BY_SIDE))

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
