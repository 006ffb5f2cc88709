"""Which deliveries of a consumer may be claimed next: the order within charts and resources.

A delivery is free when it is new, when its retry is due or when its lease has ended; and it goes only together
with, or after, every earlier one of its chart and of its resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.storage.database import Connection
from server.storage.dialect import Dialect

# A delivery that failed, or whose carrier died, this often travels alone: what it does harms no other any more.
ALONE_AFTER = 2

_PAGE = 2_000  # rows looked at together after the first ones, which are as many as are asked for


@dataclass(frozen=True, slots=True)
class Candidates:
    """A kind of deliveries that may be free. which: those; held: the earlier ones that block one of them."""

    which: str
    held: str

    def sql(self, dialect: Dialect, page: int) -> str:
        """A consumer's first after an event: event, rid, patient, attempts, owner, whether it is blocked."""
        by_chart, by_resource = (
            dialect.before(
                "delivery", "e", {column: f"d.{column}", "consumer": ":consumer"}, "event", "d.event", self.held
            )
            for column in ("patient", "rid")
        )
        return (
            "SELECT d.event, d.rid, d.patient, d.attempts, d.owner,"
            f" {by_chart} OR {by_resource}"
            f" FROM delivery d WHERE d.consumer = :consumer AND {self.which} AND d.event > :after"
            f" ORDER BY d.event LIMIT {page}"
        )


# Due again: a retry whose time has come, a lease that ended. Blocked by an earlier one of the chart or resource
# that is not due. A new one is blocked by every earlier one that was ever claimed: those go first.
DUE = Candidates("d.state = 'held' AND d.available <= :now", "e.state = 'held' AND e.available > :now")
NEW = Candidates("d.state = 'new'", "e.state = 'held'")


def claimable(connection: Connection, consumer: str, now: int, limit: int) -> dict[int, str]:
    """Event number -> its former owner ('' where there is none) of up to limit deliveries, in order.

    now: milliseconds. What is due goes before what is new, never both at once.
    """
    values = {"consumer": consumer, "now": now}
    return _choose(connection, DUE, values, limit) or _choose(connection, NEW, values, limit)


def _choose(
    connection: Connection, candidates: Candidates, values: Mapping[str, Any], limit: int
) -> dict[int, str]:
    """The first candidates that may go.

    What must wait makes its chart and its resource wait, and through a resource that moved from one chart to
    another also the other chart; hence row after row here rather than in SQL.
    """
    chosen: dict[int, str] = {}
    charts: set[int] = set()
    resources: set[int] = set()
    after, page = 0, min(limit, _PAGE)
    while len(chosen) < limit:
        query = candidates.sql(connection.dialect, page)
        rows = connection.execute(query, {**values, "after": after}).fetchall()
        for event, rid, patient, attempts, owner, blocked in rows:
            alone = attempts >= ALONE_AFTER
            if not (blocked or patient in charts or rid in resources or (alone and chosen)):
                chosen[event] = owner
                if alone or len(chosen) == limit:
                    return chosen
                continue
            resources.add(rid)
            if patient is not None:
                charts.add(patient)
        if len(rows) < page:
            break
        after, page = rows[-1][0], _PAGE
    return chosen
