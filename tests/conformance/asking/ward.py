"""A chart with Conditions and Observations of every category, and what tokens of some of them should show.

The two sets of scopes are those of US Core's test kit. What a token should be told is worked out from what was
stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asking.bodies import local
from asking.client import Fhir

CONDITION = "http://terminology.hl7.org/CodeSystem/condition-category"
US_CONDITION = "http://hl7.org/fhir/us/core/CodeSystem/condition-category"
OBSERVATION = "http://terminology.hl7.org/CodeSystem/observation-category"
US_CATEGORY = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category"
LOINC = "http://loinc.org"

Category = tuple[str, str]
SETS: dict[str, dict[str, tuple[Category, ...]]] = {
    "1": {
        "Condition": ((CONDITION, "encounter-diagnosis"), (US_CONDITION, "health-concern")),
        "Observation": ((OBSERVATION, "laboratory"), (OBSERVATION, "social-history")),
    },
    "2": {
        "Condition": ((CONDITION, "problem-list-item"),),
        "Observation": ((OBSERVATION, "vital-signs"), (OBSERVATION, "survey"), (US_CATEGORY, "sdoh")),
    },
}
OTHERS = ("Patient", "Encounter", "DiagnosticReport", "Provenance", "List", "CarePlan", "Goal", "Practitioner")


def category(resource: dict[str, Any]) -> Category:
    (coding,) = resource["category"][0]["coding"]
    return coding["system"], coding["code"]


@dataclass(slots=True)
class Sight:
    """What one set of scopes should show of the chart. own: requests with a token of that set."""

    chart: Ward
    own: Fhir
    categories: dict[str, tuple[Category, ...]]

    def sees(self, resource: dict[str, Any]) -> bool:
        wanted = self.categories.get(resource["resourceType"])
        return wanted is None or category(resource) in wanted

    def seen(self, name: str) -> set[str]:
        """The ids of what is shown of a type."""
        return {one["id"] for one in self.chart.of[name] if self.sees(one)}

    def hidden(self, name: str) -> list[dict[str, Any]]:
        found = [one for one in self.chart.of[name] if not self.sees(one)]
        assert found, "a test that hides nothing shows nothing"
        return found

    def shown(self, name: str) -> list[dict[str, Any]]:
        return [one for one in self.chart.of[name] if self.sees(one)]

    def told(self, query: str) -> set[str]:
        """Type/id of everything a search answers with, matches and others."""
        return {local(entry["resource"]) for entry in self.own.all(query)}

    def none_hidden(self, text: str) -> None:
        """That an answer holds nothing hidden: neither an id as a resource's own nor any content."""
        for name in self.categories:
            for one in self.hidden(name):
                assert f'"id":"{one["id"]}"' not in text.replace('": "', '":"')
                assert one["code"]["text"] not in text


@dataclass(slots=True)
class Ward:
    """What was stored. of: type -> resources. patient: id."""

    fhir: Fhir
    patient: str
    of: dict[str, list[dict[str, Any]]]


def admitted(fhir: Fhir) -> Ward:
    """A chart with Conditions and Observations of every category, and what refers to them and is referred
    to."""
    of: dict[str, list[dict[str, Any]]] = {}

    def made(resource: dict[str, Any]) -> dict[str, Any]:
        stored = fhir.create(resource)
        of.setdefault(stored["resourceType"], []).append(stored)
        return stored

    patient = made({"resourceType": "Patient", "name": [{"family": f"Granular{fhir.run}"}]})
    subject = {"reference": f"Patient/{patient['id']}"}
    encounters = [
        made(
            {
                "resourceType": "Encounter",
                "status": "finished",
                "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
                "subject": subject,
            }
        )
        for _ in range(9)
    ]
    number = 0
    for system, code in [one for each in SETS.values() for one in each["Condition"]]:
        number += 1
        made(
            {
                "resourceType": "Condition",
                "category": [{"coding": [{"system": system, "code": code}]}],
                "code": {"coding": [{"system": LOINC, "code": f"c-{code}"}], "text": f"Condition of {code}"},
                "subject": subject,
                "encounter": {"reference": local(encounters[number])},
                "recordedDate": f"2024-01-0{number}",
            }
        )
    for system, code in [one for each in SETS.values() for one in each["Observation"]]:
        number += 1
        before = of.get("Observation", [])
        made(
            {
                "resourceType": "Observation",
                "status": "final",
                "category": [{"coding": [{"system": system, "code": code}]}],
                "code": {"coding": [{"system": LOINC, "code": f"o-{code}"}], "text": f"Observation of {code}"},
                "subject": subject,
                "encounter": {"reference": local(encounters[number])},
                "effectiveDateTime": f"2024-02-0{number}",
            }
            | ({"derivedFrom": [{"reference": local(before[-1])}]} if before else {})
        )
    both = [*of["Condition"], *of["Observation"]]
    made(
        {
            "resourceType": "DiagnosticReport",
            "status": "final",
            "code": {"text": "all"},
            "subject": subject,
            "result": [{"reference": local(one)} for one in of["Observation"]],
        }
    )
    made(
        {
            "resourceType": "List",
            "status": "current",
            "mode": "working",
            "subject": subject,
            "entry": [{"item": {"reference": local(one)}} for one in both],
        }
    )
    made(
        {
            "resourceType": "Provenance",
            "target": [{"reference": local(one)} for one in [patient, *both]],
            "recorded": "2024-03-01T00:00:00Z",
            "agent": [{"who": {"display": "Synthetic"}}],
        }
    )
    for one in of["Condition"]:
        made(
            {
                "resourceType": "CarePlan",
                "status": "active",
                "intent": "plan",
                "subject": subject,
                "addresses": [{"reference": local(one)}],
            }
        )
    return Ward(fhir, patient["id"], of)


def sight_of(ward: Ward, categories: dict[str, tuple[Category, ...]], mint: Callable[..., str]) -> Sight:
    """A token for some categories, and for every type of OTHERS as a whole."""
    scopes = [f"patient/{name}.rs" for name in OTHERS]
    for name, wanted in categories.items():
        scopes += [f"patient/{name}.rs?category={system}|{code}" for system, code in wanted]
    token = mint(" ".join(scopes), "--patient", ward.patient)
    return Sight(ward, Fhir(ward.fhir.base, token, ward.fhir.run), categories)
