"""What a search can be driven from: candidate lists, how long they are, and the shortest of them.

A list is counted by the database itself and never beyond a cap, whatever it believes to know of its tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from server.fhir.search_query import Chained, Clause, Condition, EntriesValue, Has, InCompartment
from server.storage.database import Connection
from server.storage.dialect import Parameters
from server.storage.search_sql import SearchSql

# A list this short is driven from without looking for a shorter one. One statement counts all of them so far:
# what it costs is the same for a small database, where most lists are short, and a large one.
_SHORT = 100
# A list of more hashes than this is counted after others that may be short.
_WIDE = 100


@dataclass(frozen=True, slots=True)
class Driver:
    """A SELECT of candidate rids, "" for none, and what it already answers exactly.

    of: what it is a list of: a condition, or VISIBLE for what the caller may see. exact: all of the type in the
    list fulfil it. through: the lists that it follows references from, the first one first.
    """

    rids: str = ""
    of: Condition | str | None = None
    exact: bool = False
    through: tuple[str, ...] = ()

    @property
    def answers(self) -> Condition | str | None:
        """What need not be asked any more of the resources in the list."""
        return self.of if self.exact else None

    def counted(self, cap: int) -> str:
        """An expression: how long the list is, or one that it follows; cap + 1 for longer than cap.

        A list is not asked for before those it follows are known to be short enough: it may be empty after
        following a million rows.
        """
        *through, length = (
            f"(SELECT count(*) FROM (SELECT 1 FROM ({rids}) every LIMIT {cap + 1}) c)"
            for rids in (*self.through, self.rids)
        )
        if not through:
            return length
        stops = "".join(f" WHEN {before} > {cap} THEN {cap + 1}" for before in through)
        return f"CASE{stops} ELSE {length} END"


VISIBLE = "visible"
NO_DRIVER = Driver()


class Drivers:
    """The candidate lists of one search of one type.

    counts: (list, its length, the cap up to which it was counted), in the order in which they were.
    """

    def __init__(
        self,
        connection: Connection,
        parameters: Parameters,
        sql: SearchSql,
        resource_type: str,
        conditions: Sequence[Condition],
    ) -> None:
        self._connection = connection
        self._parameters = parameters
        self._sql = sql
        self._type = resource_type
        self._conditions = conditions
        self._drivers: list[Driver] | None = None
        self.counts: list[tuple[Driver, int, int]] = []

    def shortest(self, cap: int) -> Driver:
        """The shortest of the candidate lists, none where all are longer than cap."""
        if self._drivers is None:
            self._drivers = list(self._possible())
            best = self._at_a_glance(min(_SHORT, cap))
            if best is not NO_DRIVER:
                return best
        best, shortest = NO_DRIVER, cap + 1
        for driver in self._drivers:
            (size,) = self._count([driver], shortest - 1)
            if size < shortest:
                best, shortest = driver, size
            if size <= _SHORT:
                break
        return best

    def _at_a_glance(self, cap: int) -> Driver:
        """The shortest of the lists that follow nothing, all counted by one statement."""
        drivers = [driver for driver in self._drivers or () if not driver.through and not _is_wide(driver.of)]
        if len(drivers) < 2:
            return NO_DRIVER
        size, driver = min(zip(self._count(drivers, cap), drivers, strict=True), key=lambda pair: pair[0])
        return driver if size <= cap else NO_DRIVER

    def _possible(self) -> Iterator[Driver]:
        for condition in sorted(self._conditions, key=_rank):
            *through, rids = self._sql.candidates(condition, self._type) or ("",)
            if rids:
                yield Driver(rids, condition, isinstance(condition, Clause | InCompartment), tuple(through))
        rids, exact = self._sql.visible_candidates(self._type)
        if rids:
            yield Driver(rids, VISIBLE, exact)

    def _count(self, drivers: Sequence[Driver], cap: int) -> list[int]:
        row: Any = self._connection.execute(
            f"SELECT {', '.join(driver.counted(cap) for driver in drivers)}", self._parameters.values
        ).fetchone()
        sizes = [int(value) for value in row]
        self.counts.extend((driver, size, cap) for driver, size in zip(drivers, sizes, strict=True))
        return sizes


# Which lists are probably short: asked first, so that the others need not be counted far.
_RANKS = {
    "reference": 1,
    "token": 2,
    "uri": 2,
    "string": 3,
    "composite": 3,
    "quantity": 4,
    "number": 4,
    "date": 5,
}


def _is_wide(asked: Condition | str | None) -> bool:
    """To count the list takes many look-ups, most of which may find nothing."""
    return isinstance(asked, Clause) and any(
        isinstance(value, EntriesValue) and len(value.entries) > _WIDE for value in asked.values
    )


def _rank(condition: Condition) -> int:
    if _is_wide(condition):
        return 5
    if isinstance(condition, Clause):
        if condition.parameter.code in ("_id", "identifier"):
            return 0
        return _RANKS.get(condition.parameter.type, 9)
    if isinstance(condition, InCompartment):
        return 1
    if isinstance(condition, Chained):
        return 6 + max((_rank(inner) for _, inner in condition.targets), default=0)
    assert isinstance(condition, Has)
    return 6 + _rank(condition.condition)
