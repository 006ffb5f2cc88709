"""SMART App Launch: from `/launch` to a session (authorization code with PKCE S256).

Sources: hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html, RFC 7636, RFC 9207, OpenID Connect Core 3.1.3.7
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlencode, urlsplit

import msgspec

from smart_app.fhir_client import FhirClient, FhirFault
from smart_app.grant import Grant, User
from smart_app.id_token import Identity, IdTokenFault, UnknownKey, verify_id_token
from smart_app.issuers import Issuer, Issuers
from smart_app.launch_answer import chart_of, host_of, refusal
from smart_app.messages import N_
from smart_app.outbound_http import OutboundHttp
from smart_app.problems import Action, ProblemError
from smart_app.runtime import Runtime
from smart_app.scopes import compare, launch_scopes
from smart_app.sealing import Seal, Unreadable, fingerprint
from smart_app.session import Sessions
from smart_app.session_store import SessionStore
from smart_app.smart_configuration import Discovery, DiscoveryFault, DiscoveryUnavailable, SmartConfiguration
from smart_app.store_exchange import StoreExchange
from smart_app.token_endpoint import (
    TokenEndpoint,
    TokenRefused,
    TokenResponse,
    TokenUnavailable,
    TokenUnreadable,
    error_code,
)
from smart_app.users import read_user

log = logging.getLogger(__name__)

LAUNCH_LIFE = timedelta(minutes=10)
"""How long a person may take to log in at the EHR."""
MAXIMUM_PARAMETER = 4096


@dataclass(frozen=True, slots=True)
class Pending:
    """A launch under way, kept sealed until the EHR sends the person back."""

    iss: str
    ehr_launch: bool
    verifier: str
    nonce: str
    binding: str
    """Fingerprint of the cookie that binds it to the browser."""


@dataclass(frozen=True, slots=True)
class Started:
    """Where to send the browser, and the cookie that binds the launch to it."""

    location: str
    cookie_name: str
    binding: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """A session has begun. `browser` is the cookie's value, or `tab` the secret of this tab alone."""

    launch: str
    issuer: Issuer
    browser: str = field(default="", repr=False)
    tab: str = field(default="", repr=False)

    @property
    def path(self) -> str:
        return f"/c/{self.launch}/"


def binding_cookie(state: str) -> str:
    """Name of the cookie of one launch; several may be under way in one browser."""
    return f"__Host-baton-app-launch-{fingerprint(state)[:12]}"


