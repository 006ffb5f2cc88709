"""Time-based one-time passwords as authenticator apps make them: HMAC-SHA1, six digits, thirty seconds.

Pure functions.
Sources: RFC 4226 section 5.3, RFC 6238; the Key URI format that authenticator apps read
(github.com/google/google-authenticator/wiki/Key-Uri-Format).
"""

from __future__ import annotations

import hmac
from base64 import b32encode
from datetime import datetime
from urllib.parse import quote, urlencode

SECRET_BYTES = 20  # the length of SHA-1's digest (RFC 4226 section 4, R6)
DIGITS = 6
PERIOD = 30  # seconds
# A code of the step before and of the one after is taken, too: clocks differ, people type (RFC 6238 section 6).
WINDOW = 1


def time_step(moment: datetime) -> int:
    """The number of the thirty seconds that a moment lies in."""
    return int(moment.timestamp()) // PERIOD


def code_of(secret: bytes, step: int, digits: int = DIGITS) -> str:
    """The code of a time step."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**digits).zfill(digits)


def matching_step(secret: bytes, code: str, now: datetime, after: int) -> int | None:
    """The time step around now, later than `after`, whose code this is; None for none.

    Every step of the window is compared, in a time that does not depend on the code.
    """
    current, found = time_step(now), None
    for step in range(current - WINDOW, current + WINDOW + 1):
        if hmac.compare_digest(code_of(secret, step).encode(), code.encode("utf-8", "surrogatepass")):
            found = step if step > after else found
    return found


def secret_text(secret: bytes) -> str:
    """The secret as people type it, in groups of four."""
    plain = b32encode(secret).decode().rstrip("=")
    return " ".join(plain[place : place + 4] for place in range(0, len(plain), 4))


def key_uri(secret: bytes, issuer: str, account: str) -> str:
    """What an authenticator app reads from a QR code."""
    label = quote(f"{issuer}:{account}", safe="")
    plain = b32encode(secret).decode().rstrip("=")
    query = urlencode({"secret": plain, "issuer": issuer, "digits": DIGITS, "period": PERIOD}, quote_via=quote)
    return f"otpauth://totp/{label}?{query}"
