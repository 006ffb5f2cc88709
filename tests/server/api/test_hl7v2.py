"""HL7 v2 messages over HTTP: who may send them, what is answered, what stands in audit trail and metrics.

Covers server/api/hl7v2.py, server/api/listener_metrics.py, and the scope in server/auth/scopes.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from server.auth.scopes import HL7V2_SCOPE, negotiate, parse_scope, parse_scopes
from server.mllp.counts import Counts
from server.settings import Settings

BASE = "http://127.0.0.1:8000"


@pytest.fixture
def post(app: Flask, as_token: Callable[..., Any]) -> Callable[..., Any]:
    """`post(message)`: the answer to it, with a token for that alone."""
    client: FlaskClient = app.test_client()

    def send(data: bytes, scope: str = HL7V2_SCOPE, content_type: str = "application/hl7-v2") -> Any:
        token = as_token(scope)._token if scope else ""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return client.post("/hl7v2", base_url=BASE, data=data, headers=headers, content_type=content_type)

    return send


def rows(store: Any, columns: str) -> list[tuple[Any, ...]]:
    with store.database.reading() as connection:
        return connection.execute(f"SELECT {columns} FROM hl7v2_message ORDER BY id").fetchall()


def test_a_message_is_stored_and_answered(post: Any, store: Any, hl7v2_wire: Any) -> None:
    answer = post(hl7v2_wire.admit("m1"))
    assert (answer.status_code, answer.mimetype) == (200, "application/hl7-v2")
    assert hl7v2_wire.fields(answer.data, "MSA")[1:3] == ["AA", "m1"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert rows(store, "listener, control_id, source") == [("http", "m1", "adt1-north")]


@pytest.mark.requirement("MLLP8")
def test_a_message_that_came_by_http_is_known(post: Any, store: Any, hl7v2_wire: Any) -> None:
    for _ in range(2):
        assert b"MSA|AA|m1" in post(hl7v2_wire.admit("m1")).data
    assert [row[0] for row in rows(store, "state")] == ["received", "duplicate"]


@pytest.mark.requirement("MLLP14")
def test_a_batch_is_answered_by_one(post: Any, hl7v2_wire: Any) -> None:
    two = hl7v2_wire.admit("m1", "1") + hl7v2_wire.admit("m2", "2")
    answer = post(b"BHS|^~\\&|A|B\r" + two + b"BTS|2\r")
    assert answer.data.startswith(b"BHS|")
    assert answer.data.count(b"MSA|AA|") == 2


@pytest.mark.parametrize(
    ("accept", "status", "starts"), [("AL", 200, b"CA"), ("NE", 204, b""), ("", 200, b"AA")]
)
def test_enhanced_mode_gets_its_first_answer(
    post: Any, hl7v2_wire: Any, accept: str, status: int, starts: bytes
) -> None:
    answer = post(hl7v2_wire.admit("m1", accept=accept, applies=accept and "NE"))
    assert answer.status_code == status
    assert not starts or b"MSA|" + starts in answer.data


def test_what_cannot_be_read_is_rejected_and_kept(post: Any, store: Any) -> None:
    answer = post(b"no message at all")
    assert (answer.status_code, answer.mimetype) == (400, "application/hl7-v2")
    assert b"MSA|AR" in answer.data
    assert rows(store, "state, source") == [("failed", "unknown")]


def test_what_cannot_be_stored_is_to_be_sent_again(post: Any, store: Any, hl7v2_wire: Any) -> None:
    with store.database.writing() as connection:
        connection.execute("ALTER TABLE hl7v2_message RENAME TO gone")
    try:
        answer = post(hl7v2_wire.admit("m1"))
    finally:
        with store.database.writing() as connection:
            connection.execute("ALTER TABLE gone RENAME TO hl7v2_message")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert b"MSA|AR|m1" in answer.data


@pytest.mark.parametrize(
    ("scope", "status"),
    [("", 401), ("system/*.cruds", 403), ("system/Patient.c", 403), (f"system/*.rs {HL7V2_SCOPE}", 200)],
)
def test_only_a_token_for_it_may_send(post: Any, store: Any, hl7v2_wire: Any, scope: str, status: int) -> None:
    assert post(hl7v2_wire.admit("m1"), scope).status_code == status
    assert len(rows(store, "id")) == (status == 200)


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b"MSH|", "application/json", 415),
        (b"MSH|", "", 415),
        (b"", "application/hl7-v2", 400),
        (b" \r\n", "application/hl7-v2; charset=utf-8", 400),
        (b"x" * 16_000_001, "application/hl7-v2", 413),
    ],
)
def test_what_is_no_such_request_is_said_in_an_outcome(
    post: Any, store: Any, data: bytes, content_type: str, status: int
) -> None:
    answer = post(data, content_type=content_type)
    assert answer.status_code == status
    assert answer.json["resourceType"] == "OperationOutcome"
    assert rows(store, "id") == []


def test_who_sent_something_in_stands_in_the_audit_trail(
    post: Any, store: Any, settings: Settings, hl7v2_wire: Any
) -> None:
    post(hl7v2_wire.admit("m1"))
    post(hl7v2_wire.admit("m2"), "system/*.cruds")
    store.ingest_audit(settings.home / "audit")
    refused, taken = (row for row in store.audit_rows(limit=10) if row.detail == "$hl7v2")
    assert [(row.detail, row.outcome, row.client_id) for row in (taken, refused)] == [
        ("$hl7v2", 200, "tests"),
        ("$hl7v2", 403, "tests"),
    ]
    assert "m1" not in repr(taken)


def test_other_methods_are_not_allowed(app: Flask) -> None:
    answer = app.test_client().get("/hl7v2", base_url=BASE)
    assert (answer.status_code, answer.json["resourceType"]) == (405, "OperationOutcome")


def test_the_scope_is_granted_only_where_it_is_written() -> None:
    scope = parse_scope(HL7V2_SCOPE)
    assert scope is not None
    (everything,) = parse_scopes("system/*.cruds")
    assert not everything.covers(scope)
    assert not everything.allows("hl7v2", "c")
    assert not scope.allows("Patient", "c")
    types = ("Patient",)
    assert negotiate(HL7V2_SCOPE, "system/*.cruds", {"system"}, types) == ""
    assert negotiate("system/*.cruds", HL7V2_SCOPE, {"system"}, types) == ""
    assert negotiate(HL7V2_SCOPE, f"system/*.rs {HL7V2_SCOPE}", {"system"}, types) == HL7V2_SCOPE
    assert negotiate(HL7V2_SCOPE, HL7V2_SCOPE, {"user"}, types) == ""
    assert parse_scope("user/hl7v2.c") is None
    assert parse_scope("system/hl7v2.r") is None


def test_what_the_listener_counts_is_among_the_metrics(app: Flask, settings: Settings) -> None:
    counts = Counts(connections=3, accepted=5, received_bytes=700, commits=2, seconds_sum=0.5)
    counts.messages.update(stored=4, duplicate=1)
    counts.refused.update(network=2)
    for seconds in (0.004, 0.02, 99.0):
        counts.answered(seconds)
    settings.home.mkdir(exist_ok=True)
    counts.write(settings.home)
    text = app.test_client().get("/metrics", base_url=BASE).text
    for line in (
        "baton_mllp_connections 3.0",
        "baton_mllp_accepted_total 5.0",
        'baton_hl7v2_received_total{outcome="stored"} 4.0',
        'baton_mllp_refused_total{reason="network"} 2.0',
        'baton_mllp_answer_seconds_bucket{le="0.005"} 1.0',
        'baton_mllp_answer_seconds_bucket{le="0.025"} 2.0',
        'baton_mllp_answer_seconds_bucket{le="+Inf"} 3.0',
        "baton_mllp_answer_seconds_count 3.0",
    ):
        assert line in text
    Counts.withdraw(settings.home)
    assert "baton_mllp" not in app.test_client().get("/metrics", base_url=BASE).text
