"""The order in which messages are done: first in, first out for each patient, whatever fails in between.

Covers server/hl7v2/work.py and server/storage/hl7v2_work.py.
"""

from __future__ import annotations

import threading
from collections import deque
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import FhirError
from server.hl7v2.refusal import Refused
from server.storage import hl7v2_work
from server.storage.hl7v2_messages import Hl7v2Messages
from server.storage.hl7v2_work import candidates_sql
from server.storage.versions import VersionConflict

pytestmark = pytest.mark.requirement("hl7v2-5.9")
LEASE = timedelta(minutes=1)


def claim(feed: Any, limit: int = 10) -> list[int]:
    """The numbers of the messages that can be claimed now."""
    return [message.id for message in feed.messages.claim(feed.clock(), lease=LEASE, limit=limit)]


def test_messages_of_one_patient_are_done_in_their_order(feed: Any, say: Any) -> None:
    for number in range(5):
        feed.send(say.mapped(say.patient(name=[{"text": str(number)}]), at=number))
    feed.run()
    assert feed.states() == ["applied"] * 5
    assert feed.one("Patient")["name"] == [{"text": "4"}]
    assert feed.one("Patient")["meta"]["versionId"] == "5"


def test_what_one_worker_holds_keeps_the_next_of_its_patient_from_others(feed: Any, say: Any) -> None:
    first, second, other = (feed.send(say.mapped(), patient=patient) for patient in ("1", "1", "2"))
    assert claim(feed, limit=1) == [first]
    assert claim(feed) == [other]
    assert claim(feed) == []
    assert feed.row(second)["state"] == "received"


def test_one_claim_takes_a_patients_messages_together(feed: Any, say: Any) -> None:
    sent = [feed.send(say.mapped()) for _ in range(3)]
    assert claim(feed) == sent


def test_a_merge_waits_for_both_patients_and_both_wait_for_it(feed: Any, say: Any) -> None:
    one = feed.send(say.mapped(), patient="1")
    two = feed.send(say.mapped(), patient="2")
    merge = feed.send(say.mapped(), patient="1", other="2")
    after = [feed.send(say.mapped(), patient=patient) for patient in ("1", "2")]
    three = feed.send(say.mapped(), patient="3")
    (held,) = feed.messages.claim(feed.clock(), lease=LEASE, limit=1)
    assert held.id == one
    assert claim(feed) == [two, three]
    feed.messages.applied(held, feed.clock(), version="v1", result=())
    assert claim(feed) == []
    assert {feed.row(id)["attempts"] for id in (merge, *after)} == {0}


def test_a_lease_that_ended_frees_the_message_and_the_former_holder_writes_nothing(
    feed: Any, say: Any, later: Any
) -> None:
    id = feed.send(say.mapped(say.patient()))
    late = feed.messages.claim(feed.clock(), lease=LEASE, limit=1)[0]
    later(minutes=2)
    feed.run()
    assert feed.row(id)["state"] == "applied"
    assert feed.work._do(feed.work._mapped(late)) is False
    assert feed.one("Patient")["meta"]["versionId"] == "1"


def test_a_dead_letter_frees_its_patient_and_the_next_ones_are_marked(feed: Any, say: Any) -> None:
    failed = feed.send(Refused("unreadable"))
    following = feed.send(say.mapped(say.patient()))
    other = feed.send(say.mapped(say.patient("2")), patient="2")
    feed.run()
    assert feed.states() == ["failed", "applied", "applied"]
    assert feed.row(failed)["error"] == "unreadable the message cannot be read"
    assert [feed.row(id)["after_error"] for id in (failed, following, other)] == [0, 1, 0]


def test_a_dead_letter_parks_its_patient_where_the_source_says_so(feed: Any, say: Any) -> None:
    feed.parked.add("adt")
    feed.send(Refused("unreadable"))
    feed.send(say.mapped(say.patient()))
    feed.send(say.mapped(say.patient("2")), patient="2")
    feed.run()
    assert feed.states() == ["parked", "received", "applied"]


def test_a_retry_keeps_its_place_at_the_head_of_its_own_patient(feed: Any, say: Any, later: Any) -> None:
    first = feed.send(VersionConflict())
    second = feed.send(say.mapped(say.patient(name=[{"text": "second"}]), at=2))
    other = feed.send(say.mapped(say.patient("2")), patient="2")
    feed.run()
    assert feed.states() == ["received", "received", "applied"]
    assert feed.row(second)["attempts"] == 0
    feed.maps[first] = say.mapped(say.patient(name=[{"text": "first"}]), at=1)
    later(minutes=1)
    feed.run()
    assert feed.states() == ["applied"] * 3
    assert feed.of("Patient", "1")["name"] == [{"text": "second"}]
    assert feed.row(other)["after_error"] == 0


