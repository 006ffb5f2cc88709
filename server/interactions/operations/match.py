"""Patient/$match: who of the patients the caller may see is the one described, graded and with reasons.

Candidates come from a few indexed searches, each with the caller's visibility in SQL; the rules that judge them
are in `matching`. docs/reference/match.md tells what they are and what they yield.
Source: hl7.org/fhir/R4/patient-operation-match.html
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from server.errors import FhirError, Issue, operation_outcome
from server.fhir.bundle import bundle, outcome_entry, search_entry
from server.fhir.json_codec import decode
from server.fhir.search_parsing import parse_search
from server.fhir.validation import validate
from server.interactions.call import Call
from server.interactions.operations.definition import Arguments
from server.interactions.operations.matching.candidates import Pairs, searches
from server.interactions.operations.matching.compare import compare
from server.interactions.operations.matching.grade import GRADES, Judgement, judge
from server.interactions.operations.matching.model import Model, model
from server.interactions.operations.matching.person import Person, person
from server.interactions.patients import patients_of
from server.interactions.request import InteractionResponse
from server.storage.interface import Reader
from server.storage.versions import StoredVersion

GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
REASON = "urn:baton:match-reason"

_CANDIDATES = 100  # of one search
_COUNT = 20
_WHERE = "Parameters.parameter.where(name = 'resource')"

_Found = tuple[StoredVersion, Judgement]


def match(call: Call[Reader], arguments: Arguments) -> InteractionResponse:
    """A searchset Bundle of Patients, the likeliest first, each with its score, grade and reasons.

    Raises: FhirError invalid-request (no Patient), invalid-resource, required (too little to look for anybody).
    """
    described = _described(arguments.one("resource"))
    rules = model()
    wanted = person(described, rules)
    asked = searches(described, wanted, rules)
    if not asked:
        raise FhirError(
            "required",
            "too little to look for anybody: an identifier with its system, or a name with given and family "
            "part, or a part of a name with birth date, telephone or e-mail",
            _WHERE,
        )
    candidates, cut = _candidates(call, asked)
    judged = [(version, _judged(version, wanted, rules)) for version in candidates]
    judged.sort(key=lambda row: (GRADES.index(row[1].grade), -row[1].score, row[0].id))
    shown, said = _shown(judged, bool(arguments.one("onlyCertainMatches")))
    if cut:
        said.append(
            "more patients are like the one described than were looked at; describe more of the patient"
        )
    most = min(arguments.one("count") or _COUNT, call.context.limits.count_maximum)
    if len(shown) > most:
        said.append(f"{len(shown) - most} more matches were left out (count)")
    kept = shown[:most]
    entries = [_entry(call.context.base_url, version, judgement) for version, judgement in kept]
    if said:
        issues = [Issue("informational", text, severity="information") for text in said]
        entries.append(outcome_entry(operation_outcome(issues)))
    versions = [version for version, _ in kept]
    return InteractionResponse(
        200,
        bundle("searchset", entries, total=len(shown)),
        patients=patients_of(versions, call.context.base_url),
        results=len(versions),
    )


def _described(resource: dict[str, Any]) -> dict[str, Any]:
    if resource.get("resourceType") != "Patient":
        raise FhirError("invalid-request", "the patient to be matched is a Patient resource", _WHERE)
    faults = validate(resource)
    if faults:
        raise FhirError("invalid-resource", issues=tuple(faults))
    return resource


def _candidates(call: Call[Reader], asked: Sequence[Pairs]) -> tuple[list[StoredVersion], bool]:
    """The patients that any of the searches finds, and whether one of them found more than is looked at."""
    found: dict[str, StoredVersion] = {}
    cut = False
    for pairs in asked:
        query = parse_search(
            "Patient",
            pairs,
            time_zone=call.context.time_zone,
            base_url=call.context.base_url,
            count_default=_CANDIDATES,
        )
        page = call.unit.search(query, call.decision.visible)
        found.update((version.id, version) for version in page.matches)
        cut = cut or page.next_after is not None
    return list(found.values()), cut


def _judged(version: StoredVersion, wanted: Person, rules: Model) -> Judgement:
    return judge(compare(wanted, person(decode(version.body), rules)), rules)


def _shown(judged: Sequence[_Found], only_certain: bool) -> tuple[list[_Found], list[str]]:
    """The matches that go out, and what is said of the others.

    A record with an identifier of the one described but of somebody else goes out as certainly-not: that a
    number was given twice is what the reader has to know.
    """
    if only_certain:
        certain = [row for row in judged if row[1].grade == "certain"]
        if len(certain) > 1:
            return [], [f"{len(certain)} records are certain matches, so none is the only one"]
        left = sum(row[1].grade in ("probable", "possible") for row in judged)
        return certain, [f"{left} less certain matches were left out (onlyCertainMatches)"] if left else []
    shown = [row for row in judged if row[1].grade != "certainly-not" or _shares_identifier(row[1])]
    left = len(judged) - len(shown)
    return shown, [f"{left} records were looked at and are certainly not the one described"] if left else []


def _shares_identifier(judgement: Judgement) -> bool:
    return any(r.element == "identifier" and r.outcome == "agrees" for r in judgement.reasons)


def _entry(base_url: str, version: StoredVersion, judgement: Judgement) -> dict[str, Any]:
    entry = search_entry(base_url, "Patient", version.id, version.body, "match")
    reasons = [{"url": GRADE, "valueCode": judgement.grade}]
    entry["search"] = {
        "extension": reasons + [_reason(r.element, r.outcome, r.detail) for r in judgement.reasons],
        **entry["search"],
        "score": Decimal(str(judgement.score)),
    }
    return entry


def _reason(element: str, outcome: str, detail: str) -> dict[str, Any]:
    parts = [{"url": "element", "valueCode": element}, {"url": "outcome", "valueCode": outcome}]
    if detail:
        parts.append({"url": "detail", "valueString": detail})
    return {"url": REASON, "extension": parts}
