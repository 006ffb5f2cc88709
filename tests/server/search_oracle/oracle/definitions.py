"""R4's search parameters and Patient compartment, as published: what each selects, by FHIRPath.

Only the definitions that the project ships as data are read; nothing of the server's own reading of them.
Source: hl7.org/fhir/R4/searchparameter-registry.html, hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import server

DATA = Path(server.__file__).parent
FHIR = DATA / "fhir"
_ROOTS = ("Resource", "DomainResource")


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a composite: the parameter it is of, and where it is, seen from the composite's element."""

    parameter: Parameter
    expressions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter on one type. expressions: FHIRPath from the resource, their union is what it selects.

    targets: types a reference may name; empty: any.
    """

    code: str
    type: str
    resource_type: str
    expressions: tuple[str, ...]
    targets: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()

    def may_target(self, resource_type: str) -> bool:
        return not self.targets or resource_type in self.targets


@cache
def lines(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return [json.loads(line) for line in text.decode("utf-8").splitlines() if line]


@cache
def _published() -> tuple[dict[str, Any], ...]:
    found = lines(FHIR / "definitions" / "search-parameters.ndjson.gz")
    # Parameters that are not of R4 itself are in files of their own: US Core's, and the project's.
    for path in sorted((FHIR / "definitions").glob("*search-parameters.ndjson")):
        found += lines(path)
    return tuple(found)


@cache
def _by_url() -> dict[str, dict[str, Any]]:
    return {definition["url"]: definition for definition in _published()}


@cache
def resource_types() -> tuple[str, ...]:
    """The types that have instances: those a parameter's `target` or `base` may name."""
    structures = lines(FHIR / "definitions" / "structure-definitions.ndjson.gz")
    found = [
        structure["type"]
        for structure in structures
        if structure["resourceType"] == "StructureDefinition"
        and structure.get("kind") == "resource"
        and not structure.get("abstract")
    ]
    return tuple(sorted(found))


@cache
def parameters(resource_type: str) -> dict[str, Parameter]:
    """Every parameter that is defined for a type, by code."""
    wanted = {resource_type, *_ROOTS}
    return {
        definition["code"]: _parameter(definition, resource_type)
        for definition in _published()
        if wanted & set(definition["base"])
    }


def _parameter(definition: dict[str, Any], resource_type: str) -> Parameter:
    return Parameter(
        definition["code"],
        definition["type"],
        resource_type,
        _from_resource(definition.get("expression", ""), resource_type),
        tuple(definition.get("target", ())),
        _components(definition, resource_type),
    )


def _components(definition: dict[str, Any], resource_type: str) -> tuple[Component, ...]:
    """R4 gives the two parameters of DocumentReference's `relationship` each other's expression; R5 mends it.

    What a parameter selects by itself tells which expression is meant.
    """
    parts = definition.get("component", ())
    paths = [part["expression"] for part in parts]
    found = []
    for part in parts:
        parameter = _parameter(_by_url()[part["definition"]], resource_type)
        own = [path for path in paths if f"{definition['expression']}.{path}" in parameter.expressions]
        text = own[0] if len(own) == 1 else part["expression"]
        found.append(Component(parameter, tuple(_readable(one) for one in alternatives(text))))
    return tuple(found)


def _from_resource(expression: str, resource_type: str) -> tuple[str, ...]:
    """The alternatives that begin at this type; `Resource.id` is the id of any."""
    found = []
    for alternative in alternatives(expression):
        root = re.match(r"\(*(\w+)", alternative)
        if root is not None and root[1] in (resource_type, *_ROOTS):
            start, end = root.span(1)
            found.append(_readable(alternative[:start] + resource_type + alternative[end:]))
    return tuple(found)


def alternatives(expression: str) -> list[str]:
    """The operands of `|` outside parentheses: a union forgets the types of what it joins."""
    found, depth, start = [], 0, 0
    for at, character in enumerate(expression):
        depth += (character == "(") - (character == ")")
        if character == "|" and depth == 0:
            found.append(expression[start:at])
            start = at + 1
    return [one for part in (*found, expression[start:]) if (one := part.strip())]


def _readable(expression: str) -> str:
    """The expression as FHIRPath means it.

    R4 writes `as` where several values are meant, which FHIRPath allows of one value only; later releases of
    the definitions say ofType. One expression spells dateTime wrongly. What a reference resolves to is told by
    the reference itself: a server may not be able to fetch it.
    """
    text = re.sub(r"\((.*) as (\w+)\)", r"\1.ofType(\2)", expression)
    text = re.sub(r"\.as\((\w+)\)", r".ofType(\1)", text)
    text = text.replace("ofType(DateTime)", "ofType(dateTime)")
    return re.sub(r"resolve\(\) is (\w+)", r"refersTo('\1')", text)


@cache
def patient_compartment() -> dict[str, tuple[str, ...]]:
    """`compartment` of Patient."""
    return compartment("Patient")


COMPARTMENTS = ("Device", "Encounter", "Patient", "Practitioner", "RelatedPerson")


@cache
def compartment(of: str) -> dict[str, tuple[str, ...]]:
    """Type -> codes of the parameters that put it into the compartment of a resource of a type.

    R4's definitions and the project's additions (Task by `for`, Device by `patient`), which are data. Every
    resource is in its own compartment, whether or not the definition says so by the code {def}.
    """
    structures = lines(FHIR / "definitions" / "structure-definitions.ndjson.gz")
    (definition,) = [
        one for one in structures if one["resourceType"] == "CompartmentDefinition" and one["code"] == of
    ]
    found = {row["code"]: tuple(row["param"]) for row in definition["resource"] if row.get("param")}
    if of == "Patient":
        added = json.loads((FHIR / "compartment_additions.json").read_text("utf-8"))["types"]
        for resource_type, codes in added.items():
            found[resource_type] = (*found.get(resource_type, ()), *codes)
    found.setdefault(of, ())
    return {kind: tuple(code for code in codes if code != "{def}") for kind, codes in found.items()}


@cache
def open_types() -> frozenset[str]:
    """Types of no compartment that a patient's token may read where its chart refers to them (policy)."""
    return frozenset(json.loads((DATA / "policy" / "open_types.json").read_text("utf-8"))["types"])
