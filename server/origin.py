"""Where the work under way comes from: which request, and which address sent it.

Set once for each HTTP request by the outermost layer of the web server; empty in commands and in the worker.
Audit rows carry it, so that no function in between has to pass it on.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address


@dataclass(frozen=True, slots=True)
class Origin:
    """request_id: as in logs and X-Request-Id. address: of the client, as the web server knows it."""

    request_id: str = ""
    address: str = ""


_NOWHERE = Origin()
_ORIGIN: ContextVar[Origin] = ContextVar("origin", default=_NOWHERE)


def origin() -> Origin:
    """The origin of what this thread does."""
    return _ORIGIN.get()


def set_origin(request_id: str, address: str) -> None:
    """Say where the request comes from that this thread answers from now on."""
    _ORIGIN.set(Origin(request_id, address))


def address_key(address: str) -> str:
    """What one household counts as: an IPv4 address, or the /64 that an IPv6 host may move in at will."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "unknown"
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped) if parsed.ipv4_mapped else f"{int(parsed) >> 64:x}::/64"
