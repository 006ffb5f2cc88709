"""The order of merges of several pairs: they wait for all their patients, and all of these wait for them.

Covers the keys of server/hl7v2/arrival.py and server/storage/hl7v2_several.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.hl7v2.arrival import every_key
from server.storage.hl7v2_several import OPEN_SQL, SEVERAL
from server.storage.hl7v2_work import Claimed

pytestmark = pytest.mark.requirement("MLLP9")


class Line:
    """Messages on their way. Numbers of patients are strings."""

    def __init__(self, desk: Any, wire: Any) -> None:
        self.desk, self.wire, self.sent = desk, wire, 0

    def put(self, *patients: str) -> int:
        """A message; its number. Of several patients it is a merge of pairs: who goes on, who ends, ..."""
        self.sent += 1
        first, *others = patients
        lines = [
            f"MRG|{number}^^^NORTH^MR\r" if place % 2 == 0 else f"PID|1||{number}^^^NORTH^MR\r"
            for place, number in enumerate(others)
        ]
        trigger = "A40" if others else "A08"
        raw = self.wire.admit(f"m{self.sent}", first, trigger=trigger, more="".join(lines))
        (receipt,) = self.desk.take(raw)
        assert receipt.ids, self.desk.log.read_text()
        (id,) = receipt.ids
        return int(id)

    def claim(self, limit: int = 100) -> tuple[Claimed, ...]:
        found: tuple[Claimed, ...] = self.desk.store.hl7v2_work.claim(
            self.desk.now, lease=timedelta(minutes=1), limit=limit, keys_of=every_key
        )
        return found

    def end(self, one: Claimed) -> None:
        self.desk.store.hl7v2_work.applied(one, self.desk.now, version="v", result=[])

    def claimed(self, limit: int = 100) -> list[int]:
        return [one.id for one in self.claim(limit)]


@pytest.fixture
def line(desk: Any, hl7v2_wire: Any) -> Line:
    return Line(desk, hl7v2_wire)


def test_a_merge_of_several_pairs_has_the_keys_of_all(line: Line) -> None:
    for number in "1234":
        line.put(number)
    line.put("1", "2", "3", "4")
    *single, (_, second) = line.desk.rows("order_key, second_key")
    assert second == SEVERAL
    merge = line.claim()[-1]
    assert merge.keys == {row[0] for row in single} | {SEVERAL}


@pytest.mark.parametrize("number", ["1", "2", "3", "4"])
def test_it_waits_for_every_one_of_its_patients(line: Line, number: str) -> None:
    line.put(number)
    (held,) = line.claim()
    merge = line.put("1", "2", "3", "4")
    assert line.claimed() == []
    line.end(held)
    assert line.claimed() == [merge]


def test_every_one_of_its_patients_waits_for_it(line: Line) -> None:
    merge = line.put("1", "2", "3", "4")
    assert line.claimed(limit=1) == [merge]
    after = [line.put(number) for number in "1234"]
    other = line.put("5")
    assert line.claimed() == [other]
    line.desk.now += timedelta(minutes=2)
    assert line.claimed() == [merge, *after, other]


def test_what_is_given_up_and_parked_holds_all_of_its_patients(line: Line) -> None:
    line.put("1", "2", "3", "4")
    (merge,) = line.claim()
    line.desk.store.hl7v2_work.gave_up(merge, "parked", "x y", line.desk.now)
    for number in "1234":
        line.put(number)
    other = line.put("5")
    assert line.claimed() == [other]


def test_looking_for_merges_of_several_pairs_never_walks_the_log(line: Line) -> None:
    database = line.desk.store.database
    with database.reading() as connection:
        asked = connection.execute(database.dialect.explain(OPEN_SQL), {"several": SEVERAL}).fetchall()
    told = "\n".join(database.dialect.steps(asked))
    assert "hl7v2_message_second" in told
    assert "TEMP B-TREE" not in told


def test_a_number_without_authority_has_the_key_of_the_survivors(line: Line, hl7v2_wire: Any) -> None:
    line.put("1", "2", "3", "4")
    with_authority = line.claim()[0].keys
    raw = hl7v2_wire.admit("x", "1", trigger="A40", more="MRG|2\rPID|1||3^^^NORTH^MR\rMRG|4\r")
    (source,) = {row[0] for row in line.desk.rows("source")}
    assert with_authority - {SEVERAL} <= every_key(source, raw)


def test_what_cannot_be_read_has_no_keys() -> None:
    assert every_key("north", b"no message") == frozenset()


PATIENTS = st.lists(st.sampled_from("123456"), min_size=1, max_size=6, unique=True).map(
    lambda found: found if len(found) == 1 else found[: len(found) // 2 * 2]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.lists(st.tuples(PATIENTS, st.integers(1, 4), st.booleans()), min_size=1, max_size=12))
def test_nothing_overtakes_an_earlier_message_of_one_of_its_patients(
    line: Line, steps: list[tuple[list[str], int, bool]]
) -> None:
    waiting: dict[int, set[str]] = {}
    held: list[Claimed] = []
    for patients, limit, ends in [*steps, *[([], 100, True)] * 20]:
        if patients:
            waiting[line.put(*patients)] = set(patients)
        now = line.claim(limit)
        for one in now:
            earlier = [id for id in waiting if id < one.id and id not in {other.id for other in now}]
            assert all(waiting[id].isdisjoint(waiting[one.id]) for id in earlier)
        held += now
        if ends:
            for one in held:
                line.end(one)
                del waiting[one.id]
            held = []
    assert waiting == {}
