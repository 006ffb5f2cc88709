"""Cases written by hand from the written requirements alone. Covers: each line of `hand_cases/*.toml`.

A line of a case is `DRUG | what | what ...`: a dose (`1 tablet`), a rate (`2/d`, `1/72h`, `1/mo`), a
timing code (`code BID`), a time of day (`at HS`), a course (`for 7 d`), a route, `prn`, `sig TEXT`,
`status X`, `as TYPE`, `link b1` (based on that line), `id X` (business identifier), `source X` (another
list of that side). `++` parts several dosages. An expectation is `KIND LINES : DIFFERENCES`; no colon
says there are none, `?` that only the pairing is stated, `b1|b2` that either will do.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from smart_app.reconciliation.explain import explain
from terminology.rxnorm import RxNorm
from terminology.systems import RXNORM

CASES = Path(__file__).parent / "hand_cases"
DRUGS = tomllib.loads((CASES / "drugs.toml").read_text(encoding="utf-8"))
READ = [
    pytest.param(case, id=f"{path.stem}: {case['title']}")
    for path in sorted(CASES.glob("*.toml"))
    for case in tomllib.loads(path.read_text(encoding="utf-8")).get("case", [])
]

NDC = "http://hl7.org/fhir/sid/ndc"
TIMING = "http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation"
UCUM = "http://unitsofmeasure.org"
UCUM_CODES = {"mg": "mg", "g": "g", "mcg": "ug", "mL": "mL"}
ROUTES = {
    "oral": "26643006",
    "sublingual": "37839007",
    "subcutaneous": "34206005",
    "intramuscular": "78421000",
    "transdermal": "45890007",
    "topical": "6064005",
}

DOSE = re.compile(r"(?P<value>\d+(\.\d+)?) (?P<unit>\S+)")
RATE = re.compile(r"(?P<times>\d+)/(?P<period>\d*)(?P<unit>h|d|wk|mo)")


def dosage(words: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    repeat: dict[str, Any] = {}
    for word in words:
        name, _, rest = word.partition(" ")
        if dose := DOSE.fullmatch(word):
            quantity = {"value": float(dose["value"]), "unit": dose["unit"]}
            if dose["unit"] in UCUM_CODES:
                quantity |= {"system": UCUM, "code": UCUM_CODES[dose["unit"]]}
            found["doseAndRate"] = [{"doseQuantity": quantity}]
        elif rate := RATE.fullmatch(word):
            repeat |= {
                "frequency": int(rate["times"]),
                "period": int(rate["period"] or 1),
                "periodUnit": rate["unit"],
            }
        elif word in ROUTES:
            found["route"] = {"coding": [{"system": "http://snomed.info/sct", "code": ROUTES[word]}]}
        elif name == "prn":
            found["asNeededBoolean"] = True
        elif name == "sig":
            found["text"] = rest
        elif name == "code":
            found.setdefault("timing", {})["code"] = {"coding": [{"system": TIMING, "code": rest}]}
        elif name == "at":
            repeat["when"] = [rest]
        elif name == "for":
            value, unit = rest.split()
            repeat["boundsDuration"] = {"value": int(value), "unit": unit, "system": UCUM, "code": unit}
        else:
            raise ValueError(f"not a word of a case: {word!r}")
    if repeat:
        found.setdefault("timing", {})["repeat"] = repeat
    return found


def concept(drug: str) -> dict[str, Any]:
    name, _, rest = drug.partition(" ")
    if name == "text":
        return {"text": rest}
    if name == "ndc":
        return {"coding": [{"system": NDC, "code": rest}]}
    return {"coding": [{"system": RXNORM, "code": DRUGS[drug]}]}


KEPT_APART = {"status", "as", "link", "id", "source", "for-condition"}


def resource(identity: str, line: str, types: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """(name of the source, the resource) of one line of a case."""
    first, *others = (part.strip().split(" | ") for part in line.split(" ++ "))
    drug, *words = (word.strip() for word in first)
    about = {name: rest for name, _, rest in (word.partition(" ") for word in words) if name in KEPT_APART}
    words = [word for word in words if word.partition(" ")[0] not in KEPT_APART]
    type_ = types[identity] = about.get("as", "MedicationRequest")
    dosages = [dosage(part) for part in (words, *([word.strip() for word in part] for part in others)) if part]
    dispensed = type_ == "MedicationDispense"
    found: dict[str, Any] = {
        "resourceType": type_,
        "id": identity,
        "status": about.get("status", "completed" if dispensed else "active"),
        "subject": {"reference": "Patient/p"},
        "medicationCodeableConcept": concept(drug),
    }
    if type_ == "MedicationRequest":
        found["intent"] = "order"
    if dosages:
        found["dosage" if type_ == "MedicationStatement" else "dosageInstruction"] = dosages
    if "id" in about:
        found["identifier"] = [{"system": "https://orders.example.org/rx", "value": about["id"]}]
    if "for-condition" in about:
        found["reasonCode"] = [{"text": about["for-condition"]}]
    if "link" in about:
        target = [{"reference": f"{types[about['link']]}/{about['link']}"}]
        found["authorizingPrescription" if dispensed else "basedOn"] = target
    return about.get("source", "chart"), found


def bundle(case: dict[str, Any]) -> dict[str, Any]:
    types: dict[str, str] = {}
    resources: list[dict[str, Any]] = [{"resourceType": "Patient", "id": "p"}]
    for side, letter in (("before", "b"), ("after", "a")):
        sources: dict[str, list[dict[str, Any]]] = {"chart": []}
        for number, line in enumerate(case[side], start=1):
            source, found = resource(f"{letter}{number}", line, types)
            sources.setdefault(source, []).append(found)
            resources.append(found)
        for source, found_there in sources.items():
            resources.append(
                {
                    "resourceType": "List",
                    "id": f"{side}-{source}",
                    "status": "current",
                    "mode": "snapshot",
                    "code": {"text": side},
                    "entry": [{"item": {"reference": f"{r['resourceType']}/{r['id']}"}} for r in found_there],
                }
            )
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": "2026-03-10T12:00:00Z",
        "entry": [{"resource": found} for found in resources],
    }


def fits(group: dict[str, Any], expected: str) -> bool:
    kind_and_lines, _, differences = expected.partition(" : ")
    kind, *lines = kind_and_lines.split()
    found = [reference.partition("/")[2] for reference in (*group["before"], *group["after"])]
    if kind != group["kind"] or len(found) != len(lines):
        return False
    if not all(one in wanted.split("|") for one, wanted in zip(sorted(found), sorted(lines), strict=True)):
        return False
    if kind == "possible" or differences == "?":
        return True
    return sorted(group["differences"]) == sorted(differences.split())


@pytest.mark.parametrize("case", READ)
def test_the_lines_group_as_the_requirements_say(case: dict[str, Any], rxnorm: RxNorm) -> None:
    answer = explain(bundle(case), rxnorm)
    said = [f"{g['kind']} {g['before']} {g['after']} : {g['differences']}" for g in answer["groups"]]
    unexpected = list(answer["groups"])
    for expected in case["expect"]:
        fitting = next((group for group in unexpected if fits(group, expected)), None)
        assert fitting is not None, (case["rule"], expected, said)
        unexpected.remove(fitting)
    assert not unexpected, (case["rule"], said)
    assert {alert["kind"] for alert in answer["alerts"]} >= set(case.get("alerts", []))


def test_there_are_a_hundred_and_fifty_cases_and_no_two_have_one_name() -> None:
    titles = [parameter.values[0]["title"] for parameter in READ]
    assert len(titles) == len(set(titles)) >= 150
