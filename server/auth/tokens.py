"""Access and refresh tokens: issue, verify, revoke.

A token is 256 random bits without meaning; what it stands for is a row. Verified tokens are kept in this
process only as long as the security epoch stays the same: the epoch is read with every request, and every
change of what somebody may do raises it, so revocation is immediate in every process.
Sources: RFC 6749, RFC 6750, RFC 7009.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from server.auth.context import AuthContext, record
from server.auth.open_charts import open_emergencies
from server.auth.partners import Acting, PartnerClosed, acting_for, may_act
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.errors import FhirError
from server.storage.authorization import GrantRow, TokenRow

# Tokens of 43 characters and principals of about 2 kB: at most some 20 MB a process.
_CACHE_LIMIT = 10_000
_TOKEN_LENGTHS = range(16, 257)


class Authenticator:
    """Turns Authorization headers into principals; one for each process."""

    def __init__(self, context: AuthContext) -> None:
        self._context = context
        # One value, so that no thread puts what it read before a change among what was read after it.
        self._of_epoch: tuple[int, dict[str, tuple[Principal, datetime]]] = (-1, {})

    def authenticate(self, authorization: str | None) -> Principal:
        """The principal of a request's Authorization header.

        Raises: FhirError("unauthorized") with WWW-Authenticate as RFC 6750 section 3 words it.
        """
        if not authorization:
            raise _unauthorized("this needs an access token", "")
        scheme, _, token = authorization.strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or len(token) not in _TOKEN_LENGTHS or not token.isascii():
            raise _unauthorized(
                "the Authorization header holds no access token of this server: Bearer, a space, the token",
                "invalid_request",
            )
        principal = self.principal(token)
        if principal is None:
            raise _unauthorized("the access token is unknown, expired or revoked", "invalid_token")
        return principal

    def principal(self, token: str) -> Principal | None:
        """Whom an access token stands for; None when it is unknown, expired or revoked."""
        epoch = self._context.rows.security_epoch()
        seen, known = self._of_epoch
        if epoch != seen:
            known = {}
            self._of_epoch = epoch, known
        found = known.get(token)
        if found is None:
            row = active_token(self._context, token)
            if row is None:
                return None
            if len(known) >= _CACHE_LIMIT:
                known.clear()
            try:
                acting = acting_for(self._context, row.client_id, row.username)
            except PartnerClosed:  # since the line before
                return None
            # No token outlives the agreement that lets a partner ask.
            ends = row.expires if acting is None or acting.until is None else min(row.expires, acting.until)
            found = known[token] = (_principal(self._context, row, acting), ends)
        principal, expires = found
        return principal if self._context.clock() < expires else None


def _unauthorized(text: str, error: str) -> FhirError:
    challenge = 'Bearer realm="baton"' + (f', error="{error}"' if error else "")
    return FhirError("unauthorized", text, headers={"WWW-Authenticate": challenge})


def active_token(context: AuthContext, token: str) -> TokenRow | None:
    """The row of an access token in force: not expired, not revoked, its client, user and partner admitted."""
    row = _standing(context, context.hash(token))
    return row if row is not None and context.clock() < row.expires else None


def standing_principal(context: AuthContext, token_hash: bytes) -> Principal | None:
    """Whom an access token stands for that was good when a request came, and may have expired since.

    None once it, its grant or what came of it was revoked, or its client or user disabled; or when it expired
    so long ago that its row is gone.
    """
    row = _standing(context, token_hash)
    if row is None:
        return None
    try:
        return _principal(context, row, acting_for(context, row.client_id, row.username))
    except PartnerClosed:
        return None


def _standing(context: AuthContext, token_hash: bytes) -> TokenRow | None:
    """The row of an access token, expired or not, unless it was revoked, its client or user disabled, or the
    partner that they belong to may not act."""
    row = context.rows.token(token_hash)
    if row is None or row.revoked is not None:
        return None
    client = context.rows.client(row.client_id)
    if client is not None and client.disabled:
        return None
    if row.username:
        user = context.rows.user(row.username)
        if user is None or user.disabled:
            return None
    return row if may_act(context, row.client_id, row.username) else None


def _principal(context: AuthContext, row: TokenRow, acting: Acting | None) -> Principal:
    # The role is the user's of today, not of the day the token was made.
    user = context.rows.user(row.username) if row.username else None
    return Principal(
        client_id=row.client_id,
        scopes=parse_scopes(row.scope),
        user=row.fhir_user,
        patient=row.patient,
        encounter=row.encounter,
        role=user.role if user is not None else row.role,
        token_id=row.token_hash.hex()[:16],
        token_hash=row.token_hash,
        username=row.username,
        organization=acting.organization if acting is not None else None,
        purpose=acting.purpose if acting is not None else "",
        emergencies=open_emergencies(context, row.fhir_user),
    )


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token is to stand for. details: what introspection repeats (context, id token claims)."""

    client_id: str
    scope: str
    username: str = ""
    fhir_user: str | None = None
    role: str = ""
    patient: str | None = None
    encounter: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def grant_claims(grant: GrantRow, scope: str, details: Mapping[str, Any]) -> Claims:
    """What a token of this grant stands for, with the given (possibly narrower) scope."""
    return Claims(
        client_id=grant.client_id,
        scope=scope,
        username=grant.username,
        fhir_user=grant.fhir_user,
        role=grant.role,
        patient=grant.patient,
        encounter=grant.encounter,
        details=details,
    )


