"""Generate the search registry and the index extractors: `python -m server.fhir.generate_search`.

Reads R4's search parameters, structure definitions and Patient compartment with our additions, and writes a
module a resource type to `generated/search/` and the numbers of new parameters to
`parameter_numbers.json`, which only ever grows. Same input, same bytes.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path as File
from typing import Any

from server.fhir.generate_search_code import (
    ParameterPlan,
    TypePlan,
    any_target,
    package_source,
    parts_of,
    type_source,
)
from server.fhir.generate_search_composites import composite_plan
from server.fhir.generate_search_paths import Structures, alternatives, paths

HERE = File(__file__).parent
NUMBERS = HERE / "parameter_numbers.json"
OUTPUT = HERE / "generated" / "search"
_ON_EVERY_TYPE = ("Resource", "DomainResource")
# Search types a parameter of which one element's value answers.
_INDEXED_TYPES = frozenset({"string", "token", "reference", "date", "number", "quantity", "uri"})
# Sounds-like matching needs an algorithm that R4 leaves open.
_NOT_SUPPORTED_CODES = frozenset({"phonetic"})
# Answered from the resource's own row.
_OWN_ROW = frozenset({"_id", "_lastUpdated"})


@dataclass(frozen=True, slots=True)
class Definitions:
    """The inputs: SearchParameter resources, structures, the Patient compartment's codes, those of the other
    compartments by their name, hot columns by type, and corrected components by their composite's URL."""

    parameters: tuple[Mapping[str, Any], ...]
    structures: Structures
    compartment: Mapping[str, tuple[str, ...]]
    other_compartments: Mapping[str, Mapping[str, tuple[str, ...]]]
    hot_columns: Mapping[str, Mapping[str, str]]
    corrections: Mapping[str, list[str]]


def read_definitions() -> Definitions:
    """Read everything from the files beside this module."""
    definitions = HERE / "definitions"
    parameters = _lines(definitions / "search-parameters.ndjson.gz")
    parameters += _lines(definitions / "us-core-search-parameters.ndjson")
    parameters += _lines(definitions / "baton-search-parameters.ndjson")
    structures = _lines(definitions / "structure-definitions.ndjson.gz")
    compartments = {
        d["code"]: {row["code"]: tuple(row["param"]) for row in d["resource"] if row.get("param")}
        for d in structures
        if d["resourceType"] == "CompartmentDefinition"
    }
    compartment = compartments.pop("Patient")
    for name, found in compartments.items():
        found.setdefault(name, ())  # a resource is in its own compartment: `{def}`, which not all of them say
        compartments[name] = {t: tuple(c for c in codes if c != "{def}") for t, codes in found.items()}
    additions = json.loads((HERE / "compartment_additions.json").read_text("utf-8"))["types"]
    for resource_type, codes in additions.items():
        compartment[resource_type] = tuple(dict.fromkeys((*compartment.get(resource_type, ()), *codes)))
    compartment.setdefault("Patient", ())
    hot = json.loads((HERE / "hot_columns.json").read_text("utf-8"))
    corrections = json.loads((definitions / "search-corrections.json").read_text("utf-8"))["components"]
    return Definitions(tuple(parameters), Structures(structures), compartment, compartments, hot, corrections)


def _lines(file: File) -> list[dict[str, Any]]:
    text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return [json.loads(line) for line in text.decode("utf-8").splitlines() if line]


def generate() -> dict[File, str]:
    """The content of every generated file, by its path."""
    inputs = read_definitions()
    numbers: dict[str, int] = json.loads(NUMBERS.read_text("utf-8")) if NUMBERS.exists() else {}
    by_type: dict[str, list[Mapping[str, Any]]] = {name: [] for name in inputs.structures.resource_types}
    for definition in inputs.parameters:
        bases = definition["base"]
        wide = any(base in _ON_EVERY_TYPE for base in bases)
        for base in inputs.structures.resource_types if wide else bases:
            by_type[base].append(definition)
    files = {}
    for resource_type, found in by_type.items():
        plan = _plan(resource_type, sorted(found, key=lambda d: str(d["code"])), inputs, numbers)
        files[OUTPUT / f"{resource_type.lower()}.py"] = type_source(plan)
    files[OUTPUT / "__init__.py"] = package_source(
        inputs.structures.resource_types, inputs.compartment, inputs.other_compartments
    )
    ordered = sorted(numbers.items(), key=lambda item: item[1])
    files[NUMBERS] = json.dumps(dict(ordered), indent=0) + "\n"
    return files


def _plan(
    resource_type: str, found: list[Mapping[str, Any]], inputs: Definitions, numbers: dict[str, int]
) -> TypePlan:
    planned: list[ParameterPlan] = []
    by_url = {definition["url"]: definition for definition in inputs.parameters}
    for definition in found:
        code, kind = definition["code"], definition["type"]
        number = numbers.setdefault(f"{resource_type}.{code}", len(numbers) + 1)
        indexed = (
            kind in _INDEXED_TYPES
            and "expression" in definition
            and code not in _NOT_SUPPORTED_CODES | _OWN_ROW
        )
        composite = None
        if kind == "composite":
            corrected = inputs.corrections.get(definition["url"])
            composite = composite_plan(definition, by_url, corrected, resource_type, inputs.structures)
        planned.append(
            ParameterPlan(
                number=number,
                code=code,
                type=kind,
                expression=alternatives(definition.get("expression", ""), resource_type),
                url=definition["url"],
                targets=tuple(sorted(definition.get("target", ()))),
                supported=indexed or composite is not None or code in _OWN_ROW,
                paths=tuple(paths(definition["expression"], resource_type, inputs.structures))
                if indexed
                else (),
                composite=composite,
            )
        )
    planned = [replace(parameter, parts=parts_of(parameter, planned)) for parameter in planned]
    compartment = inputs.compartment.get(resource_type, ())
    codes = {parameter.code for parameter in planned}
    chart = inputs.hot_columns["patient"].get(resource_type, "patient" if "patient" in codes else "")
    main_date = inputs.hot_columns["main_date"].get(resource_type, "")
    unknown = {*compartment, *filter(None, (main_date,))} - codes
    if unknown:
        raise ValueError(f"{resource_type} has no search parameter {sorted(unknown)}")
    return TypePlan(
        resource_type=resource_type,
        any_target=any_target(inputs.structures.resource_types),
        parameters=tuple(planned),
        compartment=compartment,
        chart=chart if resource_type in inputs.compartment else "",
        main_date=main_date,
    )


def main() -> None:
    """Write the generated files; remove modules of types that are gone."""
    files = generate()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for stale in set(OUTPUT.glob("*.py")) - set(files):
        stale.unlink()
    for file, text in files.items():
        file.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
