"""The app's own worker: finds discharges in the store and opens their transitions; ends old sessions.

It polls with its own backend client until topic subscriptions exist. Everything it writes is
conditional on an identifier that follows from the encounter, so running twice, or two of them, writes
once; its cursor is only a short cut and may be lost.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Lock

import msgspec

from smart_app.fhir_client import (
    FhirClient,
    FhirFault,
    Unauthorized,
    Unavailable,
    reference_of,
    version_of,
)
from smart_app.fhir_json import Resource
from smart_app.fhir_time import fhir_instant, instant
from smart_app.issuers import Issuer
from smart_app.scopes import worker_scopes
from smart_app.session_store import SessionsUnavailable
from smart_app.settings import Settings
from smart_app.smart_configuration import Clock, Discovery, DiscoveryFault
from smart_app.token_endpoint import TokenEndpoint, TokenFault, TokenResponse
from smart_app.transitions import discharges
from smart_app.transitions.calendar import Calendar
from smart_app.transitions.outreach import opening
from smart_app.transitions.tcm import RuleMissing, deadlines, rule_on

log = logging.getLogger(__name__)

CURSOR_FILE = "app-worker.json"
OVERLAP = timedelta(minutes=10)
"""A version may become visible after one with a later time; longer than any write transaction."""
POLL_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 60.0
TOKEN_MARGIN_SECONDS = 30
REMEMBERED = 20_000


class BackendToken:
    """An access token of client_credentials, kept until shortly before its end."""

    def __init__(self, issuer: Issuer, discovery: Discovery, tokens: TokenEndpoint, clock: Clock) -> None:
        self._issuer = issuer
        self._discovery = discovery
        self._tokens = tokens
        self._clock = clock
        self._lock = Lock()
        self._kept: TokenResponse | None = None

    def __call__(self, *, refused: str = "") -> str:
        """Raises: Unavailable while the server gives none, whatever its reason."""
        with self._lock:
            kept = self._kept
            now = self._clock().timestamp()
            if kept is None or refused == kept.access_token or kept.expires_at - now <= TOKEN_MARGIN_SECONDS:
                try:
                    configuration = self._discovery.configuration(self._issuer.iss)
                    kept = self._tokens.as_backend(self._issuer, configuration, " ".join(worker_scopes()))
                except (DiscoveryFault, TokenFault) as fault:
                    raise Unavailable(f"no token: {fault}") from None
                self._kept = kept
            return kept.access_token


@dataclass(frozen=True, slots=True)
class Found:
    """One look: encounters read, transitions opened (or found open), refused by the store."""

    seen: int
    opened: int
    refused: int


class DischargeWatch:
    """Looks for finished stays that changed since the last look."""

    def __init__(self, settings: Settings, store: FhirClient, clock: Clock, calendar: Calendar) -> None:
        self._zone = settings.zone
        self._store = store
        self._clock = clock
        self._calendar = calendar
        self._path = settings.home / CURSOR_FILE
        self._done: set[tuple[str, str | None]] = set()

    def look(self) -> Found:
        """Open what is to be opened, then move the cursor.

        Raises: Unavailable, Unauthorized; the cursor stays.
        """
        now = self._clock()
        cursor = self._read_cursor()
        since = (now - discharges.look_back() - timedelta(days=1)).date().isoformat()
        parameters = [("status", "finished"), ("class", discharges.class_search()), ("date", f"ge{since}")]
        if cursor is not None:
            parameters.append(("_lastUpdated", f"ge{fhir_instant(cursor - OVERLAP)}"))
        result = self._store.search("Encounter", parameters)
        opened = refused = 0
        early: list[Resource] = []
        for encounter in result.matches:
            mark = (reference_of(encounter), version_of(encounter))
            if mark in self._done:
                continue
            if self._is_early(encounter, now):
                early.append(encounter)
                continue
            try:
                opened += self._open(encounter, now)
            except (Unavailable, Unauthorized):
                raise
            except FhirFault as fault:  # this one alone; its next version is tried again
                log.warning("a transition was refused: %s", fault.words)
                refused += 1
            self._done.add(mark)
        if result.complete:
            self._move_cursor(cursor, result.matches, early)
        if len(self._done) > REMEMBERED:
            self._done.clear()
        return Found(len(result.matches), opened, refused)

    def _is_early(self, encounter: Resource, now: datetime) -> bool:
        """Whether the recorded end is still to come: a clock that goes before, or a planned discharge."""
        discharge = discharges.read_discharge(encounter, self._zone)
        return discharge is not None and discharge.discharged_at > now

    def _open(self, encounter: Resource, now: datetime) -> bool:
        discharge = discharges.read_discharge(encounter, self._zone)
        if discharge is None or not discharge.opens:
            return False
        if now - discharge.discharged_at > discharges.look_back():
            return False
        try:
            rule = rule_on(discharge.discharged_at.astimezone(self._zone).date())
            limits = deadlines(discharge.discharged_at, self._zone, self._calendar)
        except RuleMissing as fault:
            log.error("no transition opened: %s", fault)
            return False
        self._store.transaction(opening(discharge, limits, rule, now=now))
        return True

    def _read_cursor(self) -> datetime | None:
        try:
            record = msgspec.json.decode(self._path.read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return instant(record.get("cursor"), self._zone) if isinstance(record, dict) else None

    def _move_cursor(
        self, cursor: datetime | None, matches: Sequence[Resource], early: Sequence[Resource]
    ) -> None:
        """To the newest version seen, but not past one whose time has not come."""
        newest = max([time for time in (cursor, *self._updated(matches)) if time], default=None)
        if newest is not None:
            newest = min([newest, *self._updated(early)])
        if newest is not None and newest != cursor:
            draft = Path(f"{self._path}.{os.getpid()}")
            draft.write_bytes(msgspec.json.encode({"cursor": fhir_instant(newest)}))
            draft.replace(self._path)

    def _updated(self, encounters: Sequence[Resource]) -> list[datetime]:
        times = (instant(each.get("meta", {}).get("lastUpdated"), self._zone) for each in encounters)
        return [time for time in times if time is not None]


def run(
    look: Callable[[], Found], purge: Callable[[], int], stop: Event, *, poll: float = POLL_SECONDS
) -> None:
    """Look again and again until told to stop; while the store is away, with growing pauses."""
    failures = 0
    while not stop.is_set():
        try:
            found = look()
            if found.opened:
                log.info("transitions opened or confirmed: %d of %d discharges", found.opened, found.seen)
            failures = 0
        except FhirFault as fault:
            failures += 1
            log.warning("the store cannot be asked (%d): %s", failures, fault.words)
        try:
            purge()
        except SessionsUnavailable as fault:
            log.warning("ended sessions stay for now: %s", fault)
        stop.wait(min(poll * 2**failures, LONGEST_PAUSE_SECONDS))
