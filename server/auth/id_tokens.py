"""Id tokens of an OpenID provider, verified: signature by a key it publishes, and every claim that protects us.

Algorithms are pinned to asymmetric ones, whatever the token's header says. Pure: keys and clock are arguments.
Sources: OpenID Connect Core 1.0 sections 2 and 3.1.3.7, RFC 7515, RFC 8725 section 3 (algorithm confusion),
RFC 8176 (amr).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from server.auth.unverified_token import take_apart

ALGORITHMS = ("RS256", "PS256", "ES256")
# algorithm -> the type of its key and its curve
_KEY_TYPE: Mapping[str, tuple[type, str]] = {
    "RS256": (RSAKey, ""),
    "PS256": (RSAKey, ""),
    "ES256": (ECKey, "P-256"),
}
_LIMIT = 16_384  # characters of a token
_SKEW = timedelta(seconds=60)
# A token is asked for and looked at within seconds; one issued long ago was kept by somebody.
_OLDEST = timedelta(minutes=10)
_SUBJECT_LIMIT = 255


class IdTokenRefused(Exception):
    """The token is not to be believed. `rule`: a word of the rule it breaks, for the audit trail."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


class UnknownKey(IdTokenRefused):
    """The token names a key that is not among those given: they may have been changed since."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is at a provider. methods: how they proved it there (amr), () unknown. authenticated:
    when."""

    issuer: str
    subject: str
    methods: tuple[str, ...] = ()
    authenticated: datetime | None = None


def read_id_token(
    token: str, keys: Sequence[Mapping[str, Any]], *, issuer: str, client_id: str, nonce: str, now: datetime
) -> Identity:
    """Whom a token is about. keys: the provider's JWK Set, by value.

    Raises: UnknownKey, IdTokenRefused.
    """
    header, claims = _take_apart(token)
    _verify(token, header, keys)
    if claims.get("iss") != issuer:
        raise IdTokenRefused("iss")
    _check_audience(claims, client_id)
    _check_times(claims, now)
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), nonce.encode()
    ):
        raise IdTokenRefused("nonce")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _SUBJECT_LIMIT or not _is_plain(subject):
        raise IdTokenRefused("sub")
    methods = claims.get("amr")
    authenticated = _time(claims, "auth_time") if "auth_time" in claims else None
    return Identity(
        issuer,
        subject,
        tuple(method for method in methods if isinstance(method, str)) if isinstance(methods, list) else (),
        authenticated,
    )


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _take_apart(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims, not yet verified."""
    try:
        return take_apart(token, _LIMIT)
    except ValueError:
        raise IdTokenRefused("form") from None


def _verify(token: str, header: Mapping[str, Any], keys: Sequence[Mapping[str, Any]]) -> None:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise IdTokenRefused("alg")
    if "crit" in header or "b64" in header:
        raise IdTokenRefused("crit")
    key = _key(header.get("kid"), algorithm, keys)
    try:
        jws.deserialize_compact(token.encode("ascii"), key, algorithms=[algorithm])
    except (JoseError, ValueError):
        raise IdTokenRefused("signature") from None


def _key(kid: object, algorithm: str, keys: Sequence[Mapping[str, Any]]) -> RSAKey | ECKey:
    """The key that the header names, of the type its algorithm asks for; without a name the only one there is.

    What else the header may say of a key (jku, jwk, x5u, x5c) is not looked at.
    """
    kind, curve = _KEY_TYPE[algorithm]
    fitting = []
    for row in keys:
        if row.get("use", "sig") != "sig" or row.get("alg", algorithm) != algorithm:
            continue
        if kid is not None and row.get("kid") != kid:
            continue
        try:
            key = KeySet.import_key_set({"keys": [dict(row)]}).keys[0]
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAKey | ECKey) and isinstance(key, kind) and row.get("crv", "") == curve:
            fitting.append(key)
    if not fitting:
        raise UnknownKey("kid")
    if len(fitting) > 1:
        raise IdTokenRefused("kid")
    return fitting[0]


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    """The token is for us, and for us alone: other audiences are nobody we trust (section 3.1.3.7, 3 to 5)."""
    audience = claims.get("aud")
    if (audience if isinstance(audience, list) else [audience]) != [client_id]:
        raise IdTokenRefused("aud")
    if "azp" in claims and claims["azp"] != client_id:
        raise IdTokenRefused("azp")


def _check_times(claims: Mapping[str, Any], now: datetime) -> None:
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if expires <= now - _SKEW:
        raise IdTokenRefused("exp")
    if not now - _OLDEST <= issued <= now + _SKEW:
        raise IdTokenRefused("iat")
    if "nbf" in claims and _time(claims, "nbf") > now + _SKEW:
        raise IdTokenRefused("nbf")


def _time(claims: Mapping[str, Any], name: str) -> datetime:
    value = claims.get(name)
    # The largest is the year 9999; a bool is an int to Python but no time.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 253_402_300_800:
        raise IdTokenRefused(name)
    return datetime.fromtimestamp(value, UTC)
