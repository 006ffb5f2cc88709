"""A synthetic chart for the pages' tests: one discharge whose lists disagree in most ways they can.

Nobody's chart. The stay ends on Wed 25 Nov 2026, the day before a holiday; the tests' clock stands on
Fri 27 Nov.
"""

from __future__ import annotations

from typing import Any

Resource = dict[str, Any]

PATIENT = "synthetic-1"
ENCOUNTER = "stay-1"
EARLIER = "stay-0"
ADMITTED = "2026-11-20T09:10:00-05:00"
DISCHARGED = "2026-11-25T13:30:00-05:00"
PRESCRIBER = {"reference": "Practitioner/osei", "display": "Dr. Osei"}
HOSPITALIST = {"reference": "Practitioner/lind", "display": "Dr. Lind"}
SUBJECT = {"reference": f"Patient/{PATIENT}"}


def chart(patient: str = PATIENT, given: str = "Rosa") -> list[Resource]:
    """All resources of the chart, ids fixed."""
    return [
        _patient(patient, given),
        *_encounters(),
        *_allergies(),
        *_conditions(),
        *_observations(),
        *_home(),
        *_discharge(),
        *_fills(),
    ]


def _patient(patient: str, given: str) -> Resource:
    return {
        "resourceType": "Patient",
        "id": patient,
        "identifier": [
            {
                "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]},
                "system": "urn:oid:1.2.3.4.5",
                "value": "0048213",
            }
        ],
        "name": [{"use": "official", "family": "Synthetic", "given": [given]}],
        "gender": "female",
        "birthDate": "1952-02-03",
    }


def _encounters() -> list[Resource]:
    def stay(key: str, start: str, end: str, reason: str) -> Resource:
        return {
            "resourceType": "Encounter",
            "id": key,
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
            "type": [{"text": "Hospital stay"}],
            "subject": SUBJECT,
            "period": {"start": start, "end": end},
            "reasonCode": [{"text": reason}],
            "serviceProvider": {"display": "Mercy General"},
            "hospitalization": {
                "dischargeDisposition": {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/discharge-disposition",
                            "code": "home",
                            "display": "Home",
                        }
                    ]
                }
            },
        }

    return [
        stay(ENCOUNTER, ADMITTED, DISCHARGED, "Heart failure"),
        stay(EARLIER, "2025-03-02T08:00:00-05:00", "2025-03-05T12:00:00-05:00", "Pneumonia"),
        {
            "resourceType": "Encounter",
            "id": "visit-1",
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "type": [{"text": "Office visit"}],
            "subject": SUBJECT,
            "period": {"start": "2026-10-14T09:00:00-04:00", "end": "2026-10-14T09:20:00-04:00"},
        },
    ]


def _allergies() -> list[Resource]:
    def allergy(key: str, text: str, reaction: str, kind: str, criticality: str) -> Resource:
        system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-"
        return {
            "resourceType": "AllergyIntolerance",
            "id": key,
            "clinicalStatus": {"coding": [{"system": system + "clinical", "code": "active"}]},
            "verificationStatus": {"coding": [{"system": system + "verification", "code": "confirmed"}]},
            "type": kind,
            "criticality": criticality,
            "code": {"text": text},
            "patient": SUBJECT,
            "reaction": [{"manifestation": [{"text": reaction}]}],
        }

    return [
        allergy("allergy-1", "Penicillin V", "Rash (childhood)", "allergy", "high"),
        allergy("allergy-2", "Lisinopril", "Cough", "intolerance", "low"),
    ]


def _conditions() -> list[Resource]:
    def condition(key: str, text: str, onset: str, status: str = "active") -> Resource:
        return {
            "resourceType": "Condition",
            "id": key,
            "clinicalStatus": {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": status}
                ]
            },
            "code": {"text": text},
            "subject": SUBJECT,
            "onsetDateTime": onset,
        }

    return [
        condition("condition-1", "Chronic congestive heart failure", "2024-05"),
        condition("condition-2", "Atrial fibrillation", "2026-11-21"),
        condition("condition-3", "Type 2 diabetes mellitus", "2011"),
        condition("condition-4", "Chronic kidney disease stage 3", "2022-08-11"),
        condition("condition-5", "Pneumonia", "2025-03-02", "resolved"),
    ]


def _observations() -> list[Resource]:
    return [
        {
            "resourceType": "Observation",
            "id": "egfr-1",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "98979-8"}], "text": "eGFR"},
            "subject": SUBJECT,
            "effectiveDateTime": "2026-11-24T06:10:00-05:00",
            "valueQuantity": {
                "value": 41,
                "unit": "mL/min/{1.73_m2}",
                "system": "http://unitsofmeasure.org",
                "code": "mL/min/{1.73_m2}",
            },
        }
    ]


def _order(
    key: str,
    name: str,
    text: str,
    timing: tuple[int, int] | None,
    dose: tuple[float, str] | None,
    authored: str,
    *,
    category: str = "community",
    by: Resource = PRESCRIBER,
    reason: str = "",
    as_needed: bool = False,
) -> Resource:
    dosage: Resource = {"text": text}
    if as_needed:
        dosage["asNeededBoolean"] = True
    if timing:
        frequency, period = timing
        dosage["timing"] = {"repeat": {"frequency": frequency, "period": period, "periodUnit": "d"}}
    if dose:
        value, unit = dose
        dosage["doseAndRate"] = [
            {
                "doseQuantity": {
                    "value": value,
                    "unit": unit,
                    "system": "http://unitsofmeasure.org",
                    "code": unit,
                }
            }
        ]
    order: Resource = {
        "resourceType": "MedicationRequest",
        "id": key,
        "status": "active",
        "intent": "order",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/medicationrequest-category",
                        "code": category,
                    }
                ]
            }
        ],
        "medicationCodeableConcept": {"text": name},
        "subject": SUBJECT,
        "authoredOn": authored,
        "requester": by,
        "dosageInstruction": [dosage],
    }
    if category == "discharge":
        order["encounter"] = {"reference": f"Encounter/{ENCOUNTER}"}
    if reason:
        order["reasonCode"] = [{"text": reason}]
    return order


