"""The log of HL7 v2 messages as people see it: search, one message, and what is decided about some.

A search is driven by the index of its most telling condition, newest first, and goes on behind the number of
the last message of a page, so that a page costs the same however long the log is. What hardly any message of
that index fulfils may take longer than a search may: then it is refused, and more has to be said.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from server.fhir.dates import microseconds
from server.storage.database import Database
from server.storage.dialect import Parameters

STATES = ("received", "mapped", "applied", "duplicate", "failed", "parked")
_LAST = 2**63 - 1
# The columns of the indexes that a search can be driven by, the most telling first.
_DRIVERS = (("control_id",), ("mrn",), ("visit",), ("type", "trigger"), ("state",), ("source",))
_AT_ONCE = 500  # messages that are decided about, or deleted, in one transaction
_RECENT = 1_000  # messages that rates are told of


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """Which messages: all conditions that are given (not "") must hold.

    before: only those with a smaller number; None from the newest on.
    """

    control_id: str = ""
    mrn: str = ""
    visit: str = ""
    type: str = ""
    trigger: str = ""
    state: str = ""
    source: str = ""
    before: int | None = None
    count: int = 50

    def conditions(self) -> dict[str, str]:
        """Column -> value."""
        names = [name for driver in _DRIVERS for name in driver]
        return {name: value for name in names if (value := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class LoggedMessage:
    """A message without its bytes. received, event_at: microseconds UTC. ended: when it came to its state, or
    is to be tried again. error: a code, a blank, words. written: Type/id/_history/version."""

    id: int
    source: str
    listener: str
    control_id: str
    received: int
    type: str
    trigger: str
    structure: str
    event_at: int
    mrn: str
    visit: str
    state: str
    attempts: int
    ended: int
    error: str
    warnings: str
    after_error: bool
    mapping_version: str
    duplicate_of: int | None
    ack_code: str
    written: tuple[str, ...]


# The columns that its fields are called otherwise than.
_COLUMNS = {"ended": "next_attempt", "written": "result"}
_NAMES = tuple(field.name for field in fields(LoggedMessage))
_FIELDS = ", ".join(f"m.{_COLUMNS.get(name, name)}" for name in _NAMES)


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Newest first. next_before: for the next page, None at the end."""

    messages: tuple[LoggedMessage, ...]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class SourceState:
    """What of a source is not done. oldest: when the oldest that waits was received, None for none."""

    source: str
    waiting: int
    failed: int
    parked: int
    oldest: int | None


@dataclass(frozen=True, slots=True)
class Recent:
    """Of the last messages: how many a source sent since when, how many of those failed, and how long those
    that ended took from reception, together, in microseconds."""

    source: str
    messages: int
    since: int
    failed: int
    ended: int
    lag: int


