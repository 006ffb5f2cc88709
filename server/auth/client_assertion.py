"""private_key_jwt: a client proves itself by a JWT it signed with its own key.

Algorithms are pinned to RS384 and ES384, the key is the one registered key that the header's kid names, and
every assertion is good once. `jku` is believed only where it is the client's registered jwks_uri.
Sources: hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html, RFC 7523 section 3, RFC 7515
section 4.1.11 (crit), RFC 7517 section 4, RFC 8725.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from server.auth.clients import ASYMMETRIC, Client
from server.auth.context import AuthContext
from server.auth.discovery import ASSERTION_ALGORITHMS
from server.auth.key_sets import KeySetError, published_keys

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# Algorithm -> what its key is: the class, kty and crv.
_KEY_TYPE: dict[str, tuple[type, str, str]] = {"RS384": (RSAKey, "RSA", ""), "ES384": (ECKey, "EC", "P-384")}
_LIMIT = 8_192  # characters of an assertion


class PrivateKeyJwt:
    """The client authentication method `private_key_jwt`, for Authlib's registry of methods."""

    METHOD = "private_key_jwt"

    def __init__(self, context: AuthContext) -> None:
        self._context = context

    def __call__(self, query_client: Callable[[str], Client | None], request: Any) -> Client | None:
        """The client that signed the request's assertion; None when the request carries none of this type.

        Raises: InvalidClientError naming the rule that the assertion breaks.
        """
        form = request.form
        if form.get("client_assertion_type") != ASSERTION_TYPE or not form.get("client_assertion"):
            return None
        if request.headers.get("Authorization"):
            raise InvalidRequestError("A client authenticates by one method, not by two.")
        assertion = form["client_assertion"]
        header, claims = _take_apart(assertion)
        client_id = claims.get("iss")
        if not isinstance(client_id, str) or claims.get("sub") != client_id:
            raise _refused("iss and sub of the assertion must both be the client_id")
        if form.get("client_id", client_id) != client_id:
            raise _refused("client_id is not the iss of the assertion")
        client = query_client(client_id)
        if client is None or client.row.kind != ASYMMETRIC:
            raise _refused("there is no such client that authenticates by its own key")
        algorithm, kid = _named(header)
        if "jku" in header and (not client.row.jwks_uri or header["jku"] != client.row.jwks_uri):
            raise _refused("jku is not the client's registered jwks_uri")
        keys = self._keys(client, kid)
        _verify_signature(assertion, _key(keys, algorithm, kid, self._context.clock()), algorithm)
        self._judge(claims, client_id)
        return client

    def _keys(self, client: Client, kid: str) -> Sequence[Mapping[str, Any]]:
        """The client's public keys, by value or from its jwks_uri."""
        if not client.row.jwks_uri:
            return tuple(client.row.jwks.get("keys", ()))
        try:
            return published_keys(self._context, client.row.jwks_uri, kid)
        except KeySetError:
            raise _refused("the keys at the client's jwks_uri cannot be had") from None

    def _judge(self, claims: dict[str, Any], client_id: str) -> None:
        """Time, audience and single use."""
        context = self._context
        audience = claims.get("aud")
        if context.token_url not in (audience if isinstance(audience, list) else [audience]):
            raise _refused("aud of the assertion is not the token endpoint's URL")
        now, skew = context.clock(), context.lifetimes.clock_skew
        expires = _time(claims, "exp")
        if expires is None:
            raise _refused("the assertion has no exp")
        if expires <= now - skew:
            raise _refused("the assertion has expired")
        if expires > now + context.lifetimes.assertion + skew:
            raise _refused("the assertion's exp is more than five minutes ahead")
        for name in ("iat", "nbf"):
            moment = _time(claims, name)
            if moment is not None and moment > now + skew:
                raise _refused(f"the assertion's {name} lies in the future")
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= 255 or not jti.isprintable():
            raise _refused("the assertion needs a jti, a string of at most 255 characters")
        if not context.rows.use_assertion_id(client_id, jti, expires + skew):
            raise _refused("this assertion was used before")


def _refused(text: str) -> InvalidClientError:
    return InvalidClientError(text, status_code=401)


def _take_apart(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, not yet verified."""
    try:
        if len(assertion) > _LIMIT:
            raise ValueError
        taken = jws.extract_compact(assertion.encode("ascii"))
        claims = json.loads(taken.payload)
    except (JoseError, ValueError, RecursionError):
        raise _refused("the assertion is not a signed JWT") from None
    if not isinstance(claims, dict):
        raise _refused("the assertion's claims are not an object")
    return taken.headers(), claims


def _named(header: dict[str, Any]) -> tuple[str, str]:
    """The algorithm and the kid of a header that asks for nothing we do not do."""
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ASSERTION_ALGORITHMS:
        raise _refused("the assertion must be signed by RS384 or ES384")
    if not isinstance(kid, str) or not kid:
        raise _refused("the assertion's header needs a kid")
    if "crit" in header or "b64" in header:
        raise _refused("the assertion's header asks for an extension that is not known here")
    if str(header.get("typ", "JWT")).upper() != "JWT":
        raise _refused("typ of the assertion's header is not JWT")
    return algorithm, kid


def _key(keys: Sequence[Mapping[str, Any]], algorithm: str, kid: str, now: datetime) -> RSAKey | ECKey:
    """The one key of this kid and of the type that the algorithm asks for, if it is one to sign with.

    A key whose own `exp` (JWK parameter, OpenID Federation 1.0) has passed is not one any more.
    """
    kind, kty, curve = _KEY_TYPE[algorithm]
    found = [key for key in keys if key.get("kid") == kid and key.get("kty") == kty]
    if len(found) == 1:
        (row,) = found
        expires, operations = row.get("exp", math.inf), row.get("key_ops", ["verify"])
        if (
            isinstance(expires, int | float)
            and expires > now.timestamp()
            and row.get("use", "sig") == "sig"
            and isinstance(operations, list)
            and "verify" in operations
            and row.get("alg", algorithm) == algorithm
            and row.get("crv", "") == curve
        ):
            with suppress(JoseError, ValueError, TypeError, KeyError):
                key = KeySet.import_key_set({"keys": [dict(row)]}).keys[0]
                if isinstance(key, RSAKey | ECKey) and isinstance(key, kind):
                    return key
    raise _refused("kid names no registered key of this algorithm, or more than one")


def _verify_signature(assertion: str, key: RSAKey | ECKey, algorithm: str) -> None:
    try:
        jws.deserialize_compact(assertion.encode("ascii"), key, algorithms=[algorithm])
    except (JoseError, ValueError):
        raise _refused("the assertion's signature is not the client's") from None


def _time(claims: dict[str, Any], name: str) -> datetime | None:
    value = claims.get(name)
    if value is None:
        return None
    # The largest is the year 9999; a bool is an int to Python but no time.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 253_402_300_800:
        raise _refused(f"{name} of the assertion is not a time")
    return datetime.fromtimestamp(value, UTC)
