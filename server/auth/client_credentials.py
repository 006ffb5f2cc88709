"""The client credentials grant: backend services with private_key_jwt.

Sources: hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html, RFC 6749 section 4.4
"""

from __future__ import annotations

from typing import Any, ClassVar

from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidScopeError
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant as Grant

from server.auth.access import resource_types
from server.auth.context import AuthContext, record
from server.auth.partners import PartnerClosed, acting_for
from server.auth.scopes import is_known, negotiate
from server.auth.tokens import Claims, add_access_token
from server.storage.authorization import GrantRow


class ClientCredentialsGrant(Grant):
    """Issues short tokens of system/ scopes; never a refresh token."""

    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = ["private_key_jwt"]

    @property
    def _context(self) -> AuthContext:
        return self.server.context

    def validate_requested_scope(self) -> None:
        """A word that is no scope is refused; of the others the client gets what it may have."""
        words = (self.request.payload.scope or "").split()
        if not words:
            raise InvalidScopeError("scope is missing: name the system/ scopes you need.")
        if not all(is_known(word, resource_types()) for word in words):
            raise InvalidScopeError("A scope is malformed or unknown.")
        allowed = self.request.client.row.scope
        granted = negotiate(" ".join(words), allowed, ("system",), resource_types())
        if not granted:
            raise InvalidScopeError("The client may have none of these scopes.")
        self.request.scope = granted

    def generate_token(self, **_: Any) -> dict[str, Any]:
        context = self._context
        return {
            "access_token": context.new_secret(),
            "token_type": "Bearer",
            "expires_in": int(context.lifetimes.backend_token.total_seconds()),
            "scope": self.request.scope,
        }

    def save_token(self, token: dict[str, Any]) -> None:
        context, client_id = self._context, self.request.client.client_id
        grant_id = context.new_secret()
        try:
            acting = acting_for(context, client_id)
        except PartnerClosed:  # since the client proved itself
            raise InvalidClientError("The client may not act now.", status_code=401) from None
        with context.rows.transaction():
            context.rows.add_grant(
                GrantRow(grant_id=grant_id, client_id=client_id, created=context.clock(), scope=token["scope"])
            )
            add_access_token(
                context,
                token["access_token"],
                Claims(client_id=client_id, scope=token["scope"]),
                context.lifetimes.backend_token,
                grant_id,
            )
            record(
                context,
                "token-issue",
                200,
                principal=acting.organization if acting is not None else f"Client/{client_id}",
                client_id=client_id,
                request_id=self.request.request_id,
                purpose=acting.purpose if acting is not None else "",
                detail=token["scope"],
            )
