# Common commands, by name.
PYTHON ?= python3
VENV ?= .venv

UV ?= $(VENV)/bin/uv

.PHONY: install demo check test format docs lock audit

install:
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -r requirements-dev.txt

demo:
	$(VENV)/bin/python app.py

check:
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test:
	$(VENV)/bin/python -m pytest

format:
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs:
	$(VENV)/bin/python -m tests.docs
	$(VENV)/bin/python -m training.card

# What the container installs: every file with its hash, torch in its build for CPUs.
lock: $(UV)
	$(UV) pip compile requirements.txt --python-version 3.12 \
	    --python-platform x86_64-manylinux_2_28 --torch-backend cpu --generate-hashes \
	    --no-annotate --quiet --custom-compile-command "make lock" --output-file requirements.lock

audit: $(UV)
	$(UV) tool run pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

$(UV):
	$(VENV)/bin/pip install uv==0.13.9
