"""The invariants of R4's definitional, conformance and terminology resources.

name -> function of the element, true when the rule holds. Source: the "Constraints" of each resource's page
"""

from __future__ import annotations

import re

from server.fhir.validation_invariants_datatypes import Invariant
from server.fhir.validation_presence import Json, chosen, count, distinct, has, items

_FHIR_STRUCTURES = "http://hl7.org/fhir/StructureDefinition"
_TYPE_CODE = re.compile(r"[a-zA-Z0-9.]+|http://hl7\.org/fhirpath/System\.[A-Z][A-Za-z]+")
_ASSERTIONS = (
    "contentType",
    "expression",
    "headerField",
    "minimumId",
    "navigationLinks",
    "path",
    "requestMethod",
    "resource",
    "responseCode",
    "response",
    "validateProfileId",
)
_WHOLE_SYSTEM = frozenset({"capabilities", "search", "transaction", "history"})


def _instance_or_not(statement: Json) -> bool:
    return statement.get("kind") != "instance" or has(statement, "implementation")


def _capability(statement: Json) -> bool:
    return statement.get("kind") != "capability" or (
        not has(statement, "implementation") and has(statement, "software")
    )


def _requirements(statement: Json) -> bool:
    return statement.get("kind") != "requirements" or not has(statement, "implementation", "software")


def _described(statement: Json) -> bool:
    return has(statement, "description", "software", "implementation")


def _codes_are_unique(system: Json) -> bool:
    codes: list[str] = []
    waiting = list(system.get("concept", ()))
    while waiting:
        concept = waiting.pop()
        codes.append(concept["code"])
        waiting.extend(concept.get("concept", ()))
    return distinct(codes)


def _grouping_ids(definition: Json) -> bool:
    known = {group.get("id") for group in definition.get("grouping", ())}
    return all(row["groupingId"] in known for row in items(definition, "resource") if "groupingId" in row)


def _guide_versions(guide: Json) -> bool:
    known = set(guide.get("fhirVersion", ()))
    return all(set(row.get("fhirVersion", ())) <= known for row in items(guide, "definition", "resource"))


def _stratifier(row: Json) -> bool:
    return has(row, "code", "description", "criteria") != has(row, "component")


def _positive_or_any(highest: str) -> bool:
    return highest == "*" or (highest.isdecimal() and int(highest) > 0)


def _one_preferred(naming: Json) -> bool:
    return distinct(row.get("type") for row in naming.get("uniqueId", ()) if row.get("preferred") is True)


def _views(structure: Json) -> list[list[Json]]:
    """The elements of the snapshot and of the differential, where there are any."""
    return [structure[view]["element"] for view in ("snapshot", "differential") if view in structure]


def _elements(structure: Json, view: str) -> list[Json]:
    return items(structure, view, "element")


def _root_elements(structure: Json) -> list[Json]:
    return [e for view in _views(structure) for e in view if "." not in e["path"]]


def _unique_ids(structure: Json, view: str) -> bool:
    ids = [e.get("id") for e in _elements(structure, view)]
    return None not in ids and distinct(ids)


def _defined_by_hl7(structure: Json) -> bool:
    return bool(structure.get("url", "").startswith(_FHIR_STRUCTURES))


def _types_are_fhir_types(structure: Json) -> bool:
    return not _defined_by_hl7(structure) or all(
        _TYPE_CODE.fullmatch(row["code"]) is not None
        for view in _views(structure)
        for e in view
        for row in e.get("type", ())
        if "code" in row
    )


def _first_has_no_type(structure: Json, view: str) -> bool:
    elements = _elements(structure, view)
    if (
        not elements
        or structure.get("kind") == "logical"
        or (view == "differential" and "." in elements[0]["path"])
    ):
        return True
    return not has(elements[0], "type")


def _below_the_first(view: Json) -> bool:
    first, *rest = (e["path"] for e in view["element"])
    return all(path.startswith(first.partition(".")[0] + ".") for path in rest)


def _complete_snapshot(snapshot: Json) -> bool:
    return all(count(e, "definition", "min", "max") == 3 for e in snapshot["element"])


def _operation_target(operation: Json) -> bool:
    return (
        has(operation, "sourceId")
        or count(operation, "targetId", "url", "params") == 1
        or operation.get("type", {}).get("code") in _WHOLE_SYSTEM
    )


def _one_assertion(assertion: Json) -> bool:
    return has(assertion, "extension") or count(assertion, *_ASSERTIONS) <= 1


def _comparison(assertion: Json) -> bool:
    return has(assertion, "compareToSourceId") == has(
        assertion, "compareToSourceExpression", "compareToSourcePath"
    )


def _response_only(assertion: Json) -> bool:
    return assertion.get("direction") != "request" or not has(assertion, "response", "responseCode")


def _one_action(action: Json) -> bool:
    return count(action, "operation", "assert") == 1


