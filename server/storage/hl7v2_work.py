"""The message log as work: which stored messages may be applied next, and what became of them.

A message waits in state `received`, or in `mapped` where its map was run and applying it is to be tried again.
It may go when its time has come, nobody holds it, and no earlier message of one of its keys waits, is held or
is parked: first in, first out for each patient, side by side for different ones. A merge has two keys. Messages
of one key that are claimed together are done in the order of their ids. What has more keys than two is asked
for them (`hl7v2_several`).

A message ends as `applied`, or as `failed`, which frees its keys, or it is `parked`, which holds them until a
person decides. Its end is written in the transaction of what it brings about, so that both are there or
neither. Of a message that has ended, `next_attempt` is when it did.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from heapq import merge
from typing import Any
from uuid import uuid4

from server.fhir.dates import microseconds
from server.storage.database import Connection, Database
from server.storage.dialect import Dialect, Parameters
from server.storage.hl7v2_several import KeysOf, Several, is_held

WAITING = ("received", "mapped")
_WAITS = "state IN ('received', 'mapped')"
_CLAIMS = "hl7v2 claims"  # held by whoever chooses: two at a time would look past each other's choice
_READ_AHEAD = 65_536  # bytes of a message that is read with its claim; longer ones would fill the memory
_PAGE = 500  # rows looked at together after the first ones, which are as many as are asked for
_LAST = 2**63 - 1
# What an earlier message blocks the later ones of its key by. The first line is word for word that of the
# indexes of the order.
_OPEN = "e.state IN ('received', 'mapped', 'parked')"
_HELD = f"{_OPEN} AND (e.state = 'parked' OR e.next_attempt > :now OR e.lease_until > :now OR e.id <= :floor)"
# So many messages that cannot go, before the first one that can, are passed over for a while.
_MANY = 200
_PASSED_OVER_SECONDS = 1.0
_RECEIVED = "id, source, received, CASE WHEN length(raw) <= :most THEN raw END, type, trigger"
# The keys of an earlier message (with what else its index asks for) against those of a later one.
_PAIRS = (
    ("order_key", "", "order_key"),
    ("order_key", "", "second_key"),
    ("second_key", " AND e.second_key IS NOT NULL", "order_key"),
    ("second_key", " AND e.second_key IS NOT NULL", "second_key"),
)


class LeaseLost(Exception):
    """Somebody else has the message by now: what was about to be written must not be."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that is held. keys: of its order. attempts: this one included. token: of the claim."""

    id: int
    source: str
    keys: frozenset[int]
    attempts: int
    token: str


@dataclass(frozen=True, slots=True)
class Received:
    """A stored message as its map is given it. received: microseconds UTC."""

    id: int
    source: str
    received: int
    raw: bytes
    type: str
    trigger: str


