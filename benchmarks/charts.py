"""The synthetic data of the benchmarks: charts of 100 resources a patient, all of them valid R4.

Ids, codes and dates follow from the numbers, and every search of the benchmarks finds the same number of
resources however many patients there are: what grows with the database shows.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from server.fhir.index_values import index_values
from server.storage.audit_values import AuditRow
from server.storage.database_store import DatabaseStore
from server.storage.versions import NewVersion

START = datetime(2026, 1, 1, tzinfo=UTC)
OBSERVATIONS = 70  # a patient; with the patient itself, 8 encounters, 8 medications and 13 tasks: 100
STATEMENTS = 8
CHART = 100
HISTORY = 3  # versions of each patient's first Task
_PATIENTS_AT_ONCE = 25

Json = dict[str, Any]


def chart(patient: int) -> Iterator[Json]:
    """One patient with what belongs to it."""
    dice = random.Random(patient)
    subject = {"reference": f"Patient/p{patient}"}
    yield {
        "resourceType": "Patient",
        "id": f"p{patient}",
        "identifier": [{"system": "urn:oid:1.2.3.4", "value": f"{patient:08}"}],
        "name": [{"family": f"Family{patient}", "given": [f"Given{patient % 97}"]}],
        "gender": dice.choice(["female", "male"]),
        "birthDate": f"{1930 + patient % 80}-0{1 + patient % 9}-1{patient % 9}",
    }
    for number in range(8):
        yield {
            "resourceType": "Encounter",
            "id": f"e{patient}-{number}",
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
            "subject": subject,
            "period": {"start": f"20{10 + number}-03-01", "end": f"20{10 + number}-03-05"},
        }
    for number in range(OBSERVATIONS):
        yield {
            "resourceType": "Observation",
            "id": f"o{patient}-{number}",
            "status": "final",
            "category": [{"coding": [{"system": "urn:oid:1.2.3.5", "code": "laboratory"}]}],
            "code": {
                "coding": [{"system": "http://loinc.org", "code": f"c{number % 14}"}],
                "text": "Some test",
            },
            "subject": subject,
            "encounter": {"reference": f"Encounter/e{patient}-{number % 8}"},
            "effectiveDateTime": f"20{10 + number % 8}-0{1 + number % 9}-{10 + dice.randrange(18)}T08:00:00Z",
            "valueQuantity": {
                "value": dice.randrange(1000) / 10,
                "unit": "mg",
                "code": "mg",
                "system": "urn:oid:1.2.3.6",
            },
        }
    for number in range(STATEMENTS):
        yield {
            "resourceType": "MedicationStatement",
            "id": f"m{patient}-{number}",
            "status": "active",
            "medicationCodeableConcept": {"coding": [{"system": "urn:oid:1.2.3.7", "code": f"r{number}"}]},
            "subject": subject,
        }
    for number in range(13):
        yield task(patient, number)


def task(patient: int, number: int) -> Json:
    """One of the 13 tasks of a patient; two patients share an owner."""
    return {
        "resourceType": "Task",
        "id": f"t{patient}-{number}",
        "status": "completed" if number % 2 else "requested",
        "intent": "order",
        "for": {"reference": f"Patient/p{patient}"},
        "owner": {"reference": f"Practitioner/d{patient // 2}"},
        "focus": {"reference": f"Observation/o{patient}-{number}"},
    }


def transaction(patient: int) -> Json:
    """A chart as a transaction that creates it under new ids: entries refer to each other by urn:uuid."""
    resources = list(chart(patient))
    urns = {
        f"{one['resourceType']}/{one['id']}": f"urn:uuid:{patient:08x}-0000-4000-8000-{number:012x}"
        for number, one in enumerate(resources)
    }
    entries = []
    for one in resources:
        text = json.dumps({name: value for name, value in one.items() if name != "id"})
        for link, urn in urns.items():
            text = text.replace(f'"{link}"', f'"{urn}"')
        entries.append(
            {
                "fullUrl": urns[f"{one['resourceType']}/{one['id']}"],
                "resource": json.loads(text),
                "request": {"method": "POST", "url": one["resourceType"]},
            }
        )
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def new_version(resource: Json, version_id: int, moment: datetime) -> NewVersion:
    """A version for the store, as the interactions would make it."""
    stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    resource = {**resource, "meta": {"versionId": str(version_id), "lastUpdated": stamp}}
    return NewVersion(
        resource_type=resource["resourceType"],
        id=resource["id"],
        version_id=version_id,
        expected_version=version_id - 1,
        last_updated=moment,
        body=json.dumps(resource, separators=(",", ":")).encode(),
        method="PUT",
        index=index_values(resource),
    )


def grow(store: DatabaseStore, patients: range) -> Iterator[int]:
    """Write the charts through the store, some patients a transaction; yields how many resources each held."""
    for first in range(patients.start, patients.stop, _PATIENTS_AT_ONCE):
        present = range(first, min(first + _PATIENTS_AT_ONCE, patients.stop))
        with store.writing() as writer:
            for patient in present:
                for resource in chart(patient):
                    writer.put(new_version(resource, 1, START))
                    writer.audit(_audit(resource))
                for version in range(2, HISTORY + 1):
                    later = START + timedelta(days=version)
                    changed = task(patient, 0) | {"description": f"version {version}"}
                    writer.put(new_version(changed, version, later))
        store.checkpoint()
        yield len(present) * CHART


def _audit(resource: Json) -> AuditRow:
    """The row that a create by the benchmark's client leaves."""
    return AuditRow(
        recorded=START,
        principal="Client/benchmark",
        client_id="benchmark",
        interaction="create",
        resource_type=resource["resourceType"],
        id=resource["id"],
        version_id=1,
        patient=resource.get("subject", {}).get("reference", "").removeprefix("Patient/"),
        outcome=201,
        request_id="00000000000000000000000000000000",
    )
