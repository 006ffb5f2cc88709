"""Messages as they are received and read by the shipped maps, done by the lane of a worker.

Covers server/workers/hl7v2.py, server/hl7v2/mapping.py and current_maps.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from server.errors import FhirError
from server.fhir.dates import microseconds
from server.hl7v2.current_maps import CurrentMaps
from server.policy.hl7v2_retention import retention_days
from server.storage.hl7v2_log import NewMessage
from server.storage.hl7v2_sources import SourceRow
from server.workers.hl7v2 import Hl7v2Lane
from server.workers.timing import Timing
from server.workers.worker import Worker


def admitted(id: int, mrn: int) -> bytes:
    """An ADT^A01 of a synthetic patient."""
    visit = {1: "1", 2: "I", 3: "WARD^101^A^HOSP", 19: f"V{id}^^^HOSP^VN", 44: "20260301080000-0500"}
    return "\r".join(
        (
            f"MSH|^~\\&|ADT|HOSP|BATON|SITE|20260301080000-0500||ADT^A01^ADT_A01|{id}|P|2.5.1",
            "EVN|A01|20260301080000-0500",
            f"PID|1||{mrn}^^^HOSP^MR||Synthetic^Ana||19700102|F",
            "PV1|" + "|".join(visit.get(number, "") for number in range(1, 45)),
            "",
        )
    ).encode()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> CurrentMaps:
    """The shipped maps, read once."""

    def failed(name: str, error: Exception) -> None:
        raise AssertionError(name) from error

    return CurrentMaps(tmp_path_factory.mktemp("maps"), failed)


@pytest.fixture
def failures() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def lane(feed: Any, shared: CurrentMaps, failures: list[tuple[str, str]]) -> Hl7v2Lane:
    def failed(name: str, error: Exception) -> None:
        failures.append((name, type(error).__name__))

    return Hl7v2Lane(feed.context, feed.store, shared, feed.clock, failed)


@pytest.fixture
def keep(feed: Any) -> Callable[..., int]:
    """`keep(raw)`: a message is received; its number."""
    sent: list[bytes] = []

    def store(raw: bytes, source: str = "adt") -> int:
        sent.append(raw)
        at = microseconds(feed.clock())
        new = NewMessage(
            source, "mllp", str(len(sent)), len(sent).to_bytes(32, "big"), at, raw, "ADT", "A01",
            order_key=len(sent), ack_code="AA",
        )  # fmt: skip
        (kept,) = feed.log.keep([new], since=0, new_sources=[SourceRow(source, "ADT", "HOSP", "new", "{}", at)])
        return int(kept.id)

    return store


def run(lane: Hl7v2Lane) -> None:
    """The lane, until it has nothing to do."""
    while sum(loop(lambda: False) for loop in lane.loops.values()):
        pass


def test_an_admission_becomes_a_patient_a_visit_and_its_places(
    feed: Any, lane: Hl7v2Lane, keep: Callable[..., int], failures: list[tuple[str, str]]
) -> None:
    id = keep(admitted(1, 77))
    run(lane)
    row = feed.row(id)
    assert (row["state"], row["error"], failures) == ("applied", "", [])
    patient, encounter = feed.one("Patient"), feed.one("Encounter")
    assert patient["name"][0]["family"] == "Synthetic"
    assert encounter["status"] == "in-progress"
    assert encounter["subject"]["reference"] == f"Patient/{patient['id']}"
    place = encounter["location"][0]["location"]["reference"].partition("/")[2]
    assert feed.read("Location", place)["name"] == "A"
    assert feed.one("Provenance")["entity"][0]["what"]["identifier"]["value"] == str(id)


@pytest.mark.parametrize(
    "raw", [b"", b"no message", b"MSH|^~\\&|ADT|HOSP\r", b"MSH|^~\\&|||||||ZZZ^Z99|1|P|2.5\r"]
)
def test_what_cannot_be_mapped_is_given_up_with_a_reason(
    feed: Any, lane: Hl7v2Lane, keep: Callable[..., int], raw: bytes, failures: list[tuple[str, str]]
) -> None:
    id = keep(raw)
    run(lane)
    assert feed.row(id)["state"] == "failed"
    assert feed.row(id)["error"].partition(" ")[0] in ("unreadable", "no-map")
    assert failures == []


def test_a_source_decides_whether_its_dead_letters_hold_their_patients(
    feed: Any, lane: Hl7v2Lane, keep: Callable[..., int]
) -> None:
    at = microseconds(feed.clock())
    feed.store.hl7v2_sources.put(SourceRow("careful", "A", "B", "confirmed", '{"on_error": "park"}', at))
    id = keep(b"no message", source="careful")
    run(lane)
    assert feed.row(id)["state"] == "parked"


def test_settings_that_cannot_be_used_make_messages_wait(
    feed: Any, lane: Hl7v2Lane, keep: Callable[..., int]
) -> None:
    at = microseconds(feed.clock())
    feed.store.hl7v2_sources.put(SourceRow("broken", "A", "B", "confirmed", '{"on_error": 7}', at))
    id = keep(admitted(1, 77), source="broken")
    run(lane)
    assert feed.row(id)["state"] == "received"
    assert feed.row(id)["error"].startswith("not-ready ")


def test_maps_that_cannot_be_used_make_messages_wait_until_they_can(
    feed: Any, keep: Callable[..., int], tmp_path: Path, failures: list[tuple[str, str]]
) -> None:
    def failed(name: str, error: Exception) -> None:
        failures.append((name, type(error).__name__))

    lane = Hl7v2Lane(feed.context, feed.store, CurrentMaps(tmp_path / "maps", failed), feed.clock, failed)
    overlay = tmp_path / "maps" / "site"
    overlay.mkdir(parents=True)
    (overlay / "wrong.yaml").write_text("map: [")
    id = keep(admitted(1, 77))
    with pytest.raises(FhirError):
        run(lane)
    assert failures == [("hl7v2-maps", "MappingErrors")]
    assert (feed.row(id)["state"], feed.row(id)["attempts"]) == ("received", 0)
    (overlay / "wrong.yaml").unlink()
    run(lane)
    assert feed.row(id)["state"] == "applied"


@pytest.mark.requirement("hl7v2-retention")
def test_what_was_kept_long_enough_is_deleted(feed: Any, lane: Hl7v2Lane, keep: Callable[..., int]) -> None:
    id = keep(admitted(1, 77))
    run(lane)
    feed.clock.advance(days=retention_days()["applied"] - 1)
    lane.task.run()
    assert feed.store.hl7v2_messages.get(id) is not None
    feed.clock.now += timedelta(days=2)
    lane.task.run()
    assert feed.store.hl7v2_messages.get(id) is None
    assert feed.one("Patient")["name"][0]["family"] == "Synthetic"


def test_a_worker_does_messages_beside_its_other_work(
    feed: Any, lane: Hl7v2Lane, keep: Callable[..., int], failures: list[tuple[str, str]]
) -> None:
    timing = Timing(idle=timedelta(milliseconds=10), heartbeat=timedelta(milliseconds=50))
    worker = Worker(
        feed.store, (), {}, "", feed.clock, lambda name, error: None, loops=lane.loops, timing=timing
    )
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        ids = [keep(admitted(number, number)) for number in range(1, 6)]
        deadline = time.monotonic() + 30
        while any(feed.row(id)["state"] == "received" for id in ids):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()
    assert {feed.row(id)["state"] for id in ids} == {"applied"}
    assert failures == []
    assert len(feed.stored("Patient")) == 5
