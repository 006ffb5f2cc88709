"""Sessions on the server: a login, the charts it opened, and the tokens, which never leave here.

A *login* is one person's authorization at one issuer. A *chart* is one patient context, addressed by
its launch id in the path (`/c/<launch>/`), so two tabs with two patients never share anything that
names a patient. A login is opened by the browser's cookie or, where cookies are refused, by the
secret that one tab keeps in memory. It ends after 15 minutes without use and after 12 hours anyway.
docs/explanation/app-sessions.md tells the whole story.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from smart_app.fhir_client import FhirClient
from smart_app.fhir_json import Resource
from smart_app.grant import Connection, Grant, StoreGrant, User, notices
from smart_app.issuers import Issuer, Issuers
from smart_app.outbound_http import OutboundHttp
from smart_app.problems import ProblemError
from smart_app.runtime import Runtime
from smart_app.sealing import Seal, Unreadable, fingerprint
from smart_app.session_store import LoginRow, SessionStore
from smart_app.smart_configuration import Discovery
from smart_app.store_access import StoreAccess
from smart_app.store_exchange import StoreExchange
from smart_app.token_endpoint import TokenEndpoint
from smart_app.token_renewal import GrantKeeper, LoginToken
from smart_app.view_records import Notice

IDLE = timedelta(minutes=15)
ABSOLUTE = timedelta(hours=12)
TOUCH_EVERY = timedelta(seconds=30)
"""Use is noted at most this often, so that a page of many fragments does not write many times."""
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Chart:
    """One patient context; ids on the issuer's server. None where the EHR gave none."""

    patient: str | None
    encounter: str | None
    show_banner: bool


@dataclass(frozen=True, slots=True)
class ChartContext:
    """Everything a page knows about who asks and about which patient. Made for each request.

    launch: the id in the path. chart: the EHR that launched. store: where the app keeps its work, None
    if that EHR is not connected to a store; also where both are one server they are two clients, and
    no reference may cross from one to the other. connection: how the two stand to each other. in_store: who
    patient and user are in the store, where that is another server and people linked them.
    """

    launch: str
    user: User
    issuer: Issuer
    patient: str | None
    encounter: str | None
    show_banner: bool
    chart: FhirClient
    store: FhirClient | None
    connection: Connection
    in_store: StoreGrant | None
    unwritable: tuple[str, ...]
    notices: tuple[Notice, ...]
    csrf_token: str
    expires_at: datetime
    """When the login ends however much it is used."""
    runtime: Runtime
    sessions: Sessions = field(repr=False)
    login: str = field(repr=False)

    @property
    def issuer_label(self) -> str:
        return self.issuer.label

    @property
    def path(self) -> str:
        return f"/c/{self.launch}/"


def is_id(text: str) -> bool:
    """Whether a text is a FHIR id (hl7.org/fhir/R4/datatypes.html#id)."""
    return _ID.fullmatch(text) is not None


def require_patient(context: ChartContext) -> str:
    """The patient's id. Raises: ProblemError(no-patient)."""
    if context.patient is None:
        raise ProblemError("no-patient")
    return context.patient


def require_store(context: ChartContext) -> FhirClient:
    """The store. Raises: ProblemError(store-not-connected)."""
    if context.store is None:
        raise ProblemError("store-not-connected")
    return context.store


def require_own_store(context: ChartContext) -> FhirClient:
    """The store where it is the EHR around us: for what is about more than the patient who is open.

    Raises: ProblemError(store-not-connected).
    """
    if not context.issuer.store:
        raise ProblemError("store-not-connected")
    return require_store(context)


def open_chart(context: ChartContext, patient: str, encounter: str | None) -> str:
    """Open another patient under the same login; the new launch id.

    The EHR around us still shows the patient it launched with, so the app shows its own banner.
    Raises: ProblemError(bad-request) where an id is none.
    """
    if not is_id(patient) or not (encounter is None or is_id(encounter)):
        raise ProblemError("bad-request", what="patient")
    return context.sessions.add_chart(context.login, Chart(patient, encounter, show_banner=True))


