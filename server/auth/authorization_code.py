"""The authorization code grant with PKCE (S256) and SMART's rules for the authorization request.

A code is good for 60 seconds and once; a second use revokes everything the first one brought.
Sources: RFC 6749 section 4.1, RFC 7636, RFC 9700 section 2.1.1,
hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from authlib.oauth2.rfc6749.errors import InvalidGrantError, InvalidRequestError, InvalidScopeError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant as CodeGrant
from authlib.oauth2.rfc6749.models import AuthorizationCodeMixin
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7636.challenge import compare_s256_code_challenge

from server.auth.clients import PUBLIC, Client
from server.auth.context import AuthContext, record
from server.auth.openid_request import check_openid_parameters
from server.auth.token_response import id_token, identity_claims, launch_context
from server.auth.tokens import add_access_token, grant_claims
from server.storage.authorization import CodeRow, GrantRow, RefreshTokenRow

CLIENT_AUTHENTICATION = ["private_key_jwt", "client_secret_basic", "none"]


@dataclass(frozen=True, slots=True)
class Approval:
    """That a user lets a client have a scope, with the launch context it gets.

    fhir_user: "Practitioner/id" or None. context: intent, fhirContext, need_patient_banner, tenant and, for
    online access, `session`: the login that the access ends with.
    """

    username: str
    fhir_user: str | None
    role: str
    scope: str
    patient: str | None = None
    encounter: str | None = None
    auth_time: datetime | None = None
    context: Mapping[str, Any] = field(default_factory=dict)


class _Code(AuthorizationCodeMixin):
    """A code as Authlib's grant asks for it."""

    def __init__(self, row: CodeRow) -> None:
        self.row = row
        self.code_challenge = row.code_challenge
        self.code_challenge_method = "S256"

    def get_redirect_uri(self) -> str:
        return self.row.redirect_uri

    def get_scope(self) -> str:
        return self.row.scope


class AuthorizationCodeGrant(CodeGrant):
    """Issues codes for approvals and exchanges them."""

    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = CLIENT_AUTHENTICATION

    @property
    def _context(self) -> AuthContext:
        return self.server.context

    # The authorization endpoint

    @staticmethod
    def validate_authorization_redirect_uri(request: Any, client: Client) -> str:
        redirect_uri = request.payload.redirect_uri
        if not redirect_uri or not client.check_redirect_uri(redirect_uri):
            raise InvalidRequestError("redirect_uri is not one that this client has registered.")
        return redirect_uri

    def generate_authorization_code(self) -> str:
        return self._context.new_secret()

    def save_authorization_code(self, code: str, request: Any) -> None:
        context, approval = self._context, request.user
        now, form = context.clock(), request.payload.data
        grant = GrantRow(
            grant_id=context.new_secret(),
            client_id=request.client.client_id,
            created=now,
            scope=approval.scope,
            username=approval.username,
            fhir_user=approval.fhir_user,
            role=approval.role,
            patient=approval.patient,
            encounter=approval.encounter,
            context=approval.context,
        )
        with context.rows.transaction():
            context.rows.add_grant(grant)
            context.rows.add_code(
                CodeRow(
                    code_hash=context.hash(code),
                    grant_id=grant.grant_id,
                    client_id=grant.client_id,
                    redirect_uri=form["redirect_uri"],
                    scope=approval.scope,
                    expires=now + context.lifetimes.code,
                    code_challenge=form.get("code_challenge", ""),
                    nonce=form.get("nonce", ""),
                    auth_time=approval.auth_time,
                )
            )
            _record(context, "authorize", grant, request.request_id)

    # The token endpoint

    def query_authorization_code(self, code: str, client: Client) -> _Code | None:
        context = self._context
        now = context.clock()
        row = context.rows.use_code(context.hash(code), now)
        if row is None:
            return None
        if row.used is not None:
            context.rows.revoke_grant(row.grant_id, now)
            record(context, "code-reuse", 400, client_id=client.client_id, request_id=self.request.request_id)
            return None
        if row.client_id != client.client_id or row.expires <= now:
            return None
        return _Code(row)

    def authenticate_user(self, authorization_code: _Code) -> GrantRow | None:
        return live_grant(self._context, authorization_code.row.grant_id)

    def generate_token(
        self, user: GrantRow, scope: str, include_refresh_token: bool, **_: Any
    ) -> dict[str, Any]:
        context, code = self._context, self.request.authorization_code.row
        token: dict[str, Any] = {
            "access_token": context.new_secret(),
            "token_type": "Bearer",
            "expires_in": int(context.lifetimes.access_token.total_seconds()),
            "scope": scope,
        }
        if include_refresh_token and {"offline_access", "online_access"} & set(scope.split()):
            token["refresh_token"] = context.new_secret()
        if signed := id_token(context, user, scope, code.nonce, code.auth_time, token["access_token"]):
            token["id_token"] = signed
        return {**token, **launch_context(context, user)}

    def save_token(self, token: dict[str, Any]) -> None:
        context, grant = self._context, self.request.user
        with context.rows.transaction():
            if live_grant(context, grant.grant_id) is None:
                # The code was used again, or the user signed out, since it was accepted.
                raise InvalidGrantError("The access was withdrawn.")
            keep_access_token(context, token, grant)
            if "refresh_token" in token:
                context.rows.add_refresh_token(
                    refresh_row(context, token["refresh_token"], grant, token["scope"])
                )
            _record(context, "token-issue", grant, self.request.request_id)

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        """It was consumed when it was looked up."""


