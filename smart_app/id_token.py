"""Verifies an id token: signature, issuer, audience, nonce, times (OpenID Connect Core 3.1.3.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

ALGORITHMS = ["RS256", "RS384", "ES256", "ES384"]
"""What we accept; symmetric ones and `none` never."""
LEEWAY_SECONDS = 60
PERSON_TYPES = ("Practitioner", "PractitionerRole", "Patient", "RelatedPerson", "Person")


class IdTokenFault(Exception):
    """The token does not hold; the words say which check failed, without its content."""


class UnknownKey(IdTokenFault):
    """No key of the set has the token's key id: the set may be an old one."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who logged in. user: `Type/id` on the issuer's server, "" where no fhirUser is claimed."""

    subject: str
    user: str


def verify_id_token(
    token: str,
    key_set: Mapping[str, Any],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    fhir_base: str,
    now: datetime,
) -> Identity:
    """Check the token and say who it speaks of. Raises: IdTokenFault, UnknownKey."""
    try:
        keys = KeySet.import_key_set({"keys": [dict(key) for key in key_set["keys"]]})
    except (JoseError, ValueError, TypeError, KeyError):
        raise IdTokenFault("the key set cannot be read") from None
    try:
        decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
    except InvalidKeyIdError:
        raise UnknownKey("no key has the token's key id") from None
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise IdTokenFault(type(error).__name__) from None
    claims = decoded.claims
    seconds = int(now.timestamp())
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != issuer or not issuer:
        raise IdTokenFault("iss is another")
    if client_id not in audiences or (len(audiences) > 1 and claims.get("azp") != client_id):
        raise IdTokenFault("aud is another")
    if claims.get("nonce") != nonce:
        raise IdTokenFault("nonce is another")
    if _seconds(claims.get("exp")) + LEEWAY_SECONDS < seconds:
        raise IdTokenFault("expired")
    if _seconds(claims.get("iat")) - LEEWAY_SECONDS > seconds:
        raise IdTokenFault("issued in the future")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise IdTokenFault("sub is missing")
    return Identity(subject, _person(claims.get("fhirUser"), fhir_base))


def _seconds(value: Any) -> float:
    """A NumericDate. Raises: IdTokenFault if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise IdTokenFault("a time is missing")
    return value


def _person(claim: Any, fhir_base: str) -> str:
    """fhirUser as `Type/id`: absolute on the issuer's server, or relative to it; else ""."""
    if not isinstance(claim, str):
        return ""
    relative = claim.removeprefix(f"{fhir_base}/")
    resource_type, _, resource_id = relative.partition("/")
    if resource_type in PERSON_TYPES and resource_id and "/" not in resource_id:
        return relative
    return ""