def code_challenge(verifier: str) -> str:
    """RFC 7636 4.2: BASE64URL(SHA256(verifier))."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


class Launcher:
    """Begins and finishes launches."""

    def __init__(
        self,
        runtime: Runtime,
        store: SessionStore,
        sessions: Sessions,
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
        self._sessions = sessions
        self._issuers = issuers
        self._discovery = discovery
        self._tokens = tokens
        self._store_exchange = exchange
        self._http = http
        self._seal = seal
        self._new_secret = new_secret

    def start(self, parameters: Mapping[str, str]) -> Started:
        """Begin a launch: `iss`, and `launch` where an EHR opened the app. Raises: ProblemError."""
        iss, launch = parameters.get("iss", ""), parameters.get("launch", "")
        if not iss or len(iss) > MAXIMUM_PARAMETER or len(launch) > MAXIMUM_PARAMETER:
            raise ProblemError("launch-invalid")
        issuer = self._issuers.find(iss)
        if issuer is None:
            raise ProblemError("unknown-issuer", issuer=host_of(iss))
        configuration = self._configuration(issuer)
        state, verifier, nonce, binding = (self._new_secret() for _ in range(4))
        pending = Pending(issuer.iss, bool(launch), verifier, nonce, fingerprint(binding))
        name = fingerprint(state)
        self._store.add_launch(
            name, self._seal.seal(msgspec.json.encode(pending), name), self._runtime.clock().timestamp()
        )
        query = {
            "response_type": "code",
            "client_id": issuer.client_id,
            "redirect_uri": self._runtime.settings.redirect_uri,
            "scope": " ".join(launch_scopes(store=issuer.store, ehr_launch=bool(launch))),
            "state": state,
            "nonce": nonce,
            "aud": issuer.iss,
            "code_challenge": code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        if launch:
            query["launch"] = launch
        endpoint = configuration.authorization_endpoint
        joint = "&" if urlsplit(endpoint).query else "?"
        return Started(f"{endpoint}{joint}{urlencode(query)}", binding_cookie(state), binding)

    def finish(
        self, parameters: Mapping[str, str], cookies: Mapping[str, str], *, browser: str, framed: bool
    ) -> Finished:
        """What the EHR's redirect to `/callback` brings: a session, or a problem.

        cookies: of the request. browser: the session cookie's value, "" without one. framed: the
        browser says that it shows the page in a frame; only there can one do without cookies.
        Raises: ProblemError.
        """
        pending = self._take(parameters.get("state", ""))
        issuer = self._issuers.find(pending.iss)
        if issuer is None:
            raise ProblemError("unknown-issuer", issuer=host_of(pending.iss))
        with_cookies = self._check_browser(pending, parameters["state"], cookies, framed)
        if "error" in parameters:
            raise refusal(issuer, error_code(parameters["error"]), ehr_launch=pending.ehr_launch)
        code = parameters.get("code", "")
        if not code or len(code) > MAXIMUM_PARAMETER:
            raise ProblemError("ehr-refused", issuer=issuer.label, log="the redirect carries no code")
        configuration = self._configuration(issuer)
        if parameters.get("iss", configuration.issuer) != configuration.issuer:
            # RFC 9207: another authorization server answered than the one that was asked
            raise ProblemError("state-mismatch", log="iss of the answer is another")
        response = self._exchange(issuer, configuration, pending, code)
        identity = self._identity(issuer, configuration, pending, response)
        grant = self._grant(issuer, response, identity)
        chart = chart_of(response.context)
        if chart.patient is None and not issuer.store:
            raise ProblemError("no-patient")
        grant = self._store_exchange.begin(grant, chart.patient, response.id_token, pending.nonce)
        if with_cookies:
            browser = browser or self._new_secret()
            finished = Finished(self._sessions.begin(grant, chart, browser=browser), issuer, browser=browser)
        else:
            tab = self._new_secret()
            finished = Finished(self._sessions.begin(grant, chart, tab=tab), issuer, tab=tab)
        if chart.patient is None and pending.ehr_launch and with_cookies:
            worklist = Action(N_("Open the worklist"), finished.path)
            raise NoPatient(finished, worklist)
        return finished

    def _take(self, state: str) -> Pending:
        if not state or len(state) > MAXIMUM_PARAMETER:
            raise ProblemError("state-mismatch")
        name = fingerprint(state)
        now = self._runtime.clock().timestamp()
        row = self._store.take_launch(name, now)
        if row is None:
            raise ProblemError("state-mismatch")
        if row.used_at is not None:
            raise ProblemError("launch-used")
        if now - row.started_at > LAUNCH_LIFE.total_seconds():
            raise ProblemError("launch-expired")
        try:
            return msgspec.json.decode(self._seal.open(row.sealed, name), type=Pending)
        except Unreadable:
            raise ProblemError("launch-expired") from None

    def _check_browser(self, pending: Pending, state: str, cookies: Mapping[str, str], framed: bool) -> bool:
        """Whether cookies work here; that the launch began in this browser, as far as one can know.

        Without cookies nothing binds the answer to the browser that asked. In a frame this is
        bearable, since only the registered EHRs may frame the answer; elsewhere it is refused.
        """
        cookie = cookies.get(binding_cookie(state))
        if cookie is not None:
            if fingerprint(cookie) != pending.binding:
                raise ProblemError("state-mismatch")
            return True
        if not framed:
            raise ProblemError("cookies-refused")
        return False

    def _configuration(self, issuer: Issuer) -> SmartConfiguration:
        try:
            return self._discovery.configuration(issuer.iss)
        except DiscoveryUnavailable as fault:
            raise ProblemError("ehr-unavailable", issuer=issuer.label, log=str(fault)) from None
        except DiscoveryFault as fault:
            raise ProblemError("ehr-refused", issuer=issuer.label, log=f"discovery: {fault}") from None

    def _exchange(
        self, issuer: Issuer, configuration: SmartConfiguration, pending: Pending, code: str
    ) -> TokenResponse:
        try:
            return self._tokens.by_code(
                issuer,
                configuration,
                code=code,
                verifier=pending.verifier,
                redirect_uri=self._runtime.settings.redirect_uri,
            )
        except TokenUnavailable as fault:
            raise ProblemError("ehr-unavailable", issuer=issuer.label, log=str(fault)) from None
        except TokenRefused as fault:
            if fault.error == "invalid_grant":
                raise ProblemError("launch-expired") from None
            raise ProblemError("login-refused", issuer=issuer.label, error=fault.error) from None
        except TokenUnreadable as fault:
            raise ProblemError("ehr-refused", issuer=issuer.label, log=f"token: {fault}") from None

    def _identity(
        self,
        issuer: Issuer,
        configuration: SmartConfiguration,
        pending: Pending,
        response: TokenResponse,
    ) -> Identity:
        """Who logged in, proven. Raises: ProblemError(login-not-verified, ehr-unavailable, ehr-refused)."""
        try:
            for fresh in (False, True):
                try:
                    return verify_id_token(
                        response.id_token,
                        self._discovery.key_set(configuration.jwks_uri, fresh=fresh),
                        issuer=configuration.issuer,
                        client_id=issuer.client_id,
                        nonce=pending.nonce,
                        fhir_base=issuer.iss,
                        now=self._runtime.clock(),
                    )
                except UnknownKey as fault:
                    unknown = fault
            raise unknown
        except IdTokenFault as fault:
            raise ProblemError("login-not-verified", issuer=issuer.label, log=f"id_token: {fault}") from None
        except DiscoveryUnavailable as fault:
            raise ProblemError("ehr-unavailable", issuer=issuer.label, log=str(fault)) from None
        except DiscoveryFault as fault:
            raise ProblemError("ehr-refused", issuer=issuer.label, log=f"keys: {fault}") from None

    def _grant(self, issuer: Issuer, response: TokenResponse, identity: Identity) -> Grant:
        granted = compare(response.scope, store=issuer.store)
        if granted.required_missing:
            raise ProblemError("scopes-cut", issuer=issuer.label, scopes=", ".join(granted.required_missing))
        return Grant(
            iss=issuer.iss,
            subject=identity.subject,
            user=self._user(issuer, response.access_token, identity.user),
            access_token=response.access_token,
            expires_at=response.expires_at,
            refresh_token=response.refresh_token,
            scope=response.scope,
            shortfall=granted.missing,
            unwritable=granted.unwritable,
        )

    def _user(self, issuer: Issuer, access_token: str, reference: str) -> User:
        """The person's name and role; without an answer a person without role, who may only look."""
        client = FhirClient(issuer.iss, self._http, lambda *, refused="": access_token)
        try:
            return read_user(client, reference)
        except FhirFault as fault:
            log.warning("the user could not be read: %s", fault.words)
            return User(reference, "", "")


class NoPatient(ProblemError):
    """A launch without patient that still opened a session: the worklist is there."""

    def __init__(self, finished: Finished, action: Action) -> None:
        super().__init__("no-patient", actions=(action,))
        self.finished = finished
