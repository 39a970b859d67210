# Two commands do all set-up: `make demo` and `make test`; `make bench` sets up the peers. Each makes its own virtual environment with pinned versions.
PYTHON ?= python3
ARGS ?=
DEMO_ENV := .venv-demo
TEST_ENV := .venv-test
BENCH_ENV := .venv-bench

.PHONY: demo test bench proofs lint clean proto

demo: $(DEMO_ENV)/done  ## the twin of a small city, live in a terminal: make demo ARGS="--seconds 120 --seed 1"
	@$(DEMO_ENV)/bin/twin demo $(ARGS)

test: $(TEST_ENV)/done lint  ## everything that must hold, in under ten minutes
	$(TEST_ENV)/bin/python -m pytest -n 2 --dist loadfile -m "not heavy" --hypothesis-profile=ci

bench: $(BENCH_ENV)/done  ## ours beside the peers, written to docs/tables: make bench ARGS=power
	$(BENCH_ENV)/bin/python -m benchmarks $(ARGS)

lint: $(TEST_ENV)/done  ## style, types, layers
	$(TEST_ENV)/bin/ruff check .
	$(TEST_ENV)/bin/ruff format --check .
	$(TEST_ENV)/bin/mypy
	$(TEST_ENV)/bin/lint-imports

proofs: $(TEST_ENV)/done  ## the heavy proofs: kill -9, long simulations, fuzz; and the properties on examples drawn anew
	$(TEST_ENV)/bin/python -m pytest -m heavy
	$(TEST_ENV)/bin/python -m pytest -m "not heavy" --hypothesis-profile=default tests/laws tests/properties

# The stubs are made by one old grpcio-tools on purpose: stubs of a newer one refuse older runtimes.
proto:  ## regenerate twin/api from proto/
	$(PYTHON) -m venv .venv-proto
	.venv-proto/bin/python -m pip install --quiet --disable-pip-version-check grpcio-tools==1.71.2 googleapis-common-protos
	.venv-proto/bin/python proto/generate.py

$(DEMO_ENV)/done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEMO_ENV)
	$(DEMO_ENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[demo]"
	@touch $@

$(TEST_ENV)/done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TEST_ENV)
	$(TEST_ENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	@touch $@

$(BENCH_ENV)/done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BENCH_ENV)
	$(BENCH_ENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	@touch $@

clean:
	rm -rf $(DEMO_ENV) $(TEST_ENV) $(BENCH_ENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