def test_a_database_that_is_away_is_no_messages_fault(feed: Any, say: Any) -> None:
    ids = [feed.send(FhirError("unavailable", "away")), feed.send(say.mapped())]
    with pytest.raises(FhirError):
        feed.work.do_some()
    assert [feed.row(id)["attempts"] for id in ids] == [0, 0]
    assert claim(feed) == ids


def test_a_defect_is_tried_three_times_and_then_stands_aside(feed: Any, say: Any, later: Any) -> None:
    id = feed.send(ZeroDivisionError("of patient Doe"))
    for _ in range(3):
        feed.run()
        later(hours=2)
    row = feed.row(id)
    assert (row["state"], row["error"], row["attempts"]) == ("failed", "internal ZeroDivisionError", 3)
    assert feed.failures == [("hl7v2", "ZeroDivisionError")] * 3


def test_a_message_that_ends_every_worker_is_given_up(feed: Any, say: Any, later: Any) -> None:
    id = feed.send(say.mapped())
    for _ in range(5):
        assert claim(feed) == [id]
        later(minutes=2)
    feed.run()
    assert feed.row(id)["error"].startswith("given-up ")


def test_a_worker_that_is_asked_to_stop_gives_back_what_it_has_not_begun(feed: Any, say: Any) -> None:
    ids = [feed.send(say.mapped(say.patient(str(number))), patient=str(number)) for number in range(3)]
    asked = iter([False, True, True])
    assert feed.worker(together=1).do_some(lambda: next(asked)) == 1
    assert [feed.row(id)["state"] for id in ids] == ["applied", "received", "received"]
    assert feed.worker(together=2).do_some(lambda: True) == 0
    assert claim(feed) == ids[1:]
    assert feed.row(ids[1])["attempts"] == 1  # that of the last claim


def test_messages_that_share_a_commit_each_stand_by_themselves(feed: Any, say: Any) -> None:
    ids = [feed.send(say.mapped(say.patient(str(number))), patient=str(number)) for number in range(5)]
    feed.maps[ids[1]] = say.mapped(say.patient("1", birthDate="no date"))
    feed.maps[ids[3]] = VersionConflict()
    worker = feed.worker(together=5)
    assert worker.do_some() == 5
    assert feed.states() == ["applied", "failed", "applied", "received", "applied"]
    assert [one["identifier"][0]["value"] for one in feed.stored("Patient")] == ["0", "2", "4"]


