"""Failed attempts slow down whoever makes them, counted in the database for all processes alike.

An attempt is counted as failed before its answer is looked at (`begin`), and taken back when it was right: so
that many at once find no more doors open than one after another. The rules are data (`policy.throttling`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from server.auth.context import AuthContext
from server.auth.credentials import keyed_hash
from server.policy.throttling import ONE, ThrottleRule, throttle_rules
from server.storage.sign_in import FailedAttemptsRow


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What is counted. rule: a name of `throttling.json`. text: an account, an address, a client; it is kept
    hashed alone, so it may be anything that was typed."""

    rule: str
    text: str


class Throttled(Exception):
    """Too many failed attempts; `seconds` from now another one is looked at."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__("too many failed attempts")
        self.seconds = max(1, math.ceil(wait.total_seconds()))


def begin(context: AuthContext, *keys: Key) -> None:
    """Count an attempt as failed under each key. Raises: Throttled, with nothing counted, if one is closed."""
    now = context.clock()
    with context.rows.transaction():
        held = [(key, context.store.sign_in.hold_attempts(_hash(context, key), now)) for key in sorted(keys)]
        _require_open((row for _, row in held), now)
        for key, row in held:
            _count(context, key, row, now)


def succeeded(context: AuthContext, *, forget: Iterable[Key] = (), take_back: Iterable[Key] = ()) -> None:
    """An attempt that was begun was right. forget: keys that it clears; take_back: those it merely was no
    failure of, for others fail under them, too."""
    now, cleared = context.clock(), frozenset(forget)
    with context.rows.transaction():
        for key in sorted(
            cleared | frozenset(take_back)
        ):  # in the order of `begin`, so that nobody waits in a circle
            if key in cleared:
                context.store.sign_in.forget_attempts(_hash(context, key))
                continue
            row = context.store.sign_in.hold_attempts(_hash(context, key), now)
            rule = throttle_rules()[key.rule]
            level = max(rule.level(row.level, row.counted, now) - ONE, 0)
            _put(context, key, replace(row, level=level, counted=now, closed_until=now), now)


def require_open(context: AuthContext, *keys: Key) -> None:
    """For what is counted after it has failed alone (`failed`). Raises: Throttled."""
    found = (context.store.sign_in.attempts(_hash(context, key)) for key in keys)
    _require_open((row for row in found if row is not None), context.clock())


def failed(context: AuthContext, *keys: Key) -> None:
    """Count an attempt that has failed."""
    now = context.clock()
    with context.rows.transaction():
        for key in sorted(keys):
            _count(context, key, context.store.sign_in.hold_attempts(_hash(context, key), now), now)


def closed_until(context: AuthContext, key: Key) -> datetime | None:
    """Until when a key is closed, None if it is open."""
    row = context.store.sign_in.attempts(_hash(context, key))
    return row.closed_until if row and _wait(row, context.clock()) else None


def _require_open(rows: Iterable[FailedAttemptsRow], now: datetime) -> None:
    if wait := max((_wait(row, now) for row in rows), default=timedelta(0)):
        raise Throttled(wait)


def _wait(row: FailedAttemptsRow, now: datetime) -> timedelta:
    """For how long a key is still closed.

    A key that was counted and not closed is open, also to whoever has looked at the clock before it was counted
    or has a clock that is late: many sign in from one address at the same moment.
    """
    closed = row.closed_until > row.counted
    return max(row.closed_until - now, timedelta(0)) if closed else timedelta(0)


def _count(context: AuthContext, key: Key, row: FailedAttemptsRow, now: datetime) -> None:
    rule: ThrottleRule = throttle_rules()[key.rule]
    level = rule.level(row.level, row.counted, now) + ONE
    _put(context, key, FailedAttemptsRow(level, now, now + rule.wait(level)), now)


def _put(context: AuthContext, key: Key, row: FailedAttemptsRow, now: datetime) -> None:
    expires = throttle_rules()[key.rule].forgotten(row.level, now)
    context.store.sign_in.put_attempts(_hash(context, key), row, expires)


def _hash(context: AuthContext, key: Key) -> bytes:
    return keyed_hash(context.token_key, f"attempts {key.rule} {key.text}")
