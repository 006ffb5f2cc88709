"""What R4 has: types, their elements, the codes of required bindings. Tables: generate_elements.py."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PRIMITIVES = frozenset(
    (
        *("base64Binary", "boolean", "canonical", "code", "date", "dateTime", "decimal", "id", "instant"),
        *("integer", "markdown", "oid", "positiveInt", "string", "time", "unsignedInt", "uri", "url"),
        *("uuid", "xhtml"),
    )
)
# Primitives that JSON writes as text and that take any text of a message.
TEXTS = frozenset(
    ("base64Binary", "canonical", "code", "id", "markdown", "oid", "string", "uri", "url", "uuid")
)
INTEGERS = frozenset({"integer", "positiveInt", "unsignedInt"})


@dataclass(frozen=True, slots=True)
class Element:
    """One property. type: primitive, data type or path of an inner element ("Patient.contact").

    choice: `value` for valueQuantity, else "". value_set: of a required binding, else "". targets: types that a
    Reference may point at; none = any.
    """

    name: str
    type: str
    is_list: bool = False
    choice: str = ""
    value_set: str = ""
    targets: frozenset[str] = frozenset()

    @property
    def is_primitive(self) -> bool:
        return self.type in PRIMITIVES


@cache
def _tables() -> dict[str, Any]:
    tables: dict[str, Any] = json.loads(gzip.decompress((Path(__file__).parent / "r4.json.gz").read_bytes()))
    return tables


@cache
def elements_of(type_name: str) -> dict[str, Element]:
    """The properties of a type. Raises KeyError for none of R4's."""
    rows = _tables()["types"][type_name]
    return {
        name: Element(
            name,
            row["type"],
            row.get("list", False),
            row.get("choice", ""),
            row.get("codes", ""),
            frozenset(row.get("targets", ())),
        )
        for name, row in rows.items()
    }


def required_in(type_name: str) -> tuple[str, ...]:
    """Properties, or names of choices, that an object of this type must have."""
    return tuple(_tables()["required"].get(type_name, ()))


@cache
def resource_types() -> frozenset[str]:
    """The concrete resource types."""
    return frozenset(name for name, rows in _tables()["types"].items() if "implicitRules" in rows)


@cache
def codes_of(value_set: str) -> frozenset[str]:
    """Codes of a required binding; none where it is a rule and no list."""
    return frozenset(_tables()["codes"].get(value_set, ()))
