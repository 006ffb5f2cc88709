"""Searching sealed audit rows: the rows that a look at each of them finds, in pages, and counts of them.

Covers server/storage/audit_search.py, and the sealer among real processes and transactions.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.audit_verification import verify
from server.errors import FhirError
from server.storage import audit_chain
from server.storage.answers import Total
from server.storage.audit_chain import ChainEnd, SignedHead
from server.storage.audit_values import AuditQuery, AuditRow

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ROW = AuditRow(NOW, "Practitioner/p", "app", "read", "Patient", "a", 1, "a", 200, "request-1")


def sign(end: ChainEnd) -> SignedHead:
    return SignedHead(end.sequence, NOW, "not looked at here", "{}")


def made(count: int) -> list[AuditRow]:
    chance = random.Random(7)
    return [
        AuditRow(
            recorded=NOW + timedelta(minutes=chance.randrange(3_000)),
            principal=chance.choice(["Practitioner/p", "Practitioner/q", ""]),
            client_id=chance.choice(["app", "console"]),
            interaction=chance.choice(["read", "search-type", "login"]),
            resource_type=chance.choice(["Patient", "Observation", ""]),
            id=chance.choice(["a", "b", ""]),
            version_id=1,
            patient=chance.choice(["", "a", "b", "a b", "ab"]),
            outcome=chance.choice([200, 201, 403, 404, 507]),
            request_id=f"request-{chance.randrange(40)}",
            username=chance.choice(["", "rn"]),
            organization=chance.choice(["", "Organization/q"]),
        )
        for _ in range(count)
    ]


@pytest.fixture
def trail(store: Any) -> Any:
    with store.writing() as writer:
        for row in made(300):
            writer.audit(row)
    store.seal_audit(sign, NOW)
    return store


_FIELDS = (
    "principal",
    "client_id",
    "interaction",
    "resource_type",
    "id",
    "username",
    "request_id",
    "organization",
)


def fits(row: AuditRow, query: AuditQuery) -> bool:
    refused = {"refused": row.outcome >= 400, "done": row.outcome < 400, "": True}
    return (
        (query.since is None or row.recorded >= query.since)
        and (query.until is None or row.recorded < query.until)
        and query.patient in ("", *row.patient.split())
        and all(getattr(query, name) in ("", getattr(row, name)) for name in _FIELDS)
        and refused.get(query.outcome, str(row.outcome) == query.outcome)
    )


_MOMENTS = st.none() | st.integers(-10, 3_010).map(lambda minutes: NOW + timedelta(minutes=minutes))
_QUERIES = st.builds(
    AuditQuery,
    since=_MOMENTS,
    until=_MOMENTS,
    patient=st.sampled_from(["", "", "a", "b", "ab", "nobody"]),
    principal=st.sampled_from(["", "", "Practitioner/p", "Practitioner/nobody"]),
    client_id=st.sampled_from(["", "", "app"]),
    interaction=st.sampled_from(["", "", "read", "login"]),
    outcome=st.sampled_from(["", "", "done", "refused", "404", "999"]),
    resource_type=st.sampled_from(["", "", "Patient"]),
    id=st.sampled_from(["", "", "b"]),
    request_id=st.sampled_from(["", "", "", "request-7"]),
    username=st.sampled_from(["", "", "rn"]),
    organization=st.sampled_from(["", "", "Organization/q"]),
    ascending=st.booleans(),
    count=st.sampled_from([1, 7, 500]),
)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=_QUERIES)
def test_pages_hold_every_row_that_fits_once_and_in_order(trail: Any, query: AuditQuery) -> None:
    found: list[tuple[int, AuditRow]] = []
    asked: AuditQuery | None = query
    while asked is not None:
        page = trail.search_audit(asked)
        assert len(page.rows) <= query.count
        found += page.rows
        asked = replace(query, after=page.next_after) if page.next_after else None
    expected = [row for row in enumerate(made(300), 1) if fits(row[1], query)]
    by_moment = sorted(expected, key=lambda entry: (entry[1].recorded, entry[0]), reverse=not query.ascending)
    assert found == by_moment
    assert trail.audit_total(query, None) == Total(len(expected), True)
    for cap in (0, 1, 300):
        capped = trail.audit_total(query, cap)
        assert (capped.value, capped.exact) == (min(len(expected), cap), len(expected) <= cap)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=_QUERIES, hours=st.sampled_from([1, 6, 24, 168]))
def test_counts_are_those_of_the_rows_that_fit(trail: Any, query: AuditQuery, hours: int) -> None:
    width = timedelta(hours=hours)
    rows = [row for row in made(300) if fits(row, query)]
    every = Counter((row.recorded - datetime(1970, 1, 1, tzinfo=UTC)) // width for row in rows)
    refused = Counter(
        (row.recorded - datetime(1970, 1, 1, tzinfo=UTC)) // width for row in rows if row.outcome >= 400
    )
    told = trail.count_audit(query, width)
    assert [(count.start, count.rows, count.refused) for count in told] == [
        (datetime(1970, 1, 1, tzinfo=UTC) + width * span, number, refused[span])
        for span, number in sorted(every.items())
    ]


@pytest.mark.parametrize("wrong", [{"outcome": "good"}, {"principal": "a\0"}, {"patient": "\0"}])
def test_what_no_row_can_be_is_refused(store: Any, wrong: dict[str, str]) -> None:
    with pytest.raises(FhirError) as refused:
        store.search_audit(AuditQuery(**wrong))
    assert refused.value.kind == "invalid-search"


@pytest.mark.postgresql("SQLite has one writer at a time")
def test_a_row_whose_transaction_ends_late_is_sealed_late(store: Any, tmp_path: Path) -> None:
    """It has the lower number, and is committed when higher ones are sealed already."""
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with store.writing() as writer:
            writer.audit(replace(ROW, request_id="slow"))
            begun.set()
            go_on.wait(10)

    thread = threading.Thread(target=slow)
    thread.start()
    begun.wait(10)
    with store.writing() as writer:
        writer.audit(replace(ROW, request_id="quick"))
    assert store.seal_audit(sign, NOW) == 1
    go_on.set()
    thread.join()
    assert store.seal_audit(sign, NOW) == 1
    sealed = [row.request_id for _, row in store.search_audit(AuditQuery()).rows]
    assert sealed == ["slow", "quick"]


@pytest.fixture
def in_child() -> Callable[[Callable[[], None]], int]:
    """Runs a function in a process of its own; its pid."""

    def run(work: Callable[[], None]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                work()
            finally:
                os._exit(0)
        return pid

    return run


def test_a_sealer_killed_at_any_moment_leaves_a_chain_to_go_on_with(
    store: Any, tmp_path: Path, in_child: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_chain, "BATCH_ROWS", 3)
    chance = random.Random(11)
    written = 0
    for _ in range(6):
        with store.writing() as writer:
            for _ in range(60):
                writer.audit(replace(ROW, request_id=f"request-{written}"))
                written += 1
        sealers = [in_child(lambda: store.seal_audit(sign, NOW)) for _ in range(2)]
        time.sleep(chance.uniform(0.005, 0.08))
        for pid in sealers:
            os.kill(pid, signal.SIGKILL)
        for pid in sealers:
            os.waitpid(pid, 0)
    store.seal_audit(sign, NOW)
    report = verify(store.database, tmp_path, ())
    assert (report.rows, report.unsealed.rows) == (written, 0)
    assert all("head" in finding.text for finding in report.findings)  # these are not signed
    seen = [row.request_id for row in store.audit_rows(limit=1_000)]
    assert sorted(seen) == sorted(f"request-{number}" for number in range(written))
