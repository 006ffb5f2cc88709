"""A small terminology: definitions stored on the server, and a terminology's file of a few real codes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from server.settings import Settings
from terminology import editions
from terminology.store import connect, finish
from terminology.systems import ICD_10_CM, NDC, RXNORM, SNOMED_CT
from terminology.writing import IS_A, ConceptRow, EdgeRow, MapRow, SystemRow, Writer

COLOURS: dict[str, Any] = {
    "resourceType": "CodeSystem",
    "id": "colours",
    "url": "urn:example:colours",
    "version": "2",
    "title": "Colours",
    "status": "active",
    "content": "complete",
    "caseSensitive": True,
    "valueSet": "urn:example:colours:all",
    "property": [
        {"code": "warm", "type": "boolean"},
        {"code": "status", "type": "code"},
        {"code": "notSelectable", "type": "boolean"},
    ],
    "concept": [
        {
            "code": "red",
            "display": "Red",
            "designation": [
                {"language": "de", "value": "Rot"},
                {"use": {"system": "urn:example:use", "code": "poetic"}, "value": "Rouge et noir"},
            ],
            "property": [{"code": "warm", "valueBoolean": True}],
            "concept": [{"code": "crimson", "display": "Crimson"}, {"code": "pink", "display": "Pale Red"}],
        },
        {"code": "blue", "display": "Blue", "property": [{"code": "warm", "valueBoolean": False}]},
        {"code": "mauve", "display": "Mauve", "property": [{"code": "status", "valueCode": "retired"}]},
        {
            "code": "metal",
            "display": "Metallic colours",
            "property": [{"code": "notSelectable", "valueBoolean": True}],
            "concept": [{"code": "gold", "display": "Gold"}],
        },
    ],
}
FRAGMENT: dict[str, Any] = {
    "resourceType": "CodeSystem",
    "id": "shapes",
    "url": "urn:example:shapes",
    "status": "active",
    "content": "fragment",
    "caseSensitive": False,
    "concept": [{"code": "Round", "display": "Round", "concept": [{"code": "oval", "display": "Oval"}]}],
}


def value_set(id: str, *include: dict[str, Any], **compose: Any) -> dict[str, Any]:
    return {
        "resourceType": "ValueSet",
        "id": id,
        "url": f"urn:example:{id}",
        "status": "active",
        "compose": {"include": list(include), **compose},
    }


REDS = value_set(
    "reds",
    {"system": COLOURS["url"], "filter": [{"property": "concept", "op": "is-a", "value": "red"}]},
    {
        "system": "urn:example:unknown",
        "concept": [{"code": "x", "display": "Ex", "designation": [{"language": "de", "value": "Iks"}]}],
    },
    exclude=[{"system": COLOURS["url"], "concept": [{"code": "crimson"}]}],
)
MAP: dict[str, Any] = {
    "resourceType": "ConceptMap",
    "id": "to-shapes",
    "url": "urn:example:to-shapes",
    "status": "active",
    "sourceUri": "urn:example:colours:all",
    "group": [
        {
            "source": COLOURS["url"],
            "target": FRAGMENT["url"],
            "element": [
                {"code": "red", "target": [{"code": "Round", "equivalence": "wider"}]},
                {"code": "blue", "target": [{"equivalence": "unmatched"}]},
                {
                    "code": "gold",
                    "target": [
                        {
                            "code": "oval",
                            "equivalence": "equivalent",
                            "dependsOn": [{"property": "urn:example:mood", "value": "good"}],
                        }
                    ],
                },
            ],
            "unmapped": {"mode": "fixed", "code": "oval", "display": "Oval"},
        }
    ],
}


@pytest.fixture
def stored(fhir: Any) -> Any:
    """The colours, the shapes, the reds and the map, stored here."""
    for resource in (COLOURS, FRAGMENT, REDS, MAP):
        answer = fhir.put(f"{resource['resourceType']}/{resource['id']}", resource)
        assert answer.status == 201, answer.body
    return fhir


@pytest.fixture
def file(settings: Settings) -> Path:
    """A terminology's file of this deployment: some of RxNorm, two chapters of ICD-10-CM, some of SNOMED CT."""
    folder = settings.home / "terminology"
    with editions.scratch(folder) as scratch:
        with closing(connect(scratch)) as database:
            _write(Writer(database))
        return editions.publish(scratch, folder, editions.base_name())


