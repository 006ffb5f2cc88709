"""Client metadata of dynamic registration <-> a registration, within the bounds of an invitation (pure).

Metadata we do not know are left out of the answer, as the standard asks; those we know must be of their type.
Nobody can register themselves as trusted, or say who may frame the authorization page.
Sources: RFC 7591 sections 2 and 3.2, RFC 7592 section 2.2, OpenID Connect Dynamic Client Registration 1.0
(initiate_login_uri is not SMART's launch URL: that is `launch_url` here)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from server.auth.access import resource_types
from server.auth.clients import (
    ASYMMETRIC,
    AUTH_METHOD,
    PUBLIC,
    SYMMETRIC,
    Registration,
    RegistrationError,
    check_web_url,
)
from server.auth.scopes import Level, negotiate
from server.storage.authorization import ClientRow

_KIND = {method: kind for kind, method in AUTH_METHOD.items()}
_GRANTS = ("authorization_code", "refresh_token", "client_credentials")
_ADDRESSES = ("client_uri", "logo_uri", "policy_uri", "tos_uri")
_WORDS = ("software_id", "software_version")
_MOST_VALUES = 20  # of a list
_LONGEST_WORDS = 255
# Never to be said by a client, RFC 7592 section 2.2.
_SERVER_ONLY = (
    "registration_access_token",
    "registration_client_uri",
    "client_secret_expires_at",
    "client_id_issued_at",
)
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an invitation lets a client be. hosts: what its addresses may name, as in `InvitationRow`."""

    scope: str
    hosts: tuple[str, ...]
    backend: bool


def read_metadata(document: Mapping[str, Any], client_id: str, bounds: Bounds) -> Registration:
    """The registration that metadata ask for, its scope cut down to what may be had.

    document: decoded JSON. Raises: RegistrationError with the code of RFC 7591.
    """
    method = _word(document, "token_endpoint_auth_method") or AUTH_METHOD[SYMMETRIC]
    if method not in _KIND:
        raise RegistrationError(f"token_endpoint_auth_method is one of {', '.join(_KIND)}")
    kind = _KIND[method]
    grants = _words(document, "grant_types") or ("authorization_code",)
    if unknown := set(grants).difference(_GRANTS):
        raise RegistrationError(
            f"grant_types: {len(unknown)} of them are not offered here: {', '.join(_GRANTS)}"
        )
    people, backend = "authorization_code" in grants, "client_credentials" in grants
    if not people and not backend:
        raise RegistrationError("grant_types names authorization_code or client_credentials")
    if backend and not bounds.backend:
        raise RegistrationError("the invitation is not for client_credentials")
    answers = _words(document, "response_types") or (("code",) if people else ())
    if set(answers) != ({"code"} if people else set()):
        raise RegistrationError("response_types is code where grant_types has authorization_code, else empty")
    redirect_uris = _words(document, "redirect_uris", "invalid_redirect_uri")
    if redirect_uris and not people:
        raise RegistrationError("redirect_uris go with authorization_code in grant_types")
    for uri in redirect_uris:
        _within(uri, "a redirect URI", bounds, "invalid_redirect_uri")
    if "jwks" in document and "jwks_uri" in document:
        raise RegistrationError("jwks and jwks_uri exclude each other")
    if kind != ASYMMETRIC and ("jwks" in document or "jwks_uri" in document):
        raise RegistrationError("jwks and jwks_uri go with private_key_jwt")
    jwks = document.get("jwks")
    if jwks is not None and not isinstance(jwks, dict):
        raise RegistrationError('jwks is {"keys": [...]}')
    jwks_uri, launch_url = _word(document, "jwks_uri"), _word(document, "launch_url")
    for name, address in (("jwks_uri", jwks_uri), ("launch_url", launch_url)):
        if address:
            check_web_url(address, name)
            _within(address, name, bounds)
    return Registration(
        client_id=client_id,
        name=_word(document, "client_name") or _first_host(redirect_uris) or client_id,
        kind=kind,
        scope=_scope(document, bounds, people=people, backend=backend),
        backend=backend,
        redirect_uris=redirect_uris,
        launch_url=launch_url,
        jwks=jwks,
        jwks_uri=jwks_uri,
        metadata=_said(document, bounds),
    )


