"""Code systems and value sets as far as the random charts use them, and the bindings of code elements.

The hierarchies are written down here from hl7.org/fhir/R4/codesystem-condition-clinical.html and the like;
which value set an element is bound to is read from the published structures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from search_oracle.definitions import FHIR, lines

HL7 = "http://terminology.hl7.org/CodeSystem/"
# Code -> the code above it, "" for none.
HIERARCHIES: Mapping[str, Mapping[str, str]] = {
    HL7 + "condition-clinical": {
        "active": "",
        "recurrence": "active",
        "relapse": "active",
        "inactive": "",
        "remission": "inactive",
        "resolved": "inactive",
    },
    HL7 + "allergyintolerance-clinical": {"active": "", "inactive": "", "resolved": "inactive"},
    HL7 + "condition-ver-status": {
        "unconfirmed": "",
        "provisional": "unconfirmed",
        "differential": "unconfirmed",
        "confirmed": "",
        "refuted": "",
        "entered-in-error": "",
    },
    "http://hl7.org/fhir/observation-status": {
        "registered": "",
        "preliminary": "",
        "final": "",
        "amended": "",
        "corrected": "amended",
        "cancelled": "",
        "entered-in-error": "",
        "unknown": "",
    },
}
R4_VALUE_SETS = tuple(
    f"http://hl7.org/fhir/ValueSet/{name}"
    for name in (
        "condition-clinical",
        "allergyintolerance-clinical",
        "observation-status",
        "administrative-gender",
        "task-intent",
        "request-status",
    )
)


def above(system: str, code: str) -> Iterator[str]:
    """The code and all that subsume it."""
    while code:
        yield code
        code = HIERARCHIES[system][code]


def related(modifier: str, system: str, code: str) -> set[str]:
    """The codes that are above or below a code, itself included."""
    if modifier == "above":
        return set(above(system, code))
    return {other for other in HIERARCHIES[system] if code in above(system, other)}


@cache
def _terminology() -> Mapping[tuple[str, str], Any]:
    found = lines(FHIR / "definitions" / "required-value-sets.ndjson.gz")
    return {(one["resourceType"], one["url"]): one for one in found}


@cache
def members(value_set: str) -> frozenset[tuple[str, str]]:
    """(system, code) of all codes of a required value set of R4; only `compose.include` of R4's own systems."""
    definition = _terminology().get(("ValueSet", value_set))
    found = set()
    for include in definition["compose"]["include"] if definition else ():
        whole = _terminology().get(("CodeSystem", include["system"]), {})
        for concept in include.get("concept") or whole.get("concept", ()):
            found.add((include["system"], concept["code"]))
    return frozenset(found)


def included(value_set: Mapping[str, Any], system: str, code: str | None) -> bool:
    """Whether a ValueSet resource includes a code: one of a system as a whole, or listed."""
    return any(
        include["system"] == system
        and ("concept" not in include or code in [concept["code"] for concept in include["concept"]])
        for include in value_set.get("compose", {}).get("include", ())
    )


@cache
def _elements() -> Mapping[str, Any]:
    return {
        element["path"]: element
        for structure in lines(FHIR / "definitions" / "structure-definitions.ndjson.gz")
        if structure["resourceType"] == "StructureDefinition"
        and structure.get("derivation", "specialization") == "specialization"
        for element in (structure.get("snapshot") or structure["differential"])["element"]
    }


@cache
def bound_systems(path: str, code: str) -> tuple[str, ...]:
    """The systems that a code of the element at a path (Patient.address[0].use) has by its required binding."""
    at, element = "", None
    for name in re.sub(r"\[\d+\]", "", path).split("."):
        at = f"{at}.{name}" if at else name
        element = _elements().get(at)
        if element is None:
            return ()
        types = [one["code"] for one in element.get("type", ())]
        if len(types) == 1 and types[0] not in ("BackboneElement", "Element", "code"):
            at = types[0]
    binding = element.get("binding", {}) if element else {}
    if binding.get("strength") != "required":
        return ()
    listed = members(binding["valueSet"].partition("|")[0])
    return tuple(sorted({system for system, other in listed if other == code}))
