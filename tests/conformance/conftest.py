"""A FHIR server over HTTP, its charts, and the scorecard of what was asked of it.

The suite knows FHIR and HTTP, and nothing of this project: with BATON_CONFORMANCE_URL (the base) and
BATON_CONFORMANCE_TOKEN (a bearer token that may do everything) it asks another server, which has to take ids of
the client's. Without them a server of the checkout is started, on the database of the run. Every run has ids
of its own, so that nothing it finds is somebody else's.

`--scorecard FILE` writes, for each id of a `requirement` marker, what was asked and how it went; with
`--collect-only` the ids alone.
"""

from __future__ import annotations

import gzip
import importlib.machinery
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import tomllib
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
EXAMPLES = ROOT / "tests" / "server" / "fhir" / "examples_us_core"
RELEASES = {"6": "us_core_6_1_0", "7": "us_core_7_0_0"}

OTHER = os.environ.get("BATON_CONFORMANCE_URL", "").rstrip("/")
TOKEN = os.environ.get("BATON_CONFORMANCE_TOKEN", "")
# What is known to be missing is ours; of another server everything is asked the same.
GAPS: dict[str, str] = {} if OTHER else tomllib.loads((HERE / "gaps.toml").read_text("utf-8"))["reasons"]
_RESULTS: dict[str, dict[str, str]] = {}


def _folder(name: str) -> None:
    """Make a folder beside this file a package of that name."""
    spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(HERE / name)]
    sys.modules.setdefault(name, importlib.util.module_from_spec(spec))


for _name in ("asking", "us_core"):
    _folder(_name)


# --- the scorecard ----------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--scorecard", type=Path, help="write the results of the conformance suite here (JSON)")


