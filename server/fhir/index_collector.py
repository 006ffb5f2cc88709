"""Where the generated extractors put what they find, and how a reference is understood while indexing."""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

from server.fhir.dates import zone
from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.hashing import reference_hash

_INSTANCE = r"([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?"
_LOCAL = re.compile(_INSTANCE)
_ELSEWHERE = re.compile(rf"(?!(?i:urn:))[A-Za-z][A-Za-z0-9+.\-]*:\S*/{_INSTANCE}")


class Target:
    """What a literal reference points at.

    hash: its reference_hash. resource_type and id: of this server's resource, id "" for one elsewhere
    (then the type is the one its URL shows, or "").
    """

    __slots__ = ("hash", "id", "resource_type")

    def __init__(self, reference: str, base: str) -> None:
        local = reference[len(base) :] if base and reference.startswith(base) else reference
        match = _LOCAL.fullmatch(local)
        if match is not None and match[1] in RESOURCE_TYPES:
            self.resource_type, self.id = match.groups()
            self.hash = reference_hash(f"{self.resource_type}/{self.id}")
        else:
            elsewhere = _ELSEWHERE.fullmatch(reference)
            self.resource_type = elsewhere[1] if elsewhere and elsewhere[1] in RESOURCE_TYPES else ""
            self.id = ""
            self.hash = reference_hash(reference)


class Collector:
    """The rows of one resource as they are found; dicts keep the order of finding and drop repetitions.

    base: this server's FHIR base with a trailing slash. local: the zone of dates that name none. characters:
    how many of strings were indexed; pairs: how many of tokens. amount: the last quantity as it was understood.
    """

    __slots__ = (
        "amount",
        "base",
        "characters",
        "charts",
        "compartments",
        "dates",
        "local",
        "pairs",
        "quantities",
        "references",
        "strings",
        "targets",
        "tokens",
        "uris",
    )

    def __init__(self, base_url: str, time_zone: str) -> None:
        self.base = base_url + "/" if base_url else ""
        self.local: ZoneInfo = zone(time_zone)
        self.characters = 0
        self.pairs = 0
        self.amount: tuple[Any, Any, Any, Any] = (None, None, None, None)
        self.tokens: set[int] = set()
        self.dates: dict[tuple[int, int, int], None] = {}
        self.strings: dict[tuple[int, str, str], None] = {}
        self.quantities: dict[tuple[int, float, float, int], None] = {}
        self.uris: dict[tuple[int, str], None] = {}
        self.references: dict[tuple[int, int], None] = {}
        self.targets: dict[str, Target] = {}
        self.compartments: dict[str, None] = {}
        self.charts: dict[str, None] = {}

    def target(self, reference: str) -> Target:
        """The understood reference; each text is parsed once a resource."""
        found = self.targets.get(reference)
        if found is None:
            found = self.targets[reference] = Target(reference, self.base)
        return found

    def add_references(self, value: Any) -> None:
        """Add the parameter-less hash of every reference to this server anywhere below the value."""
        found = [value]
        for item in found:  # grows while it is walked
            values = item
            if type(item) is dict:
                values = item.values()
                reference = item.get("reference")
                if type(reference) is str:
                    target = self.target(reference)
                    if target.id:
                        self.tokens.add(target.hash)
            for child in values:
                kind = type(child)
                if kind is dict or kind is list:
                    found.append(child)
