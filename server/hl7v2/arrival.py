"""What the log has to know of a message before it is mapped: its name, its patient, its time (pure).

A message waits for earlier ones of its patient; one that ends a patient's record by a merge waits for those of
both, and one of several pairs for those of all (`every_key`). Texts that are kept for looking up are cut and
cleaned; the message itself stays as it came.
Sources: HL7 v2.5.1, 2.15.9 (MSH), 3.4.2 (PID), 3.4.3 (PV1), 3.4.9 (MRG)
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from mappings.hl7v2.message import Hl7Error, Message, Segment, parse
from mappings.hl7v2.structure import structure_of
from server.fhir.hashing import hash64
from server.hl7v2.timestamps import microseconds
from server.storage.hl7v2_several import SEVERAL

_LONGEST = 200  # characters of a text that an index holds
_POSITIVE = (1 << 63) - 1
_EVENT_TIMES = ("EVN-6", "EVN-2", "MSH-7")


@dataclass(frozen=True, slots=True)
class Keys:
    """Fields of `hl7v2_message` by the same names; event_at is None where the message tells no time."""

    type: str
    trigger: str
    structure: str
    event_at: int | None
    order_key: int
    second_key: int | None
    mrn: str
    visit: str


def word(text: str) -> str:
    """A text as it can be looked up: what can be printed of it, without blanks around it, not too long."""
    kept = text[: 4 * _LONGEST]
    if not kept.isprintable():
        kept = "".join([letter for letter in kept if letter.isprintable()])
    return kept.strip()[:_LONGEST].encode("utf-8", "replace").decode()


def control_id_of(message: Message) -> str:
    """MSH-10, "" for none."""
    return word(message.get("MSH-10").text)


def sender_of(message: Message) -> tuple[str, str]:
    """MSH-3 and MSH-4 by their first components."""
    return word(message.get("MSH-3").text), word(message.get("MSH-4").text)


def keys_of(message: Message, source: str, authorities: tuple[str, ...], zone: ZoneInfo) -> Keys:
    """What the message is looked up and put in order by.

    source: its name. authorities: namespaces of patient identifiers, the first that is there tells the patient.
    zone: of times without an offset.
    """
    moments = (microseconds(message.get(path).text, zone) for path in _EVENT_TIMES)
    mrn, authority = _identifier(message, "PID", 3, authorities)
    order_key = _key(source, mrn, authority)
    merged, merged_authority = _identifier(message, "MRG", 1, authorities)
    second_key = _key(source, merged, merged_authority or authority) if merged else None
    if len(message.every("MRG")) > 1:
        second_key = SEVERAL
    return Keys(
        type=word(message.get("MSH-9.1").text),
        trigger=word(message.get("MSH-9.2").text),
        structure=word(structure_of(message)),
        event_at=next((moment for moment in moments if moment is not None), None),
        order_key=order_key,
        second_key=None if second_key == order_key else second_key,
        mrn=mrn,
        visit=word(message.get("PV1-19.1").text),
    )


def _key(source: str, identifier: str, authority: str) -> int:
    """One patient has one key, whichever source tells of them, where the identifier has an authority."""
    if not identifier:
        return hash64("hl7v2 source", source) & _POSITIVE
    return hash64("hl7v2 patient", f"authority {authority}" if authority else source, identifier) & _POSITIVE


def every_key(source: str, raw: bytes) -> frozenset[int]:
    """The keys of all patients of a message of several pairs, by whichever of their identifiers.

    source: its name.
    """
    keys: set[int] = set()
    survivors: set[str] = set()
    try:
        segments = parse(raw).segments
    except Hl7Error:  # what cannot be read is no merge either
        return frozenset()
    for segment in segments:
        if segment.name == "PID":
            found = _identifiers(segment, 3)
            survivors = {authority for _, authority in found}
            keys |= {_key(source, identifier, authority) for identifier, authority in found}
        elif segment.name == "MRG":
            keys |= {
                _key(source, identifier, authority)
                for identifier, own in _identifiers(segment, 1)
                for authority in ({own} if own else survivors | {""})
            }
    return frozenset(keys)


def _identifiers(segment: Segment, field: int) -> list[tuple[str, str]]:
    """Identifiers, each with the namespace (or the universal id) of its authority."""
    found: list[tuple[str, str]] = []
    for repetition in segment.repetitions(field):
        if identifier := word(repetition.value(1).text):
            namespace = word(repetition.value(4, 1).text) or word(repetition.value(4, 2).text)
            found.append((identifier, namespace))
    return found


def _identifier(message: Message, segment: str, field: int, authorities: tuple[str, ...]) -> tuple[str, str]:
    """Identifier and authority's namespace (or its universal id) of the patient; ("", "") for none."""
    first = message.first(segment)
    if first is None:
        return "", ""
    found = _identifiers(first, field)
    for authority in authorities:
        for identifier, namespace in found:
            if namespace == authority:
                return identifier, namespace
    return found[0] if found else ("", "")
