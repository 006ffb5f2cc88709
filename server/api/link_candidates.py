"""Patients here that may be the one of a launch: Patient/$match, with the eyes of the person signed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.api.choice_search import Perform
from server.api.identity_comparison import Row, compared, display_name
from server.auth.identity_links import in_use
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.auth.sessions import Session
from server.errors import FhirError
from server.fhir.json_codec import decode
from server.interactions.request import InteractionRequest

CLIENT_ID = "oauth2-pages"
_SCOPES = parse_scopes("user/Patient.rs")
_COUNT = 10
_GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
_REASON = "urn:baton:match-reason"
_NEVER = "certainly-not"
_WORDS = {
    "certain": "The rules of matching are sure.",
    "probable": "Probably the same person.",
    "possible": "Possibly the same person: look closely.",
    _NEVER: "An identifier is the same, and everything else speaks against it.",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A Patient here beside the one of the launch. reasons: "element: outcome", never a value.

    why_not: why it cannot be chosen, "" where it can.
    """

    id: str
    name: str
    grade: str
    score: str
    reasons: tuple[str, ...]
    rows: tuple[Row, ...]
    why_not: str = ""

    @property
    def words(self) -> str:
        return _WORDS.get(self.grade, "")

    @property
    def made(self) -> dict[str, Any]:
        """How a link to it came about, for the link's row."""
        return {"by": "match", "grade": self.grade, "score": self.score, "reasons": list(self.reasons)}


@dataclass(frozen=True, slots=True)
class Found:
    """The likeliest first. problem: why nobody was looked for, "" for nothing."""

    candidates: tuple[Candidate, ...]
    problem: str = ""


def candidates(perform: Perform, session: Session, there: Mapping[str, Any]) -> Found:
    """Whom the person may see that is like the Patient of the launch."""
    described = {name: value for name, value in there.items() if name != "id"}
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "resource", "resource": described},
            {"name": "count", "valuePositiveInt": _COUNT},
        ],
    }
    request = InteractionRequest("operation", "Patient", operation="match", body=parameters)
    principal = Principal(
        CLIENT_ID, _SCOPES, user=session.fhir_user, role=session.role, username=session.username
    )
    try:
        bundle = decode(perform(principal, request).body)
    except FhirError as error:
        if error.status >= 500:
            raise
        if error.status == 403:
            return Found((), "Your role sees no patients here. Ask somebody who cares for this patient.")
        return Found((), "The EHR says too little of this patient to look for anybody.")
    entries = [entry for entry in bundle.get("entry", ()) if entry["resource"]["resourceType"] == "Patient"]
    return Found(tuple(_candidate(entry, there) for entry in entries))


def _candidate(entry: Mapping[str, Any], there: Mapping[str, Any]) -> Candidate:
    here, search = entry["resource"], entry["search"]
    grade = next(row["valueCode"] for row in search["extension"] if row["url"] == _GRADE)
    why_not = ""
    if not in_use(here):
        why_not = "This record is inactive, or was merged into another."
    elif grade == _NEVER:
        why_not = "This is another person with the same number: have the number corrected."
    return Candidate(
        id=here["id"],
        name=display_name(here),
        grade=grade,
        score=str(search["score"]),
        reasons=tuple(_reason(row) for row in search["extension"] if row["url"] == _REASON),
        rows=compared(there, here),
        why_not=why_not,
    )


def _reason(row: Mapping[str, Any]) -> str:
    parts = {part["url"]: part.get("valueCode") or part.get("valueString", "") for part in row["extension"]}
    detail = f" ({parts['detail']})" if parts.get("detail") else ""
    return f"{parts['element']} {parts['outcome']}{detail}"