def live_grant(context: AuthContext, grant_id: str) -> GrantRow | None:
    """The grant, unless it was revoked or its user may no longer sign in."""
    grant = context.rows.grant(grant_id)
    if grant is None or grant.revoked is not None:
        return None
    user = context.rows.user(grant.username)
    return None if user is None or user.disabled else grant


def keep_access_token(context: AuthContext, token: Mapping[str, Any], grant: GrantRow) -> None:
    """Keep the access token of a token answer, with what introspection says of it."""
    details = {**launch_context(context, grant), **identity_claims(context, grant, token["scope"])}
    claims = grant_claims(grant, token["scope"], details)
    add_access_token(context, token["access_token"], claims, context.lifetimes.access_token, grant.grant_id)


def refresh_row(context: AuthContext, token: str, grant: GrantRow, scope: str) -> RefreshTokenRow:
    """A refresh token: for offline access three months from now, for online access at most a login's length."""
    offline = "offline_access" in scope.split()
    lifetime = context.lifetimes.offline if offline else context.lifetimes.session_absolute
    return RefreshTokenRow(
        token_hash=context.hash(token),
        grant_id=grant.grant_id,
        client_id=grant.client_id,
        scope=scope,
        expires=context.clock() + lifetime,
    )


def _record(context: AuthContext, event: str, grant: GrantRow, request_id: str) -> None:
    record(
        context,
        event,
        200,
        principal=grant.fhir_user or f"User/{grant.username}",
        client_id=grant.client_id,
        username=grant.username,
        patient=grant.patient or "",
        request_id=request_id,
        detail=grant.scope,
    )


class S256CodeChallenge(CodeChallenge):
    """PKCE by S256 alone, and required of public clients already in the authorization request."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD: ClassVar[list[str]] = ["S256"]
    CODE_CHALLENGE_METHODS: ClassVar[dict[str, Any]] = {"S256": compare_s256_code_challenge}

    def validate_code_challenge(self, grant: AuthorizationCodeGrant, redirect_uri: str) -> None:
        form = grant.request.payload.data
        challenge, method = form.get("code_challenge"), form.get("code_challenge_method")
        if (challenge or method) and method != "S256":
            raise InvalidRequestError("code_challenge_method must be S256.")
        if not challenge and grant.request.client.row.kind == PUBLIC:
            raise InvalidRequestError("A public client must send a code_challenge (PKCE, S256).")
        super().validate_code_challenge(grant, redirect_uri)


class SmartRequest:
    """What SMART and OpenID Connect add to an authorization request: `aud` is this FHIR server, `launch` needs
    its scope, and no parameter asks for what is not offered."""

    def __call__(self, grant: AuthorizationCodeGrant) -> None:
        grant.register_hook("after_validate_authorization_request_payload", self._validate)

    def _validate(self, grant: AuthorizationCodeGrant, redirect_uri: str) -> None:
        request = grant.request
        check_openid_parameters(request.payload.data)
        audience = request.payload.data.get("aud", "")
        if audience.rstrip("/") != grant.server.context.fhir_base:
            raise InvalidRequestError("aud must be the base URL of this FHIR server.")
        if request.payload.data.get("launch") and "launch" not in request.scope.split():
            raise InvalidScopeError("An EHR launch needs the scope launch, and the client must be allowed it.")