def add_access_token(
    context: AuthContext, token: str, claims: Claims, lifetime: timedelta, grant_id: str
) -> None:
    """Keep a new access token of a grant."""
    now = context.clock()
    context.rows.add_token(
        TokenRow(
            token_hash=context.hash(token),
            grant_id=grant_id,
            client_id=claims.client_id,
            scope=claims.scope,
            issued=now,
            expires=now + lifetime,
            username=claims.username,
            fhir_user=claims.fhir_user,
            role=claims.role,
            patient=claims.patient,
            encounter=claims.encounter,
            details=claims.details,
        )
    )


def mint(context: AuthContext, claims: Claims, lifetime: timedelta) -> str:
    """A token made by the operator of the host, outside of any client's flow; audited."""
    token = context.new_secret()
    grant_id = context.new_secret()
    with context.rows.transaction():
        context.rows.add_grant(
            GrantRow(
                grant_id=grant_id,
                client_id=claims.client_id,
                created=context.clock(),
                scope=claims.scope,
                username=claims.username,
                fhir_user=claims.fhir_user,
                role=claims.role,
                patient=claims.patient,
                encounter=claims.encounter,
            )
        )
        add_access_token(context, token, claims, lifetime, grant_id)
        record(
            context,
            "token-mint",
            200,
            principal=claims.fhir_user or f"Client/{claims.client_id}",
            client_id=claims.client_id,
            username=claims.username,
            patient=claims.patient or "",
            detail=claims.scope,
        )
    return token


def revoke(context: AuthContext, token: str, *, principal: str) -> bool:
    """End an access token, or with a refresh token the whole grant, at once; False when it was not in force.

    principal: who revokes, for the audit trail.
    """
    digest, now = context.hash(token), context.clock()
    refresh = context.rows.refresh_token(digest)
    row = context.rows.token(digest)
    client_id = refresh.client_id if refresh else row.client_id if row else ""
    with context.rows.transaction():
        if refresh is not None:
            ended = context.rows.revoke_grant(refresh.grant_id, now)
        else:
            ended = context.rows.revoke_token(digest, now)
        record(context, "token-revoke", 200 if ended else 404, principal=principal, client_id=client_id)
    return ended


def standing_grants(context: AuthContext, username: str) -> list[list[GrantRow]]:
    """What a user has granted and can still act, the newest first; alike grants of one client together."""
    # What came from a login that is over, and its last access token, cannot act any more.
    oldest = context.clock() - context.lifetimes.session_absolute - context.lifetimes.access_token
    alike: dict[tuple[str, str], list[GrantRow]] = {}
    for grant in sorted(context.rows.grants(username=username), key=lambda row: row.created, reverse=True):
        if grant.revoked is None and (grant.created > oldest or "offline_access" in grant.scope.split()):
            alike.setdefault((grant.client_id, grant.scope), []).append(grant)
    return list(alike.values())


def withdraw_grant(context: AuthContext, username: str, grant_id: str, request_id: str) -> bool:
    """A user takes back what they granted, with every token made from it; False if it was not theirs."""
    grant = context.rows.grant(grant_id) if grant_id.isascii() else None
    if grant is None or grant.username != username:
        return False
    with context.rows.transaction():
        ended = context.rows.revoke_grant(grant_id, context.clock())
        record(
            context,
            "grant-withdraw",
            200,
            principal=grant.fhir_user or f"User/{username}",
            client_id=grant.client_id,
            username=username,
            patient=grant.patient or "",
            request_id=request_id,
            detail=grant.scope,
        )
    return ended
