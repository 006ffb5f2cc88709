"""What the demo EHR shows of a chart, read through the same door as every other caller.

Pages get frozen records; nothing here knows Flask or SQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from server.auth.principal import Principal
from server.fhir.json_codec import decode
from server.interactions.perform import perform
from server.interactions.request import Context, InteractionRequest

PAGE = "200"
# What people call the Encounter classes; source: terminology.hl7.org CodeSystem v3-ActCode, ActEncounterCode.
_CLASSES = {
    "AMB": "ambulatory",
    "EMER": "emergency",
    "HH": "at home",
    "IMP": "inpatient",
    "OBSENC": "observation",
    "SS": "short stay",
    "VR": "by phone or video",
}


@dataclass(frozen=True, slots=True)
class PatientLine:
    """One row of the patient list. discharged: date of the newest finished inpatient stay, "" without one."""

    id: str
    name: str
    birth_date: str
    gender: str
    record_number: str
    deceased: bool
    discharged: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a section: what it is, in which state, since when."""

    text: str
    detail: str
    when: str


@dataclass(frozen=True, slots=True)
class Summary:
    """A patient's chart on one page. encounter: id of the newest inpatient stay, "" without one."""

    patient: PatientLine
    encounter: str
    medications: tuple[Line, ...]
    allergies: tuple[Line, ...]
    problems: tuple[Line, ...]
    encounters: tuple[Line, ...]


def patients(context: Context, principal: Principal, name: str = "") -> tuple[PatientLine, ...]:
    """Patients by family name, those with the newest discharge first. name: what their name starts with."""
    asked = [("_count", PAGE), ("_sort", "family"), *([("name", name)] if name else [])]
    discharges = _newest_discharges(context, principal)
    lines = [
        _patient_line(patient, discharges.get(patient["id"], ("", ""))[1])
        for patient in _search(context, principal, "Patient", asked)
    ]
    return tuple(sorted(lines, key=lambda line: line.discharged, reverse=True))


def summary(context: Context, principal: Principal, patient_id: str) -> Summary:
    """The chart of one patient.

    Raises: FhirError not-found or deleted where the patient is absent or may not be seen.
    """
    patient = decode(perform(context, principal, InteractionRequest("read", "Patient", patient_id)).body)
    of_patient = ("patient", patient_id)
    encounters = _search(context, principal, "Encounter", [of_patient, ("_sort", "-date"), ("_count", "25")])
    stay = _newest_discharges(context, principal, patient_id).get(patient_id, ("", ""))
    return Summary(
        _patient_line(patient, stay[1]),
        stay[0],
        tuple(
            Line(_concept(r, "medication"), _sig(r), _day(r.get("authoredOn", "")))
            for r in _search(
                context,
                principal,
                "MedicationRequest",
                [of_patient, ("status", "active"), ("_sort", "-authoredon"), ("_count", PAGE)],
            )
        ),
        tuple(
            Line(_text(r.get("code")), _status(r), _day(r.get("recordedDate", "")))
            for r in _search(context, principal, "AllergyIntolerance", [of_patient, ("_count", PAGE)])
        ),
        tuple(
            Line(_text(r.get("code")), "", _day(r.get("onsetDateTime", "")))
            for r in _search(
                context,
                principal,
                "Condition",
                [of_patient, ("clinical-status", "active"), ("_sort", "-onset-date"), ("_count", PAGE)],
            )
        ),
        tuple(
            Line(
                _text((r.get("type") or [None])[0]),
                f"{_encounter_class(r['class'])}, {r['status']}",
                _day(r.get("period", {}).get("start", "")),
            )
            for r in encounters
        ),
    )


def _newest_discharges(
    context: Context, principal: Principal, patient_id: str = ""
) -> dict[str, tuple[str, str]]:
    """patient id -> (id, end date) of the finished inpatient Encounter that ended last."""
    asked = [("class", "IMP"), ("status", "finished"), ("_sort", "-date"), ("_count", PAGE)]
    if patient_id:
        asked.append(("patient", patient_id))
    newest: dict[str, tuple[str, str]] = {}
    for encounter in _search(context, principal, "Encounter", asked):
        patient = encounter.get("subject", {}).get("reference", "").removeprefix("Patient/")
        end = _day(encounter.get("period", {}).get("end", ""))
        if end > newest.get(patient, ("", ""))[1]:
            newest[patient] = (encounter["id"], end)
    return newest


def _search(
    context: Context, principal: Principal, resource_type: str, asked: list[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    answer = perform(context, principal, InteractionRequest("search-type", resource_type, query=tuple(asked)))
    for entry in decode(answer.body).get("entry", ()):
        if entry.get("search", {}).get("mode") == "match":
            yield entry["resource"]


def _patient_line(patient: dict[str, Any], discharged: str) -> PatientLine:
    names = patient.get("name") or [{}]
    official = next((n for n in names if n.get("use") == "official"), names[0])
    name = f"{official.get('family', '')}, {' '.join(official.get('given', ()))}".strip(", ")
    return PatientLine(
        patient["id"],
        name or official.get("text", "") or "Unnamed patient",
        patient.get("birthDate", ""),
        patient.get("gender", ""),
        _record_number(patient),
        bool(patient.get("deceasedDateTime") or patient.get("deceasedBoolean")),
        discharged,
    )


def _record_number(patient: dict[str, Any]) -> str:
    for identifier in patient.get("identifier", ()):
        codes = {coding.get("code") for coding in identifier.get("type", {}).get("coding", ())}
        if "MR" in codes:
            return identifier.get("value", "")
    return ""


def _concept(resource: dict[str, Any], name: str) -> str:
    concept = resource.get(f"{name}CodeableConcept")
    return _text(concept) if concept else resource.get(f"{name}Reference", {}).get("display", "Not named")


def _text(concept: dict[str, Any] | None) -> str:
    if not concept:
        return "Not named"
    displays = [c["display"] for c in concept.get("coding", ()) if c.get("display")]
    return concept.get("text") or (displays[0] if displays else "Not named")


def _sig(request: dict[str, Any]) -> str:
    return "; ".join(d["text"] for d in request.get("dosageInstruction", ()) if d.get("text"))


def _encounter_class(coding: dict[str, Any]) -> str:
    code = coding.get("code", "")
    return _CLASSES.get(code) or coding.get("display") or code


def _status(resource: dict[str, Any]) -> str:
    codings = resource.get("clinicalStatus", {}).get("coding", ())
    return codings[0].get("code", "") if codings else ""


def _day(text: str) -> str:
    return text[:10]
