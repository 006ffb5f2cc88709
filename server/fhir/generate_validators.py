"""Generate the validators' tables from HL7's R4 definitions: python -m server.fhir.generate_validators

Reads server/fhir/definitions, writes into server/fhir/generated:
    elements/datatypes.json      the complex data types, every one of which may occur in an extension
    elements/<Type>.json         one resource type and the elements defined inside it
    codes.json                   the codes of each value set bound with strength `required`
    invariants.json              each invariant of R4: where, severity, words, and what Baton does with it
    resource_types.py            the names of the concrete resource types
Deterministic: the same definitions give the same bytes. Tables are described in validation_tables.py.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from server.fhir.generate_value_sets import DEFINITIONS, STRUCTURES, VALUE_SETS, read_ndjson
from server.fhir.validation_invariants import INVARIANTS

GENERATED = Path(__file__).parent / "generated"

_FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
_STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
# R4 types these as System.String; the text of the specification says more.
_TYPE_OF_BASE_PATH = {"Resource.id": "id", "Extension.url": "uri", "Narrative.div": "xhtml"}
# Primitive code elements whose value set is a rule rather than a list of codes.
_RULES = {
    "http://hl7.org/fhir/ValueSet/mimetypes": "mimetypes",
    "http://hl7.org/fhir/ValueSet/currencies": "currencies",
}

Table = dict[str, Any]


def generate(target: Path = GENERATED) -> None:
    """Write every generated file below `target`, and remove tables of types that no longer exist."""
    structures = _structures()
    code_sets = _code_sets(structures)
    elements = target / "elements"
    elements.mkdir(parents=True, exist_ok=True)
    files = {"datatypes": _datatypes(structures, code_sets)}
    resource_types = sorted(s["type"] for s in structures if s["kind"] == "resource" and not s["abstract"])
    for structure in structures:
        if structure["type"] in resource_types:
            files[structure["type"]] = _tables(structure, structure["type"], code_sets)
    for stale in elements.glob("*.json"):
        if stale.stem not in files:
            stale.unlink()
    for name, tables in files.items():
        (elements / f"{name}.json").write_text(_one_element_a_line(tables), encoding="utf-8")
    (elements / "__init__.py").write_text('"""Tables of elements by type; generated."""\n', encoding="utf-8")
    (target / "codes.json").write_text(_one_entry_a_line(code_sets), encoding="utf-8")
    (target / "invariants.json").write_text(_one_entry_a_line(_invariants(structures)), encoding="utf-8")
    (target / "resource_types.py").write_text(_resource_types_module(resource_types), encoding="utf-8")


def _structures() -> list[dict[str, Any]]:
    """The R4 StructureDefinitions of types, corrected, by id."""
    corrections = json.loads((DEFINITIONS / "corrections.json").read_text(encoding="utf-8"))
    structures = [
        s
        for s in read_ndjson(STRUCTURES)
        if s["resourceType"] == "StructureDefinition" and s["version"] == "4.0.1" and s["kind"] != "logical"
    ]
    for structure in structures:
        structure["snapshot"]["element"] = list(_corrected(structure["snapshot"]["element"], corrections))
    return sorted(structures, key=lambda s: s["id"])


def _corrected(elements: list[dict[str, Any]], corrections: dict[str, Any]) -> Iterator[dict[str, Any]]:
    left_out = tuple(corrections["leave_out"])
    for element in elements:
        path = element["path"]
        if path in left_out or path.startswith(tuple(f"{p}." for p in left_out)):
            continue
        element["type"] = corrections["types"].get(path, element.get("type", []))
        if path in corrections["value_sets"]:
            element["binding"]["valueSet"] = corrections["value_sets"][path]
        element["min"] = corrections["min"].get(path, element["min"])
        element["constraint"] = [
            c for c in element.get("constraint", []) if c["key"] not in corrections["leave_out_invariants"]
        ] + [c for c in corrections["add_invariants"] if c["path"] == path]
        yield element
    roots = elements[0]["path"]
    yield from (added for added in corrections["add"] if added["path"].partition(".")[0] == roots)


def _datatypes(structures: list[dict[str, Any]], code_sets: dict[str, Any]) -> dict[str, Table]:
    tables: dict[str, Table] = {}
    for structure in structures:
        if structure["kind"] == "complex-type" and structure["type"] != "BackboneElement":
            tables |= _tables(structure, structure["id"], code_sets)
    return tables


def _tables(structure: dict[str, Any], name: str, code_sets: dict[str, Any]) -> dict[str, Table]:
    """The table of a type and of each element defined inside it, by type name or path."""
    root, *elements = structure["snapshot"]["element"]
    tables: dict[str, Table] = {name: {"elements": {}, "invariants": _keys(root)}}
    inner = {parent for e in elements for parent in [e["path"].rpartition(".")[0]]} - {root["path"]}
    for path in sorted(inner):
        tables[path] = {"elements": {}, "invariants": []}
    for element in elements:
        path = element["path"]
        parent = path.rpartition(".")[0]
        rows = tables[name if parent == root["path"] else parent]["elements"]
        if path in tables:
            tables[path]["invariants"] = _keys(element)
        if element["max"] != "0":
            for json_name, row in _rows(element, path in tables, code_sets):
                rows[json_name] = row
    return tables


def _keys(element: dict[str, Any]) -> list[str]:
    """The invariants that validation_invariants checks at the element."""
    names = [_function_name(element["path"], constraint) for constraint in element.get("constraint", [])]
    return [name for name in names if name in INVARIANTS]


def _function_name(path: str, constraint: dict[str, Any]) -> str:
    """The key under which an invariant is implemented; `inv-1` means three different things in R4."""
    key: str = constraint["key"]
    return f"{path.partition('.')[0]}:{key}" if key.startswith("inv-") else key


def _rows(
    element: dict[str, Any], has_children: bool, code_sets: dict[str, Any]
) -> Iterator[tuple[str, Table]]:
    """The JSON names of an element with their rows; several for a choice."""
    name = element["path"].rpartition(".")[2]
    common: Table = {}
    if element["max"] == "*":
        common["list"] = True
    if element["min"] > 0:
        common["required"] = True
    if "contentReference" in element:
        yield name, {"type": element["contentReference"].removeprefix("#")} | common
        return
    if has_children:
        yield name, {"type": element["path"]} | common
        return
    keys = _keys(element)
    for declared in element["type"]:
        row: Table = {"type": _type_name(element, declared)} | common | _binding(element, code_sets)
        if row["type"] == "Reference" and (targets := _targets(declared)):
            row["targets"] = targets
        if keys:
            row["invariants"] = keys
        if name.endswith("[x]"):
            code: str = declared["code"]
            row["choice"] = name.removesuffix("[x]")
            yield name.removesuffix("[x]") + code[0].upper() + code[1:], row
        else:
            yield name, row


def _type_name(element: dict[str, Any], declared: dict[str, Any]) -> str:
    base = element.get("base", {}).get("path")
    if base in _TYPE_OF_BASE_PATH:
        return _TYPE_OF_BASE_PATH[base]
    code: str = declared["code"]
    if code.startswith("http://hl7.org/fhirpath/"):
        return next(e["valueUrl"] for e in declared.get("extension", []) if e["url"] == _FHIR_TYPE)
    for profile in declared.get("profile", []):
        return profile.removeprefix(_STRUCTURE)
    return code


def _targets(declared: dict[str, Any]) -> list[str]:
    targets = sorted(profile.removeprefix(_STRUCTURE) for profile in declared.get("targetProfile", []))
    return [] if "Resource" in targets else targets


def _binding(element: dict[str, Any], code_sets: dict[str, Any]) -> Table:
    binding = element.get("binding", {})
    url = binding.get("valueSet", "").split("|")[0]
    if binding.get("strength") != "required" or url not in code_sets:
        return {}
    return {"codes": url}


def _code_sets(structures: list[dict[str, Any]]) -> dict[str, Any]:
    """Canonical url of a required value set -> {system: [codes]}, {"rule": name} or {"not checked": why}."""
    resources = {resource["url"]: resource for resource in read_ndjson(VALUE_SETS)}
    urls = {
        element["binding"]["valueSet"].split("|")[0]
        for structure in structures
        for element in structure["snapshot"]["element"]
        if element.get("binding", {}).get("strength") == "required"
    }
    sets: dict[str, Any] = {}
    for url in sorted(urls):
        if url in _RULES:
            sets[url] = {"rule": _RULES[url]}
        elif url not in resources:
            sets[url] = {"not checked": "the value set is not part of R4's own content"}
        else:
            sets[url] = _expand(resources[url], resources)
    return sets


def _expand(value_set: dict[str, Any], resources: dict[str, Any]) -> dict[str, Any]:
    codes: dict[str, list[str]] = {}
    for include in value_set["compose"]["include"]:
        system = include.get("system", "")
        concepts = include.get("concept") or resources.get(system, {}).get("concept")
        if not concepts or "filter" in include or "valueSet" in include:
            return {"not checked": f"the codes of {system} are not listed in R4"}
        codes.setdefault(system, []).extend(concept["code"] for concept in concepts)
    return {system: sorted(set(listed)) for system, listed in sorted(codes.items())}


def _invariants(structures: list[dict[str, Any]]) -> dict[str, Table]:
    """Every invariant of R4 with what Baton does about it. Raises ValueError if one is not accounted for."""
    decided = json.loads((DEFINITIONS / "invariants.json").read_text(encoding="utf-8"))["invariants"]
    rows: dict[str, Table] = {}
    for structure in structures:
        for element in structure["snapshot"]["element"]:
            for constraint in element.get("constraint", []):
                name = _function_name(element["path"], constraint)
                row = rows.setdefault(
                    name, {"severity": constraint["severity"], "human": constraint["human"], "paths": []}
                )
                if element["path"] not in row["paths"]:
                    row["paths"].append(element["path"])
    for name, row in rows.items():
        if len(row["paths"]) > 100:
            row["paths"] = ["DomainResource"]
        if name in INVARIANTS or name not in decided:
            row["status"] = "implemented" if name in INVARIANTS else "undecided"
        else:
            row |= decided[name]
    undecided = sorted(name for name, row in rows.items() if row["status"] == "undecided")
    unknown = sorted((set(INVARIANTS) | set(decided)) - set(rows))
    if undecided or unknown:
        raise ValueError(
            f"invariants without a decision: {undecided}; decisions without an invariant: {unknown}"
        )
    return dict(sorted(rows.items()))


def _one_entry_a_line(table: dict[str, Any]) -> str:
    lines = (f"{json.dumps(key)}: {json.dumps(row, ensure_ascii=False)}" for key, row in table.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _one_element_a_line(tables: dict[str, Table]) -> str:
    blocks = []
    for name, table in tables.items():
        rows = (f"{json.dumps(key)}: {json.dumps(row)}" for key, row in table["elements"].items())
        blocks.append(
            f'{json.dumps(name)}: {{"invariants": {json.dumps(table["invariants"])}, "elements": {{\n'
            + ",\n".join(rows)
            + "\n}}"
        )
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def _resource_types_module(names: Iterable[str]) -> str:
    lines = "".join(f'        "{name}",\n' for name in names)
    return (
        '"""The concrete resource types of FHIR R4; generated by server/fhir/generate_validators.py."""\n\n'
        f"RESOURCE_TYPES = frozenset(\n    (\n{lines}    )\n)\n"
    )


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else GENERATED)
