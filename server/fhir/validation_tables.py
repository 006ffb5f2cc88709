"""The generated tables of elements, read when a type is first asked for.

A table describes one type: a resource, a data type, or the elements inside an element ("Patient.contact").
Source of the tables: server/fhir/generate_validators.py
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from server.fhir.generated.resource_types import RESOURCE_TYPES

_GENERATED = Path(__file__).parent / "generated"

PRIMITIVES = frozenset(
    {
        "base64Binary",
        "boolean",
        "canonical",
        "code",
        "date",
        "dateTime",
        "decimal",
        "id",
        "instant",
        "integer",
        "markdown",
        "oid",
        "positiveInt",
        "string",
        "time",
        "unsignedInt",
        "uri",
        "url",
        "uuid",
        "xhtml",
    }
)


@dataclass(frozen=True, slots=True)
class Element:
    """One property of a JSON object.

    type: primitive, data type, path of an inner element, or "Resource". choice: the `x` of x[y], else "".
    value_set: canonical url of a required binding, else "". targets: types a Reference may point at,
    empty = any. invariants: rules that this element adds to those of its type.
    """

    name: str
    type: str
    is_list: bool
    required: bool
    choice: str
    value_set: str
    targets: frozenset[str]
    invariants: tuple[str, ...]

    @property
    def is_primitive(self) -> bool:
        return self.type in PRIMITIVES

    @property
    def fhirpath(self) -> str:
        """The name of this element in a FHIRPath expression: "birthDate", "value.ofType(Quantity)"."""
        if not self.choice:
            return self.name
        suffix = self.name[len(self.choice) :]
        return f"{self.choice}.ofType({suffix if self.type[0].isupper() else suffix[0].lower() + suffix[1:]})"


@dataclass(frozen=True, slots=True)
class Table:
    """One type. required: names (or choices) that must be there. choices: choice -> its property names."""

    name: str
    elements: dict[str, Element]
    required: tuple[str, ...]
    choices: dict[str, frozenset[str]]
    invariants: tuple[str, ...]

    @property
    def is_resource(self) -> bool:
        return self.name in RESOURCE_TYPES


@cache
def table(name: str) -> Table:
    """The table of a resource type, data type or inner element. Raises: KeyError for anything else."""
    root = name.partition(".")[0]
    return _tables(root if root in RESOURCE_TYPES else "datatypes")[name]


@cache
def codes(value_set: str) -> dict[str, Any]:
    """System -> codes of a required value set; or {"rule": name}; or {"not checked": reason}."""
    listed: dict[str, dict[str, Any]] = _read("codes.json")
    return listed[value_set]


@cache
def invariant_words() -> dict[str, str]:
    """The specification's own words for each invariant."""
    return {name: row["human"] for name, row in _read("invariants.json").items()}


@cache
def _tables(file: str) -> dict[str, Table]:
    return {name: _table(name, row) for name, row in _read(f"elements/{file}.json").items()}


def _read(file: str) -> Any:
    return msgspec.json.decode((_GENERATED / file).read_bytes())


def _table(name: str, row: dict[str, Any]) -> Table:
    elements = {key: _element(key, value) for key, value in row["elements"].items()}
    choices: defaultdict[str, set[str]] = defaultdict(set)
    for element in elements.values():
        if element.choice:
            choices[element.choice].add(element.name)
    return Table(
        name=name,
        elements=elements,
        required=tuple(dict.fromkeys(e.choice or e.name for e in elements.values() if e.required)),
        choices={choice: frozenset(names) for choice, names in choices.items()},
        invariants=tuple(row["invariants"]),
    )


def _element(name: str, row: dict[str, Any]) -> Element:
    return Element(
        name=name,
        type=row["type"],
        is_list=row.get("list", False),
        required=row.get("required", False),
        choice=row.get("choice", ""),
        value_set=row.get("codes", ""),
        targets=frozenset(row.get("targets", ())),
        invariants=tuple(row.get("invariants", ())),
    )
