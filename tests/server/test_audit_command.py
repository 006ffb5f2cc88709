"""`baton audit`: as scripts and monitoring use it.

Covers server/audit_command.py, server/workers/sealing.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server import audit_command, command_context
from server.auth.audit_heads import head_signer
from server.settings import Settings
from server.workers.sealing import HEAD_FILE, sealing

BASE = "http://127.0.0.1:8000"


@pytest.fixture
def baton(monkeypatch: pytest.MonkeyPatch, settings: Settings, app: Any) -> Callable[..., Result]:
    monkeypatch.setattr(command_context, "read_settings", lambda environment, demo: settings)
    return lambda *arguments: CliRunner().invoke(audit_command.audit, [str(argument) for argument in arguments])


@pytest.fixture
def seal(store: Any, settings: Settings, authorization: Any, clock: Any) -> Callable[[], None]:
    task = sealing(store, settings.home / "audit", head_signer(authorization.keys, BASE, clock), clock)

    def run() -> None:
        store.ingest_audit(settings.home / "audit")
        task.run()

    return run


def report(result: Result) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def execute(store: Any, *statements: str) -> None:
    with store.database.writing() as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_trail_that_is_whole(baton: Any, fhir: Any, seal: Callable[[], None]) -> None:
    for _ in range(3):
        fhir.get("Patient/nobody")
    seal()
    fhir.get("Patient/nobody")
    result = baton("verify", "--json")
    assert result.exit_code == 0, result.output
    told = report(result)
    assert told["rows"] == told["sealed"] == told["signed"] == told["head"]["sequence"] > 3
    assert told["segments"]["rows"] == 1
    assert told["segments"]["oldest"]
    assert (told["findings"], told["first_broken"], told["unsealed"]["rows"]) == ([], None, 0)
    words = baton("verify")
    assert words.stdout.endswith("ok\n")
    assert f"head      {told['head']['sequence']} {told['head']['hash']}" in words.stdout


def test_a_changed_row_ends_with_status_2(baton: Any, fhir: Any, seal: Callable[[], None], store: Any) -> None:
    fhir.get("Patient/nobody")
    seal()
    execute(store, "UPDATE audit_chain SET outcome = 200 WHERE outcome = 404")
    result = baton("verify", "--json")
    assert result.exit_code == 2
    assert report(result)["first_broken"] > 0
    assert "FINDING" in baton("verify").stdout


def test_a_chain_cut_in_the_database_is_found_by_the_note_in_the_home(
    baton: Any, fhir: Any, seal: Callable[[], None], store: Any, settings: Settings, tmp_path: Path
) -> None:
    for _ in range(3):
        fhir.get("Patient/nobody")
    seal()
    cut = [
        f"DELETE FROM {table} WHERE sequence > 1" for table in ("audit_chain", "audit_patient", "audit_head")
    ]
    execute(store, *cut, "UPDATE audit_sealer SET sequence = 1")
    result = baton("verify")
    assert result.exit_code == 2
    assert "the chain was cut" in result.stdout
    (settings.home / "audit" / HEAD_FILE).unlink()
    assert baton("verify").exit_code == 0


def test_a_head_noted_elsewhere_is_compared(
    baton: Any, fhir: Any, seal: Callable[[], None], store: Any, tmp_path: Path, clock: Any
) -> None:
    fhir.get("Patient/nobody")
    seal()
    noted = tmp_path / "noted.json"
    assert baton("verify", "--note", noted).exit_code == 0
    fhir.get("Patient/nobody")
    seal()
    assert baton("verify", "--head", noted).exit_code == 0
    document = json.loads(noted.read_text())
    noted.write_text(json.dumps({**document, "hash": "00" * 32}))
    result = baton("verify", "--head", noted)
    assert result.exit_code == 2
    assert f"row {document['sequence']}: the row is not the one of the head" in result.stdout
    noted.write_text("nothing")
    assert baton("verify", "--head", noted).exit_code == 1
    assert baton("verify", "--head", tmp_path / "none").exit_code == 1


def test_unreadable_rows_are_findings_until_somebody_says_they_are_known(
    baton: Any, fhir: Any, seal: Callable[[], None], settings: Settings
) -> None:
    fhir.get("Patient/nobody")
    (path,) = (settings.home / "audit").glob("*.jsonl")
    with path.open("ab") as stream:
        stream.write(b'{"recorded": 17, "prin\n')
    assert report(baton("verify", "--json"))["segments"]["malformed"] == 1
    assert baton("verify").exit_code == 2
    seal()
    assert report(baton("verify", "--json"))["malformed"] == 1
    assert baton("verify").exit_code == 2
    assert baton("verify", "--known-malformed", 1).exit_code == 0


def test_a_search_prints_rows_and_is_audited(
    baton: Any, fhir: Any, seal: Callable[[], None], store: Any
) -> None:
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one"})
    fhir.get("Patient/one")
    fhir.get("Patient/two")
    seal()
    lines = baton("search", "--patient", "Patient/one").stdout.splitlines()
    assert [line.split("\t")[4:] for line in lines] == [
        ["read Patient/one", "200", "one"],
        ["update Patient/one", "201", "one"],
    ]
    row = store.audit_rows(limit=1)[0]
    assert (row.interaction, row.principal, row.patient, row.detail) == (
        "audit-search",
        "operator",
        "one",
        "patient",
    )
    (found,) = (json.loads(line) for line in baton("search", "--outcome", "404", "--json").stdout.splitlines())
    assert (found["interaction"], found["id"], found["outcome"]) == ("read", "two", 404)
    assert len(baton("search", "--limit", "2").stdout.splitlines()) == 2
    assert baton("search", "--since", "2999-01-01").stdout == ""
    assert baton("search", "--patient", "Smith, John").exit_code == 2
    assert baton("search", "--outcome", "good").exit_code == 1
