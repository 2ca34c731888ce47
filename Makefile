# make run    serve the studio            make run ARGS="--checkpoint 3b"
# make test   run every test              make test ARGS="tests/test_script.py -k divider"
# make check  format, lint and types

PYTHON ?= python3
BIN := .venv/bin
# threads that spin while they wait starve everything else on a busy machine
export OMP_WAIT_POLICY ?= PASSIVE

run: .venv/ready
	$(BIN)/python app.py $(ARGS)

# ARGS="-n 2" is quicker where two cores are idle; one after the other the browser's tests are steadier
test: .venv/ready-to-test
	$(BIN)/python -m pytest $(ARGS)

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
