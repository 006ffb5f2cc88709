"""FHIR resources -> the lines of the patient's page (pure). Whatever is malformed is left out or blank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Literal
from zoneinfo import ZoneInfo

from smart_app.fhir_time import day, instant
from smart_app.roles import display_name
from smart_app.transitions import discharges
from smart_app.view_records import AllergyLine, Banner, ConditionLine, EncounterLine, MedicationLine

Resource = Mapping[str, Any]
ByReference = Mapping[str, Resource]

_KINDS: Mapping[str, tuple[Literal["order", "statement", "fill"], str, str]] = {
    "MedicationRequest": ("order", "authoredOn", "requester"),
    "MedicationStatement": ("statement", "dateAsserted", "informationSource"),
    "MedicationDispense": ("fill", "whenHandedOver", "performer"),
}
_PREFERRED_NAMES = ("official", "usual")


def text_of(concept: Any) -> str:
    """A CodeableConcept in words: its text, else the first display, else the first code."""
    if not isinstance(concept, dict):
        return ""
    if isinstance(concept.get("text"), str):
        return concept["text"]
    codings = [coding for coding in _list(concept, "coding") if isinstance(coding, dict)]
    for name in ("display", "code"):
        for coding in codings:
            if isinstance(coding.get(name), str):
                return coding[name]
    return ""


def code_of(concept: Any) -> str:
    """The first code of a CodeableConcept."""
    codings = _list(concept, "coding") if isinstance(concept, dict) else []
    return next((str(c["code"]) for c in codings if isinstance(c, dict) and "code" in c), "")


def person_name(patient: Resource) -> str:
    """Family name first, as lists sort it: "Medina, Rosa"; the official name where there are several."""
    names = [name for name in _list(patient, "name") if isinstance(name, dict)]
    for use in (*_PREFERRED_NAMES, None):
        for name in names:
            if use is None or name.get("use") == use:
                given = " ".join(part for part in _list(name, "given") if isinstance(part, str))
                family = name.get("family")
                words = ", ".join(part for part in (family, given) if isinstance(part, str) and part)
                return words or display_name({"name": [name]})
    return ""


def age_on(patient: Resource, today: date) -> int | None:
    """Years of age; None unless the birth date is complete, and for people who died."""
    born = day(patient.get("birthDate"), ZoneInfo("UTC"))
    if born is None or is_deceased(patient):
        return None
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def is_deceased(patient: Resource) -> bool:
    return patient.get("deceasedBoolean") is True or "deceasedDateTime" in patient


def identifiers_of(patient: Resource) -> tuple[tuple[str, str], ...]:
    """(label, value) of the identifiers people use, each value once; the medical record number first.

    Left out are numbers that serve others (driving licence, ...) and those of no type, a system's own,
    unless there is nothing else.
    """
    found = []
    for identifier in _list(patient, "identifier"):
        if isinstance(identifier, dict) and isinstance(identifier.get("value"), str):
            code = code_of(identifier.get("type"))
            if code in ("SS", "DL", "PPN"):  # not for a banner: minimum necessary
                continue
            found.append((code != "MR", text_of(identifier.get("type")), identifier["value"]))
    typed = [row for row in found if row[1]]
    labels: dict[str, str] = {}
    for _, label, value in sorted(typed or found, key=lambda row: row[0]):
        labels.setdefault(value, label)
    return tuple((label, value) for value, label in labels.items())


def banner(patient: Resource, today: date, *, shown: bool) -> Banner:
    return Banner(
        name=person_name(patient),
        birth_date=_text(patient, "birthDate"),
        age=age_on(patient, today),
        gender=_text(patient, "gender"),
        identifiers=identifiers_of(patient),
        deceased=is_deceased(patient),
        shown=shown,
    )


def medication_lines(resources: Iterable[Resource], by_reference: ByReference) -> tuple[MedicationLine, ...]:
    """Orders, statements and fills, newest first."""
    lines = []
    for resource in resources:
        kind = _KINDS.get(_text(resource, "resourceType"))
        if kind is None or resource.get("status") == "entered-in-error":
            continue
        name, date_element, who = kind
        lines.append(
            MedicationLine(
                reference=f"{resource['resourceType']}/{resource.get('id', '')}",
                kind=name,
                name=_medication(resource, by_reference),
                sig=_sig(resource),
                status=_text(resource, "status"),
                date=_text(resource, date_element),
                by=_actor(resource.get(who), by_reference),
            )
        )
    return tuple(sorted(lines, key=lambda line: (line.date, line.reference), reverse=True))


def allergy_lines(resources: Iterable[Resource]) -> tuple[AllergyLine, ...]:
    """High criticality first, then by name."""
    lines = [
        AllergyLine(
            reference=f"AllergyIntolerance/{resource.get('id', '')}",
            name=text_of(resource.get("code")),
            reactions=tuple(
                words
                for reaction in _list(resource, "reaction")
                if isinstance(reaction, dict)
                for manifestation in _list(reaction, "manifestation")
                if (words := text_of(manifestation))
            ),
            criticality=_text(resource, "criticality"),
            clinical_status=code_of(resource.get("clinicalStatus")),
            verification_status=code_of(resource.get("verificationStatus")),
            recorded=_text(resource, "recordedDate"),
            kind=_text(resource, "type"),
        )
        for resource in resources
        if code_of(resource.get("verificationStatus")) not in ("entered-in-error", "refuted")
    ]
    return tuple(sorted(lines, key=lambda line: (line.criticality != "high", line.name, line.reference)))


def condition_lines(resources: Iterable[Resource]) -> tuple[ConditionLine, ...]:
    """Active first, then newest first."""
    lines = [
        ConditionLine(
            reference=f"Condition/{resource.get('id', '')}",
            name=text_of(resource.get("code")),
            clinical_status=code_of(resource.get("clinicalStatus")),
            onset=_text(resource, "onsetDateTime") or _text(resource, "recordedDate"),
        )
        for resource in resources
        if code_of(resource.get("verificationStatus")) != "entered-in-error"
    ]
    lines.sort(key=lambda line: (line.onset, line.reference), reverse=True)
    return tuple(sorted(lines, key=lambda line: line.clinical_status != "active"))


def encounter_lines(
    resources: Iterable[Resource], by_reference: ByReference, zone: ZoneInfo
) -> tuple[EncounterLine, ...]:
    """Newest first, by when they ended or began."""
    lines = []
    for resource in resources:
        if resource.get("status") == "entered-in-error":
            continue
        period = resource.get("period")
        period = period if isinstance(period, dict) else {}
        coding = resource.get("class")
        code = str(coding.get("code", "")) if isinstance(coding, dict) else ""
        discharge = discharges.read_discharge(resource, zone)
        lines.append(
            EncounterLine(
                id=str(resource.get("id", "")),
                class_code=code,
                kind=next((words for item in _list(resource, "type") if (words := text_of(item))), ""),
                status=_text(resource, "status"),
                start=_text(period, "start"),
                end=_text(period, "end"),
                reason=next((words for item in _list(resource, "reasonCode") if (words := text_of(item))), ""),
                place=place_of(resource, by_reference),
                discharged_to=discharges.destination_words(resource),
                is_discharge=discharge is not None and discharge.destination != "died",
            )
        )

    def newest(line: EncounterLine) -> tuple[float, str]:
        moment = instant(line.end or line.start, zone)
        return (moment.timestamp() if moment else 0.0, line.id)

    return tuple(sorted(lines, key=newest, reverse=True))


def place_of(encounter: Resource, by_reference: ByReference) -> str:
    """Where it was: the provider's name, else the first location's."""
    provider = _actor(encounter.get("serviceProvider"), by_reference)
    if provider:
        return provider
    for item in _list(encounter, "location"):
        if isinstance(item, dict) and (words := _actor(item.get("location"), by_reference)):
            return words
    return ""


def with_names(resource: Resource, by_reference: ByReference) -> Resource:
    """The resource with a display in each reference to a person who was read beside it.

    Only for showing and for comparing: what is written back is built from references.
    """
    found = dict(resource)
    for name in ("requester", "informationSource", "recorder"):
        words = _actor(resource.get(name), by_reference)
        if words and isinstance(resource.get(name), dict):
            found[name] = {**resource[name], "display": words}
    return found


def _medication(resource: Resource, by_reference: ByReference) -> str:
    if words := text_of(resource.get("medicationCodeableConcept")):
        return words
    reference = resource.get("medicationReference")
    if not isinstance(reference, dict):
        return ""
    target = str(reference.get("reference", ""))
    if target.startswith("#"):
        contained = [item for item in _list(resource, "contained") if isinstance(item, dict)]
        medication: Resource = next((item for item in contained if item.get("id") == target[1:]), {})
    else:
        medication = by_reference.get(target, {})
    return text_of(medication.get("code")) or _text(reference, "display")


def _sig(resource: Resource) -> str:
    element = "dosage" if resource.get("resourceType") == "MedicationStatement" else "dosageInstruction"
    dosages = [item for item in _list(resource, element) if isinstance(item, dict)]
    words = [_text(item, "text") or _text(item, "patientInstruction") for item in dosages]
    return "; ".join(part for part in words if part)


def _actor(value: Any, by_reference: ByReference) -> str:
    """A reference in words: its display, else the name of what it points at."""
    if isinstance(value, list):  # MedicationDispense.performer
        first = next((item for item in value if isinstance(item, dict)), {})
        return _actor(first.get("actor"), by_reference)
    if not isinstance(value, dict):
        return ""
    if isinstance(value.get("display"), str):
        return value["display"]
    target = by_reference.get(str(value.get("reference", "")), {})
    name = target.get("name")
    return name if isinstance(name, str) else display_name(target)


def _text(resource: Resource, name: str) -> str:
    value = resource.get(name)
    return value if isinstance(value, str) else ""


def _list(resource: Resource, name: str) -> list[Any]:
    value = resource.get(name)
    return value if isinstance(value, list) else []
