"""The refresh token grant: every refresh token is good once and brings its successor.

A token used a second time was stolen by somebody: the whole grant ends. Offline access lives three months from
its last use, online access as long as the login it came from.
Sources: RFC 6749 section 6, RFC 9700 section 4.14,
hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html (refresh access token)
"""

from __future__ import annotations

from typing import Any, ClassVar

from authlib.oauth2.rfc6749.errors import InvalidGrantError, InvalidScopeError
from authlib.oauth2.rfc6749.grants import RefreshTokenGrant as Grant
from authlib.oauth2.rfc6749.models import TokenMixin

from server.auth.authorization_code import CLIENT_AUTHENTICATION, keep_access_token, live_grant, refresh_row
from server.auth.clients import Client
from server.auth.context import AuthContext, record
from server.auth.scopes import CONTEXT_SCOPES, parse_scope, parse_scopes
from server.auth.sessions import is_alive
from server.auth.token_response import launch_context
from server.storage.authorization import GrantRow, RefreshTokenRow


class RefreshToken(TokenMixin):
    """A refresh token as Authlib's grant asks for it."""

    def __init__(self, row: RefreshTokenRow) -> None:
        self.row = row

    def check_client(self, client: Client) -> bool:
        return self.row.client_id == client.client_id

    def get_scope(self) -> str:
        return self.row.scope


class RefreshTokenGrant(Grant):
    """Exchanges a refresh token for an access token and the next refresh token."""

    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = CLIENT_AUTHENTICATION
    INCLUDE_NEW_REFRESH_TOKEN = True

    @property
    def _context(self) -> AuthContext:
        return self.server.context

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshToken | None:
        row = self._context.rows.refresh_token(self._context.hash(refresh_token))
        return None if row is None or row.expires <= self._context.clock() else RefreshToken(row)

    def _validate_token_scope(self, token: RefreshToken) -> None:
        """The scopes asked for must lie within the granted ones; narrower ones are welcome."""
        granted = token.get_scope()
        held, words = parse_scopes(granted), set(granted.split())
        for word in (self.request.payload.scope or "").split():
            scope = parse_scope(word)
            if scope is None:
                allowed = word in words and word in CONTEXT_SCOPES
            else:
                allowed = any(other.covers(scope) for other in held)
            if not allowed:
                raise InvalidScopeError("The scope was not granted before.")

    def authenticate_user(self, refresh_token: RefreshToken) -> GrantRow:
        context = self._context
        grant = live_grant(context, refresh_token.row.grant_id)
        if grant is None:
            raise InvalidGrantError("The access was withdrawn.")
        session = grant.context.get("session", "")
        online = "offline_access" not in refresh_token.get_scope().split()
        if online and session and not is_alive(context, bytes.fromhex(session)):
            raise InvalidGrantError("The user has signed out.")
        return grant

    def generate_token(self, user: GrantRow, scope: str, **_: Any) -> dict[str, Any]:
        context = self._context
        return {
            "access_token": context.new_secret(),
            "token_type": "Bearer",
            "expires_in": int(context.lifetimes.access_token.total_seconds()),
            "scope": scope,
            "refresh_token": context.new_secret(),
            **launch_context(context, user),
        }

    def save_token(self, token: dict[str, Any]) -> None:
        context, grant, old = self._context, self.request.user, self.request.refresh_token.row
        now = context.clock()
        with context.rows.transaction():
            # The successor carries the whole granted scope, also where this access token asked for less.
            successor = refresh_row(context, token["refresh_token"], grant, old.scope)
            was = context.rows.rotate_refresh_token(old.token_hash, successor, now)
            first = was is not None and was.rotated is None
            if first:
                keep_access_token(context, token, grant)
            else:
                context.rows.revoke_grant(old.grant_id, now)
            record(
                context,
                "token-refresh" if first else "refresh-reuse",
                200 if first else 400,
                principal=grant.fhir_user or f"User/{grant.username}",
                client_id=grant.client_id,
                username=grant.username,
                patient=grant.patient or "",
                request_id=self.request.request_id,
                detail=token["scope"],
            )
        if not first:
            raise InvalidGrantError("This refresh token was used before.")

    def revoke_old_credential(self, refresh_token: RefreshToken) -> None:
        """It was rotated when its successor was kept."""
