"""What a public key of somebody else must be, as a JWK (pure).

Sources: RFC 7517 sections 4 and 5, RFC 7518 sections 3.3 and 6, hl7.org/fhir/smart-app-launch/STU2.2/
client-confidential-asymmetric.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

_LEAST_RSA_BITS = 2048
_PRIVATE = frozenset(("d", "k", "p", "q", "dp", "dq", "qi", "oth"))
MOST_KEYS = 100
# What is kept of a published key.
MEMBERS = frozenset(("kty", "kid", "use", "key_ops", "alg", "exp", "n", "e", "crv", "x", "y"))


def key_fault(key: Mapping[str, Any]) -> str | None:
    """Why a JWK is no public key to verify by, None where it is one."""
    if _PRIVATE & set(key):
        return "the JWKS holds a private or shared key: give the public part alone"
    if not isinstance(key.get("kid"), str) or not 0 < len(key["kid"]) <= 255 or not key["kid"].isprintable():
        return "every key of the JWKS needs a kid of at most 255 characters"
    if key.get("kty") not in ("RSA", "EC"):
        return "keys of the JWKS are RSA (for RS384) or EC P-384 (for ES384)"
    try:
        (read,) = KeySet.import_key_set({"keys": [dict(key)]}).keys
        if isinstance(read, RSAKey) and read.public_key.key_size < _LEAST_RSA_BITS:
            return "an RSA key of the JWKS has fewer than 2048 bits"
        if not isinstance(read, RSAKey | ECKey):
            return "a key of the JWKS cannot be read"
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return "a key of the JWKS cannot be read"
    return None


def key_set_fault(jwks: Mapping[str, Any]) -> str | None:
    """Why a key set given by value cannot be registered, None where it can."""
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        return 'a JWKS is {"keys": [...]} with at least one key'
    if len(keys) > MOST_KEYS:
        return f"a JWKS has at most {MOST_KEYS} keys"
    for key in keys:
        if fault := key_fault(key):
            return fault
    if len({(key["kty"], key["kid"]) for key in keys}) < len(keys):
        return "two keys of the JWKS have the same kid"
    return None
