"""Patients for the choice of one before a standalone launch, seen with the eyes of the person signed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.auth.sessions import Session
from server.errors import FhirError
from server.fhir.json_codec import decode
from server.interactions.request import InteractionRequest, InteractionResponse

Perform = Callable[[Principal, InteractionRequest], InteractionResponse]
CLIENT_ID = "oauth2-pages"
_SCOPES = parse_scopes("user/Patient.rs")
_COUNT = 20


@dataclass(frozen=True, slots=True)
class PatientLine:
    """A patient to choose. details: what tells people of one name apart."""

    id: str
    name: str
    details: str


def find_patients(perform: Perform, session: Session, name: str) -> tuple[tuple[PatientLine, ...], bool]:
    """Patients whose name begins with the text (all for ""), by family name, and whether there are more."""
    query = [("_sort", "family"), ("_count", str(_COUNT))]
    # A comma separates alternatives in a search; here it is part of what somebody typed.
    query += [
        ("name", part.replace("\\", "\\\\").replace("|", "\\|").replace("$", "\\$")) for part in _words(name)
    ]
    request = InteractionRequest("search-type", "Patient", query=tuple(query))
    try:
        bundle = decode(perform(_principal(session), request).body)
    except FhirError as error:
        if error.status != 403:
            raise
        return (), False  # the role sees no patients
    lines = tuple(
        _line(entry["resource"])
        for entry in bundle.get("entry", ())
        if entry["resource"]["resourceType"] == "Patient"
    )
    # The search sorts by any of a patient's names, also one before a marriage; the page by the name it shows.
    lines = tuple(sorted(lines, key=lambda line: line.name.casefold()))
    return lines, any(link["relation"] == "next" for link in bundle.get("link", ()))


def patient_name(perform: Perform, session: Session, id: str) -> str:
    """The name of a patient the person may see, "" where there is none."""
    try:
        body = perform(_principal(session), InteractionRequest("read", "Patient", id)).body
    except FhirError as error:
        if error.status >= 500:
            raise
        return ""
    return _line(decode(body)).name


def _words(name: str) -> list[str]:
    return [word for word in name.replace(",", " ").split() if word.isprintable()][:5]


def _principal(session: Session) -> Principal:
    return Principal(
        CLIENT_ID,
        _SCOPES,
        user=session.fhir_user,
        role=session.role,
        username=session.username,
        organization=session.organization,
        purpose=session.purpose,
    )


def _line(patient: Mapping[str, Any]) -> PatientLine:
    names = patient.get("name", ())
    name = next((row for row in names if row.get("use") in ("usual", "official")), names[0] if names else {})
    given = " ".join(part for part in name.get("given", ()) if part)
    written = ", ".join(part for part in (name.get("family"), given) if part) or name.get("text", "")
    number = next(
        (
            row.get("value", "")
            for row in patient.get("identifier", ())
            if any(coding.get("code") == "MR" for coding in row.get("type", {}).get("coding", ()))
        ),
        "",
    )
    details = (
        f"born {patient['birthDate']}" if patient.get("birthDate") else "",
        patient.get("gender", ""),
        f"record {number}" if number else "",
    )
    return PatientLine(patient["id"], written or "No name", " · ".join(part for part in details if part))
