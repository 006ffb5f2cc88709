"""Key sets that clients publish by URL, fetched ahead of use and never while a request waits.

Source: SMART App Launch 2.2, "Asymmetric client authentication", registering by jwks_uri.
"""

from __future__ import annotations

import json
from typing import Any

import requests

from server.auth.clients import RegistrationError, check_key_set

LIMIT_BYTES = 262_144
TIMEOUT_SECONDS = 10


def fetch_key_set(url: str) -> dict[str, Any]:
    """The key set published at a URL that the operator named.

    Raises: RegistrationError.
    """
    try:
        with requests.get(url, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True) as answer:
            if answer.status_code != 200:
                raise RegistrationError(f"the jwks_uri answered {answer.status_code}")
            body = answer.raw.read(LIMIT_BYTES + 1, decode_content=True)
    except requests.RequestException:
        raise RegistrationError("the jwks_uri cannot be reached") from None
    if len(body) > LIMIT_BYTES:
        raise RegistrationError("the key set is larger than 256 kB")
    try:
        key_set: dict[str, Any] = json.loads(body)
    except ValueError:
        raise RegistrationError("the jwks_uri does not answer JSON") from None
    check_key_set(key_set)
    return key_set
