"""The one place where the server calls other systems: what may be called, how much, how long, no redirects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import requests

# Hosts, addresses and CIDRs that may be called beyond public https.
Networks = tuple[str, ...]


class OutboundError(Exception):
    """Another system was not called, or gave no usable answer. The text holds nothing of address or content."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete answer. headers: names in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def fetch(
    url: str,
    *,
    allow: Networks,
    accept: str,
    most: int = 262_144,
    seconds: float = 10.0,
    data: Mapping[str, str] | None = None,
) -> Fetched:
    """GET a URL, or POST it a form. Raises: OutboundError."""
    if not _may_call(url, allow):
        raise OutboundError("the address leads to a network that may not be called")
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(
                "GET" if data is None else "POST",
                url,
                data=data,
                headers={"Accept": accept},
                timeout=seconds,
                allow_redirects=False,
                stream=True,
            )
            body = answer.raw.read(most + 1, decode_content=True)
    except (requests.exceptions.RequestException, OSError, ValueError):
        raise OutboundError("it cannot be reached, or does not speak HTTP") from None
    if len(body) > most:
        raise OutboundError("the answer is too large")
    return Fetched(answer.status_code, answer.headers, body)


def _may_call(url: str, allow: Networks) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = parts.hostname or ""
    if parts.scheme == "https" or host in allow:
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any("/" in part and address in ip_network(part) for part in allow)
