"""The only module of the server that calls other systems: to addresses that are allowed, within bounds.

An address is allowed where it is https, or where its host is one of the operator's (BATON_OUTBOUND_ALLOW).
Redirects are never followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import requests


class OutboundError(Exception):
    """No usable answer; the text holds no secrets."""


@dataclass(frozen=True, slots=True)
class Networks:
    """Hosts and networks beyond public https that may be called."""

    hosts: frozenset[str] = frozenset()
    ranges: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Networks:
        """From the words of the setting: host names and CIDR ranges."""
        hosts, ranges = set(), []
        for text in texts:
            try:
                ranges.append(ip_network(text))
            except ValueError:
                hosts.add(text.lower())
        return cls(frozenset(hosts), tuple(ranges))

    def includes(self, host: str) -> bool:
        """Whether the operator named the host."""
        try:
            address = ip_address(host)
        except ValueError:
            return host.lower() in self.hosts
        return any(address in each for each in self.ranges)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete answer."""

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
    """GET the URL, or POST a form to it. Raises: OutboundError."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise OutboundError("the address cannot be read") from None
    if (
        not host
        or parts.username
        or (parts.scheme != "https" and not (parts.scheme == "http" and allow.includes(host)))
    ):
        raise OutboundError("the address is neither https nor one of BATON_OUTBOUND_ALLOW")
    try:
        with requests.request(
            "GET" if data is None else "POST",
            url,
            data=data,
            headers={"Accept": accept},
            timeout=seconds,
            allow_redirects=False,
            stream=True,
        ) as answer:
            body = answer.raw.read(most + 1, decode_content=True)
    except requests.RequestException as error:
        raise OutboundError(f"no answer ({type(error).__name__})") from None
    if len(body) > most:
        raise OutboundError(f"the answer is longer than {most} bytes")
    return Fetched(answer.status_code, dict(answer.headers), body)