class Hl7v2Messages:
    """The people's side of the table of messages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def search(self, query: MessageQuery) -> MessagePage:
        """One page of messages. Raises: FhirError too-costly."""
        with self._database.reading() as connection, self._database.limited():
            parameters = Parameters(connection.dialect)
            rows = connection.execute(search_sql(query, parameters), parameters.values).fetchall()
        page = tuple(map(_message, rows[: query.count]))
        return MessagePage(page, page[-1].id if len(rows) > query.count else None)

    def get(self, id: int) -> LoggedMessage | None:
        """One message."""
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT {_FIELDS} FROM hl7v2_message m WHERE m.id = :id", {"id": id}
            ).fetchone()
        return None if row is None else _message(row)

    def raw(self, id: int) -> bytes:
        """The bytes of a message (of a repeated one, of the first) as they came, b"" where they are gone."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT m.raw, o.raw FROM hl7v2_message m LEFT JOIN hl7v2_message o ON o.id = m.duplicate_of"
                " WHERE m.id = :id",
                {"id": id},
            ).fetchone()
        return b"" if row is None else bytes(row[0] or row[1] or b"")

    def replay(self, ids: Collection[int], now: datetime) -> int:
        """Let messages be mapped and applied again, as if they had just come, each in its place; how many.

        Those that somebody is about to do, and repeated ones, stay as they are.
        """
        change = (
            "state = 'received', attempts = 0, error = '', after_error = 0, lease_owner = '', lease_until = 0,"
            " next_attempt = :now"
        )
        which = "state <> 'duplicate' AND lease_until <= :now"
        return self._change(ids, change, which, now=microseconds(now))

    def park(self, ids: Collection[int], now: datetime) -> int:
        """Hold messages that are not applied, and all later ones of their patients; how many."""
        change = "state = 'parked', lease_owner = '', lease_until = 0, next_attempt = :now"
        return self._change(ids, change, "state IN ('received', 'mapped', 'failed')", now=microseconds(now))

    def release(self, ids: Collection[int], now: datetime) -> int:
        """Let parked messages go on in their place; how many."""
        change = "state = 'received', attempts = 0, error = '', next_attempt = :now"
        return self._change(ids, change, "state = 'parked'", now=microseconds(now))

    def discard(self, ids: Collection[int], now: datetime, error: str) -> int:
        """End messages that wait or are parked without applying them; later ones of their patients go on."""
        change = "state = 'failed', error = :error, lease_owner = '', lease_until = 0, next_attempt = :now"
        which = "state IN ('received', 'mapped', 'parked')"
        return self._change(ids, change, which, now=microseconds(now), error=error)

    def _change(self, ids: Collection[int], change: str, which: str, **values: Any) -> int:
        """Change those of the messages that are in such a state, some hundred in a transaction."""
        ordered, changed = sorted(ids), 0
        for start in range(0, len(ordered), _AT_ONCE):
            with self._database.writing() as connection:
                parameters = Parameters(connection.dialect)
                named = parameters.among(ordered[start : start + _AT_ONCE])
                changed += connection.execute(
                    f"UPDATE hl7v2_message SET {change} WHERE id {named} AND {which}",
                    parameters.values | values,
                ).rowcount
        return changed

    def purge(self, state: str, before: datetime) -> int:
        """Delete messages of a state that were received before that, and their traces; how many."""
        deleted = 0
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(
                    "SELECT m.id, m.received FROM hl7v2_message m WHERE (m.state, m.id) > (:state, 0)"
                    f" AND (m.state, m.id) < (:state, {_LAST}) ORDER BY m.state, m.id LIMIT {_AT_ONCE}",
                    {"state": state},
                ).fetchall()
            old = [id for id, received in rows if received < microseconds(before)]
            if not old:
                return deleted
            with self._database.writing() as connection:
                parameters = Parameters(connection.dialect)
                named = parameters.among(old)
                connection.execute(f"DELETE FROM hl7v2_trace WHERE message {named}", parameters.values)
                deleted += connection.execute(
                    f"DELETE FROM hl7v2_message WHERE id {named} AND state = :state",
                    parameters.values | {"state": state},
                ).rowcount

    def states(self) -> tuple[SourceState, ...]:
        """What is not done, by source; of what failed all that the log still has."""
        found: dict[str, dict[str, tuple[int, int]]] = {}
        with self._database.reading() as connection:
            for state in ("received", "mapped", "parked", "failed"):
                rows = connection.execute(
                    "SELECT m.source, count(*), min(m.received) FROM hl7v2_message m"
                    f" WHERE (m.state, m.id) > (:state, 0) AND (m.state, m.id) < (:state, {_LAST})"
                    " GROUP BY m.source",
                    {"state": state},
                ).fetchall()
                for source, count, oldest in rows:
                    found.setdefault(source, {})[state] = (count, oldest)
        none = (0, _LAST)
        return tuple(
            SourceState(
                source,
                sum(states.get(state, none)[0] for state in ("received", "mapped")),
                states.get("failed", none)[0],
                states.get("parked", none)[0],
                min(
                    (states[state][1] for state in ("received", "mapped", "parked") if state in states),
                    default=None,
                ),
            )
            for source, states in sorted(found.items())
        )

    def recent(self) -> tuple[int, tuple[Recent, ...]]:
        """The number of the newest message, 0 for none, and of the last thousand what each source sent."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT m.id, m.source, m.received, m.state, m.next_attempt FROM hl7v2_message m"
                f" ORDER BY m.id DESC LIMIT {_RECENT}"
            ).fetchall()
        found: dict[str, list[tuple[Any, ...]]] = {}
        for row in rows:
            found.setdefault(row[1], []).append(row)
        return (rows[0][0] if rows else 0), tuple(_recent(source, found[source]) for source in sorted(found))


def search_sql(query: MessageQuery, parameters: Parameters) -> str:
    """The statement of a search: one message more than the page has."""
    asked = query.conditions()
    driver = next((names for names in _DRIVERS if all(name in asked for name in names)), ())
    before = parameters.bind(_LAST if query.before is None else query.before)
    columns = ", ".join(f"m.{name}" for name in (*driver, "id"))
    values = [parameters.bind(asked[name]) for name in driver]
    where = [f"m.id < {before}"]
    if driver:
        low, high = (", ".join((*values, end)) for end in ("0", before))
        where = [f"({columns}) > ({low})", f"({columns}) < ({high})"]
    rest = (name for name in asked if name not in driver)
    where += [f"{parameters.dialect.unindexed(f'm.{name}')} = {parameters.bind(asked[name])}" for name in rest]
    order = ", ".join(f"m.{name} DESC" for name in (*driver, "id"))
    limit = parameters.limit(query.count + 1)
    return f"SELECT {_FIELDS} FROM hl7v2_message m WHERE {' AND '.join(where)} ORDER BY {order} LIMIT {limit}"


def _message(row: tuple[Any, ...]) -> LoggedMessage:
    values = dict(zip(_NAMES, row, strict=True))
    values["after_error"] = bool(values["after_error"])
    values["written"] = tuple(json.loads(values["written"]))
    return LoggedMessage(**values)


def _recent(source: str, rows: list[tuple[Any, ...]]) -> Recent:
    ended = [row for row in rows if row[3] == "applied"]
    return Recent(
        source,
        len(rows),
        min(row[2] for row in rows),
        sum(row[3] in ("failed", "parked") for row in rows),
        len(ended),
        sum(max(0, row[4] - row[2]) for row in ended),
    )