class Sessions:
    """Begins, finds, renews and ends logins. Safe for many threads, processes and hosts over one store."""

    def __init__(
        self,
        runtime: Runtime,
        store: SessionStore,
        issuers: Issuers,
        discovery: Discovery,
        tokens: TokenEndpoint,
        exchange: StoreExchange,
        http: OutboundHttp,
        *,
        seal: Seal,
        new_secret: Callable[[], str],
    ) -> None:
        self._runtime = runtime
        self._store = store
        self._issuers = issuers
        self._http = http
        self._seal = seal
        self._new_secret = new_secret
        self._exchange = exchange
        self._grants = GrantKeeper(store, issuers, discovery, tokens, exchange, runtime.clock, seal=seal)
        self._access = StoreAccess(exchange, self._grants, http, runtime.clock)

    def begin(self, grant: Grant, chart: Chart, *, browser: str = "", tab: str = "") -> str:
        """A new login with its first chart; the launch id. Opened by one of the two secrets.

        Whoever else was logged in with this browser is logged out: it is another person's now.
        """
        now = self._now()
        if browser:
            for other in self._store.logins_of_others(fingerprint(browser), grant.person):
                self._store.remove_login(other.id)
        login = self._new_secret()
        self._store.add_login(
            LoginRow(
                id=login,
                browser=fingerprint(browser) if browser else "",
                tab=fingerprint(tab) if tab else "",
                person=grant.person,
                sealed=self._grants.seal(grant, login),
                version=1,
                started_at=now,
                used_at=now,
            )
        )
        return self.add_chart(login, chart)

    def add_chart(self, login: str, chart: Chart) -> str:
        """Another chart under a login; its launch id. Raises: ProblemError(session-expired)."""
        launch = self._new_secret()
        sealed = self._seal.seal(msgspec.json.encode(chart), launch)
        if not self._store.add_chart(launch, login, sealed, self._now()):
            raise ProblemError("session-expired")
        return launch

    def find(self, launch: str, *, browser: str = "", tab: str = "", background: bool = False) -> ChartContext:
        """The context of a launch id, if the browser or the tab may open it.

        background: a poll, which does not count as use.
        Raises: ProblemError(session-expired), the same for unknown, foreign and ended ones.
        """
        found = self._store.find_chart(launch)
        if found is None:
            raise ProblemError("session-expired")
        sealed_chart, row = found
        if not (_opens(browser, row.browser) or _opens(tab, row.tab)):
            raise ProblemError("session-expired")
        now = self._now()
        if now - row.used_at > IDLE.total_seconds() or now - row.started_at > ABSOLUTE.total_seconds():
            self._store.remove_login(row.id)
            raise ProblemError("session-expired")
        if not background and now - row.used_at > TOUCH_EVERY.total_seconds():
            self._store.touch(row.id, now)
        try:
            chart = msgspec.json.decode(self._seal.open(sealed_chart, launch), type=Chart)
            grant = self._grants.open(row)
        except Unreadable:  # the secret was changed: every session before it is over
            self._store.remove_login(row.id)
            raise ProblemError("session-expired") from None
        return self._context(launch, row, grant, chart)

    def issuer_of(self, launch: str) -> Issuer | None:
        """Whose frame may show a page of this launch id; says nothing about whether it is open."""
        found = self._store.find_chart(launch)
        try:
            return self._issuers.find(self._grants.open(found[1]).iss) if found else None
        except Unreadable:
            return None

    def is_csrf_token(self, context: ChartContext, given: str) -> bool:
        """Whether a form carries the mark of this very context."""
        return self._seal.is_token(given, "csrf", context.login, context.launch)

    def connect(self, context: ChartContext) -> bool:
        """Ask the store again for access to the patient who is open; whether it gave it.

        Raises: TokenFault, DiscoveryFault; ProblemError(no-patient, session-expired).
        """
        return self._grants.connect(*self._login_of(context), require_patient(context))

    def comparison(self, context: ChartContext, patient: Resource) -> str:
        """The address of the store's page that compares the chart's Patient; "" where there is none.

        Raises: TokenFault, DiscoveryFault; ProblemError(session-expired).
        """
        _, grant = self._login_of(context)
        return self._exchange.compare(grant, patient, context.user.name)

    def _login_of(self, context: ChartContext) -> tuple[LoginRow, Grant]:
        row = self._store.find_login(context.login)
        if row is None:
            raise ProblemError("session-expired")
        return row, self._grants.open(row)

    def end(self, context: ChartContext) -> None:
        """Log out: the login, all its charts, and the tokens at the EHR as far as it lets us."""
        row = self._store.find_login(context.login)
        self._store.remove_login(context.login)
        if row is not None:
            self._grants.revoke(self._grants.open(row))

    def purge(self) -> int:
        """Remove what is over, and revoke its tokens; how many logins. For the worker."""
        now = self._now()
        rows = self._store.outdated(now - IDLE.total_seconds(), now - ABSOLUTE.total_seconds())
        for row in rows:
            self._store.remove_login(row.id)
            try:
                self._grants.revoke(self._grants.open(row))
            except Unreadable:
                continue
        self._store.forget_launches(now - timedelta(hours=1).total_seconds())
        return len(rows)

    def _context(self, launch: str, row: LoginRow, grant: Grant, chart: Chart) -> ChartContext:
        issuer = self._issuers.find(grant.iss)
        if issuer is None:  # taken out of the list since
            raise ProblemError("session-expired")
        row, grant, connection = self._access.stands(row, grant, issuer, chart.patient)
        token = LoginToken(self._grants, row, grant)
        there = grant.store if connection == "connected" else None
        return ChartContext(
            launch=launch,
            user=grant.user,
            issuer=issuer,
            patient=chart.patient,
            encounter=chart.encounter,
            show_banner=chart.show_banner,
            chart=FhirClient(issuer.iss, self._http, token),
            store=FhirClient(issuer.iss, self._http, token)
            if issuer.store
            else self._access.client(issuer, there),
            connection=connection,
            in_store=there,
            unwritable=there.unwritable if there else grant.unwritable,
            notices=notices(issuer, grant, connection),
            csrf_token=self._seal.token("csrf", row.id, launch),
            expires_at=datetime.fromtimestamp(row.started_at, UTC) + ABSOLUTE,
            runtime=self._runtime,
            sessions=self,
            login=row.id,
        )

    def _now(self) -> float:
        return self._runtime.clock().timestamp()


def _opens(secret: str, kept: str) -> bool:
    return bool(secret and kept) and hmac.compare_digest(fingerprint(secret), kept)
