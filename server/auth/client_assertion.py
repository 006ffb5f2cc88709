"""private_key_jwt: a client proves itself by a JWT it signed with its own key.

Algorithms are pinned to RS384 and ES384, the key is the registered one the header's kid names, and every
assertion is good once. `jku` is believed only where it is the client's registered jwks_uri.
Sources: hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html, RFC 7523 section 3.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from server.auth.clients import ASYMMETRIC, Client
from server.auth.context import AuthContext
from server.auth.discovery import ASSERTION_ALGORITHMS

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_KEY_TYPE: dict[str, tuple[type, str]] = {"RS384": (RSAKey, ""), "ES384": (ECKey, "P-384")}
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
        _verify_signature(assertion, _key(client, header, self._context.clock()), header["alg"])
        self._judge(claims, client_id)
        return client

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


def _key(client: Client, header: dict[str, Any], now: datetime) -> RSAKey | ECKey:
    """The registered key that the header names, of the type its algorithm asks for.

    A key whose own `exp` (JWK parameter, OpenID Federation 1.0) has passed is not one any more.
    """
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ASSERTION_ALGORITHMS:
        raise _refused("the assertion must be signed by RS384 or ES384")
    if not isinstance(kid, str) or not kid:
        raise _refused("the assertion's header needs a kid")
    if "crit" in header or "b64" in header:
        raise _refused("the assertion's header asks for an extension that is not known here")
    if "jku" in header and (not client.row.jwks_uri or header["jku"] != client.row.jwks_uri):
        raise _refused("jku is not the client's registered jwks_uri")
    kind, curve = _KEY_TYPE[algorithm]
    for row in client.row.jwks.get("keys", ()):
        expires = row.get("exp", math.inf)
        if not isinstance(expires, int | float) or expires <= now.timestamp():
            continue
        if row.get("kid") == kid and row.get("use", "sig") == "sig" and row.get("alg", algorithm) == algorithm:
            try:
                key = KeySet.import_key_set({"keys": [row]}).keys[0]
            except (JoseError, ValueError, TypeError, KeyError):
                continue
            if isinstance(key, RSAKey | ECKey) and isinstance(key, kind) and row.get("crv", "") == curve:
                return key
    raise _refused("kid names no registered key of this algorithm")


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
