"""Registered clients: what a registration must fulfil, and a client as the grants see it.

Sources: RFC 7591 section 2 (metadata), RFC 8252 section 7 (redirect URIs of native apps),
hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#register-app-with-ehr
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import ClientMixin

from server.auth.access import clauses, resource_types
from server.auth.credentials import keyed_hash
from server.auth.discovery import TOKEN_EXCHANGE
from server.auth.public_keys import key_set_fault
from server.auth.scopes import is_known, negotiate, parse_scope
from server.outbound_networks import LONGEST_URL
from server.storage.authorization import ClientRow

PUBLIC = "public"
SYMMETRIC = "confidential-symmetric"
ASYMMETRIC = "confidential-asymmetric"
# Kind of client -> token_endpoint_auth_method (RFC 7591).
AUTH_METHOD: Mapping[str, str] = {
    PUBLIC: "none",
    SYMMETRIC: "client_secret_basic",
    ASYMMETRIC: "private_key_jwt",
}
_LONGEST_NAME = 100
_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")


class RegistrationError(Exception):
    """A client cannot be registered as asked; the text says what to change.

    code: the error of RFC 7591 section 3.2.2.
    """

    def __init__(self, text: str, code: str = "invalid_client_metadata") -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Registration:
    """A client as somebody asks for it. jwks: {"keys": [...]} or None. backend: uses client credentials.

    metadata: what else RFC 7591 section 2 lets a client say of itself, kept as given.
    """

    client_id: str
    name: str
    kind: str
    scope: str
    backend: bool = False
    redirect_uris: Sequence[str] = ()
    launch_url: str = ""
    frame_ancestors: Sequence[str] = ()
    jwks: Mapping[str, Any] | None = None
    jwks_uri: str = ""
    trusted: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    exchange: bool = False  # exchanges id tokens of EHRs that launch it (`trusted_issuers`)


class Client(ClientMixin):
    """A registered client as Authlib's grants ask for it."""

    def __init__(self, row: ClientRow, token_key: bytes) -> None:
        self.row = row
        self._token_key = token_key

    @property
    def client_id(self) -> str:
        """The client's identifier."""
        return self.row.client_id

    @property
    def trusted(self) -> bool:
        """A first-party client that needs no consent page."""
        return self.row.metadata.get("trusted") is True

    def get_client_id(self) -> str:
        return self.row.client_id

    def get_default_redirect_uri(self) -> str | None:
        return None  # SMART makes redirect_uri a required parameter

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """What is left of the requested scopes in an authorization request; None when that is nothing."""
        return negotiate(scope or "", self.row.scope, ("patient", "user"), resource_types()) or None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.row.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        if not self.row.secret_hash:
            return False
        return hmac.compare_digest(self.row.secret_hash, keyed_hash(self._token_key, client_secret).hex())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return AUTH_METHOD[self.row.kind] == method

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and self.check_grant_type("authorization_code")

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.row.grant_types


def client_row(registration: Registration, secret_hash: str, now: datetime) -> ClientRow:
    """The row of a registration that fulfils all rules.

    Raises: RegistrationError.
    """
    if not _CLIENT_ID.fullmatch(registration.client_id):
        raise RegistrationError("a client id is 1 to 64 letters, digits, or . _ ~ -")
    if not registration.name.strip():
        raise RegistrationError("a client needs a name: people see it when they are asked for consent")
    if len(registration.name) > _LONGEST_NAME or not registration.name.isprintable():
        raise RegistrationError(f"a client's name has at most {_LONGEST_NAME} characters, all of them visible")
    if (registration.backend or registration.exchange) and registration.kind != ASYMMETRIC:
        raise RegistrationError("a backend client signs in with its own key: give its key set (JWKS)")
    if not (registration.backend or registration.exchange) and not registration.redirect_uris:
        raise _bad_redirect_uri("a client that people sign in to needs at least one redirect URI")
    for uri in registration.redirect_uris:
        _check_redirect_uri(uri)
    if registration.launch_url:
        check_web_url(registration.launch_url, "launch URL")
    for origin in registration.frame_ancestors:
        _check_origin(origin)
    if registration.jwks_uri:
        check_web_url(registration.jwks_uri, "jwks_uri")
    if registration.kind == ASYMMETRIC:
        if (registration.jwks is None) == (not registration.jwks_uri):
            raise RegistrationError("give the client's public keys: a JWKS, or its URL, not both")
        if registration.jwks is not None and (fault := key_set_fault(registration.jwks)):
            raise RegistrationError(fault)
    check_scope(registration.scope)
    words = registration.scope.split()
    grant_types = []
    if registration.redirect_uris:
        grant_types.append("authorization_code")
        if {"offline_access", "online_access"} & set(words):
            grant_types.append("refresh_token")
    if registration.backend:
        grant_types.append("client_credentials")
    if registration.exchange:
        grant_types.append(TOKEN_EXCHANGE)
    return ClientRow(
        client_id=registration.client_id,
        name=registration.name.strip(),
        kind=registration.kind,
        created=now,
        scope=" ".join(dict.fromkeys(words)),
        grant_types=tuple(grant_types),
        redirect_uris=tuple(dict.fromkeys(registration.redirect_uris)),
        secret_hash=secret_hash,
        jwks=registration.jwks or {},
        jwks_uri=registration.jwks_uri,
        launch_url=registration.launch_url,
        frame_ancestors=tuple(dict.fromkeys(registration.frame_ancestors)),
        metadata={**registration.metadata, **({"trusted": True} if registration.trusted else {})},
    )


