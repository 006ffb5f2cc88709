"""Two Patient resources side by side, as a person compares them (pure).

What is alike is told by what the two say, folded; whether they are one person is the reader's to judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from server.fhir.folding import fold

Patient = Mapping[str, Any]
Relation = Literal["same", "differs", "one side"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what each side says, "" where it says nothing. relation: how the sides are related; where one
    says nothing, it is unknown whether they differ."""

    label: str
    there: tuple[str, ...]
    here: tuple[str, ...]

    @property
    def relation(self) -> Relation:
        if not self.there or not self.here:
            return "one side"
        alike = {fold(text) for text in self.there} & {fold(text) for text in self.here}
        return "same" if alike else "differs"


def compared(there: Patient, here: Patient) -> tuple[Row, ...]:
    """Name, birth date, sex, identifiers, telephone and address; without lines that neither side has."""
    rows = (
        Row("Name", _names(there), _names(here)),
        Row("Birth date", _texts(there.get("birthDate")), _texts(here.get("birthDate"))),
        Row("Sex", _texts(there.get("gender")), _texts(here.get("gender"))),
        *_identifiers(there, here),
        Row("Telephone, e-mail", _contacts(there), _contacts(here)),
        Row("Address", _addresses(there), _addresses(here)),
    )
    return tuple(row for row in rows if row.there or row.here)


def display_name(patient: Patient) -> str:
    """The first name of a Patient in words."""
    return next(iter(_names(patient)), "No name")


def _texts(value: Any) -> tuple[str, ...]:
    return (str(value),) if value else ()


def _names(patient: Patient) -> tuple[str, ...]:
    found = []
    for name in patient.get("name", ()):
        given = " ".join(word for word in name.get("given", ()) if word)
        suffix = " ".join(word for word in name.get("suffix", ()) if word)
        written = ", ".join(part for part in (name.get("family"), given, suffix) if part)
        found.append(written or name.get("text", ""))
    return _distinct(found)


def _identifiers(there: Patient, here: Patient) -> Sequence[Row]:
    """A line for each system, so that numbers of one kind stand beside each other."""
    ours, theirs = _by_system(here), _by_system(there)
    systems = dict.fromkeys((*theirs, *ours))
    return [
        Row(f"Identifier {system}".rstrip(), theirs.get(system, ()), ours.get(system, ())) for system in systems
    ]


def _by_system(patient: Patient) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for identifier in patient.get("identifier", ()):
        if identifier.get("value"):
            system = identifier.get("system", "").strip()
            found[system] = _distinct((*found.get(system, ()), identifier["value"]))
    return found


def _contacts(patient: Patient) -> tuple[str, ...]:
    return _distinct(point.get("value", "") for point in patient.get("telecom", ()))


def _addresses(patient: Patient) -> tuple[str, ...]:
    found = []
    for address in patient.get("address", ()):
        lines = [line for line in address.get("line", ()) if line]
        parts = [*lines, address.get("postalCode"), address.get("city"), address.get("state")]
        found.append(", ".join(part for part in parts if part) or address.get("text", ""))
    return _distinct(found)


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))