DEFINITIONAL_INVARIANTS: dict[str, Invariant] = {
    "cmd-1": lambda e: has(e, "comment") or e.get("equivalence") not in ("narrower", "inexact"),
    "cmd-2": lambda e: e.get("mode") != "fixed" or has(e, "code"),
    "cmd-3": lambda e: e.get("mode") != "other-map" or has(e, "url"),
    "cpb-1": lambda e: has(e, "rest", "messaging", "document"),
    "cpb-2": _described,
    "cpb-3": lambda e: e.get("kind") == "instance" or not items(e, "messaging", "endpoint"),
    "cpb-7": lambda e: distinct((row.get("profile"), row.get("mode")) for row in e.get("document", ())),
    "cpb-9": lambda e: distinct(row.get("type") for row in e.get("resource", ())),
    "cpb-12": lambda e: distinct(row.get("name") for row in e.get("searchParam", ())),
    "cpb-14": _instance_or_not,
    "cpb-15": _capability,
    "cpb-16": _requirements,
    "csd-1": _codes_are_unique,
    "ig-1": _grouping_ids,
    "ig-2": _guide_versions,
    "mea-1": lambda e: all(map(_stratifier, items(e, "group", "stratifier"))),
    "mrp-1": lambda e: e.get("type") != "data-collection" or not has(e, "group"),
    "mrp-2": lambda e: all(
        has(row, "value") != has(row, "component") for row in items(e, "group", "stratifier", "stratum")
    ),
    "md-1": lambda e: _positive_or_any(e.get("max", "*")),
    "nsd-1": lambda e: (
        e.get("kind") != "root" or all(row.get("type") != "uuid" for row in e.get("uniqueId", ()))
    ),
    "nsd-2": _one_preferred,
    "opd-1": lambda e: has(e, "type", "part"),
    "opd-2": lambda e: "searchType" not in e or e.get("type") == "string",
    "opd-3": lambda e: "targetProfile" not in e or e.get("type") in ("Reference", "canonical"),
    "sdf-1": lambda e: (
        e.get("derivation") == "constraint" or distinct(x["path"] for x in _elements(e, "snapshot"))
    ),
    "sdf-2": lambda e: has(e, "name", "uri"),
    "sdf-3": _complete_snapshot,
    "sdf-4": lambda e: e.get("abstract") is True or has(e, "baseDefinition"),
    "sdf-5": lambda e: (
        e.get("type") != "Extension" or e.get("derivation") == "specialization" or has(e, "context")
    ),
    "sdf-6": lambda e: has(e, "snapshot", "differential"),
    "sdf-8": _below_the_first,
    "sdf-8a": _below_the_first,
    "sdf-8b": lambda e: all(has(x, "base") for x in e["element"]),
    "sdf-9": lambda e: not any(has(x, "label", "code", "requirements") for x in _root_elements(e)),
    "sdf-10": lambda e: "binding" not in e or has(e["binding"], "valueSet", "description"),
    "sdf-11": lambda e: (
        e.get("kind") == "logical"
        or not _elements(e, "snapshot")
        or _elements(e, "snapshot")[0]["path"] == e.get("type")
    ),
    "sdf-14": lambda e: all("id" in x for view in _views(e) for x in view),
    "sdf-15": lambda e: _first_has_no_type(e, "snapshot"),
    "sdf-15a": lambda e: _first_has_no_type(e, "differential"),
    "sdf-16": lambda e: _unique_ids(e, "snapshot"),
    "sdf-17": lambda e: _unique_ids(e, "differential"),
    "sdf-18": lambda e: "contextInvariant" not in e or e.get("type") == "Extension",
    "sdf-19": _types_are_fhir_types,
    "sdf-20": lambda e: not any("." not in x["path"] and has(x, "slicing") for x in e["element"]),
    "sdf-21": lambda e: (
        e.get("derivation") == "specialization"
        or not any(chosen(x, "defaultValue") for x in _elements(e, "differential"))
    ),
    "sdf-22": lambda e: (
        not _defined_by_hl7(e) or not any(chosen(x, "defaultValue") for view in _views(e) for x in view)
    ),
    "sdf-23": lambda e: not any(has(x, "sliceName") for x in _root_elements(e)),
    "smp-1": lambda e: "element" not in e or has(e, "context"),
    "smp-2": lambda e: "context" not in e or has(e, "contextType"),
    "spd-1": lambda e: "xpath" not in e or has(e, "xpathUsage"),
    "spd-2": lambda e: "chain" not in e or e.get("type") == "reference",
    "tcp-1": lambda e: len(e.get("version", ())) <= 1 or all(has(row, "code") for row in e["version"]),
    "tcp-2": _described,
    "tcp-3": _instance_or_not,
    "tcp-4": _capability,
    "tcp-5": _requirements,
    "TestReport:inv-1": _one_action,
    "TestReport:inv-2": _one_action,
    "tst-1": _one_action,
    "tst-2": _one_action,
    "tst-3": lambda e: count(e, "expression", "headerField", "path") < 3,
    "tst-4": lambda e: any(has(row, "required", "validated") for row in items(e, "capability")),
    "tst-5": _one_assertion,
    "tst-6": _one_assertion,
    "tst-7": _operation_target,
    "tst-8": _operation_target,
    "tst-9": _operation_target,
    "tst-10": _comparison,
    "tst-11": _comparison,
    "tst-12": _response_only,
    "tst-13": _response_only,
    "vsd-1": lambda e: has(e, "valueSet", "system"),
    "vsd-2": lambda e: not has(e, "concept", "filter") or has(e, "system"),
    "vsd-3": lambda e: not (has(e, "concept") and has(e, "filter")),
    "vsd-6": lambda e: has(e, "code", "display"),
    "vsd-9": lambda e: has(e, "code") or e.get("abstract") is True,
    "vsd-10": lambda e: "code" not in e or has(e, "system"),
}
