# The commands that CI uses, by name.
PYTHON ?= python3
VENV ?= .venv

.PHONY: install demo check test format docs

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
