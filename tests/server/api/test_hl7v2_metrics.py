"""The gauges of HL7 v2 feeds: rate, lag, the oldest that waits, errors, and how long a source is silent.

Covers server/api/hl7v2_metrics.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from server.api.hl7v2_metrics import hl7v2_metrics
from server.errors import FhirError
from server.fhir.dates import microseconds
from server.storage.hl7v2_log import NewMessage
from server.storage.hl7v2_sources import SourceRow


def gauges(store: Any, now: float) -> dict[str, float]:
    lines = hl7v2_metrics(store, now).decode().splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


def test_feeds_are_told_of_by_source_and_never_by_what_they_sent(store: Any, clock: Any) -> None:
    at = microseconds(clock())
    store.hl7v2_sources.put(SourceRow("adt", "ADT", "HOSP", "new", "{}", at))
    for number, state in enumerate(("received", "received", "failed")):
        new = NewMessage(
            "adt", "mllp", "SECRET", bytes([number]) * 32, at, b"MSH|Doe", mrn="SECRET", order_key=number,
            state=state, ack_code="AA",
        )  # fmt: skip
        store.hl7v2_log.keep([new], since=0)
    (first,) = store.hl7v2_work.claim(clock(), lease=timedelta(minutes=1), limit=1)
    clock.advance(seconds=4)
    store.hl7v2_work.applied(first, clock(), version="v", result=())
    clock.advance(seconds=6)
    found = gauges(store, clock().timestamp())
    assert found['baton_hl7v2_messages{source="adt",state="waiting"}'] == 1
    assert found['baton_hl7v2_messages{source="adt",state="failed"}'] == 1
    assert found['baton_hl7v2_oldest_timestamp_seconds{source="adt"}'] == pytest.approx(at / 1e6)
    assert found['baton_hl7v2_messages_per_second{source="adt"}'] == pytest.approx(0.3)
    assert found['baton_hl7v2_error_share{source="adt"}'] == pytest.approx(1 / 3)
    assert found['baton_hl7v2_lag_seconds{source="adt"}'] == pytest.approx(4)
    assert found[
        'baton_hl7v2_source_last_message_timestamp_seconds{source="adt",state="new"}'
    ] == pytest.approx(at / 1e6)
    assert found["baton_hl7v2_received_total"] >= 3
    told = hl7v2_metrics(store, clock().timestamp())
    assert b"SECRET" not in told
    assert b"Doe" not in told


def test_nothing_is_told_while_the_database_is_away(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise FhirError("unavailable", "away")

    monkeypatch.setattr(store.hl7v2_messages, "states", away)
    assert hl7v2_metrics(store, 0.0) == b""
