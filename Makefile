# Everything happens in .venv, which `make setup` fills, in .venv-metaworld, .venv-ray and .venv-rliable. Nothing outside this folder is touched.
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
METAWORLD := .venv-metaworld
RAY := .venv-ray
RLIABLE := .venv-rliable
# What runs on Meta-World's MuJoCo, the oldest that the package supports: what draws and what steps.
METAWORLD_TESTS := tests/suites tests/rendering tests/data/test_replay.py tests/test_env.py tests/test_every_env.py \
	tests/test_drawn_model.py tests/test_import.py tests/test_make_masked.py tests/test_placed.py tests/test_vector.py

# What a command line may change: make setup PYTHON=python3.13 EXTRAS=dev,hf CONSTRAINTS=
PYTHON ?= python3.11 python3.12 python3.13 python3.14 python3
CONSTRAINTS ?= constraints.txt
EXTRAS ?= dev
WORKERS ?= auto
PYTEST_ARGS ?=

.PHONY: help setup setup-metaworld setup-ray setup-rliable demo test test-slow test-metaworld test-ray test-rliable lint types format bench clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## create .venv and install the package with the tested versions of constraints.txt

# The stamp is written last, so a failed or interrupted installation is done again. A .venv without a working pip
# (an interrupted start, a Python that is gone) is made anew.
define create_venv
	@if ! $(1)/bin/python -m pip --version >/dev/null 2>&1; then \
		python=$$(for p in $(PYTHON); do \
			"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; \
		done); \
		if [ -z "$$python" ]; then \
			echo "error: no Python 3.11 or newer (tried: $(PYTHON))." >&2; \
			echo "  Debian, Ubuntu: apt install python3.11 python3.11-venv; or name one: make setup PYTHON=/path/to/python3" >&2; \
			exit 1; \
		fi; \
		if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
			version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
			echo "error: $$python cannot create virtual environments: its module ensurepip or venv is missing." >&2; \
			echo "  Debian, Ubuntu: apt install python$$version-venv" >&2; \
			exit 1; \
		fi; \
		echo "creating $(1) with $$python"; \
		"$$python" -m venv --clear $(1); \
	fi
endef

$(STAMP): pyproject.toml $(CONSTRAINTS)
	$(call create_venv,$(VENV))
	$(PY) -m pip install --disable-pip-version-check $(addprefix -c ,$(CONSTRAINTS)) -e '.[$(EXTRAS)]'
	@touch $@

# Meta-World pins a MuJoCo that the other extras cannot live with, so it has an environment of its own: the versions of
# constraints-metaworld.txt and nothing else, which leaves out torch and what only the agents need.
$(METAWORLD)/.installed: pyproject.toml constraints-metaworld.txt
	$(call create_venv,$(METAWORLD))
	$(METAWORLD)/bin/python -m pip install --disable-pip-version-check --no-deps -r constraints-metaworld.txt -e .
	@touch $@

# A new environment that sees .venv's packages behind its own.
define create_venv_on_top
	$(call create_venv,$(1))
	@$(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(1)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/venv.pth"
endef

# Ray is large and needed by nobody else: an environment that adds it to .venv's packages.
$(RAY)/.installed: $(STAMP) constraints.txt
	$(call create_venv_on_top,$(RAY))
	$(RAY)/bin/python -m pip install --disable-pip-version-check -c constraints.txt 'ray>=2.40'
	@touch $@

# rliable, which our statistics are compared with, cannot be imported beside the newest pandas, which others need.
$(RLIABLE)/.installed: $(STAMP)
	$(call create_venv_on_top,$(RLIABLE))
	$(RLIABLE)/bin/python -m pip install --disable-pip-version-check rliable==1.2.0 arch==7.2.0 pandas==2.3.3
	@touch $@

setup-rliable: $(RLIABLE)/.installed  ## create .venv-rliable: the packages of .venv and rliable

setup-ray: $(RAY)/.installed  ## create .venv-ray: the packages of .venv and Ray

setup-metaworld: $(METAWORLD)/.installed  ## create .venv-metaworld, where Meta-World lives with its own MuJoCo

demo: $(STAMP)  ## train a small agent, look at its masks and latents, write runs/demo
	$(PY) examples/train_agent.py --out runs/demo

test: lint types  ## lint, types and the fast tests
	$(PY) -m pytest -m "not slow" -n $(WORKERS) --maxprocesses 4 --dist loadfile $(PYTEST_ARGS)

# One process, so that training may use every core. pytest's exit code 5 says that there is no slow test.
test-slow: $(STAMP)  ## the slow tests: whole training runs and scripts
	@$(PY) -m pytest -m slow --timeout 1800 --durations 10 $(PYTEST_ARGS) || [ $$? -eq 5 ]

test-metaworld: setup-metaworld  ## Meta-World's tests and the core's on MuJoCo 3.3.0
	$(METAWORLD)/bin/python -m pytest -m "not slow" -n $(WORKERS) --maxprocesses 4 --dist loadfile \
		$(PYTEST_ARGS) $(METAWORLD_TESTS)

test-ray: setup-ray  ## the benchmark on a Ray cluster of two nodes on this machine
	PYTHONPATH=$(CURDIR) $(RAY)/bin/python -m pytest -m ray $(PYTEST_ARGS) tests/benchmark/test_ray.py

test-rliable: setup-rliable  ## the benchmark's statistics against rliable
	$(RLIABLE)/bin/python -c 'import rliable.library'  # or the test would be skipped
	PYTHONPATH=$(CURDIR) $(RLIABLE)/bin/python -m pytest -k rliable $(PYTEST_ARGS) tests/benchmark/test_statistics.py

lint: $(STAMP)  ## ruff: rules and formatting
	$(PY) -m ruff check --output-format concise .
	$(PY) -m ruff format --check .

types: $(STAMP)  ## mypy
	$(PY) -m mypy

format: $(STAMP)  ## let ruff repair what it can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(STAMP)  ## every speed measurement in benchmarks/
	@set -e; for script in $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py)); do \
		echo "== $$script"; $(PY) "$$script"; \
	done

clean:  ## remove caches and build products; the environments and runs/ stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis MUJOCO_LOG.TXT *.egg-info
	find masklam_envs masklam_agents examples benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +
