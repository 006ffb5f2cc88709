"""Elements of the clinical types: what was found, decided, given and written down. See `charts`."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from search_oracle.makers import (
    DISPLAYS,
    PARTS,
    UCUM,
    URIS,
    Json,
    Make,
    Maker,
    backbone,
    choice,
    code,
    concept,
    encounter,
    identifiers,
    many,
    maybe,
    patient,
    practitioner,
    ref,
    subject,
    words,
)


def _age(m: Maker) -> Json:
    return {"value": Decimal(m.one("1", "5", "40")), "system": UCUM, "code": "a", "unit": "years"}


def _observed(m: Maker) -> Json:
    make = choice(
        valueQuantity=Maker.quantity,
        valueCodeableConcept=concept,
        valueString=words,
        valueDateTime=Maker.date_time,
        valuePeriod=Maker.period,
        valueSampledData=Maker.samples,
    )
    value = make(m)
    return value or {"dataAbsentReason": m.concept()}


def _condition_status(m: Maker) -> Json:
    """Abated conditions are not active, and one entered in error has no clinical status (con-3 to con-5)."""
    form = m.random.randrange(3)
    if form == 0:
        return {"verificationStatus": m.bound("condition-ver-status", "entered-in-error")}
    states = ("active", "recurrence") if form == 1 else ("resolved", "remission")
    made = {
        "clinicalStatus": m.bound("condition-clinical", *states),
        "verificationStatus": m.bound("condition-ver-status", "confirmed", "provisional"),
    }
    ended = choice(
        abatementDateTime=Maker.date_time,
        abatementAge=_age,
        abatementPeriod=Maker.period,
        abatementString=words,
    )
    return made | (ended(m) if form == 2 else {})


def _part(m: Maker) -> Json:
    return {"code": {"coding": [m.coding(PARTS)]}} | _observed(m)


def _asserted(m: Maker) -> list[Json]:
    url = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate"
    return [{"url": url, "valueDateTime": m.date_time()}]


CLINICAL: Mapping[str, Mapping[str, Make]] = {
    "AllergyIntolerance": {
        "identifier": identifiers,
        "clinicalStatus": lambda m: m.bound("allergyintolerance-clinical", "active", "inactive"),
        "verificationStatus": lambda m: m.bound("allergyintolerance-verification", "confirmed", "refuted"),
        "type": maybe(code("allergy", "intolerance")),
        "category": many(code("food", "medication")),
        "criticality": maybe(code("low", "high")),
        "code": maybe(concept),
        "patient": patient,
        "onset_x": choice(onsetDateTime=Maker.date_time, onsetPeriod=Maker.period),
        "recordedDate": maybe(Maker.date_time),
        "asserter": maybe(ref("Practitioner", "Patient")),
        "recorder": maybe(ref("PractitionerRole", "Practitioner")),
        "lastOccurrence": maybe(Maker.date_time),
        "reaction": many(
            backbone(
                manifestation=lambda m: [m.concept()],
                substance=maybe(concept),
                severity=maybe(code("mild", "severe")),
                onset=maybe(Maker.date_time),
            ),
            1,
        ),
    },
    "Condition": {
        "identifier": identifiers,
        "extension": maybe(_asserted, 0.4),
        "status_x": _condition_status,
        "category": many(concept),
        "severity": maybe(concept),
        "code": maybe(concept),
        "bodySite": many(concept, 1),
        "subject": subject,
        "encounter": encounter,
        "onset_x": choice(
            onsetDateTime=Maker.date_time, onsetPeriod=Maker.period, onsetAge=_age, onsetString=words
        ),
        "recordedDate": maybe(Maker.date_time),
        "asserter": maybe(ref("Practitioner", "Patient")),
        "stage": many(backbone(summary=concept), 1),
        "evidence": many(
            backbone(code=lambda m: [m.concept()], detail=many(ref("Observation", "Condition"), 1)), 1
        ),
    },
    "Device": {
        "identifier": identifiers,
        "status": maybe(code("active", "inactive")),
        "manufacturer": maybe(words),
        "modelNumber": maybe(words),
        "deviceName": many(lambda m: {"name": m.one(*DISPLAYS), "type": "user-friendly-name"}, 1),
        "type": maybe(concept),
        "patient": maybe(patient),
        "owner": maybe(ref("Organization")),
        "location": maybe(ref("Location")),
        "url": maybe(lambda m: m.one(*URIS)),
    },
    "DiagnosticReport": {
        "identifier": identifiers,
        "basedOn": many(ref("ServiceRequest", "CarePlan"), 1),
        "status": code("final", "preliminary"),
        "category": many(concept),
        "code": concept,
        "subject": maybe(ref("Patient", "Group", "Location")),
        "encounter": encounter,
        "effective_x": choice(effectiveDateTime=Maker.date_time, effectivePeriod=Maker.period),
        "issued": maybe(Maker.moment),
        "performer": many(ref("Practitioner", "Organization")),
        "result": many(ref("Observation")),
        "conclusionCode": many(concept, 1),
    },
    "DocumentReference": {
        "masterIdentifier": maybe(Maker.identifier),
        "identifier": identifiers,
        "status": code("current", "superseded"),
        "type": maybe(concept),
        "category": many(concept, 1),
        "subject": maybe(ref("Patient", "Practitioner")),
        "date": maybe(Maker.moment),
        "author": many(ref("Practitioner", "Patient")),
        "custodian": maybe(ref("Organization")),
        "relatesTo": many(backbone(code=code("replaces", "appends"), target=ref("DocumentReference"))),
        "description": maybe(words),
        "securityLabel": many(concept, 1),
        "content": lambda m: [
            {"attachment": {"contentType": m.one("text/plain", "text/html"), "url": m.one(*URIS)}}
        ],
        "context": maybe(
            backbone(encounter=many(ref("Encounter"), 1), event=many(concept, 1), period=maybe(Maker.period))
        ),
    },
    "List": {
        "identifier": identifiers,
        "status": code("current", "retired"),
        "mode": code("working", "snapshot"),
        "title": maybe(words),
        "code": maybe(concept),
        "subject": maybe(ref("Patient", "Group", "Location")),
        "encounter": encounter,
        "date": maybe(Maker.date_time),
        "source": maybe(ref("Practitioner", "Patient")),
        "note": many(backbone(text=words), 1),
        "entry": many(
            backbone(item=ref("Observation", "Condition", "MedicationRequest", "Patient", "Practitioner")), 3
        ),
    },
    "Medication": {
        "identifier": identifiers,
        "code": maybe(concept),
        "status": maybe(code("active", "inactive")),
        "manufacturer": maybe(ref("Organization")),
        "form": maybe(concept),
        "ingredient": many(
            backbone(
                item_x=lambda m: m.one(
                    {"itemCodeableConcept": m.concept()}, {"itemReference": m.to("Medication")}
                )
            )
        ),
        "batch": maybe(backbone(lotNumber=words, expirationDate=maybe(Maker.date_time))),
    },
    "MedicationRequest": {
        "identifier": identifiers,
        "status": code("active", "completed"),
        "intent": code("order", "plan"),
        "category": many(concept),
        "priority": maybe(code("routine", "urgent")),
        "medication_x": lambda m: m.one(
            {"medicationCodeableConcept": m.concept()}, {"medicationReference": m.to("Medication")}
        ),
        "subject": subject,
        "encounter": encounter,
        "authoredOn": maybe(Maker.date_time),
        "requester": maybe(practitioner),
        "performer": maybe(practitioner),
        "performerType": maybe(concept),
        "recorder": maybe(practitioner),
        "dosageInstruction": many(
            backbone(timing=maybe(Maker.timing), text=maybe(words), patientInstruction=words)
        ),
        "dispenseRequest": maybe(backbone(performer=ref("Organization"))),
    },
    "MedicationStatement": {
        "identifier": identifiers,
        "partOf": many(ref("MedicationStatement", "Procedure"), 1),
        "status": code("active", "completed"),
        "category": maybe(concept),
        "medication_x": lambda m: m.one(
            {"medicationCodeableConcept": m.concept()}, {"medicationReference": m.to("Medication")}
        ),
        "subject": subject,
        "context": encounter,
        "effective_x": choice(effectiveDateTime=Maker.date_time, effectivePeriod=Maker.period),
        "informationSource": maybe(ref("Practitioner", "Patient")),
    },
    "Observation": {
        "identifier": identifiers,
        "basedOn": many(ref("CarePlan", "ServiceRequest"), 1),
        "partOf": many(ref("Procedure"), 1),
        "status": code("final", "amended", "preliminary"),
        "category": many(concept),
        "code": concept,
        "subject": maybe(ref("Patient", "Patient", "Patient", "Group", "Device", "Location"), 0.9),
        "focus": many(ref("Condition", "Device"), 1),
        "encounter": encounter,
        "effective_x": choice(
            effectiveDateTime=Maker.date_time,
            effectivePeriod=Maker.period,
            effectiveTiming=Maker.timing,
            effectiveInstant=Maker.moment,
        ),
        "performer": many(ref("Practitioner", "Patient", "Organization")),
        "value_x": _observed,
        "method": maybe(concept),
        "specimen": maybe(ref("Specimen"), 0.2),
        "device": maybe(ref("Device"), 0.3),
        "hasMember": many(ref("Observation"), 1),
        "derivedFrom": many(ref("Observation", "DocumentReference"), 1),
        "component": many(_part),
    },
    "Procedure": {
        "identifier": identifiers,
        "instantiatesUri": many(lambda m: m.one(*URIS), 1),
        "status": code("completed", "in-progress"),
        "category": maybe(concept),
        "code": maybe(concept),
        "subject": subject,
        "encounter": encounter,
        "performed_x": choice(
            performedDateTime=Maker.date_time,
            performedPeriod=Maker.period,
            performedString=words,
            performedAge=_age,
        ),
        "performer": many(backbone(actor=ref("Practitioner", "Patient"))),
        "location": maybe(ref("Location")),
        "reasonReference": many(ref("Condition", "Observation"), 1),
    },
    "Provenance": {
        "target": lambda m: [m.to("Observation", "Patient", "Condition", "MedicationRequest")],
        "occurred_x": choice(occurredDateTime=Maker.date_time, occurredPeriod=Maker.period),
        "recorded": Maker.moment,
        "location": maybe(ref("Location")),
        "agent": lambda m: [{"type": m.concept(), "who": m.to("Practitioner", "Organization", "Patient")}],
        "entity": many(backbone(role=code("source"), what=ref("DocumentReference", "Observation")), 1),
    },
    "RiskAssessment": {
        "identifier": maybe(lambda m: [m.identifier()]),
        "status": code("final", "preliminary"),
        "method": maybe(concept),
        "subject": ref("Patient", "Group"),
        "encounter": encounter,
        "occurrence_x": choice(occurrenceDateTime=Maker.date_time, occurrencePeriod=Maker.period),
        "condition": maybe(ref("Condition")),
        "performer": maybe(ref("Practitioner", "Device")),
        "prediction": many(
            backbone(
                qualitativeRisk=maybe(concept),
                probability_x=choice(
                    probabilityDecimal=lambda m: Decimal(
                        m.one("0", "5", "5.4", "5.449", "5.45", "12.5", "99.5", "100")
                    )
                ),
            )
        ),
    },
}