def _lines(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """(id, what is asked) of each line that a test verifies."""
    for marker in item.iter_markers("requirement"):
        words = item.name.partition("[")[0].removeprefix("test_").replace("_", " ")
        yield marker.args[0], marker.args[1] if len(marker.args) > 1 else words


def _ours(items: list[pytest.Item]) -> list[pytest.Item]:
    return [item for item in items if item.path.is_relative_to(HERE)]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real processes, all of them; what is known to be missing must fail."""
    for item in _ours(items):
        item.add_marker(pytest.mark.network)
        for id, what in _lines(item):
            _RESULTS.setdefault(id, {"what": what, "result": ""})
            if id in GAPS:
                item.add_marker(pytest.mark.xfail(reason=GAPS[id], strict=True))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if not item.path.is_relative_to(HERE) or (report.passed and report.when != "call"):
        return
    if hasattr(report, "wasxfail") and report.skipped:
        result = "listed"
    else:
        result = "failed" if report.failed else "not asked" if report.skipped else "passed"
    for id, _ in _lines(item):
        if _RESULTS[id]["result"] in ("", "passed"):
            _RESULTS[id]["result"] = result


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--scorecard", default=None)
    if path is not None:
        path.write_text(json.dumps(_RESULTS, indent=1), "utf-8")


# --- the server -------------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=1).status_code == 200
    except requests.RequestException:
        return False


@pytest.fixture(scope="session")
def started(
    tmp_path_factory: pytest.TempPathFactory, database_kind: str, request: pytest.FixtureRequest
) -> Iterator[tuple[str, Callable[..., str]]]:
    """(base, run) of a server of this checkout: web and worker, without data. run: a `baton` command of it,
    by its arguments and its standard input, -> what it prints."""
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")} | {
        "BATON_HOME": str(tmp_path_factory.mktemp("home")),
        "BATON_PORT_WEB": str(port),
        "BATON_WORKERS": "1",
    }
    if database_kind == "postgresql":
        name = f"conformance_{uuid.uuid4().hex[:12]}"
        environment["BATON_DATABASE_URL"] = request.getfixturevalue("cluster").create_database(name)

    def baton(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "server.cli", *arguments]

    def run(*arguments: str, typed: str = "") -> str:
        done = subprocess.run(
            baton(*arguments),
            env=environment | {"BATON_DEMO": "1"},
            cwd=ROOT,
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    log = Path(environment["BATON_HOME"]).with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            baton("serve", "web", "worker", "--demo", "--no-data"),
            env=environment,
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + 60
        while not _is_ready(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"the server did not start:\n{log.read_text()}"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/fhir", run
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def mint(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Scopes and options of `baton token mint` -> a token; another server's cannot be minted here."""
    if OTHER:
        pytest.skip("needs tokens with other scopes than that which was given")
    run: Callable[..., str] = request.getfixturevalue("started")[1]
    return partial(run, "token", "mint", "--scope")


@pytest.fixture(scope="session")
def fhir(request: pytest.FixtureRequest) -> Any:
    """The server with a token that may do everything, an `asking.client.Fhir`."""
    from asking.client import Fhir

    run = f"c{uuid.uuid4().hex[:6]}"
    if OTHER:
        return Fhir(OTHER, TOKEN, run)
    base, command = request.getfixturevalue("started")
    # `*` does not open the audit trail, which is not written by anybody.
    scope = "system/*.cruds system/AuditEvent.rs"
    return Fhir(base, command("token", "mint", "--scope", scope), run)


@pytest.fixture
def anonymous(fhir: Any) -> Any:
    """The same server without a token."""
    return type(fhir)(fhir.base, "", fhir.run)


# --- the charts -------------------------------------------------------------------------------------------


def _renamed(value: Any, ids: dict[str, str]) -> Any:
    """value with every reference "Type/id" of `ids` by its new name."""
    if isinstance(value, dict):
        return {
            name: ids.get(part, part) if name == "reference" and isinstance(part, str) else _renamed(part, ids)
            for name, part in value.items()
        }
    return [_renamed(part, ids) for part in value] if isinstance(value, list) else value


def _release(name: str, prefix: str) -> list[dict[str, Any]]:
    """The examples of a release, own resources beside them, under ids that begin with `prefix`."""
    with gzip.open(EXAMPLES / f"{name}.ndjson.gz", "rt", encoding="utf-8") as lines:
        resources = [json.loads(line) for line in lines]
    resources += json.loads((HERE / "own_resources.json").read_text("utf-8"))
    ids = {f"{r['resourceType']}/{r['id']}": f"{r['resourceType']}/{prefix}{r['id']}" for r in resources}
    named = [_renamed(resource, ids) | {"id": prefix + resource["id"]} for resource in resources]
    return named + list(_provenances(named, prefix))


def _provenances(resources: list[dict[str, Any]], prefix: str) -> Iterator[dict[str, Any]]:
    """One Provenance of each type, of all its resources: the examples have but one of a Patient."""
    for kind in sorted({resource["resourceType"] for resource in resources}):
        yield {
            "resourceType": "Provenance",
            "id": f"{prefix}of-{kind}",
            "target": [{"reference": f"{kind}/{r['id']}"} for r in resources if r["resourceType"] == kind],
            "recorded": "2024-01-01T00:00:00Z",
            "agent": [{"who": {"reference": f"Organization/{prefix}acme-lab"}}],
        }


@pytest.fixture(scope="session")
def charts(fhir: Any) -> dict[str, list[dict[str, Any]]]:
    """Type -> resources as they were stored: both releases of the US Core examples, and a few of our own."""
    stored: dict[str, list[dict[str, Any]]] = {}
    for release, name in RELEASES.items():
        resources = _release(name, f"{fhir.run}-{release}-")
        entries = [
            {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
            for r in resources
        ]
        answer = fhir.post("", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
        assert answer.status_code == 200, answer.text[:2000]
        assert {entry["response"]["status"][:3] for entry in answer.json()["entry"]} == {"201"}
        for resource in resources:
            stored.setdefault(resource["resourceType"], []).append(resource)
    return stored


@pytest.fixture(scope="session")
def statement(fhir: Any) -> dict[str, Any]:
    """The CapabilityStatement."""
    return dict(fhir.get("metadata").json())


@pytest.fixture(scope="session")
def offered(statement: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Type -> what the CapabilityStatement claims of it."""
    return {resource["type"]: resource for resource in statement["rest"][0]["resource"]}


# --- one patient ------------------------------------------------------------------------------------------


@pytest.fixture
def number() -> str:
    """An identifier that nobody else has."""
    return uuid.uuid4().hex


@pytest.fixture
def patient(fhir: Any, number: str) -> dict[str, Any]:
    """A stored Patient, in its first version."""
    made: dict[str, Any] = fhir.create(
        {
            "resourceType": "Patient",
            "identifier": [{"system": "urn:example:in", "value": number}],
            "gender": "female",
            "name": [{"family": "Interaction"}],
        }
    )
    return made


@pytest.fixture
def path(patient: dict[str, Any]) -> str:
    return f"Patient/{patient['id']}"


@pytest.fixture
def condition(number: str) -> str:
    return f"identifier=urn:example:in|{number}"
