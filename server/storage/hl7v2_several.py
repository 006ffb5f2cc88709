"""Merges of several pairs of patients in one message: they have more keys than a row of the log can hold.

Such a row has `SEVERAL` for its second key, and its keys are read out of the message itself, once by each
process. There is hardly ever one that is open, and that is one look at an index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from server.storage.database import Connection
from server.storage.dialect import Parameters

# For the second key: no hash of a patient is below zero.
SEVERAL = -1

# All keys of a message: the name of its source, its bytes.
KeysOf = Callable[[str, bytes], frozenset[int]]
# Its WHERE is word for word that of an index.
OPEN_SQL = (
    "SELECT id FROM hl7v2_message WHERE state IN ('received', 'mapped', 'parked') AND second_key IS NOT NULL"
    " AND second_key = :several ORDER BY id"
)


class Several:
    """The keys of the open messages that have several, by their ids in order."""

    def __init__(self) -> None:
        self._keys: dict[int, frozenset[int]] = {}

    def of(self, connection: Connection, keys_of: KeysOf) -> dict[int, frozenset[int]]:
        """Those that are open now."""
        rows = connection.execute(OPEN_SQL, {"several": SEVERAL}).fetchall()
        known = self._keys
        found = {id: known[id] if id in known else _read(connection, id, keys_of) for (id,) in rows}
        self._keys = found
        return dict(found)


def _read(connection: Connection, id: int, keys_of: KeysOf) -> frozenset[int]:
    ((source, raw, order_key),) = connection.execute(
        "SELECT source, raw, order_key FROM hl7v2_message WHERE id = :id", {"id": id}
    ).fetchall()
    return keys_of(source, bytes(raw)) | {order_key, SEVERAL}


def is_held(connection: Connection, id: int, keys: Iterable[int], held: str, values: dict[str, int]) -> bool:
    """Whether an earlier message `e` that has any of these keys is held. held: in SQL, with these values."""
    parameters = Parameters(connection.dialect)
    among = parameters.among(list(keys))
    row = connection.execute(
        f"SELECT 1 FROM hl7v2_message e WHERE e.id < :id AND {held}"
        f" AND (e.order_key {among} OR e.second_key {among}) LIMIT 1",
        parameters.values | values | {"id": id},
    ).fetchone()
    return row is not None
