"""Synthetic charts as a care team sees them: 60 resources a patient, 20 patients a practitioner.

Each practitioner owns one open Task, and attends one Encounter under way, of each of their patients, so that a
search of a practitioner's work finds 20 resources whatever the number of patients.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from charts import new_version
from data_sets import DataSet

from server.storage.database_store import DatabaseStore

PANEL = 20  # patients of a practitioner
OBSERVATIONS = 20  # of a patient; with what else a chart holds: 60
RESOURCES = 60
_START = datetime(2026, 1, 1, tzinfo=UTC)
_PATIENTS_AT_ONCE = 40

Json = dict[str, Any]


def chart(patient: int) -> Iterator[Json]:
    """One patient with what belongs to it, 60 resources."""
    dice = random.Random(patient)
    subject = {"reference": f"Patient/p{patient}"}
    practitioner = {"reference": f"Practitioner/d{patient // PANEL}"}
    yield {
        "resourceType": "Patient",
        "id": f"p{patient}",
        "identifier": [{"system": "urn:oid:1.2.3.4", "value": f"{patient:08}"}],
        "name": [{"family": f"Family{patient}", "given": [f"Given{patient % 97}"]}],
        "gender": dice.choice(["female", "male"]),
        "birthDate": f"{1930 + patient % 80}-0{1 + patient % 9}-1{patient % 9}",
        "generalPractitioner": [practitioner],
    }
    for number in range(4):
        yield {
            "resourceType": "Encounter",
            "id": f"e{patient}-{number}",
            "status": "finished" if number else "in-progress",
            "class": _coding("http://terminology.hl7.org/CodeSystem/v3-ActCode", "IMP"),
            "subject": subject,
            "participant": [{"individual": practitioner}],
            "period": {"start": _day(dice, 2026 - number)},
        }
    for number in range(OBSERVATIONS):
        yield {
            "resourceType": "Observation",
            "id": f"o{patient}-{number}",
            "status": "final",
            "category": [{"coding": [_coding("urn:oid:1.2.3.5", "laboratory")]}],
            "code": {"coding": [_coding("http://loinc.org", f"c{number % 10}")], "text": "Some test"},
            "subject": subject,
            "performer": [practitioner],
            "effectiveDateTime": f"{_day(dice, 2016 + number % 10)}T08:00:00Z",
            "valueQuantity": {
                "value": dice.randrange(1000) / 10,
                "unit": "mg",
                "code": "mg",
                "system": "http://unitsofmeasure.org",
            },
        }
    for number in range(6):
        yield {
            "resourceType": "Condition",
            "id": f"c{patient}-{number}",
            "code": {"coding": [_coding("http://snomed.info/sct", f"k{dice.randrange(200)}")]},
            "subject": subject,
            "onsetDateTime": _day(dice, 2010 + number),
        }
    for number in range(10):
        yield {
            "resourceType": "MedicationRequest",
            "id": f"m{patient}-{number}",
            "status": "active" if number % 3 else "stopped",
            "intent": "order",
            "medicationCodeableConcept": {
                "coding": [_coding("http://www.nlm.nih.gov/research/umls/rxnorm", f"{dice.randrange(500)}")]
            },
            "subject": subject,
            "authoredOn": _day(dice, 2025),
        }
    for number in range(6):
        yield {
            "resourceType": "Task",
            "id": f"t{patient}-{number}",
            "status": "completed" if number else "requested",
            "intent": "order",
            "for": subject,
            "owner": practitioner,
            "restriction": {"period": {"end": f"2026-0{1 + patient % 6}-1{number}"}},
        }
    for number in range(4):
        yield {
            "resourceType": "Goal",
            "id": f"g{patient}-{number}",
            "lifecycleStatus": "active",
            "description": {"text": "A goal"},
            "subject": subject,
        }
    yield {
        "resourceType": "CarePlan",
        "id": f"cp{patient}",
        "status": "active",
        "intent": "plan",
        "subject": subject,
        "goal": [{"reference": f"Goal/g{patient}-{number}"} for number in range(4)],
    }
    yield {
        "resourceType": "CareTeam",
        "id": f"ct{patient}",
        "status": "active",
        "subject": subject,
        "participant": [{"member": practitioner}],
    }
    for number in range(7):
        yield {
            "resourceType": "Procedure",
            "id": f"pr{patient}-{number}",
            "status": "completed",
            "code": {"coding": [_coding("http://snomed.info/sct", f"k{dice.randrange(200)}")]},
            "subject": subject,
            "performedDateTime": _day(dice, 2018 + number),
        }


def _coding(system: str, code: str) -> Json:
    return {"system": system, "code": code}


def _day(dice: random.Random, year: int) -> str:
    return f"{year}-0{dice.randrange(1, 10)}-{dice.randrange(10, 28)}"


def grow(store: DatabaseStore, patients: range) -> Iterator[int]:
    """Write the charts through the store, some patients a transaction; yields how many resources each held."""
    for first in range(patients.start, patients.stop, _PATIENTS_AT_ONCE):
        present = range(first, min(first + _PATIENTS_AT_ONCE, patients.stop))
        with store.writing() as writer:
            for patient in present:
                if patient % PANEL == 0:
                    practitioner = {
                        "resourceType": "Practitioner",
                        "id": f"d{patient // PANEL}",
                        "active": True,
                    }
                    writer.put(new_version(practitioner, 1, _START))
                for resource in chart(patient):
                    writer.put(new_version(resource, 1, _START))
        store.checkpoint()
        yield len(present) * RESOURCES


CARE_CHARTS = DataSet("care", RESOURCES, grow)
