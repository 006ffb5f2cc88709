"""EHRs whose id tokens may be exchanged for access here: what a registration must fulfil, and their keys.

Keys are fetched ahead of use, by command and by the worker, never while a request waits.
Sources: RFC 8693, OpenID Connect Core 1.0 section 2, RFC 7517.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from server.auth.access import resource_types
from server.auth.context import AuthContext, record
from server.auth.scopes import Scope, parse_scope
from server.outbound_http import Networks, OutboundError, fetch
from server.storage.identity_link_rows import IssuerRow, issuer_basis

ALGORITHMS = ("RS256", "RS384", "ES256", "ES384")  # symmetric ones and `none` never
KEYS_JOB = "issuer-keys"
# It says who wrote what, belongs to no chart of its own (the compartment follows what it targets), and may be
# added, never read.
UNBOUND = "Provenance"
_LENGTH = 255
_CLAIM = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")


class IssuerError(Exception):
    """An issuer cannot be registered as asked, or its keys not be had; the text says what to change."""


@dataclass(frozen=True, slots=True)
class NewIssuer:
    """An issuer as the operator asks for it; fields as in IssuerRow. jwks: None where only the URL is known."""

    issuer: str
    audience: str
    clients: Collection[str]
    scope: str
    fhir_base: str = ""
    label: str = ""
    algorithms: Collection[str] = ("RS256",)
    npi_claim: str = ""
    jwks_uri: str = ""
    jwks: Mapping[str, Any] | None = None


def issuer_row(asked: NewIssuer, now: datetime) -> IssuerRow:
    """The row of a registration that fulfils all rules. Raises: IssuerError."""
    fhir_base = (asked.fhir_base or asked.issuer).rstrip("/")
    for url, what in ((asked.issuer, "issuer"), (fhir_base, "FHIR base"), (asked.jwks_uri, "jwks_uri")):
        if url or what != "jwks_uri":
            _check_url(url, what)
    if not asked.audience or len(asked.audience) > _LENGTH or not asked.audience.isprintable():
        raise IssuerError("give the client id that the app has there (the `aud` of its id tokens)")
    if not asked.clients:
        raise IssuerError("name at least one client of ours that may exchange its tokens")
    if not asked.algorithms or not set(asked.algorithms) <= set(ALGORITHMS):
        raise IssuerError(f"algorithms are of {', '.join(ALGORITHMS)}")
    if asked.npi_claim and not _CLAIM.fullmatch(asked.npi_claim):
        raise IssuerError("the claim with the NPI is a name of at most 64 letters, digits and _ . : / -")
    if asked.jwks is None and not asked.jwks_uri:
        raise IssuerError("give its public keys: a JWKS, or its URL")
    for word in asked.scope.split():
        if not may_be_exchanged(parse_scope(word)):
            raise IssuerError(
                f"{word!r} cannot be granted by exchange: patient/ scopes of named types, and user/{UNBOUND}.cu"
            )
    if not asked.scope.split():
        raise IssuerError("name at least one scope, for example patient/List.crus")
    return IssuerRow(
        issuer=asked.issuer,
        fhir_base=fhir_base,
        label=asked.label.strip() or urlsplit(fhir_base).netloc,
        created=now,
        audience=asked.audience,
        clients=tuple(dict.fromkeys(asked.clients)),
        algorithms=tuple(dict.fromkeys(asked.algorithms)),
        scope=" ".join(dict.fromkeys(asked.scope.split())),
        npi_claim=asked.npi_claim,
        jwks={} if asked.jwks is None else public_keys(asked.jwks),
        jwks_uri=asked.jwks_uri,
        jwks_fetched=now if asked.jwks is not None and asked.jwks_uri else None,
    )


def may_be_exchanged(scope: Scope | None) -> bool:
    """Whether a scope can be part of an exchanged token: of the linked patient alone, type by type."""
    if scope is None or scope.resource_type not in resource_types():
        return False
    if scope.level == "patient":
        return True
    return scope.level == "user" and scope.resource_type == UNBOUND and set(scope.permissions) <= set("cu")


def public_keys(jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a set that can verify id tokens; others, as for encryption, are left out.

    Raises: IssuerError where none is left, or one is private.
    """
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(keys, list):
        raise IssuerError('a JWKS is {"keys": [...]}')
    kept = [
        key
        for key in keys
        if isinstance(key, dict)
        and key.get("kty") in ("RSA", "EC")
        and isinstance(key.get("kid"), str)
        and key.get("use", "sig") == "sig"
    ]
    if any({"d", "k", "p", "q"} & set(key) for key in kept):
        raise IssuerError("the JWKS holds a private key: give the public part alone")
    if not kept:
        raise IssuerError("the JWKS holds no RSA or EC key with a kid")
    try:
        KeySet.import_key_set({"keys": kept})
    except (JoseError, ValueError, TypeError, KeyError):
        raise IssuerError("a key of the JWKS cannot be read") from None
    return {"keys": kept}


