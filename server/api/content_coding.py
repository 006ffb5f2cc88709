"""gzip, the one content coding of this server, out and in (pure).

Sources: RFC 9110 sections 8.4.1, 12.5.3 and 15.5.16, RFC 1952
"""

from __future__ import annotations

import zlib
from functools import lru_cache

from server.errors import FhirError

GZIP = "gzip"
_NAMES = frozenset({GZIP, "x-gzip"})
_GZIP_FORMAT = 31  # of zlib: a gzip member with the largest window
_LEVEL = 1  # the reader saves most of what higher levels would, at a fraction of their time


@lru_cache(maxsize=256)
def takes_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding prefers gzip to content as it is, or likes both alike."""
    qualities: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        qualities.setdefault(GZIP if coding in _NAMES else coding, _quality(parameters))
    gzip = qualities.get(GZIP, qualities.get("*", 0.0))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0


def packed(content: bytes) -> bytes:
    """The content as gzip; equal content gives equal bytes."""
    return zlib.compress(content, _LEVEL, _GZIP_FORMAT)


def unpacked(content: bytes, content_encoding: str, most: int) -> bytes | None:
    """A body as it was before it was coded; None where that has more than `most` bytes.

    content_encoding: the header, "" for none. Never more than `most` bytes and one are made of it.
    Raises: FhirError unsupported-media-type for another coding than gzip, invalid-request for what is not one
    whole gzip member.
    """
    check_coding(content_encoding)
    if content_encoding.strip().lower() not in _NAMES:
        return content
    member = zlib.decompressobj(_GZIP_FORMAT)
    try:
        found = member.decompress(content, most + 1)
    except zlib.error:
        raise FhirError("invalid-request", "the body is not gzip, as its Content-Encoding says") from None
    if len(found) > most:
        return None
    if not member.eof or member.unused_data:
        raise FhirError("invalid-request", "the body is not one whole gzip member")
    return found


def check_coding(content_encoding: str) -> None:
    """A body comes as it is or as gzip. Raises: FhirError unsupported-media-type."""
    if content_encoding and content_encoding.strip().lower() not in (*_NAMES, "identity"):
        raise FhirError(
            "unsupported-media-type",
            "Content-Encoding: this server takes bodies as they are or as gzip",
            headers={"Accept-Encoding": GZIP},
        )
