"""Which uris are above and below another by their paths: `:above` and `:below` of uri parameters.

Both are about URLs. Any other uri, a URN among them, is above and below itself alone.
Source: hl7.org/fhir/R4/search.html#uri
"""

from __future__ import annotations


def uris_above(uri: str) -> list[str]:
    """The uri and every one above it by its path, each with and without a slash at its end."""
    if not _is_url(uri):
        return [uri]
    found, rest = [], uri.rstrip("/")
    while _is_url(rest):
        found += [rest, rest + "/"]
        rest = rest.rpartition("/")[0].rstrip("/")
    return found


def uri_below(uri: str) -> tuple[str, str | None]:
    """What a uri equals, or else begins with, to be below this one; None where there is only equality."""
    if not _is_url(uri):
        return uri, None
    plain = uri.rstrip("/")
    return plain, plain + "/"


def _is_url(uri: str) -> bool:
    return bool(uri.partition("://")[2].strip("/"))
