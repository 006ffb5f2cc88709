"""EHR launch: a single-use secret that stands for user, client and patient.

The EHR opens the app's launch address with it; the authorization endpoint takes it instead of a sign-in,
which a frame of another site could not keep. Good for 60 seconds and once.
Source: hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#launch-app-ehr-launch
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from server.auth.context import AuthContext, record
from server.auth.fhir_context import FhirContextError, check_fhir_context
from server.auth.principal import Principal
from server.auth.sessions import is_alive
from server.storage.authorization import LaunchRow

_TEXT_LIMIT = 200  # characters of intent and tenant


class LaunchError(Exception):
    """No launch can be issued; the text says why."""


class SignedIn(Protocol):
    """The person whom a launch stands for, and the sign-in that it ends with.

    session_hash: b"" for access that outlives a sign-in. created: when they signed in, None where that is past.
    """

    @property
    def session_hash(self) -> bytes: ...
    @property
    def username(self) -> str: ...
    @property
    def fhir_user(self) -> str | None: ...
    @property
    def created(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class TokenHolder:
    """The user of an access token, as one who is signed in."""

    session_hash: bytes
    username: str
    fhir_user: str | None
    created: datetime | None


def token_holder(context: AuthContext, principal: Principal) -> TokenHolder:
    """Whom a launch made with this access token stands for.

    Raises: LaunchError where the token is no user's, its client is none of ours, or the user has signed out.
    """
    client = context.rows.client(principal.client_id)
    if client is None or client.metadata.get("trusted") is not True:
        raise LaunchError("only a first-party client (registered as trusted) makes launches")
    token = context.rows.token(principal.token_hash)
    grant = context.rows.grant(token.grant_id) if token is not None else None
    if grant is None or not principal.username:
        raise LaunchError("a launch is made with the access token of a user who signed in")
    if "offline_access" in grant.scope.split():
        return TokenHolder(b"", principal.username, principal.user, None)
    session_hash = bytes.fromhex(grant.context.get("session", ""))
    row = context.rows.browser_session(session_hash)
    if row is None or not is_alive(context, session_hash):
        raise LaunchError("the user has signed out")
    return TokenHolder(session_hash, principal.username, principal.user, row.created)


@dataclass(frozen=True, slots=True)
class Launch:
    """secret: the `launch` parameter. url: the app's launch address with `iss` and `launch`."""

    secret: str
    url: str


def issue_launch(
    context: AuthContext,
    user: SignedIn,
    client_id: str,
    *,
    patient: str | None = None,
    encounter: str | None = None,
    intent: str = "",
    fhir_context: Sequence[Mapping[str, Any]] = (),
    need_patient_banner: bool = True,
    tenant: str = "",
    by: str = "",
) -> Launch:
    """A launch of a client by a signed-in user, for one patient. The caller has checked that the user may see
    patient and encounter.

    fhir_context: objects as SMART's `fhirContext`. need_patient_banner: False where the EHR's own banner stays
    in sight. tenant: opaque, of the organisation that launches. by: the client that asks for the launch, "" for
    our own pages. Raises: LaunchError for a client that is unknown, disabled or has no launch address, and for
    context that SMART does not know.
    """
    client = context.rows.client(client_id) if client_id.isascii() and client_id.isprintable() else None
    if client is None or client.disabled or not client.launch_url:
        raise LaunchError("this app is not registered for a launch from here")
    more: dict[str, Any] = {"need_patient_banner": need_patient_banner}
    if user.session_hash:
        more["session"] = user.session_hash.hex()
    if user.created is not None:
        more["auth_time"] = user.created.isoformat()
    for name, text in (("intent", intent), ("tenant", tenant)):
        if len(text) > _TEXT_LIMIT or not text.isprintable():
            raise LaunchError(f"{name} is at most {_TEXT_LIMIT} printable characters")
        if text:
            more[name] = text
    if fhir_context:
        try:
            more["fhirContext"] = check_fhir_context(fhir_context)
        except FhirContextError as error:
            raise LaunchError(str(error)) from None
    row = LaunchRow(
        launch_hash=b"",
        client_id=client_id,
        username=user.username,
        expires=context.clock(),
        patient=patient,
        encounter=encounter,
        context=more,
    )
    with context.rows.transaction():
        secret = add_launch(context, row, context.lifetimes.launch)
        record(
            context,
            "launch",
            200,
            principal=user.fhir_user or f"User/{user.username}",
            client_id=client_id,
            username=user.username,
            patient=patient or "",
            detail=f"by {by}" if by else "",
        )
    separator = "&" if urlsplit(client.launch_url).query else "?"
    query = urlencode({"iss": context.fhir_base, "launch": secret})
    return Launch(secret, f"{client.launch_url}{separator}{query}")


def add_launch(context: AuthContext, row: LaunchRow, lifetime: timedelta) -> str:
    """Keep a launch under a new secret, which is returned."""
    secret = context.new_secret()
    context.rows.add_launch(
        replace(row, launch_hash=context.hash(secret), expires=context.clock() + lifetime, used=None)
    )
    return secret


def use_launch(context: AuthContext, secret: str, client_id: str, *, continued: bool) -> LaunchRow | None:
    """Consume a launch of this client; None when it is unknown, expired, used, or another client's.

    continued: whether it must be one that stands for a consent page in progress, or must not be.
    """
    digest, now = context.hash(secret), context.clock()
    row = context.rows.launch(digest)
    if row is None or row.client_id != client_id or bool(row.context.get("continued")) != continued:
        return None
    used = context.rows.use_launch(digest, now)
    if used is None or used.used is not None or used.expires <= now:
        return None
    return used


def continue_launch(context: AuthContext, row: LaunchRow) -> str:
    """A new secret for a consumed launch, for the consent page to send back."""
    return add_launch(
        context, replace(row, context={**row.context, "continued": True}), context.lifetimes.consent
    )
