"""The parts the authorization server works with, made once where the server is put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from server.auth.credentials import derived_key, keyed_hash, new_secret
from server.auth.keys import SigningKeys, signing_keys
from server.origin import origin
from server.outbound_networks import PUBLIC_ONLY, Networks
from server.policy.second_factor import BY_ROLE
from server.storage.audit_values import AuditRow
from server.storage.authorization import AuthorizationStore
from server.storage.interface import Store

if TYPE_CHECKING:  # reading a brand needs FHIR's tables, which commands need not load
    from server.brands import Brand


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long each secret is good.

    Sources: code, RFC 6749 section 4.1.2 (at most 10 minutes); backend token, SMART Backend Services (5 minutes
    recommended); assertion, SMART asymmetric client authentication (at most 5 minutes); offline, 45 CFR
    170.315(g)(10): three months at least, and three months are up to 92 days.
    """

    launch: timedelta = timedelta(seconds=60)
    code: timedelta = timedelta(seconds=60)
    access_token: timedelta = timedelta(hours=1)
    backend_token: timedelta = timedelta(minutes=5)
    id_token: timedelta = timedelta(minutes=5)
    offline: timedelta = timedelta(days=92)
    consent: timedelta = timedelta(minutes=5)
    assertion: timedelta = timedelta(minutes=5)
    clock_skew: timedelta = timedelta(seconds=30)
    session_idle: timedelta = timedelta(minutes=15)
    session_absolute: timedelta = timedelta(hours=12)
    sign_in_step: timedelta = timedelta(minutes=10)
    proof: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class AuthContext:
    """rows: what the authorization server keeps. store: for the audit trail, in one transaction with the rows.

    base_url: the configured origin without a trailing slash. token_key: keys the stored hashes of secrets.
    outbound: what may be called beyond https to public addresses. brand: what the site publishes of itself.
    second_factor: who signs in with one, a mode of `policy.second_factor`.
    """

    rows: AuthorizationStore
    store: Store
    base_url: str
    clock: Callable[[], datetime]
    keys: SigningKeys
    token_key: bytes
    new_secret: Callable[[], str] = new_secret
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    outbound: Networks = PUBLIC_ONLY
    brand: Brand | None = None
    second_factor: str = BY_ROLE

    @property
    def fhir_base(self) -> str:
        """The FHIR base URL: the audience of every access token."""
        return f"{self.base_url}/fhir"

    @property
    def token_url(self) -> str:
        """The token endpoint: the audience of client assertions."""
        return f"{self.base_url}/oauth2/token"

    def hash(self, secret: str) -> bytes:
        """The stored form of an opaque secret."""
        return keyed_hash(self.token_key, secret)


def auth_context(
    rows: AuthorizationStore,
    store: Store,
    *,
    base_url: str,
    home: Path,
    secret_key: bytes,
    clock: Callable[[], datetime],
    outbound: Networks = PUBLIC_ONLY,
    brand: Brand | None = None,
    second_factor: str = BY_ROLE,
) -> AuthContext:
    """The context of a server with this BATON_HOME and BATON_SECRET_KEY.

    Raises: SigningKeyError.
    """
    return AuthContext(
        rows=rows,
        store=store,
        base_url=base_url,
        clock=clock,
        keys=signing_keys(home, secret_key, clock),
        token_key=derived_key(secret_key, "token hashes"),
        outbound=outbound,
        brand=brand,
        second_factor=second_factor,
    )


def record(
    context: AuthContext,
    event: str,
    outcome: int,
    *,
    principal: str = "",
    client_id: str = "",
    username: str = "",
    patient: str = "",
    request_id: str = "",
    detail: str = "",
    purpose: str = "",
) -> None:
    """Keep one audit row; durable on return, and part of the surrounding transaction where there is one.

    event: e.g. "login", "token-issue". outcome: the HTTP status of the answer it led to. username: the account
    that acted. detail: as in AuditRow, e.g. the scope that was granted. purpose: of use, a code.
    """
    at = origin()
    row = AuditRow(
        recorded=context.clock(),
        principal=principal,
        client_id=client_id,
        interaction=event,
        resource_type="",
        id="",
        version_id=0,
        patient=patient,
        outcome=outcome,
        request_id=request_id or at.request_id,
        username=username,
        purpose=purpose,
        address=at.address,
        detail=detail,
    )
    with context.store.writing() as writer:
        writer.audit(row)
