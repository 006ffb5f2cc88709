"""A claim of HL7 v2 messages reads the ones it takes, however many wait behind them.

Covers the plan of server/storage/hl7v2_work.py on PostgreSQL; SQLite's depends on nothing that changes.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import psycopg
import pytest

from server.storage.hl7v2_log import NewMessage
from server.storage.hl7v2_work import candidates_sql
from server.storage.postgresql_database import SESSION
from server.storage.postgresql_dialect import POSTGRESQL, numbered

WAITING, PAGE = 2_000, 20
PAGES_READ = 12  # for one candidate: its own row, and four look-ups


def message(number: int) -> NewMessage:
    """Of a patient of its own."""
    raw = b"MSH|^~\\&|" + b"x" * 200 + b"%d" % number
    return NewMessage(
        "north", "mllp", f"m{number}", sha256(raw).digest(), 1_000, raw, "ADT", "A01", "ADT_A01", 0,
        number, None, "", "", ack_code="AA",
    )  # fmt: skip


@pytest.mark.postgresql("SQLite's plans depend on nothing that changes")
@pytest.mark.parametrize("statistics", ["before", "after", "none"])
def test_a_claim_reads_no_more_when_many_wait(store: Any, database_url: str, statistics: str) -> None:
    text, names = numbered(candidates_sql(POSTGRESQL, PAGE))
    types = ", ".join("text" if name == "state" else "bigint" for name in names)
    values = {"now": "2000", "floor": "0", "state": "'received'", "after": "0", "last": str(2**63 - 1)}
    asked = (
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE claim ({', '.join(values[name] for name in names)})"
    )
    with psycopg.connect(database_url, autocommit=True) as asking:
        asking.execute(SESSION.encode())
        if statistics == "before":
            asking.execute("ANALYZE hl7v2_message")
        store.hl7v2_log.keep([message(number) for number in range(WAITING)], since=0)
        if statistics == "after":
            asking.execute("ANALYZE hl7v2_message")
        asking.execute(f"PREPARE claim ({types}) AS ".encode() + text)
        row = asking.execute(asked.encode()).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    assert plan["Actual Rows"] == PAGE
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= PAGES_READ * PAGE, plan
