"""A claim looks up what blocks a delivery, however many others are held or wait.

Covers the plans of server/storage/claimable.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from server.storage.claimable import DUE, NEW
from server.storage.dialect import SQLITE
from server.storage.postgresql_database import SESSION
from server.storage.postgresql_dialect import POSTGRESQL, numbered

LEASE = timedelta(seconds=60)
PAGE = 100
KINDS = ((NEW, "delivery_new"), (DUE, "delivery_held"))
PAGES_READ = 10  # for one candidate: two look-ups, its own row, and dead entries that nobody has met yet


@pytest.mark.sqlite("PostgreSQL shows its plans in another way")
def test_what_blocks_a_delivery_is_looked_up_and_never_scanned(store: Any) -> None:
    values = {"consumer": "one", "now": 0, "after": 0}
    with store.database.reading() as connection:
        for candidates, own in KINDS:
            query = f"EXPLAIN QUERY PLAN {candidates.sql(SQLITE, PAGE)}"
            plan = [row[3] for row in connection.execute(query, values).fetchall()]
            used = [step.partition("INDEX ")[2].partition(" ")[0] for step in plan if step.startswith("SEARCH")]
            assert used == [own, "delivery_patient", "delivery_resource"], plan


def fill(chart: Any, count: int) -> None:
    """Events of resources of their own; every third of no chart, two of each chart."""
    chart.store.outbox.register(["one", "two"], chart.now)
    with chart.store.database.writing() as connection:
        for number in range(1, count + 1):
            connection.later(
                "INSERT INTO outbox (rid, type, resource_id, version, method, patient, created)"
                " VALUES (:rid, 'Observation', :id, 1, 'PUT', :patient, 0)",
                {
                    "rid": number,
                    "id": f"o{number}",
                    "patient": number % (count // 2) + 1 if number % 3 else None,
                },
            )
    while chart.store.outbox.hand_over():
        pass


class Plans:
    """The two statements of a claim, prepared once and kept, as a connection of the server keeps them."""

    def __init__(self, asking: psycopg.Connection[Any]) -> None:
        self._asking = asking
        for candidates, own in KINDS:
            text, names = numbered(candidates.sql(POSTGRESQL, PAGE))
            types = ", ".join("text" if name == "consumer" else "bigint" for name in names)
            asking.execute(f"PREPARE {own} ({types}) AS ".encode() + text)

    def check(self, now: int) -> list[int]:
        """Hold what is true of a good plan against each; how many candidates each has found."""
        found = []
        for candidates, own in KINDS:
            values = {"consumer": "one", "now": now, "after": 0}
            names = numbered(candidates.sql(POSTGRESQL, PAGE))[1]
            literals = ", ".join(psycopg.sql.Literal(values[name]).as_string(self._asking) for name in names)
            row = self._asking.execute(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {own} ({literals})".encode()
            ).fetchone()
            assert row is not None
            plan = row[0][0]["Plan"]
            steps = list(nodes(plan))
            used = [step["Index Name"] for step in steps if "Index Name" in step]
            assert used == [own, "delivery_patient", "delivery_resource"], steps
            assert not [step for step in steps if "Sort" in step["Node Type"]], steps
            read = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            assert read <= PAGES_READ * PAGE, (own, read)
            found.append(plan["Actual Rows"])
        return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


@pytest.mark.postgresql("SQLite's plans depend on nothing that changes")
def test_a_claim_reads_no_more_when_many_are_held_and_many_wait(chart: Any, database_url: str) -> None:
    """Also with a plan that was made when nothing was there yet, and with statistics of either time."""
    with psycopg.connect(database_url, autocommit=True) as asking:
        asking.execute(SESSION.encode())
        now = int(chart.now.timestamp() * 1000)
        plans = Plans(asking)
        assert plans.check(now) == [0, 0]
        fill(chart, 3_000)
        outbox = chart.store.outbox
        for _ in range(10):
            assert outbox.claim("one", chart.now, lease=LEASE, limit=PAGE)
        assert plans.check(now) == [PAGE, 0]
        asking.execute("ANALYZE delivery")
        assert plans.check(now) == [PAGE, 0]
        ended = chart.now + LEASE
        assert plans.check(now + 60_000) == [PAGE, PAGE]
        batch = outbox.claim("one", ended, lease=LEASE, limit=PAGE)
        outbox.settle(batch, done=[event.number for event in batch.events])
        assert plans.check(now + 60_000) == [PAGE, PAGE]
        asking.execute("ANALYZE delivery")
        assert plans.check(now + 60_000) == [PAGE, PAGE]
