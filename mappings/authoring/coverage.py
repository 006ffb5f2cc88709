"""How much of a feed reaches FHIR: over the messages of a folder, or of whatever else gives them one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from mappings.authoring.deidentify import masked
from mappings.authoring.explain import UNMAPPED, explain
from mappings.engine import MapSet
from mappings.hl7v2 import batch
from mappings.hl7v2.fields import full_name, segments
from mappings.hl7v2.message import Hl7Error, Message, parse
from mappings.result import Source

_SHAPE = 40


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it came: bytes, when, from which source."""

    raw: bytes
    at: datetime
    source: Source


class Feed(Protocol):
    """Where messages come from. A folder is one, the message log another."""

    def messages(self) -> Iterator[Received]: ...


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of a folder, each a message or a batch of them."""

    path: Path
    source: Source

    def messages(self) -> Iterator[Received]:
        for file in sorted(path for path in self.path.rglob("*") if path.is_file()):
            for raw in batch.split(file.read_bytes()).messages:
                yield Received(raw, datetime.now(UTC), self.source)


@dataclass(slots=True)
class Coverage:
    """messages, unreadable: counts. refused: by code. filled, reached: components with content, and those of
    them
    that something was made of or decided by. unmapped: `PID-27.1` -> how often; shapes: an example of each,
    masked.
    unknown: (where, code) -> how often no table had it. site_segments: Z segments. types: message types.
    """

    messages: int = 0
    unreadable: int = 0
    filled: int = 0
    reached: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    unmapped: Counter[str] = field(default_factory=Counter)
    mapped_places: set[str] = field(default_factory=set)
    shapes: dict[str, str] = field(default_factory=dict)
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    site_segments: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """Of filled components, how many reach FHIR: 0 to 1."""
        return self.reached / self.filled if self.filled else 0.0

    def add(self, message: Message, source: Source, at: datetime, maps: MapSet) -> None:
        """Count one message."""
        self.messages += 1
        self.types[f"{message.get('MSH-9.1').text}^{message.get('MSH-9.2').text}"] += 1
        mapped = maps.run(message, source, received=at)
        if mapped.refused is not None:
            self.refused[mapped.refused.code] += 1
        self.site_segments.update(s.name for s in message.segments if s.name not in segments())
        self.findings.update(finding.code for finding in mapped.findings)
        for finding in mapped.findings:
            if finding.code == "code-unknown" and finding.position:
                self.unknown[_place(finding.position), message.get(finding.position).text] += 1
        for entry in explain(message, mapped).inputs:
            place = _place(entry.position)
            self.filled += 1
            if entry.note.startswith(UNMAPPED):
                self.unmapped[place] += 1
                self.shapes.setdefault(place, masked(entry.raw)[:_SHAPE])
            else:
                self.reached += 1
                self.mapped_places.add(place)

    def never_mapped(self) -> list[tuple[str, int]]:
        """Places that had content and never reached FHIR, the most frequent first."""
        never = [(place, count) for place, count in self.unmapped.items() if place not in self.mapped_places]
        return sorted(never, key=lambda row: (-row[1], row[0]))

    def as_json(self) -> dict[str, Any]:
        return {
            "messages": self.messages,
            "unreadable": self.unreadable,
            "types": dict(self.types.most_common()),
            "refused": dict(self.refused.most_common()),
            "components": {"filled": self.filled, "reached": self.reached, "share": round(self.share, 4)},
            "never_mapped": [
                {"place": place, "name": _name(place), "count": count, "shape": self.shapes[place]}
                for place, count in self.never_mapped()
            ],
            "unknown_codes": [
                {"place": place, "code": code, "count": count}
                for (place, code), count in self.unknown.most_common()
            ],
            "findings": dict(self.findings.most_common()),
            "site_segments": dict(self.site_segments.most_common()),
        }


def measure(feed: Feed, maps: MapSet) -> Coverage:
    """The coverage of all messages of a feed."""
    return _measured(feed.messages(), maps)


def _measured(received: Iterable[Received], maps: MapSet) -> Coverage:
    found = Coverage()
    for one in received:
        try:
            message = parse(one.raw)
        except Hl7Error:
            found.unreadable += 1
            continue
        found.add(message, one.source, one.at, maps)
    return found


def _place(position: str) -> str:
    """`PID-3.4.1` of `PID[1]-3[2].4.1`: which field and component, in whatever segment and repetition."""
    segment, _, rest = position.partition("[")
    _, _, rest = rest.partition("-")
    number, _, rest = rest.partition("[")
    _, _, below = rest.partition("]")
    return (
        f"{segment}-{number}{below.removesuffix('.1')}"
        if below.count(".") > 1
        else f"{segment}-{number}{below}"
    )


def _name(place: str) -> str:
    segment, _, rest = place.partition("-")
    field, component, subcomponent = ([int(number) for number in rest.split(".")] + [0, 0])[:3]
    return full_name(segment, field, component, subcomponent)


def as_text(found: Coverage) -> Iterator[str]:
    """The report as lines."""
    yield f"{found.messages} messages, {found.unreadable} unreadable, {sum(found.refused.values())} refused"
    yield f"{found.reached} of {found.filled} filled components reach FHIR ({found.share:.1%})"
    sections: tuple[tuple[str, list[str]], ...] = (
        ("types", [f"{kind}  {count}" for kind, count in found.types.most_common()]),
        ("refused", [f"{code}  {count}" for code, count in found.refused.most_common()]),
        (
            "never mapped",
            [
                f"{place}  {count}  {_name(place)}  {found.shapes[place]}"
                for place, count in found.never_mapped()
            ],
        ),
        (
            "codes without a row",
            [f"{place}  {code}  {count}" for (place, code), count in found.unknown.most_common()],
        ),
        ("findings", [f"{code}  {count}" for code, count in found.findings.most_common()]),
        ("segments of the site", [f"{name}  {count}" for name, count in found.site_segments.most_common()]),
    )
    for title, lines in sections:
        if lines:
            yield f"\n{title}"
            yield from (f"  {line}" for line in lines)
