"""Revocation and introspection of tokens.

Sources: RFC 7009, RFC 7662, hl7.org/fhir/smart-app-launch/STU2.2/token-introspection.html
"""

from __future__ import annotations

from typing import Any, ClassVar

from authlib.oauth2.rfc6749.errors import InvalidRequestError
from authlib.oauth2.rfc6749.models import TokenMixin
from authlib.oauth2.rfc7009 import RevocationEndpoint as Revocation
from authlib.oauth2.rfc7662 import IntrospectionEndpoint as Introspection

from server.auth.authorization_code import CLIENT_AUTHENTICATION
from server.auth.clients import PUBLIC, Client
from server.auth.context import AuthContext
from server.auth.tokens import active_token, revoke
from server.storage.authorization import RefreshTokenRow, TokenRow


class _Token(TokenMixin):
    """A token of either kind with its value."""

    def __init__(self, value: str, row: TokenRow | RefreshTokenRow) -> None:
        self.value = value
        self.row = row

    def check_client(self, client: Client) -> bool:
        return self.row.client_id == client.client_id

    def is_expired(self) -> bool:
        return False  # only tokens in force are looked up

    def is_revoked(self) -> bool:
        return False


class RevocationEndpoint(Revocation):
    """Ends an access token, or with a refresh token its whole grant. An unknown token is no error."""

    CLIENT_AUTH_METHODS: ClassVar[list[str]] = CLIENT_AUTHENTICATION

    def check_params(self, request: Any, client: Client) -> None:
        # token_type_hint is a hint: digests of both kinds are looked up anyway.
        if "token" not in request.form:
            raise InvalidRequestError("token is missing.")

    def query_token(self, token_string: str, token_type_hint: str | None) -> _Token | None:
        rows, digest = self.server.context.rows, self.server.context.hash(token_string)
        row = rows.token(digest) or rows.refresh_token(digest)
        return None if row is None else _Token(token_string, row)

    def revoke_token(self, token: _Token, request: Any) -> None:
        revoke(self.server.context, token.value, principal=f"Client/{request.client.client_id}")


class IntrospectionEndpoint(Introspection):
    """Tells an authenticated client about any access token in force; a public client only about its own."""

    CLIENT_AUTH_METHODS: ClassVar[list[str]] = CLIENT_AUTHENTICATION

    def check_params(self, request: Any, client: Client) -> None:
        if "token" not in request.form:
            raise InvalidRequestError("token is missing.")

    def query_token(self, token_string: str, token_type_hint: str | None) -> _Token | None:
        row = active_token(self.server.context, token_string)
        return None if row is None else _Token(token_string, row)

    def check_permission(self, token: _Token, client: Client, request: Any) -> bool:
        return client.row.kind != PUBLIC or token.check_client(client)

    def introspect_token(self, token: _Token) -> dict[str, Any]:
        return introspection(self.server.context, token.row)  # type: ignore[arg-type]


def introspection(context: AuthContext, row: TokenRow) -> dict[str, Any]:
    """What is said of an access token in force."""
    answer: dict[str, Any] = {
        "active": True,
        "client_id": row.client_id,
        "scope": row.scope,
        "token_type": "Bearer",
        "iat": int(row.issued.timestamp()),
        "exp": int(row.expires.timestamp()),
        "aud": context.fhir_base,
        **row.details,
    }
    if row.patient is not None:
        answer["patient"] = row.patient
    if row.encounter is not None:
        answer["encounter"] = row.encounter
    return answer
