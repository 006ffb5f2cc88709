"""How much of a feed reaches FHIR: over the messages of a folder, or over the message log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mappings.authoring.deidentify import masked
from mappings.authoring.explain import NO_PLACE, UNMAPPED, explain
from mappings.authoring.feed import Feed, Received
from mappings.engine import MapSet
from mappings.hl7v2.fields import segments
from mappings.hl7v2.message import Hl7Error, Message, parse
from mappings.result import Finding, Mapped
from mappings.tables import TableRow

_SHAPE = 40
# Findings that end when somebody adds a row of a table, or a system to the settings of a source.
UNKNOWN_CODES = frozenset({"code-unknown", "unit-unknown"})
UNKNOWN_SYSTEMS = frozenset({"namespace-unknown", "coding-system-unknown"})


@dataclass(slots=True)
class Filled:
    """Of a segment or field: components with content, and those of them that something was made of or decided
    by."""

    filled: int = 0
    reached: int = 0

    @property
    def share(self) -> float:
        """How many reach FHIR: 0 to 1."""
        return self.reached / self.filled if self.filled else 0.0

    def count(self, *, reached: bool) -> None:
        self.filled += 1
        self.reached += reached


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something without a row or a system. place: as `PID-8`. sent: as it came. words: of the finding."""

    place: str
    sent: str
    words: str


@dataclass(slots=True)
class Coverage:
    """What was counted over messages.

    messages, unreadable: counts. refused: by code. types: message types. segments: by name, as `PID`; fields:
    as `PID-3`; in the order in which they came. unmapped: `PID-27.1` -> how often; shapes: an example of each,
    masked; no_place: those that FHIR has no place for. codes, systems: what no table or setting has.
    site_segments: Z segments. rows: of the tables of overlays: (overlay, row) -> how often it was used.
    """

    messages: int = 0
    unreadable: int = 0
    total: Filled = field(default_factory=Filled)
    segments: dict[str, Filled] = field(default_factory=dict)
    fields: dict[str, Filled] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    unmapped: Counter[str] = field(default_factory=Counter)
    mapped_places: set[str] = field(default_factory=set)
    no_place: set[str] = field(default_factory=set)
    shapes: dict[str, str] = field(default_factory=dict)
    codes: Counter[Unknown] = field(default_factory=Counter)
    systems: Counter[Unknown] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    site_segments: Counter[str] = field(default_factory=Counter)
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, received: Received, message: Message, maps: MapSet) -> None:
        """Count one message."""
        self.messages += 1
        self.types[f"{message.get('MSH-9.1').text}^{message.get('MSH-9.2').text}"] += 1
        mapped = maps.run(message, received.source, received=received.at)
        if mapped.refused is not None:
            self.refused[mapped.refused.code] += 1
        self.site_segments.update(s.name for s in message.segments if s.name not in segments())
        self.findings.update(finding.code for finding in mapped.findings)
        for finding in mapped.findings:
            self._unknown(finding, message)
        self._components(message, mapped)
        overlay = received.source.overlay
        used = Counter(step.table for step in mapped.steps if step.table)
        for row in own_rows(maps, overlay):
            self.rows[overlay, row.name] += used[row.name]

    def _unknown(self, finding: Finding, message: Message) -> None:
        for codes, counted in ((UNKNOWN_CODES, self.codes), (UNKNOWN_SYSTEMS, self.systems)):
            if finding.code in codes and finding.position:
                sent = message.get(finding.position).text
                counted[Unknown(place_of(finding.position), sent, finding.text)] += 1

    def _components(self, message: Message, mapped: Mapped) -> None:
        for entry in explain(message, mapped).inputs:
            place = place_of(entry.position)
            reached = not entry.note.startswith(UNMAPPED)
            self.total.count(reached=reached)
            name = entry.position.partition("[")[0]
            self.segments.setdefault(name, Filled()).count(reached=reached)
            self.fields.setdefault(place.partition(".")[0], Filled()).count(reached=reached)
            if reached:
                self.mapped_places.add(place)
                continue
            self.unmapped[place] += 1
            self.shapes.setdefault(place, masked(entry.raw)[:_SHAPE])
            if entry.note == NO_PLACE:
                self.no_place.add(place)

    def never_mapped(self) -> list[tuple[str, int]]:
        """Places that had content and never reached FHIR, the most frequent first."""
        never = [(place, count) for place, count in self.unmapped.items() if place not in self.mapped_places]
        return sorted(never, key=lambda row: (-row[1], row[0]))

    def rows_not_met(self) -> list[str]:
        """Rows that overlays add and that no message needed: `overlay/table:code`."""
        return sorted(f"{overlay}/{row}" for (overlay, row), count in self.rows.items() if not count)


def measure(feed: Feed, maps: MapSet) -> Coverage:
    """The coverage of all messages of a feed."""
    found = Coverage()
    for received in feed.messages():
        try:
            message = parse(received.raw)
        except Hl7Error:
            found.unreadable += 1
            continue
        found.add(received, message, maps)
    return found


def own_rows(maps: MapSet, overlay: str) -> tuple[TableRow, ...]:
    """The rows of code tables that an overlay brings itself."""
    program, base = maps.program(overlay), maps.base.tables
    if program is None or program is maps.base:
        return ()
    return tuple(
        row
        for name, table in program.tables.items()
        if table is not base.get(name)
        for code, row in table.rows.items()
        if name not in base or base[name].rows.get(code) is not row
    )


def place_of(position: str) -> str:
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