class Hl7v2Work:
    """The side of the message log that is work. Claims are known by their token."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._floor, self._floor_until = 0, 0.0
        self._several = Several()
        self._ahead: dict[int, Received] = {}

    def claim(
        self, now: datetime, *, lease: timedelta, limit: int, keys_of: KeysOf = lambda source, raw: frozenset()
    ) -> tuple[Claimed, ...]:
        """Up to limit messages that may be applied now, in the order of their ids, held for the lease.

        One may follow another one of its key among them: where that one does not end, give this one back.
        keys_of: the keys of a message that has more than two.
        """
        at = microseconds(now)
        began = time.monotonic()
        floor = self._floor if began < self._floor_until else 0
        with self._database.reading() as connection:
            look = _choose(connection, at, 1, floor, self._several.of(connection, keys_of))
        if not floor and look.passed >= _MANY:
            # Many wait behind a message that is parked, say: to look at them each time would cost more than the
            # work. Whatever shares a key with them waits with them meanwhile.
            self._floor = look.last
            self._floor_until = began + max(_PASSED_OVER_SECONDS, 5 * (time.monotonic() - began))
        if not look.chosen:
            return ()
        token = uuid4().hex
        values = {"token": token, "until": at + lease // timedelta(microseconds=1), "now": at}
        with self._database.writing() as connection:
            connection.lock(_CLAIMS)
            several = self._several.of(connection, keys_of)
            chosen = _choose(connection, at, limit, floor, several).chosen
            if not chosen:
                return ()
            parameters = Parameters(connection.dialect)
            rows = connection.execute(
                "UPDATE hl7v2_message SET lease_owner = :token, lease_until = :until, attempts = attempts + 1"
                f" WHERE id {parameters.among(chosen)} AND {_WAITS} AND lease_until <= :now"
                f" RETURNING {_RECEIVED}, attempts, order_key, second_key",
                parameters.values | values | {"most": _READ_AHEAD},
            ).fetchall()
        claimed = []
        for id, source, *received, attempts, order_key, second_key in sorted(rows, key=lambda row: int(row[0])):
            keys = several.get(id) or _present((order_key, second_key))
            claimed.append(Claimed(id, source, keys, attempts, token))
            if (found := _received(id, source, *received)) is not None:
                self._ahead[id] = found
        return tuple(claimed)

    def received(self, id: int) -> Received | None:
        """A message; None where it is there no more. What it says never changes: a short one was read with its
        claim."""
        ahead = self._ahead.pop(id, None)
        if ahead is not None:
            return ahead
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT {_RECEIVED} FROM hl7v2_message WHERE id = :id", {"id": id, "most": _LAST}
            ).fetchone()
        return None if row is None else _received(*row)

    def renew(self, messages: Collection[Claimed], until: datetime) -> int:
        """Prolong the leases of messages of one claim; of how many."""
        return self._claimed(messages, "lease_until = :until", until=microseconds(until))

    def give_back(self, messages: Collection[Claimed]) -> int:
        """Free messages of one claim that were not tried, as if they had not been claimed; how many."""
        for message in messages:
            self._ahead.pop(message.id, None)
        return self._claimed(messages, "lease_owner = '', lease_until = 0, attempts = attempts - 1")

    def _claimed(self, messages: Collection[Claimed], change: str, **values: Any) -> int:
        if not messages:
            return 0
        token = next(iter(messages)).token
        with self._database.writing() as connection:
            parameters = Parameters(connection.dialect)
            which = f"id {parameters.among([message.id for message in messages])}"
            return connection.execute(
                f"UPDATE hl7v2_message SET {change} WHERE {which} AND lease_owner = :token AND {_WAITS}",
                parameters.values | values | {"token": token},
            ).rowcount

    def applied(self, message: Claimed, now: datetime, *, version: str, result: Sequence[str]) -> None:
        """The message was applied: within the transaction of what it wrote. result: Type/id/_history/version.

        Raises: LeaseLost.
        """
        self._end(message, "applied", now, version=version, result=json.dumps(list(result)))

    def gave_up(self, message: Claimed, state: str, error: str, now: datetime, *, version: str = "") -> None:
        """The message is not applied: `failed` frees its keys, `parked` holds them. Raises: LeaseLost."""
        self._end(message, state, now, error=error, version=version)

    def try_again(self, message: Claimed, error: str, retry: datetime, *, version: str = "") -> None:
        """The message keeps its place and comes again at that time. version: of its map, where that was run
        already. Raises: LeaseLost."""
        self._change(
            message,
            "state = :state, error = :error, next_attempt = :retry, mapping_version = :version",
            state="mapped" if version else "received",
            error=error,
            retry=microseconds(retry),
            version=version,
        )

    def _end(
        self, message: Claimed, state: str, now: datetime, *, version: str, error: str = "", result: str = "[]"
    ) -> None:
        failed = self._database.dialect.before(
            "hl7v2_message", "e", {"mrn": "m.mrn"}, "id", "m.id", "e.state = 'failed'"
        )
        after_error = f"SELECT CASE WHEN m.mrn <> '' AND {failed} THEN 1 ELSE 0 END"
        self._change(
            message,
            "state = :state, error = :error, next_attempt = :now, mapping_version = :version, result = :result,"
            f" after_error = ({after_error} FROM hl7v2_message m WHERE m.id = :id)",
            together=True,
            state=state,
            error=error,
            now=microseconds(now),
            version=version,
            result=result,
        )

    def _change(self, message: Claimed, change: str, *, together: bool = False, **values: Any) -> None:
        """together: with what else waits in the transaction, which ends with what is raised then."""
        with self._database.joining() as connection:
            work = partial(_change, connection, message, change, values)
            if together:
                connection.work(work, (_CLAIMS, message.id))
            else:
                for _ in work():
                    pass


def _received(
    id: int, source: str, received: int, raw: bytes | None, type: str, trigger: str
) -> Received | None:
    return None if raw is None else Received(id, source, received, bytes(raw), type, trigger)


def _change(connection: Connection, message: Claimed, change: str, values: dict[str, Any]) -> Iterator[None]:
    changed = connection.execute(
        f"UPDATE hl7v2_message SET {change}, lease_owner = '', lease_until = 0"
        f" WHERE id = :id AND lease_owner = :token AND {_WAITS}",
        {"id": message.id, "token": message.token, **values},
    )
    yield
    if not changed.rowcount:
        raise LeaseLost


def candidates_sql(dialect: Dialect, page: int) -> str:
    """The first messages of a state after an id that are due and held by nobody: id, keys, whether blocked."""
    blocked = " OR ".join(
        dialect.before("hl7v2_message", "e", {earlier: f"m.{later}"}, "id", "m.id", f"{_HELD}{more}")
        for earlier, more, later in _PAIRS
    )
    return (
        f"SELECT m.id, m.order_key, m.second_key, {blocked} FROM hl7v2_message m"
        " WHERE (m.state, m.id) > (:state, :after) AND (m.state, m.id) < (:state, :last)"
        f" AND {dialect.unindexed('m.next_attempt')} <= :now AND m.lease_until <= :now"
        f" ORDER BY m.state, m.id LIMIT {page}"
    )


@dataclass(frozen=True, slots=True)
class _Look:
    """chosen: ids. passed: how many could not go before the first of them; last: the last one of those."""

    chosen: list[int]
    passed: int
    last: int


def _present(keys: Sequence[int | None]) -> frozenset[int]:
    return frozenset(key for key in keys if key is not None)


def _choose(
    connection: Connection, now: int, limit: int, floor: int, several: Mapping[int, frozenset[int]]
) -> _Look:
    """The first messages behind `floor` that may go. What is open up to there counts as held.

    several: the keys of the open messages that have more than two, in their order.

    What must wait makes its keys wait, and through a merge also the other key; hence row after row here rather
    than in SQL. They come in the order of their ids, so that what is before one was looked at before it.
    """
    chosen: list[int] = []
    waiting: set[int] = set()
    passed, last = 0, floor
    ahead = deque(several)
    for id, order_key, second_key, blocked in _candidates(connection, now, limit, floor):
        while ahead and ahead[0] < id:
            if (earlier := ahead.popleft()) not in chosen:
                waiting |= several[earlier]
        keys = several.get(id) or _present((order_key, second_key))
        if id in several:
            blocked = blocked or is_held(connection, id, keys, _HELD, {"now": now, "floor": floor})
        if blocked or not waiting.isdisjoint(keys):
            waiting |= keys
            if not chosen:
                passed, last = passed + 1, id
            continue
        chosen.append(id)
        if len(chosen) == limit:
            break
    return _Look(chosen, passed, last)


def _candidates(connection: Connection, now: int, first: int, floor: int) -> Iterator[tuple[Any, ...]]:
    """The candidates of both states in the order of their ids, the first ones few."""

    def of(state: str) -> Iterator[tuple[Any, ...]]:
        after, page = floor, min(first, _PAGE)
        while True:
            values = {"state": state, "after": after, "last": _LAST, "now": now, "floor": floor}
            rows = connection.execute(candidates_sql(connection.dialect, page), values).fetchall()
            yield from rows
            if len(rows) < page:
                return
            after, page = rows[-1][0], _PAGE

    return merge(*map(of, WAITING), key=lambda row: int(row[0]))
