"""Which addresses of other systems the server may call (pure): public ones, and what an operator opens.

A URL that somebody else gives us must not lead inwards: to this machine, its network, the metadata of its
cloud. What counts is the address that a name resolves to, at the moment of the call; `outbound_http` asks here
about each one before it connects to it.
Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), OWASP SSRF Prevention Cheat Sheet,
RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 4291 section 2.5.5 (mapped and compatible addresses)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL = 2_000  # characters
_HTTP = {"https": 443, "http": 80}
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,253})")
# The whole authority, so that no two readers of a URL can see two hosts in it.
_AUTHORITY = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._-]{0,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, texts))


# Special-purpose IPv4, and what of IPv6's global unicast (2000::/3) is no host of the Internet.
_SPECIAL = _networks(
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)  # fmt: skip
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# Where an institution keeps servers of its own: reached by a name that the operator allows.
_INTERNAL = _networks(
    "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"
)
# What clouds tell their machines, credentials included. Only an allowed network of this one address opens it.
_METADATA = frozenset(
    map(
        ip_address,
        ("169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192",
         "fd00:ec2::254", "fd20:ce::254"),
    )
)  # fmt: skip
# IPv6 forms of an IPv4 address -> how many bits to the right of it there are.
_EMBEDDED = {
    IPv6Network("::ffff:0:0/96"): 0,
    IPv6Network("64:ff9b::/96"): 0,
    IPv6Network("64:ff9b:1::/48"): 0,
    IPv6Network("::/96"): 0,
    IPv6Network("2002::/16"): 80,
}
_TEREDO = IPv6Network("2001::/32")
_LOOPBACK_6 = IPv6Address("::1")


class OutboundError(Exception):
    """Another system was not called, or gave no usable answer. The text holds nothing of address or content."""


@dataclass(frozen=True, slots=True)
class Networks:
    """What may be called beyond https to public addresses.

    hosts: names in lower case. networks: opened as they are, for http and on any port too.
    """

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def names(self, address: Address) -> bool:
        """Whether a network opens the address; one of a cloud's metadata must be named alone."""
        return any(
            address in network and (address not in _METADATA or network.num_addresses == 1)
            for network in self.networks
        )


PUBLIC_ONLY = Networks()


def read_networks(parts: Iterable[str]) -> Networks:
    """BATON_OUTBOUND_ALLOW, taken apart: host names, addresses and CIDRs.

    Raises: ValueError for a part that is none of them.
    """
    hosts, networks = set(), []
    for part in parts:
        try:
            networks.append(ip_network(part.strip("[]")))
        except ValueError:
            if not _HOST.fullmatch(part) or part.replace(".", "").isdigit():
                raise ValueError("neither a host name, an address nor a CIDR") from None
            hosts.add(part.lower().rstrip("."))
    return Networks(frozenset(hosts), tuple(networks))


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads. host: lower case, without brackets and without the root's dot."""

    scheme: str
    host: str
    port: int


def target_of(url: str) -> Target:
    """Where a URL leads that we might call. Raises: OutboundError."""
    try:
        if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
            raise ValueError
        parts = urlsplit(url)
        if parts.scheme not in _HTTP or parts.fragment or not _AUTHORITY.fullmatch(parts.netloc):
            raise ValueError
        port = parts.port or _HTTP[parts.scheme]
    except ValueError:
        raise OutboundError(
            "the address is not a plain http or https URL of at most 2,000 characters, "
            "without user name and fragment"
        ) from None
    return Target(parts.scheme, (parts.hostname or "").rstrip("."), port)


def check_address(target: Target, address: Address, allow: Networks) -> None:
    """Refuse an address that the target's host has, unless it may be called there.

    Raises: OutboundError.
    """
    opened = _opened(target.host, address, allow)
    if not opened and not is_public(address):
        raise OutboundError(
            "the address leads to a network that may not be called; BATON_OUTBOUND_ALLOW names exceptions"
        )
    if not opened and (target.scheme != "https" or (target.port != 443 and target.port < 1024)):
        raise OutboundError("only https is called, on port 443 or one from 1024 on")


def is_public(address: Address) -> bool:
    """Whether the address is a host of the Internet as such: no special purpose, no other address inside."""
    if address in _METADATA or any(address in network for network in _SPECIAL):
        return False
    return isinstance(address, IPv4Address) or address in _GLOBAL_UNICAST


def _opened(host: str, address: Address, allow: Networks) -> bool:
    """Whether the operator has named the address; or the host, and it is one that an institution has."""
    inner = _embedded(address)
    if inner is not None:
        # As good as what it stands for, and only where this way of writing it is named, too.
        return allow.names(address) and (allow.names(inner) or is_public(inner))
    if allow.names(address):
        return True
    if host not in allow.hosts or address in _METADATA:
        return False
    return is_public(address) or any(address in network for network in _INTERNAL)


def _embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for, if it is such a one."""
    if isinstance(address, IPv4Address) or address == _LOOPBACK_6:
        return None
    number = int(address)
    if address in _TEREDO:
        return IPv4Address(~number & 0xFFFFFFFF)
    for network, right in _EMBEDDED.items():
        if address in network:
            return IPv4Address(number >> right & 0xFFFFFFFF)
    return None