def test_what_shares_a_commit_that_cannot_be_made_is_given_back_together(
    feed: Any, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [feed.send(say.mapped(say.patient(str(number))), patient=str(number)) for number in range(3)]
    put = feed.traces.put

    def away(message: int, version: str, text: bytes) -> None:
        if message == ids[1]:
            raise FhirError("storage-full", "away")
        put(message, version, text)

    monkeypatch.setattr(feed.traces, "put", away)
    with pytest.raises(FhirError):
        feed.worker(together=5).do_some()
    assert feed.stored("Patient") == []
    assert [(feed.row(id)["state"], feed.row(id)["attempts"]) for id in ids] == [("received", 0)] * 3
    monkeypatch.undo()
    feed.run()
    assert feed.states() == ["applied"] * 3


def test_a_message_waits_in_a_shared_commit_for_one_of_its_patient_that_is_tried_again(
    feed: Any, say: Any, later: Any
) -> None:
    first, second = (feed.send(say.mapped(say.patient(), at=number)) for number in (1, 2))
    feed.maps[first] = VersionConflict()
    feed.worker(together=5).do_some()
    assert feed.states() == ["received", "received"]
    assert feed.row(second)["attempts"] == 0


def test_large_messages_and_merges_share_no_commit(feed: Any, say: Any) -> None:
    feed.send(say.mapped(say.patient("1")), patient="1", raw=b"MSH|^~\\&|" + b"x" * 32_000)
    feed.send(say.mapped(say.patient("2")), patient="2", raw=b"MSH|^~\\&|" + b"x" * 32_000)
    feed.send(say.mapped(say.patient("3")), patient="3")
    feed.send(say.merge("4", "5"), patient="4", other="5")
    worker = feed.worker(together=5)
    taken = deque(worker._mapped(one) for one in feed.messages.claim(feed.clock(), lease=LEASE, limit=5))
    sizes = []
    while taken:
        sizes.append(len(worker._group(taken)))
    assert sizes == [1, 2, 1]


def test_several_workers_do_each_message_once_and_each_patients_in_order(
    feed: Any, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        patient = str(number % 6)
        feed.send(
            say.mapped(
                say.patient(patient, name=[{"text": str(number)}]),
                say.but(
                    say.patient("shared"),
                    resource={
                        "resourceType": "Location",
                        "identifier": [{"system": "urn:id:HOSP", "value": "shared"}],
                        "name": "one place for all",
                    },
                    key="place",
                    write="create",
                ),
                at=number,
            ),
            patient=patient,
        )

    def run() -> None:
        idle = 0
        while idle < 20:
            idle = 0 if feed.work.do_some(limit=4) else idle + 1

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock_moves = 0
    while "received" in feed.states() or "mapped" in feed.states():
        feed.clock.advance(minutes=1)
        feed.run()
        clock_moves += 1
        assert clock_moves < 10
    assert set(feed.states()) == {"applied"}
    assert len(feed.stored("Location")) == 1
    for number in range(6):
        patient = feed.of("Patient", str(number))
        assert patient["meta"]["versionId"] == "10"
        assert patient["name"] == [{"text": str(54 + number)}]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.none() | st.integers(0, 3), st.booleans()), min_size=1, max_size=12
    ),
    st.integers(1, 4),
    st.integers(0, 6),
)
def test_whatever_is_held_what_is_claimed_comes_before_all_else_of_its_keys(
    rows: list[tuple[int, int | None, bool]], limit: int, floor: int
) -> None:
    from server.storage.hl7v2_work import _choose

    class Rows:
        def __init__(self, found: list[Any]) -> None:
            self._found = found

        def fetchall(self) -> list[Any]:
            return self._found

    class Connection:
        """Answers the query of candidates from a list: (order key, second key, whether somebody holds it)."""

        class dialect:
            @staticmethod
            def before(*_: Any) -> str:
                return "x"

            @staticmethod
            def unindexed(column: str) -> str:
                return column

        def execute(self, sql: str, values: Any) -> Rows:
            if values["state"] != "received":
                return Rows([])
            found = []
            for id, (first, second, held) in enumerate(rows, start=1):
                keys = {first, second} - {None}
                blocked = any(
                    (other_held or other <= values["floor"]) and keys & ({one, two} - {None})
                    for other, (one, two, other_held) in enumerate(rows[: id - 1], start=1)
                )
                if not held and id > values["after"]:
                    found.append((id, first, second, blocked))
            return Rows(found[: int(sql.rpartition(" ")[2])])

    chosen = _choose(Connection(), 0, limit, floor, {}).chosen  # type: ignore[arg-type]
    assert all(id > floor for id in chosen)
    assert len(chosen) <= limit
    for id in chosen:
        keys = {rows[id - 1][0], rows[id - 1][1]} - {None}
        for earlier in range(1, id):
            if keys & ({rows[earlier - 1][0], rows[earlier - 1][1]} - {None}):
                assert earlier in chosen


@pytest.mark.parametrize("page", [1, 500])
def test_looking_for_work_never_walks_the_log(feed: Any, say: Any, page: int) -> None:
    for number in range(30):
        feed.send(say.mapped(), patient=str(number))
    feed.run()
    dialect = feed.store.database.dialect
    values = {"state": "received", "after": 0, "last": 2**63 - 1, "now": 0, "floor": 0}
    with feed.store.database.reading() as connection:
        plan = dialect.steps(
            connection.execute(dialect.explain(candidates_sql(dialect, page)), values).fetchall()
        )
    told = "\n".join(plan)
    assert "hl7v2_message_state" in told
    assert "hl7v2_message_order" in told
    assert "hl7v2_message_second" in told
    assert "TEMP B-TREE" not in told
    assert "Sort" not in told
    assert "Seq Scan" not in told


def test_a_long_queue_behind_a_parked_message_holds_up_nobody_else(
    feed: Any, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.storage.hl7v2_work._MANY", 5)
    head = feed.send(say.mapped())
    people = Hl7v2Messages(feed.store.database)
    people.park([head], feed.clock())
    behind = [feed.send(say.mapped()) for _ in range(10)]
    others = [feed.send(say.mapped(), patient=str(number)) for number in range(2, 6)]
    assert claim(feed, limit=2) == others[:2]
    looked: list[int] = []
    original = hl7v2_work._candidates

    def counted(*arguments: Any) -> Any:
        for row in original(*arguments):
            looked.append(row[0])
            yield row

    monkeypatch.setattr(hl7v2_work, "_candidates", counted)
    assert claim(feed, limit=2) == others[2:]
    assert set(looked).isdisjoint(behind)
    people.release([head], feed.clock())
    late = feed.send(say.mapped())
    assert (
        claim(feed) == []
    )  # the last one is behind those that are passed over, and they are looked at again later
    monkeypatch.setattr(feed.messages, "_floor_until", 0.0)
    assert claim(feed, limit=20) == [head, *behind, late]
