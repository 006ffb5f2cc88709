"""How often somebody may ask: per client, and per address for whoever has not said who they are.

Each process counts for itself, in memory that is bounded: a count shared by all would cost a read another
round trip. Generic cell rate algorithm: one number a key says when its allowance is whole again.
Sources: RFC 6585 section 4 (429), draft-ietf-httpapi-ratelimit-headers-10, ITU-T I.371 (GCRA)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from server.api.exchange import Authenticate
from server.auth.principal import Principal
from server.errors import FhirError

_MOST_KEYS = 10_000  # about 1 MB


@dataclass(slots=True)
class Rate:
    """At most `per_minute` requests of one key in a minute, at any pace within it; 0 for no limit.

    monotonic: seconds, never going back. Keys whose allowance is whole are forgotten first, then the oldest.
    """

    name: str
    per_minute: int
    monotonic: Callable[[], float]
    _whole_at: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def take(self, key: str) -> None:
        """Count one request. Raises: FhirError throttled, with Retry-After."""
        if not self.per_minute:
            return
        now = self.monotonic()
        with self._lock:
            whole_at = max(self._whole_at.get(key, now), now) + 60.0 / self.per_minute
            wait = whole_at - now - 60.0
            if wait <= 0:
                self._whole_at[key] = whole_at
                if len(self._whole_at) > _MOST_KEYS:
                    self._forget(now)
                return
        raise FhirError(
            "throttled",
            f"more than {self.per_minute} requests a minute; wait for the seconds that Retry-After names",
            headers={
                "Retry-After": str(max(1, math.ceil(wait))),
                "RateLimit-Policy": f'"{self.name}";q={self.per_minute};w=60',
                "RateLimit": f'"{self.name}";r=0;t={max(1, math.ceil(wait))}',
            },
        )

    def _forget(self, now: float) -> None:
        kept = [(key, whole_at) for key, whole_at in self._whole_at.items() if whole_at > now]
        self._whole_at = dict(kept[-_MOST_KEYS // 2 :])


def counted(authenticate: Authenticate, clients: Rate) -> Authenticate:
    """The same, counting each request of a client. Raises: FhirError throttled as well."""

    def authenticate_and_count(authorization: str) -> Principal:
        principal = authenticate(authorization)
        clients.take(principal.client_id)
        return principal

    return authenticate_and_count