def _write(writer: Writer) -> None:
    writer.create()
    notice = "A notice of the source."
    rxnorm = writer.system(
        SystemRow(RXNORM, "2025-11", "RxNorm", "fragment", "Public domain", notice, kind="TTY")
    )
    writer.concepts(
        rxnorm,
        [
            ConceptRow("29046", "lisinopril", "IN"),
            ConceptRow("314076", "lisinopril 10 MG Oral Tablet", "SCD"),
            ConceptRow("104377", "lisinopril 10 MG Oral Tablet [Zestril]", "SBD"),
            ConceptRow("313988", "furosemide 40 MG Oral Tablet", "SCD"),
        ],
    )
    writer.edges(rxnorm, [EdgeRow("314076", "has_ingredient", "29046")])
    writer.close(rxnorm)
    icd = writer.system(SystemRow(ICD_10_CM, "2026", "ICD-10-CM", "complete", "Public domain"))
    writer.concepts(
        icd,
        [
            ConceptRow("E11", "Type 2 diabetes mellitus", properties=(("billable", "false", "boolean"),)),
            ConceptRow("E11.9", "Type 2 diabetes mellitus without complications"),
            ConceptRow(
                "I10", "Essential (primary) hypertension", designations=(("inclusion", "high blood pressure"),)
            ),
        ],
    )
    writer.edges(icd, [EdgeRow("E11.9", IS_A, "E11")])
    writer.close(icd)
    snomed = writer.system(SystemRow(SNOMED_CT, "gps", "SNOMED CT", "fragment", "CC BY 4.0", notice))
    writer.concepts(snomed, [ConceptRow("44054006", "Diabetes mellitus type 2")])
    writer.close(snomed)
    writer.concept_map(
        "urn:example:icd-snomed",
        "1",
        "ICD to SNOMED CT",
        [MapRow(ICD_10_CM, "E11.9", SNOMED_CT, "44054006", "wider")],
    )
    writer.ndcs([("00093111301", "314076")], "rxnorm")
    finish(writer, "small")


@pytest.fixture
def ask(fhir: Any) -> Callable[..., Any]:
    """`ask("CodeSystem/$lookup", system=..., code=...)`: the answer to a GET."""

    def ask(path: str, **given: Any) -> Any:
        return fhir.get(
            f"{path}?{urlencode({name.replace('__', '-'): v for name, v in given.items()}, doseq=True)}"
        )

    return ask


@pytest.fixture
def answered() -> Callable[..., dict[str, Any]]:
    """The values of a Parameters answer by name; of parameters with parts a list."""

    def of(answer: Any, name: str = "") -> Any:
        assert answer.status == 200, answer.body
        body = answer.json
        assert body["resourceType"] == "Parameters"
        found: dict[str, Any] = {}
        for row in body["parameter"]:
            if "part" in row:
                found.setdefault(row["name"], []).append({part["name"]: _value(part) for part in row["part"]})
            else:
                found[row["name"]] = _value(row)
        return found[name] if name else found

    return of


def _value(row: dict[str, Any]) -> Any:
    return next(value for key, value in row.items() if key == "resource" or key.startswith("value"))


@pytest.fixture
def codes() -> Callable[[Any], list[str]]:
    """The codes of an expansion in their order."""

    def of(answer: Any) -> list[str]:
        assert answer.status == 200, answer.body
        return [row["code"] for row in answer.json["expansion"].get("contains", ())]

    return of


@pytest.fixture
def definitions() -> dict[str, Any]:
    """What `stored` stores, for requests that send a definition along."""
    return {
        "colours": COLOURS,
        "shapes": FRAGMENT,
        "reds": REDS,
        "map": MAP,
        "value_set": value_set,
        "ndc": NDC,
    }
