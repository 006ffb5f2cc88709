"""Elements of the administrative types: who, where, when, and what is planned. See `charts`."""

from __future__ import annotations

from collections.abc import Mapping

from search_oracle.makers import (
    CODES,
    NAMES,
    SYSTEMS,
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
    true_or_false,
    words,
)


def _included(m: Maker) -> Json:
    """A system as a whole, or some of its codes."""
    found: Json = {"system": m.one(*SYSTEMS)}
    if m.random.random() < 0.7:
        found["concept"] = [{"code": m.one(*CODES)} for _ in "12"]
    return found


def _use_context(m: Maker) -> Json:
    value = m.one(
        {"valueCodeableConcept": m.concept()}, {"valueQuantity": m.quantity()}, {"valueRange": m.range()}
    )
    return {"code": m.coding()} | value


def _characteristic(m: Maker) -> Json:
    value = m.one(
        {"valueCodeableConcept": m.concept()},
        {"valueQuantity": m.quantity()},
        {"valueRange": m.range()},
        {"valueBoolean": m.one(True, False)},
        {"valueReference": m.to("Practitioner")},
    )
    return {"code": m.concept(), "exclude": m.one(True, False)} | value


def _group(m: Maker) -> Json:
    """Members only of actual groups (grp-1)."""
    actual = m.one(True, True, False)
    members = m.some(lambda: {"entity": m.to("Patient", "Practitioner")}) if actual else []
    return {"actual": actual} | ({"member": members} if members else {})


ADMINISTRATIVE: Mapping[str, Mapping[str, Make]] = {
    "CarePlan": {
        "identifier": identifiers,
        "status": code("draft", "active", "completed"),
        "intent": code("plan", "proposal"),
        "category": many(concept),
        "subject": subject,
        "encounter": encounter,
        "period": maybe(Maker.period),
        "careTeam": many(ref("CareTeam"), 1),
        "basedOn": many(ref("CarePlan"), 1),
        "partOf": many(ref("CarePlan"), 1),
        "addresses": many(ref("Condition"), 1),
        "goal": many(ref("Goal")),
        "instantiatesUri": many(lambda m: m.one(*URIS)),
        "activity": many(
            backbone(
                detail=backbone(
                    status=code("not-started", "completed"),
                    code=maybe(concept),
                    performer=many(ref("Practitioner", "Patient")),
                    scheduled_x=choice(
                        scheduledTiming=Maker.timing, scheduledPeriod=Maker.period, scheduledString=words
                    ),
                )
            )
        ),
    },
    "CareTeam": {
        "status": maybe(code("active", "inactive")),
        "category": many(concept),
        "subject": maybe(subject),
        "encounter": encounter,
        "period": maybe(Maker.period),
        "participant": many(
            backbone(role=many(concept, 1), member=ref("Practitioner", "Patient", "Organization"))
        ),
    },
    "Encounter": {
        "identifier": identifiers,
        "status": code("planned", "in-progress", "finished"),
        "class": Maker.coding,
        "type": many(concept),
        "subject": maybe(subject),
        "participant": many(
            backbone(type=many(concept, 1), period=maybe(Maker.period), individual=maybe(practitioner))
        ),
        "basedOn": many(ref("ServiceRequest"), 1),
        "period": maybe(Maker.period),
        "length": maybe(Maker.duration),
        "reasonCode": many(concept, 1),
        "diagnosis": many(backbone(condition=ref("Condition", "Procedure")), 1),
        "hospitalization": maybe(backbone(dischargeDisposition=concept)),
        "location": many(backbone(location=ref("Location"), period=maybe(Maker.period)), 1),
        "serviceProvider": maybe(ref("Organization")),
        "partOf": maybe(ref("Encounter"), 0.3),
    },
    "EpisodeOfCare": {
        "status": code("planned", "active", "finished"),
        "type": many(concept),
        "patient": patient,
        "managingOrganization": maybe(ref("Organization")),
        "period": maybe(Maker.period),
        "careManager": maybe(practitioner),
    },
    "Goal": {
        "identifier": identifiers,
        "lifecycleStatus": code("proposed", "active", "completed"),
        "achievementStatus": maybe(concept),
        "category": many(concept),
        "description": concept,
        "subject": subject,
        "start_x": choice(startDate=Maker.day, startCodeableConcept=concept),
        "target": many(
            backbone(measure=maybe(concept), due_x=choice(dueDate=Maker.day, dueDuration=Maker.duration))
        ),
    },
    "Group": {
        "identifier": identifiers,
        "type": code("person"),
        "actual_x": _group,
        "code": maybe(concept),
        "managingEntity": maybe(ref("Organization", "Practitioner")),
        "characteristic": many(_characteristic),
    },
    "Invoice": {
        "identifier": identifiers,
        "status": code("draft", "issued"),
        "type": maybe(concept),
        "subject": maybe(ref("Patient", "Group")),
        "recipient": maybe(ref("Organization", "Patient")),
        "date": maybe(Maker.date_time),
        "totalNet": maybe(Maker.money),
        "totalGross": maybe(Maker.money),
    },
    "Location": {
        "identifier": identifiers,
        "status": maybe(code("active", "inactive")),
        "name": maybe(words),
        "alias": many(words),
        "type": many(concept),
        "address": maybe(Maker.address),
        "managingOrganization": maybe(ref("Organization")),
        "partOf": maybe(ref("Location")),
        "endpoint": many(ref("Endpoint"), 1),
    },
    "Organization": {
        "identifier": identifiers,
        "active": maybe(true_or_false),
        "type": many(concept),
        "name": words,
        "alias": many(lambda m: m.one(*NAMES)),
        "address": many(Maker.address),
        "partOf": maybe(ref("Organization"), 0.4),
    },
    "Patient": {
        "identifier": identifiers,
        "active": maybe(true_or_false),
        "name": many(Maker.name),
        "telecom": many(Maker.contact),
        "gender": maybe(code("male", "female")),
        "birthDate": maybe(code("1990", "1990-05", "1990-05-06", "1949-12-31")),
        "deceased_x": choice(deceasedBoolean=true_or_false, deceasedDateTime=Maker.date_time),
        "address": many(Maker.address),
        "communication": many(backbone(language=concept), 1),
        "generalPractitioner": many(ref("Practitioner", "Organization")),
        "managingOrganization": maybe(ref("Organization")),
        "link": maybe(lambda m: [{"other": m.to("Patient"), "type": "seealso"}], 0.2),
    },
    "Practitioner": {
        "identifier": identifiers,
        "active": maybe(true_or_false),
        "name": many(Maker.name),
        "telecom": many(Maker.contact),
        "address": many(Maker.address),
        "gender": maybe(code("male", "female")),
        "communication": many(concept, 1),
    },
    "PractitionerRole": {
        "identifier": identifiers,
        "active": maybe(true_or_false),
        "period": maybe(Maker.period),
        "practitioner": maybe(ref("Practitioner")),
        "organization": maybe(ref("Organization")),
        "code": many(concept),
        "specialty": many(concept, 1),
        "location": many(ref("Location"), 1),
        "telecom": many(Maker.contact),
    },
    "ServiceRequest": {
        "identifier": identifiers,
        "instantiatesCanonical": many(
            lambda m: m.one("http://example.org/plan", "http://example.org/plan|2"), 1
        ),
        "basedOn": many(ref("CarePlan", "ServiceRequest"), 1),
        "status": code("draft", "active", "completed"),
        "intent": code("order", "plan"),
        "category": many(concept, 1),
        "priority": maybe(code("routine", "urgent")),
        "code": maybe(concept),
        "subject": ref("Patient", "Patient", "Group", "Location"),
        "encounter": encounter,
        "occurrence_x": choice(
            occurrenceDateTime=Maker.date_time, occurrencePeriod=Maker.period, occurrenceTiming=Maker.timing
        ),
        "authoredOn": maybe(Maker.date_time),
        "requester": maybe(ref("Practitioner", "Patient")),
        "performerType": maybe(concept),
        "performer": many(ref("Practitioner", "Organization")),
        "bodySite": many(concept, 1),
    },
    "Task": {
        "identifier": identifiers,
        "basedOn": many(ref("ServiceRequest", "CarePlan"), 1),
        "groupIdentifier": maybe(Maker.identifier),
        "partOf": many(ref("Task"), 1),
        "status": code("requested", "accepted", "completed"),
        "businessStatus": maybe(concept),
        "intent": code("order", "plan"),
        "priority": maybe(code("routine", "stat")),
        "code": maybe(concept),
        "focus": maybe(ref("ServiceRequest", "Observation")),
        "for": maybe(ref("Patient", "Group")),
        "encounter": encounter,
        "executionPeriod": maybe(Maker.period),
        "authoredOn": maybe(code("2023", "2024-02-10", "2024-02-10T08:00:00Z")),
        "lastModified": maybe(code("2025-01-01", "2026-03-01T10:00:00-05:00")),
        "requester": maybe(ref("Practitioner", "Patient")),
        "performerType": many(concept, 1),
        "owner": maybe(ref("Practitioner", "CareTeam", "Patient")),
        "restriction": maybe(backbone(period=Maker.period)),
    },
    "ValueSet": {
        "url": maybe(lambda m: m.one(*URIS)),
        "identifier": identifiers,
        "version": maybe(code("1", "1.0", "A")),
        "name": maybe(code("SyntheticSet", "Synthetic_set", "Other")),
        "title": maybe(words),
        "status": code("active", "draft"),
        "date": maybe(Maker.date_time),
        "publisher": maybe(words),
        "description": maybe(words),
        "useContext": many(_use_context),
        "jurisdiction": many(concept, 1),
        "compose": maybe(backbone(include=lambda m: [_included(m) for _ in "12"])),
        "expansion": maybe(lambda m: {"identifier": m.one(*URIS), "timestamp": "2024-01-01"}),
    },
}
