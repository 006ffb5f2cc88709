"""Which deliveries of a consumer may be claimed next: the order within charts and resources.

A delivery is free when it is new, when its retry is due or when its lease has ended; and it goes only together
with, or after, every earlier one of its chart and of its resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.storage.database import Connection

# A delivery that failed, or whose carrier died, this often travels alone: what it does harms no other any more.
ALONE_AFTER = 2

_PAGE = 2_000  # rows looked at together when a batch is put together

# Due again: a retry whose time has come, a lease that ended. Blocked by an earlier one of the chart or resource
# that is not due. A new one is blocked by every earlier one that was ever claimed: those go first.
_CANDIDATES = """
SELECT d.event, d.rid, d.patient, d.attempts, d.owner,
  EXISTS (SELECT 1 FROM delivery e WHERE e.consumer = :consumer AND e.patient = d.patient
          AND e.state = 'held' AND e.event < d.event{earlier})
  OR EXISTS (SELECT 1 FROM delivery e WHERE e.consumer = :consumer AND e.rid = d.rid
             AND e.state = 'held' AND e.event < d.event{earlier})
FROM delivery d
WHERE d.consumer = :consumer AND {which} AND d.event > :after
ORDER BY d.event LIMIT :page"""
DUE = _CANDIDATES.format(earlier=" AND e.available > :now", which="d.state = 'held' AND d.available <= :now")
NEW = _CANDIDATES.format(earlier="", which="d.state = 'new'")


def claimable(connection: Connection, consumer: str, now: int, limit: int) -> dict[int, str]:
    """Event number -> its former owner ('' where there is none) of up to limit deliveries, in order.

    now: milliseconds. What is due goes before what is new, never both at once.
    """
    values = {"consumer": consumer, "now": now}
    return _choose(connection, DUE, values, limit) or _choose(connection, NEW, values, limit)


def _choose(connection: Connection, candidates: str, values: Mapping[str, Any], limit: int) -> dict[int, str]:
    """The first candidates that may go.

    What must wait makes its chart and its resource wait, and through a resource that moved from one chart to
    another also the other chart; hence row after row here rather than in SQL.
    """
    chosen: dict[int, str] = {}
    charts: set[int] = set()
    resources: set[int] = set()
    after = 0
    while len(chosen) < limit:
        rows = connection.execute(candidates, {**values, "after": after, "page": _PAGE}).fetchall()
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
        if len(rows) < _PAGE:
            break
        after = rows[-1][0]
    return chosen
