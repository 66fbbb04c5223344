# The first Python here of a version that the pinned packages exist for.
PYTHON ?= $(shell for python in python3.12 python3.11 python3.10 python3.9 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 9) <= sys.version_info < (3, 13))' \
	2>/dev/null && echo $$python && break; done)
BIN := .venv/bin

.PHONY: demo test test-slow lint clean

demo: .venv/installed
	$(BIN)/python -m examples.demo --output_dir demo

test: .venv/installed-dev
	$(BIN)/pytest -n 2

test-slow: .venv/installed-dev
	$(BIN)/pytest -m slow

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv demo

.venv/installed: requirements.txt
	@test -n "$(PYTHON)" || { echo "error: needs Python 3.9 to 3.12 with venv (on \
	Debian: apt install python3-venv); name one with make PYTHON=…" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements-dev.txt
	touch $@
