"""What the authorization server keeps, as values and as the interface to keep them by. No rules, no SQL.

Random secrets (codes, launches, tokens, session ids) arrive here only as their SHA-256 digest of 32 bytes;
passwords only as a password hash. Every datetime is aware UTC; `now` always comes from the caller's clock.

Consume-once operations (`use_code`, `use_launch`, `rotate_refresh_token`, `use_assertion_id`) are atomic: of
any number of concurrent callers in any number of processes exactly one is told that it was the first.

`security_epoch` is a counter that every change of what somebody may do increases: a token or grant revoked, a
client or a user changed. A process may cache token -> principal as long as the epoch stays the same; creating
a token does not change it, so do not cache that a token is unknown.

Sources: RFC 6749, RFC 7009, RFC 7523 §3 (jti), RFC 9700 §4.14 (refresh token rotation), SMART App Launch 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from server.storage.registrations import RegistrationStore


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A registered client.

    kind: public, confidential-symmetric or confidential-asymmetric. secret_hash: "" unless symmetric.
    scope: space-separated, the most it may be granted. jwks: {"keys": [...]} by value; what is published at
    jwks_uri is in `RegistrationStore.key_set`. frame_ancestors: origins that may frame its /authorize.
    metadata: further registered metadata (RFC 7591) kept as given. registration: {} unless it registered
    itself; its registration access token's digest and its invitation's bounds, as `auth.registration` has them.
    """

    client_id: str
    name: str
    kind: str
    created: datetime
    scope: str = ""
    grant_types: tuple[str, ...] = ()
    redirect_uris: tuple[str, ...] = ()
    secret_hash: str = ""
    jwks: Mapping[str, Any] = field(default_factory=dict)
    jwks_uri: str = ""
    launch_url: str = ""
    frame_ancestors: tuple[str, ...] = ()
    disabled: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    registration: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UserRow:
    """Somebody who can log in on the server's own pages. practitioner_id: id of a Practitioner, "" for none.

    password_hash: with its own salt and cost, as `auth` writes it; "" for who signs in elsewhere alone.
    """

    username: str
    password_hash: str
    role: str
    practitioner_id: str = ""
    display: str = ""
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class GrantRow:
    """What somebody allowed a client once: the parent of its codes, access tokens and refresh tokens.

    username: "" for client credentials. fhir_user: "Practitioner/id" or None. context: further launch
    context (intent, fhirContext ...). Revoking the grant ends everything made from it.
    """

    grant_id: str
    client_id: str
    created: datetime
    scope: str
    username: str = ""
    fhir_user: str | None = None
    role: str = ""
    patient: str | None = None
    encounter: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    revoked: datetime | None = None


@dataclass(frozen=True, slots=True)
class CodeRow:
    """An authorization code with what its exchange must repeat. used: when it was exchanged first."""

    code_hash: bytes
    grant_id: str
    client_id: str
    redirect_uri: str
    scope: str
    expires: datetime
    code_challenge: str = ""
    nonce: str = ""
    auth_time: datetime | None = None
    used: datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaunchRow:
    """An EHR launch: bound to user, client and patient, good for one authorization."""

    launch_hash: bytes
    client_id: str
    username: str
    expires: datetime
    patient: str | None = None
    encounter: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    used: datetime | None = None


@dataclass(frozen=True, slots=True)
class TokenRow:
    """An access token: everything a Principal and an introspection answer need."""

    token_hash: bytes
    grant_id: str
    client_id: str
    scope: str
    issued: datetime
    expires: datetime
    username: str = ""
    fhir_user: str | None = None
    role: str = ""
    patient: str | None = None
    encounter: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    revoked: datetime | None = None


@dataclass(frozen=True, slots=True)
class RefreshTokenRow:
    """A refresh token. rotated: when it was replaced; a second use after that means it was stolen."""

    token_hash: bytes
    grant_id: str
    client_id: str
    scope: str
    expires: datetime
    rotated: datetime | None = None


@dataclass(frozen=True, slots=True)
class BrowserSessionRow:
    """A login on the server's own pages, or a step on the way to one.

    session_hash: of what the browser holds; it changes when the login gains something. area: login, or the name
    of the step. data: small JSON values. login: names the login for as long as it lasts; b"" when added: the
    first session_hash.
    """

    session_hash: bytes
    area: str
    username: str
    created: datetime
    last_used: datetime
    expires: datetime
    data: Mapping[str, Any] = field(default_factory=dict)
    login: bytes = b""


