# The project's commands. `make run` and `make test` are the two to know; README.md says more.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
# Real processes on PostgreSQL: races, kills, and the journey of a signed list. `make verify` runs the rest there.
ON_POSTGRESQL := tests/crash/test_kill_rounds.py tests/crash/test_parallel_writes.py \
	tests/crash/test_paging_under_writers.py tests/conformance \
	tests/journeys/test_signed_list.py::test_a_nurse_signs_a_list_in_the_frame_of_the_ehr

# The tests of a file share the servers that they start; tests/conftest.py says which files come first.
WHOLE_FILES := --dist loadfile --no-loadscope-reorder

# The tests start hundreds of processes and collect thousands of tests in each: compiled modules are kept for the
# next one, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: audit setup setup-dev system run check test verify conformance bench generate lock third-party format clean

setup: $(VENV)/.installed ## venv, locked dependencies, the `baton` command

$(VENV)/.installed: requirements.lock pyproject.toml
	@docker/create-venv.sh "$(PYTHON)" $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

setup-dev: $(VENV)/.installed-dev ## setup, then the tools of developers

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

system: ## browser, load generator and PostgreSQL for the tests and benchmarks
	@.ci/install-system.sh

run: setup ## everything in demonstration mode
	$(BIN)/baton serve --demo

check: setup-dev ## lint, types, imports, fast tests: before every commit (< 2 min)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n 2 -m "not browser and not network and not slow and not long"

test: setup-dev system ## everything CI runs (< 15 min)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n 2 -m "not browser and not network and not long"
	$(BIN)/pytest -q -n 2 -m "not browser and not network and not long" --database postgresql
	$(BIN)/pytest -q -n 3 $(WHOLE_FILES) -m "(browser or network) and not long"
	$(BIN)/pytest -q -n 2 $(WHOLE_FILES) -m "not long" --database postgresql $(ON_POSTGRESQL)

verify: setup-dev system ## the full counts, written to docs/verification.md
	$(BIN)/python benchmarks/verify.py

conformance: setup-dev system ## every line of FHIR and US Core on both databases, written to docs/conformance.md
	$(BIN)/python docs/generate_conformance.py

bench: setup-dev system ## the benchmarks, written to docs/performance.md
	$(BIN)/python benchmarks/run.py

audit: setup-dev ## known vulnerabilities of the locked dependencies, by PyPI's advisory database
	$(BIN)/pip-audit --disable-pip --require-hashes --strict -r requirements.lock -r requirements-dev.lock

generate: setup-dev ## validators, search tables and generated pages from their sources
	$(BIN)/python -m server.fhir.generate_validators
	$(BIN)/python -m server.fhir.generate_search
	$(BIN)/python -m server.fhir.generate_units
	$(BIN)/python -m mappings.compiler.generate_elements
	$(BIN)/python docs/generate_third_party.py
	$(BIN)/python docs/generate_errors.py
	$(BIN)/python docs/generate_lifecycles.py

lock: setup-dev ## pin the dependencies again
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --strip-extras --allow-unsafe --output-file requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --strip-extras --allow-unsafe --extra dev --output-file requirements-dev.lock pyproject.toml

format: setup-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info
