"""Key sets that others publish by URL: fetched when they are needed, kept for all processes as long as they are
fresh, fetched once more for a key that is not among them, and kept for a while when they cannot be had.

A fetch never happens inside a transaction. Of several processes that need the same set one fetches it and the
others wait for it; nobody asks a publisher more often than every ten seconds, whatever is sent to us.
Sources: SMART App Launch 2.2, "Asymmetric client authentication" (jwks_uri, Cache-Control), RFC 7517,
RFC 9111 sections 4.2 and 5, RFC 5861 section 4 (use of stale answers on error)
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from server.auth.context import AuthContext, record
from server.auth.public_keys import MEMBERS, MOST_KEYS, key_fault
from server.outbound_http import OutboundError, fetch
from server.storage.registrations import KeySetRow

# The bounds of what a publisher's headers can ask for, and what holds where it asks for nothing.
FRESH_UNSAID = timedelta(hours=1)
FRESH_AT_MOST = timedelta(hours=24)
# Between two fetches: after one that brought something, and after one that did not.
PAUSE = timedelta(seconds=10)
PAUSE_AFTER_FAILURE = timedelta(seconds=60)
# How long the last good set answers beyond its freshness while its publisher cannot be reached.
OUTAGE = timedelta(hours=12)
SECONDS = 5.0  # somebody is waiting for a token
_POLL_SECONDS = 0.05
_DIRECTIVE = re.compile(r'\s*([A-Za-z-]+)(?:\s*=\s*(?:"([^"]*)"|([^\s,"]*)))?\s*')


class KeySetError(Exception):
    """A published key set cannot be had or used. The text holds nothing of its content."""


def published_keys(context: AuthContext, url: str, kid: str) -> tuple[Mapping[str, Any], ...]:
    """The usable keys published at a URL; fetched anew where they are stale or none has this kid.

    Raises: KeySetError when none are known.
    """
    kept = context.rows.registrations.key_set(url)
    if kept is None or not _answers(kept, kid, context.clock()):
        kept = _renewed(context, url)
    if kept is None or kept.fetched is None or context.clock() >= max(kept.fetched, kept.fresh_until) + OUTAGE:
        raise KeySetError("the published keys cannot be had")
    return tuple(kept.jwks.get("keys", ()))


def _answers(kept: KeySetRow, kid: str, now: datetime) -> bool:
    known = any(key.get("kid") == kid for key in kept.jwks.get("keys", ()))
    return known and now < kept.fresh_until


def _renewed(context: AuthContext, url: str) -> KeySetRow | None:
    """The set after a fetch by us or by whoever was quicker; as it was, where it was asked for a moment ago."""
    registrations, now = context.rows.registrations, context.clock()
    if registrations.claim_key_set(url, now, now + timedelta(seconds=SECONDS)):
        with suppress(KeySetError):
            refresh(context, url)
    else:
        give_up = time.monotonic() + SECONDS
        while time.monotonic() < give_up:
            kept = registrations.key_set(url)
            if kept is None or kept.busy_until <= context.clock():
                break
            time.sleep(_POLL_SECONDS)
    return registrations.key_set(url)


def refresh(context: AuthContext, url: str) -> bool:
    """Fetch a key set now and keep it; whether it differs from the one kept before.

    Raises: KeySetError; what was kept stays.
    """
    registrations = context.rows.registrations
    try:
        keys, fresh = _fetch(context, url)
    except KeySetError:
        registrations.release_key_set(url, not_before=context.clock() + PAUSE_AFTER_FAILURE)
        raise
    before, now = registrations.key_set(url), context.clock()
    changed = before is None or before.jwks != {"keys": keys}
    with context.rows.transaction():
        registrations.keep_key_set(
            url, {"keys": keys}, fetched=now, fresh_until=now + fresh, not_before=now + PAUSE
        )
        if changed:
            record(context, "key-set-change", 200, detail=urlsplit(url).hostname or "")
    return changed


def _fetch(context: AuthContext, url: str) -> tuple[list[dict[str, Any]], timedelta]:
    """The usable keys at a URL and how long they are fresh. Raises: KeySetError."""
    parts = urlsplit(url)
    if f"{parts.scheme}://{parts.netloc}".lower() == context.base_url.lower():
        # Nobody waits inside a request for an answer of the same server.
        raise KeySetError("the address is this server's own: give the keys by value")
    try:
        answer = fetch(
            url,
            allow=context.outbound,
            accept="application/jwk-set+json, application/json;q=0.9",
            seconds=SECONDS,
        )
    except OutboundError as error:
        raise KeySetError(f"the key set was not fetched: {error}") from None
    if answer.status != 200:
        raise KeySetError(f"the key set's address answered {answer.status}")
    try:
        document = json.loads(answer.body, parse_constant=_no_number)
        keys = document["keys"]
        if not isinstance(keys, list):
            raise ValueError
    except (ValueError, TypeError, KeyError, RecursionError):
        raise KeySetError('the key set\'s address does not answer {"keys": [...]}') from None
    usable = [
        {name: value for name, value in key.items() if name in MEMBERS}
        for key in keys[:MOST_KEYS]
        if isinstance(key, dict) and key_fault(key) is None
    ]
    if not usable:
        raise KeySetError("the key set holds no usable public key")
    return usable, freshness(answer.headers, context.clock())


def freshness(headers: Mapping[str, str], now: datetime) -> timedelta:
    """How long an answer may be used without asking again, by its headers and within our bounds.

    We are a private cache: s-maxage is not for us. What cannot be read counts as stale.
    """
    age = timedelta(seconds=_seconds(headers.get("Age", "0")) or 0)
    control = headers.get("Cache-Control")
    if control is not None:
        given = [
            (match[1].lower(), match[2] if match[2] is not None else match[3])
            for match in _DIRECTIVE.finditer(control)
        ]
        names = {name for name, _ in given}
        if names & {"no-store", "no-cache"}:
            return timedelta(0)
        ages = [_seconds(value or "") for name, value in given if name == "max-age"]
        if ages:
            return _bounded(timedelta(seconds=min(value or 0 for value in ages)) - age)
    expires = headers.get("Expires")
    if expires is not None:
        until = _moment(expires)
        return _bounded(until - (_moment(headers.get("Date", "")) or now) - age if until else timedelta(0))
    return _bounded(FRESH_UNSAID - age)


def _no_number(_: str) -> None:
    raise ValueError  # NaN and Infinity are no JSON


def _bounded(lifetime: timedelta) -> timedelta:
    return max(timedelta(0), min(lifetime, FRESH_AT_MOST))


def _seconds(text: str) -> int | None:
    text = text.strip()
    return min(int(text), 10**9) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _moment(text: str) -> datetime | None:
    """An HTTP date. RFC 9110 section 5.6.7: always UTC."""
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
