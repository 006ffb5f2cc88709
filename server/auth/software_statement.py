"""Software statements: what an issuer that the operator trusts says of a client's software, signed.

Its claims take the place of what the client says of itself.
Sources: RFC 7591 sections 2.3 and 3.1.1, RFC 7515, RFC 8725
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from server.auth.clients import RegistrationError

ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")
_LONGEST = 16_384
# Claims of the token itself, which are no metadata of the client (RFC 7519).
_OF_THE_TOKEN = frozenset(("iss", "sub", "aud", "exp", "nbf", "iat", "jti"))


def with_statement(document: Mapping[str, Any], trusted: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The metadata with the claims of their software statement in the place of the same ones.

    trusted: {"iss", "jwks"} of the issuer that is asked for; {} where none is, then none may be sent.
    Raises: RegistrationError invalid_software_statement, unapproved_software_statement.
    """
    statement = document.get("software_statement")
    if not trusted:
        if statement is not None:
            raise RegistrationError("no software statement is known here", "unapproved_software_statement")
        return dict(document)
    if not isinstance(statement, str):
        raise RegistrationError(
            "the invitation asks for a software statement of its issuer", "unapproved_software_statement"
        )
    claims = _verified(statement, trusted["jwks"])
    if claims.get("iss") != trusted["iss"]:
        raise RegistrationError(
            "the software statement is not of the issuer that was asked for", "unapproved_software_statement"
        )
    for name, over in (("exp", lambda at: at <= now.timestamp()), ("nbf", lambda at: at > now.timestamp())):
        at = claims.get(name)
        if at is not None and (isinstance(at, bool) or not isinstance(at, int | float) or over(at)):
            raise _invalid("the software statement is not in force now")
    said = {name: value for name, value in claims.items() if name not in _OF_THE_TOKEN}
    return {**document, **said, "software_statement": statement}


def _verified(statement: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    try:
        if len(statement) > _LONGEST:
            raise ValueError
        keys = KeySet.import_key_set({"keys": list(jwks["keys"])})
        verified = jws.deserialize_compact(statement.encode("ascii"), keys, algorithms=list(ALGORITHMS))
        claims = json.loads(verified.payload)
    except (JoseError, ValueError, TypeError, RecursionError):
        raise _invalid("the software statement is not a JWT signed by a key of its issuer") from None
    if not isinstance(claims, dict):
        raise _invalid("the software statement holds no claims")
    return claims


def _invalid(text: str) -> RegistrationError:
    return RegistrationError(text, "invalid_software_statement")
