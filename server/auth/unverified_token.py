"""What a signed token says before its signature is looked at: to find the key that must have signed it (pure).

Source: RFC 7515 section 3.1
"""

from __future__ import annotations

import json
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError


def take_apart(token: str, longest: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a compact JWS, not yet verified. longest: in characters.

    Raises: ValueError for what is no such token, or longer.
    """
    try:
        if len(token) > longest:
            raise ValueError("too long")
        taken = jws.extract_compact(token.encode("ascii"))
        claims = json.loads(taken.payload)
    except (JoseError, RecursionError) as error:
        raise ValueError("no compact JWS") from error
    if not isinstance(claims, dict):
        raise ValueError("no claims")
    return taken.headers(), claims
