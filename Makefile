# `make sweep` and `make test` need nothing but Python 3.10 to 3.13 and a package registry: they make .venv themselves.
PYTHON ?= python3
PIP_FLAGS ?=
ARGS ?=
BIN := .venv/bin

.PHONY: sweep resume test faults bench gpu-check clean help
.DEFAULT_GOAL := sweep

sweep: .venv/installed  ## 40 trials on this machine, then the tables
	$(BIN)/python sweeps/regularization.py --num-samples 40 $(ARGS)

# The one that ran last: a report that is made later does not change that.
resume: NAME ?= $(patsubst %/manifest.json,%,$(shell ls -t results/*/manifest.json 2>/dev/null | head -1))
resume: .venv/installed  ## go on with the newest sweep, or with NAME=results/...
	@test -n "$(NAME)" || { echo "error: there is no sweep in results/ to go on with; \`make sweep\` starts one" >&2; exit 2; }
	$(BIN)/python sweeps/regularization.py --resume "$(NAME)" $(ARGS)

test: .venv/installed  ## linter, formatter, layering, test suite; about 8 minutes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

faults: .venv/installed  ## kill processes and Ray nodes under running sweeps; several minutes
	$(BIN)/python -m pytest tests/faults $(ARGS)

bench: .venv/installed  ## how fast it is, beside what would be run otherwise; half an hour, idle machine
	$(BIN)/python -m bench $(ARGS)

gpu-check: .venv/installed  ## all that needs a GPU, in at most nine minutes; a table, and gpu-check.json
	$(BIN)/python -m bench.gpu_check $(ARGS)

# Written last, so that an installation cut in the middle is taken up again.
.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) else f"error: Python 3.10 to 3.13 is needed, {sys.executable} is {v[0]}.{v[1]}; set PYTHON=..., for instance: make PYTHON=python3.12")'
	@echo "installing into .venv (about 6 GB on Linux, a few minutes, the last one or two of them without a word)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_FLAGS) --requirement requirements.txt
	touch $@

clean:  ## remove what make made and can make again; results and recordings stay
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "kept: results/ and data/, and the decoded clips in \$${ESC50TUNE_CACHE:-~/.cache/esc50tune}"

help:  ## this list; ARGS="..." adds flags, as in: make sweep ARGS="--dry-run"
	@sed -nE 's/^([a-z-]+):.*  ## (.*)/make \1: \2/p' Makefile | awk -F': ' '{printf "%-16s%s\n", $$1, substr($$0, length($$1) + 3)}'