def fetch_keys(url: str, allow: Networks) -> dict[str, Any]:
    """The key set that an issuer publishes. Raises: IssuerError."""
    try:
        answer = fetch(url, allow=allow, accept="application/json")
    except OutboundError as error:
        raise IssuerError(f"the jwks_uri cannot be fetched: {error}") from None
    if answer.status != 200:
        raise IssuerError(f"the jwks_uri answered {answer.status}")
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise IssuerError("the jwks_uri does not answer JSON") from None
    return public_keys(document)


def put_issuer(context: AuthContext, row: IssuerRow, event: str, principal: str = "operator") -> None:
    """Keep an issuer, audited; what was exchanged under other terms ends with the change."""
    with context.rows.transaction():
        before = context.store.identity_links.issuer(row.issuer, hold=True)
        context.store.identity_links.put_issuer(row)
        if before is not None and _terms(before) != _terms(row):
            end_grants_on(context, issuer_basis(row.issuer))
        record(context, event, 200, principal=principal, detail=row.issuer)


def _terms(row: IssuerRow) -> IssuerRow:
    """What a token rests on: everything but the keys, which change by themselves."""
    return replace(row, jwks={}, jwks_fetched=None, created=row.created.min)


def disable_issuer(context: AuthContext, issuer: str, *, principal: str = "operator") -> bool:
    """Accept nothing of it any more; what was exchanged ends at once. False: there is none."""
    row = context.store.identity_links.issuer(issuer)
    if row is None:
        return False
    put_issuer(context, replace(row, disabled=True), "issuer-disable", principal)
    return True


def refresh_keys(context: AuthContext, issuer: str, allow: Networks, *, principal: str) -> bool:
    """Fetch the keys of an issuer anew; False where it publishes none by URL. Raises: IssuerError."""
    links = context.store.identity_links
    row = links.issuer(issuer)
    if row is None or row.disabled or not row.jwks_uri:
        return False
    keys, now = fetch_keys(row.jwks_uri, allow), context.clock()
    with context.rows.transaction():
        current = links.issuer(issuer, hold=True)
        if current is None or current.disabled or current.jwks_uri != row.jwks_uri:
            return False
        links.put_issuer(replace(current, jwks=keys, jwks_fetched=now))
        if keys != current.jwks:
            record(context, "issuer-refresh", 200, principal=principal, detail=issuer)
    return True


def end_grants_on(context: AuthContext, basis: str) -> int:
    """End every grant that rests on an issuer or a link, in every process; how many."""
    return context.rows.revoke_grants(context.store.identity_links.grants_on(basis), context.clock())


def description(row: IssuerRow) -> dict[str, Any]:
    """An issuer as `baton issuer` shows it."""
    return {
        "issuer": row.issuer,
        "fhir_base": row.fhir_base,
        "label": row.label,
        "audience": row.audience,
        "clients": list(row.clients),
        "algorithms": list(row.algorithms),
        "scope": row.scope,
        "npi_claim": row.npi_claim,
        "jwks_uri": row.jwks_uri,
        "jwks_fetched": row.jwks_fetched.isoformat() if row.jwks_fetched else None,
        "keys": [key["kid"] for key in row.jwks.get("keys", ())],
        "disabled": row.disabled,
    }


def _check_url(url: str, what: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise IssuerError(f"the {what} cannot be read as a URL") from None
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= _LENGTH
    secure = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))
    if not secure or not host or parts.username or parts.fragment or not plain:
        raise IssuerError(f"the {what} is an https URL (http on loopback) without user or fragment")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
