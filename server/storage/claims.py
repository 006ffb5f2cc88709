"""Keys that transactions claim: of two that claim the same one, the second waits until the first one ends.

SQLite has one writer at a time, so there the row only remembers; on PostgreSQL it is the lock.
"""

from __future__ import annotations

from server.storage.database import Connection, Rows

_CLAIM = """
INSERT INTO claim (key, times) VALUES (:key, 1)
ON CONFLICT (key) DO UPDATE SET times = claim.times + 1 RETURNING times"""


def claim(connection: Connection, key: bytes) -> Rows:
    """Claim a key to the end of the transaction; one row: how many have claimed it by now."""
    return connection.execute(_CLAIM, {"key": key})