def _home() -> list[Resource]:
    then = "2026-10-14T09:15:00-04:00"
    daily, twice, tablet = (1, 1), (2, 1), (1, "{tbl}")
    return [
        _order("home-1", "Atorvastatin 40 MG Oral Tablet", "40 mg at bedtime", daily, tablet, then),
        _order("home-2", "metoprolol tartrate 25 MG Oral Tablet", "25 mg twice a day", twice, tablet, then),
        _order("home-3", "glyBURIDE 5 MG Oral Tablet", "5 mg by mouth daily", daily, tablet, then),
        _order("home-4", "Losartan potassium 25 MG Oral Tablet", "25 mg daily", daily, tablet, then),
        _order("home-5", "Plavix 75 MG Oral Tablet", "75 mg daily", daily, tablet, then),
        _order("home-6", "Furosemide 40 MG Oral Tablet", "40 mg daily", daily, tablet, then),
        {
            "resourceType": "MedicationStatement",
            "id": "said-1",
            "status": "active",
            "medicationCodeableConcept": {"text": "Ibuprofen 200 MG Oral Tablet"},
            "subject": SUBJECT,
            "dateAsserted": "2026-11-20T10:00:00-05:00",
            "informationSource": {"display": "The patient"},
            "dosage": [{"text": "as needed, most evenings", "asNeededBoolean": True}],
        },
        {
            "resourceType": "MedicationStatement",
            "id": "said-2",
            "status": "active",
            "medicationCodeableConcept": {"text": "Aunt's joint tea"},
            "subject": SUBJECT,
            "dateAsserted": "2026-11-20T10:00:00-05:00",
            "informationSource": {"display": "The patient"},
            "dosage": [{"text": "one cup in the evening"}],
        },
    ]


def _discharge() -> list[Resource]:
    then = "2026-11-25T11:00:00-05:00"
    daily, twice, tablet = (1, 1), (2, 1), (1, "{tbl}")

    def order(
        key: str, name: str, text: str, timing: tuple[int, int], unit: str = "{tbl}", reason: str = ""
    ) -> Resource:
        dose = tablet if unit == "{tbl}" else (1, unit)
        return _order(key, name, text, timing, dose, then, category="discharge", by=HOSPITALIST, reason=reason)

    return [
        order("after-1", "Atorvastatin 80 MG Oral Tablet", "80 mg at bedtime", daily, reason="After ACS"),
        order("after-2", "24 HR metoprolol succinate 50 MG Extended Release Oral Tablet", "50 mg daily", daily),
        order("after-3", "Losartan potassium 25 MG Oral Tablet", "25 mg daily", daily),
        order("after-4", "clopidogrel 75 MG Oral Tablet", "75 mg daily", daily),
        order("after-5", "Furosemide 40 MG Oral Tablet", "40 mg daily", daily),
        order("after-6", "apixaban 5 MG Oral Tablet", "5 mg twice a day", twice, reason="Atrial fibrillation"),
        order(
            "after-7",
            "Omeprazole 20 MG Delayed Release Oral Capsule",
            "20 mg daily before breakfast",
            daily,
            "{capsule}",
        ),
    ]


def _fills() -> list[Resource]:
    def fill(key: str, name: str, day: str, days: int) -> Resource:
        return {
            "resourceType": "MedicationDispense",
            "id": key,
            "status": "completed",
            "medicationCodeableConcept": {"text": name},
            "subject": SUBJECT,
            "whenHandedOver": day,
            "daysSupply": {"value": days, "unit": "d", "system": "http://unitsofmeasure.org", "code": "d"},
            "dosageInstruction": [{"text": "as directed"}],
        }

    return [
        fill("fill-1", "glyBURIDE 5 MG Oral Tablet", "2026-11-02T12:00:00-05:00", 30),
        fill("fill-2", "metoprolol tartrate 25 MG Oral Tablet", "2026-11-03T12:00:00-05:00", 30),
        fill("fill-3", "Atorvastatin 40 MG Oral Tablet", "2026-09-20T12:00:00-04:00", 90),
    ]


def neighbours() -> list[Resource]:
    """Three other synthetic patients with a recent stay each, for the worklist."""
    rows = (
        ("synthetic-2", "James", "male", "1958-07-19", "0031877", "2026-11-24T16:00:00-05:00", "COPD"),
        (
            "synthetic-3",
            "Thanh",
            "female",
            "1945-01-30",
            "0029004",
            "2026-11-23T11:00:00-05:00",
            "Hip fracture",
        ),
        ("synthetic-4", "Alan", "male", "1967-10-02", "0050192", "2026-11-16T10:00:00-05:00", "Pancreatitis"),
    )
    found: list[Resource] = []
    for patient, given, gender, born, number, end, reason in rows:
        person = _patient(patient, given) | {"gender": gender, "birthDate": born}
        person["identifier"][0]["value"] = number
        stay = _encounters()[0] | {"id": f"stay-of-{patient}", "subject": {"reference": f"Patient/{patient}"}}
        stay |= {"period": {"start": "2026-11-14T08:00:00-05:00", "end": end}, "reasonCode": [{"text": reason}]}
        found += [person, stay]
    return found
