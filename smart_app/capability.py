"""What a FHIR server says it can do, as far as the app asks (CapabilityStatement).

Source: hl7.org/fhir/R4/capabilitystatement.html
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from smart_app.fhir_client import FhirClient, FhirFault
from smart_app.smart_configuration import Clock

KEEP = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Resource type -> its interactions and includes. Unknown (None): everything may be tried."""

    types: Mapping[str, tuple[frozenset[str], frozenset[str]]] | None

    def offers(self, resource_type: str, interaction: str) -> bool:
        if self.types is None:
            return True
        return interaction in self.types.get(resource_type, (frozenset(), frozenset()))[0]

    def includes(self, resource_type: str, include: str) -> bool:
        """Whether `_include=<include>` works; where the server lists none, it may be tried."""
        if self.types is None:
            return True
        listed = self.types.get(resource_type, (frozenset(), frozenset()))[1]
        return include in listed or "*" in listed


UNKNOWN = Capabilities(None)


def read_capabilities(statement: Mapping[str, Any]) -> Capabilities:
    """The server side of a CapabilityStatement."""
    types: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    for rest in _objects(statement.get("rest")):
        for resource in _objects(rest.get("resource")):
            interactions = frozenset(str(row.get("code")) for row in _objects(resource.get("interaction")))
            includes = resource.get("searchInclude")
            listed = frozenset(map(str, includes)) if isinstance(includes, list) else frozenset()
            types[str(resource.get("type"))] = (interactions, listed)
    return Capabilities(types or None)


class KnownCapabilities:
    """CapabilityStatements by base URL, kept for half an hour; safe for many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[datetime, Capabilities]] = {}

    def of(self, client: FhirClient) -> Capabilities:
        """The capabilities of a server; unknown ones while it does not tell."""
        now = self._clock()
        with self._lock:
            kept = self._kept.get(client.base)
        if kept and now - kept[0] < KEEP:
            return kept[1]
        try:
            found = read_capabilities(client.capabilities())
        except FhirFault:
            return UNKNOWN
        with self._lock:
            self._kept[client.base] = (now, found)
        return found


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