def description(row: ClientRow, client_secret: str = "") -> dict[str, Any]:
    """A client as `baton client` shows it. client_secret: only when it has just been made."""
    shown: dict[str, Any] = {"client_id": row.client_id, "client_name": row.name}
    if client_secret:
        shown["client_secret"] = client_secret
    shown["client_type"] = row.kind
    shown["token_endpoint_auth_method"] = AUTH_METHOD[row.kind]
    shown["redirect_uris"] = list(row.redirect_uris)
    if row.launch_url:
        shown["launch_url"] = row.launch_url
    if row.jwks_uri:
        shown["jwks_uri"] = row.jwks_uri
    if row.jwks.get("keys"):
        shown["jwks"] = dict(row.jwks)
    if row.frame_ancestors:
        shown["frame_ancestors"] = list(row.frame_ancestors)
    shown |= {"scope": row.scope, "grant_types": list(row.grant_types), "disabled": row.disabled}
    if row.registration:
        shown["invitation"] = row.registration["invitation"]
    return {**shown, **{name: value for name, value in row.metadata.items() if name not in shown}}


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_redirect_uri(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
    except ValueError:
        raise _bad_redirect_uri("a redirect URI cannot be read as a URL") from None
    if (
        len(uri) > LONGEST_URL
        or not uri.isascii()
        or not uri.isprintable()
        or " " in uri
        or "\\" in uri
        or '"' in uri
        or parts.fragment
    ):
        raise _bad_redirect_uri(
            "a redirect URI is printable ASCII of at most 2,000 characters without spaces, quotes or a fragment"
        )
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and _is_loopback(host):
        return
    # RFC 8252 section 7.1: native apps use a scheme of their own in reverse domain notation.
    if "." in parts.scheme and parts.scheme not in ("http", "https"):
        return
    raise _bad_redirect_uri("a redirect URI is https, http on loopback, or a reverse-domain scheme of an app")


def _bad_redirect_uri(text: str) -> RegistrationError:
    return RegistrationError(text, "invalid_redirect_uri")


def check_web_url(url: str, what: str) -> None:
    """Refuse what is no https URL (http on loopback) to follow or to show. Raises: RegistrationError."""
    try:
        if len(url) > LONGEST_URL or " " in url or "\\" in url or '"' in url:
            raise ValueError
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise RegistrationError(f"the {what} cannot be read as a URL") from None
    secure = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))
    if not host or not secure or parts.username or parts.fragment or not url.isascii() or not url.isprintable():
        raise RegistrationError(f"the {what} is an https URL (http on loopback) without user or fragment")


def _check_origin(origin: str) -> None:
    check_web_url(origin, "frame ancestor")
    parts = urlsplit(origin)
    if origin != f"{parts.scheme}://{parts.netloc}" or not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", parts.netloc):
        raise RegistrationError("a frame ancestor is an origin: scheme, host and port, nothing more")


def check_scope(scope: str) -> None:
    """Refuse what a client cannot be registered for. Raises: RegistrationError."""
    words, known_types = scope.split(), resource_types()
    if not words:
        raise RegistrationError("name at least one scope, for example patient/*.rs")
    for word in words:
        if not is_known(word, known_types):
            raise RegistrationError(f"{word!r} is not a scope this server knows")
        parsed = parse_scope(word)
        granular = parsed is not None and parsed.criteria and parsed.resource_type != "*"
        if parsed and granular and clauses(parsed.resource_type, parsed.criteria) is None:
            raise RegistrationError(f"{word!r} restricts by something that is no search parameter of its type")
