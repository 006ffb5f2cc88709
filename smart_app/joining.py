"""Joins the parts that the app and its worker share; nothing else reads how they hang together."""

from __future__ import annotations

import logging
import secrets
import tomllib
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from smart_app.capability import KnownCapabilities
from smart_app.fhir_client import FhirClient
from smart_app.issuers import Issuers, read_issuers
from smart_app.keys import AppKeys, load_keys
from smart_app.launch import Launcher
from smart_app.outbound_http import OutboundHttp
from smart_app.reconciliation.records import AlertKind, DrugLookup
from smart_app.reconciliation.safety.rule_engine import Rule, read_rules
from smart_app.runtime import Runtime
from smart_app.sealing import Seal
from smart_app.session import Sessions
from smart_app.session_store import SessionStore, open_session_store
from smart_app.settings import Settings, SettingsError
from smart_app.smart_configuration import Clock, Discovery
from smart_app.store_exchange import StoreExchange
from smart_app.token_endpoint import TokenEndpoint
from smart_app.transitions.calendar import Calendar, federal_calendar, site_holidays
from smart_app.worker import BackendToken, DischargeWatch, Found
from terminology.rxnorm import open_rxnorm

log = logging.getLogger(__name__)

SEARCH_THREADS = 16
"""Searches that run side by side for one page (about eight), of two pages at a time."""
SITE_HOLIDAYS = "holidays.json"
SITE_RULES = "safety-rules.toml"


def utc_now() -> datetime:
    return datetime.now(UTC)


def new_secret() -> str:
    """256 random bits as 43 characters of base64url."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Outside:
    """What reaches outside of the process, given by tests, made here otherwise."""

    clock: Clock
    http: OutboundHttp
    keys: AppKeys
    issuers: Issuers
    terminology: DrugLookup
    pool: Executor
    new_secret: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Joined:
    """The parts of a running app."""

    runtime: Runtime
    store: SessionStore
    issuers: Issuers
    discovery: Discovery
    tokens: TokenEndpoint
    sessions: Sessions
    launcher: Launcher


def outside(
    settings: Settings,
    *,
    clock: Clock = utc_now,
    http: OutboundHttp | None = None,
    keys: AppKeys | None = None,
    issuers: Issuers | None = None,
    terminology: DrugLookup | None = None,
    pool: Executor | None = None,
    secret_source: Callable[[], str] = new_secret,
) -> Outside:
    return Outside(
        clock=clock,
        http=http or OutboundHttp(),
        keys=keys or load_keys(settings.home),
        issuers=issuers or read_issuers(settings),
        terminology=terminology or open_rxnorm(settings.home / "terminology"),
        pool=pool or ThreadPoolExecutor(SEARCH_THREADS, thread_name_prefix="search"),
        new_secret=secret_source,
    )


def join(settings: Settings, given: Outside) -> Joined:
    """Put the parts together."""
    runtime = Runtime(
        settings=settings,
        clock=given.clock,
        terminology=given.terminology,
        pool=given.pool,
        capabilities=KnownCapabilities(given.clock),
        calendar=read_calendar(settings),
        site_rules=read_site_rules(settings),
    )
    store = open_session_store(settings)
    seal = Seal(settings.secret_key, "sessions")
    discovery = Discovery(given.http, given.clock)
    tokens = TokenEndpoint(given.http, given.keys, given.clock, given.new_secret)
    exchange = StoreExchange(given.issuers, discovery, tokens)
    sessions = Sessions(
        runtime,
        store,
        given.issuers,
        discovery,
        tokens,
        exchange,
        given.http,
        seal=seal,
        new_secret=given.new_secret,
    )
    launcher = Launcher(
        runtime,
        store,
        sessions,
        given.issuers,
        discovery,
        tokens,
        exchange,
        given.http,
        seal=seal,
        new_secret=given.new_secret,
    )
    return Joined(runtime, store, given.issuers, discovery, tokens, sessions, launcher)


def join_worker(
    settings: Settings, given: Outside | None = None
) -> tuple[Callable[[], Found], Callable[[], int]]:
    """What the worker does again and again: look for discharges, end old sessions."""
    given = given or outside(settings)
    joined = join(settings, given)
    issuer = joined.issuers.store()
    if issuer is None:
        log.error("no issuer is the store: discharges are not looked for (`baton app issuer add ISS --store`)")
        return (lambda: Found(0, 0, 0)), joined.sessions.purge
    backend = replace(issuer, client_id=issuer.worker_client_id, auth="private_key_jwt")
    token = BackendToken(backend, joined.discovery, joined.tokens, given.clock)
    watch = DischargeWatch(
        settings, FhirClient(issuer.iss, given.http, token), given.clock, joined.runtime.calendar
    )
    return watch.look, joined.sessions.purge


def read_calendar(settings: Settings) -> Calendar:
    """The federal calendar with the closures of BATON_HOME/holidays.json. Raises: SettingsError."""
    path = settings.home / SITE_HOLIDAYS
    try:
        return federal_calendar().with_site_holidays(site_holidays(path.read_bytes()))
    except FileNotFoundError:
        return federal_calendar()
    except ValueError as fault:
        raise SettingsError(f"{SITE_HOLIDAYS} in BATON_HOME is {fault}") from None


def read_site_rules(settings: Settings) -> tuple[Rule, ...]:
    """The site's own rules about older adults in BATON_HOME/safety-rules.toml. Raises: SettingsError."""
    path = settings.home / SITE_RULES
    try:
        return read_rules(tomllib.loads(path.read_text(encoding="utf-8")), AlertKind.OLDER_ADULT)
    except FileNotFoundError:
        return ()
    except ValueError as fault:
        raise SettingsError(f"{SITE_RULES} in BATON_HOME cannot be used: {fault}") from None