def check_update(document: Mapping[str, Any], client: ClientRow, is_secret: Callable[[str], bool]) -> None:
    """What an update must repeat, and what it must not say (RFC 7592 section 2.2).

    is_secret: whether a value is the client's secret. Raises: RegistrationError.
    """
    if document.get("client_id") != client.client_id:
        raise RegistrationError("client_id of the update is not the client's")
    if said := [name for name in _SERVER_ONLY if name in document]:
        raise RegistrationError(f"an update does not say {', '.join(said)}")
    if "client_secret" in document and not is_secret(_word(document, "client_secret")):
        raise RegistrationError("client_secret is not the client's; leave it out")
    if (_word(document, "token_endpoint_auth_method") or AUTH_METHOD[SYMMETRIC]) != AUTH_METHOD[client.kind]:
        raise RegistrationError("token_endpoint_auth_method cannot be changed; register another client")


def metadata(client: ClientRow) -> dict[str, Any]:
    """The metadata that are registered, as RFC 7591 section 3.2.1 answers them."""
    said: dict[str, Any] = {
        **{name: value for name, value in client.metadata.items() if name != "trusted"},
        "client_name": client.name,
        "token_endpoint_auth_method": AUTH_METHOD[client.kind],
        "grant_types": list(client.grant_types),
        "response_types": ["code"] if client.redirect_uris else [],
        "scope": client.scope,
    }
    if client.redirect_uris:
        said["redirect_uris"] = list(client.redirect_uris)
    if client.jwks_uri:
        said["jwks_uri"] = client.jwks_uri
    elif client.kind == ASYMMETRIC:
        said["jwks"] = dict(client.jwks)
    if client.launch_url:
        said["launch_url"] = client.launch_url
    return said


def needs_secret(registration: Registration) -> bool:
    """Whether such a client is given a secret."""
    return registration.kind not in (PUBLIC, ASYMMETRIC)


def _scope(document: Mapping[str, Any], bounds: Bounds, *, people: bool, backend: bool) -> str:
    levels: list[Level] = [*(("patient", "user") if people else ()), *(("system",) if backend else ())]
    scope = negotiate(_word(document, "scope", 16_384) or bounds.scope, bounds.scope, levels, resource_types())
    if not scope:
        raise RegistrationError("nothing of this scope may be had by the invitation, in these grant_types")
    return scope


def _said(document: Mapping[str, Any], bounds: Bounds) -> dict[str, Any]:
    """What is kept as given: addresses to show to people, contacts, software, names in other languages."""
    said: dict[str, Any] = {}
    for name in _ADDRESSES:
        if address := _word(document, name):
            check_web_url(address, name)
            _within(address, name, bounds)
            said[name] = address
    for name in _WORDS:
        if words := _word(document, name):
            said[name] = words
    if contacts := _words(document, "contacts"):
        said["contacts"] = list(contacts)
    names = [name for name in document if name.startswith("client_name#")]
    for name in names[:_MOST_VALUES]:
        if _LANGUAGE_TAG.fullmatch(name.partition("#")[2]) and (words := _word(document, name, 100)):
            said[name] = words
    return said


def _within(address: str, what: str, bounds: Bounds, code: str = "invalid_client_metadata") -> None:
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        raise RegistrationError(f"{what} cannot be read as a URL", code) from None
    if (host or f"{parts.scheme}:") not in bounds.hosts:
        raise RegistrationError(f"{what} names a host that the invitation does not", code)


def _first_host(redirect_uris: Sequence[str]) -> str:
    return (urlsplit(redirect_uris[0]).hostname or "") if redirect_uris else ""


def _word(document: Mapping[str, Any], name: str, longest: int = 2_000) -> str:
    """A string of visible characters; "" where there is none. Raises: RegistrationError."""
    value = document.get(name)
    if value is None:
        return ""
    longest = _LONGEST_WORDS if name in _WORDS else longest
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise RegistrationError(f"{name} is a string of at most {longest} visible characters")
    return value


def _words(document: Mapping[str, Any], name: str, code: str = "invalid_client_metadata") -> tuple[str, ...]:
    """A list of strings of visible characters. Raises: RegistrationError."""
    value = document.get(name)
    if value is None:
        return ()
    if (
        not isinstance(value, list)
        or len(value) > _MOST_VALUES
        or not all(isinstance(item, str) and len(item) <= 2_000 and item.isprintable() for item in value)
    ):
        raise RegistrationError(f"{name} is a list of at most {_MOST_VALUES} strings", code)
    return tuple(value)