class AuthorizationStore(Protocol):
    """Each call is one durable transaction, or a part of the surrounding `transaction()` or Store.writing()."""

    @property
    def registrations(self) -> RegistrationStore:
        """Key sets published by URL, and invitations to register."""

    def transaction(self) -> AbstractContextManager[None]:
        """Several calls as one transaction of this thread: all or nothing."""

    def security_epoch(self) -> int:
        """The current epoch: one indexed read."""

    def bump_security_epoch(self) -> int:
        """Increase the epoch for a change that is not kept here (a care team, a consent); the new value."""

    # Clients
    def put_client(self, client: ClientRow) -> None:
        """Add or replace. Bumps the epoch."""

    def client(self, client_id: str, *, held: bool = False) -> ClientRow | None:
        """held: within a transaction; nobody else changes it before its end."""

    def clients(self) -> tuple[ClientRow, ...]:
        """All, disabled ones too, in the order of client_id."""

    def disable_client(self, client_id: str, now: datetime) -> bool:
        """Disable it and revoke its grants; False if unknown. Bumps the epoch."""

    # Users
    def put_user(self, user: UserRow) -> None:
        """Add or replace. Bumps the epoch."""

    def user(self, username: str) -> UserRow | None: ...

    def users(self) -> tuple[UserRow, ...]:
        """All, in the order of username."""

    # Grants
    def add_grant(self, grant: GrantRow) -> None: ...

    def grant(self, grant_id: str) -> GrantRow | None: ...

    def grants(self, *, client_id: str | None = None, username: str | None = None) -> tuple[GrantRow, ...]:
        """Grants of a client or a user (or all), newest first."""

    def revoke_grant(self, grant_id: str, now: datetime) -> bool:
        """Revoke it with its codes, access and refresh tokens; False if not in force. Bumps the epoch."""

    def revoke_grants(self, grant_ids: Iterable[str], now: datetime) -> int:
        """The same for several, wholly or not at all; how many were in force. Bumps the epoch once, for none
        not at all."""

    # Authorization codes
    def add_code(self, code: CodeRow) -> None: ...

    def use_code(self, code_hash: bytes, now: datetime) -> CodeRow | None:
        """Consume a code. None: unknown. `used` is None for the first caller alone.

        A row with `used` set was consumed before: revoke its grant (RFC 6749 §4.1.2). Expiry, client and
        verifier are the caller's to judge.
        """

    # Launches
    def add_launch(self, launch: LaunchRow) -> None: ...

    def launch(self, launch_hash: bytes) -> LaunchRow | None:
        """Look without consuming, e.g. to show the login page."""

    def use_launch(self, launch_hash: bytes, now: datetime) -> LaunchRow | None:
        """Consume a launch. None: unknown. `used` is None for the first caller alone."""

    # Access tokens
    def add_token(self, token: TokenRow) -> None:
        """Add; as a revoked one where its grant was revoked meanwhile."""

    def token(self, token_hash: bytes) -> TokenRow | None:
        """The row as stored, expired or revoked ones too (until purged)."""

    def revoke_token(self, token_hash: bytes, now: datetime) -> bool:
        """False if unknown or already revoked. Bumps the epoch."""

    # Refresh tokens
    def add_refresh_token(self, token: RefreshTokenRow) -> None:
        """Add, unless its grant was revoked meanwhile."""

    def refresh_token(self, token_hash: bytes) -> RefreshTokenRow | None: ...

    def rotate_refresh_token(
        self, token_hash: bytes, successor: RefreshTokenRow, now: datetime
    ) -> RefreshTokenRow | None:
        """Replace a refresh token by its successor. None: unknown.

        The row is returned as it was: `rotated` is None for the first caller alone, and only then has the
        successor been added; otherwise nothing was changed: revoke the grant (RFC 9700 §4.14).
        """

    # Replay of client assertions
    def use_assertion_id(self, issuer: str, jti: str, expires: datetime) -> bool:
        """Remember a jti until it expires; False if it was seen before."""

    # Browser sessions
    def add_browser_session(self, session: BrowserSessionRow) -> None: ...

    def browser_session(self, session_hash: bytes) -> BrowserSessionRow | None: ...

    def browser_session_of(self, login: bytes) -> BrowserSessionRow | None:
        """The session of a login, whatever its browser holds by now."""

    def browser_sessions(self, username: str) -> tuple[BrowserSessionRow, ...]:
        """All of an account, the latest used first."""

    def touch_browser_session(
        self, session_hash: bytes, now: datetime, data: Mapping[str, Any] | None = None
    ) -> bool:
        """Record use (and new data when given); False if unknown."""

    def renew_browser_session(
        self, session_hash: bytes, renewed: bytes, now: datetime, data: Mapping[str, Any]
    ) -> bool:
        """Let the browser hold another value from now on; False if the old one is unknown."""

    def end_browser_session(self, login: bytes) -> bool:
        """Log out; False if unknown, so that of several callers one alone has ended it."""

    def end_browser_sessions(self, username: str) -> int:
        """Log a user out everywhere; how many sessions ended."""

    # Upkeep
    def purge(self, now: datetime) -> int:
        """Forget codes, launches, tokens, jtis and sessions expired for more than a day; how many."""
