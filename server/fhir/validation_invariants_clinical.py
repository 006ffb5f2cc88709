"""The invariants of R4's clinical, administrative and financial resources, and of Bundle and Parameters.

name -> function of the element, true when the rule holds. Source: the "Constraints" of each resource's page
"""

from __future__ import annotations

from server.fhir.validation_invariants_datatypes import Invariant, certainly_after
from server.fhir.validation_presence import UCUM, Json, chosen, coded, count, distinct, has, items

_ALLERGY_VERIFICATION = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
_CONDITION_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_CONDITION_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"

_REQUESTS = frozenset({"batch", "transaction", "history"})
_RESPONSES = frozenset({"batch-response", "transaction-response", "history"})
_QUESTIONS_WITH_ANSWER_LISTS = frozenset(
    {"choice", "open-choice", "decimal", "integer", "date", "dateTime", "time", "string", "quantity"}
)
_QUESTIONS_WITH_MAX_LENGTH = frozenset(
    {"boolean", "decimal", "integer", "string", "text", "url", "open-choice"}
)


def _entered_in_error(resource: Json, system: str) -> bool:
    return coded(resource.get("verificationStatus"), system, "entered-in-error")


def _abated_is_not_active(condition: Json) -> bool:
    return not chosen(condition, "abatement") or coded(
        condition.get("clinicalStatus"), _CONDITION_CLINICAL, "resolved", "remission", "inactive"
    )


def _on_behalf_of_a_practitioner(participant: Json) -> bool:
    """Only where the type of the member is evident; nothing is resolved here."""
    reference = participant.get("member", {}).get("reference", "")
    kind = participant.get("member", {}).get("type") or reference.partition("/")[0]
    evident = (kind.isalpha() and "/" in reference) or "type" in participant.get("member", {})
    return "onBehalfOf" not in participant or not evident or kind == "Practitioner"


def _component_repeats_code(observation: Json) -> bool:
    if not observation.get("component") or not chosen(observation, "value"):
        return False
    own = _codings(observation.get("code", {}))
    return any(own & _codings(component.get("code", {})) for component in observation["component"])


def _codings(concept: Json) -> set[tuple[object, ...]]:
    parts = ("system", "version", "code", "display", "userSelected")
    return {tuple(coding.get(part) for part in parts) for coding in concept.get("coding", ())}


def _one_parameter_content(parameter: Json) -> bool:
    return count(parameter, "part", "resource") + chosen(parameter, "value") == 1


def _entries(bundle: Json, part: str, kinds: frozenset[str]) -> bool:
    expected = bundle.get("type") in kinds
    return all((part in entry) is expected for entry in bundle.get("entry", ()))


def _unique_full_urls(bundle: Json) -> bool:
    if bundle.get("type") == "history":
        return True
    return distinct(
        entry["fullUrl"] + entry.get("resource", {}).get("meta", {}).get("versionId", "")
        for entry in bundle.get("entry", ())
        if "fullUrl" in entry
    )


def _first_is(bundle: Json, bundle_type: str, resource_type: str) -> bool:
    if bundle.get("type") != bundle_type:
        return True
    entries = bundle.get("entry") or [{}]
    return bool(entries[0].get("resource", {}).get("resourceType") == resource_type)


def _document_identifier(bundle: Json) -> bool:
    return bundle.get("type") != "document" or count(bundle.get("identifier", {}), "system", "value") == 2


def _link_ids(questionnaire: Json) -> list[str]:
    found: list[str] = []
    waiting = list(questionnaire.get("item", ()))
    while waiting:
        item = waiting.pop()
        found.append(item["linkId"])
        waiting.extend(item.get("item", ()))
    return found


def _group_has_items(item: Json) -> bool:
    kind = item.get("type")
    return (kind != "group" or "item" in item) and (kind != "display" or "item" not in item)


def _is_percentage(bound: Json | None) -> bool:
    return bound is None or (bound.get("code") == "%" and bound.get("system") == UCUM)


def _not_more_than_100_percent(prediction: Json) -> bool:
    return bool(prediction.get("probabilityDecimal", 0) <= 100)


CLINICAL_INVARIANTS: dict[str, Invariant] = {
    "ait-1": lambda e: has(e, "clinicalStatus") or _entered_in_error(e, _ALLERGY_VERIFICATION),
    "ait-2": lambda e: not has(e, "clinicalStatus") or not _entered_in_error(e, _ALLERGY_VERIFICATION),
    "app-1": lambda e: has(e, "type", "actor"),
    "app-2": lambda e: has(e, "start") == has(e, "end"),
    "app-3": lambda e: (
        count(e, "start", "end") == 2 or e.get("status") in ("proposed", "cancelled", "waitlist")
    ),
    "app-4": lambda e: "cancelationReason" not in e or e.get("status") in ("noshow", "cancelled"),
    "apr-1": lambda e: has(e, "participantType", "actor"),
    "bdl-1": lambda e: not has(e, "total") or e.get("type") in ("searchset", "history"),
    "bdl-2": lambda e: e.get("type") == "searchset" or not items(e, "entry", "search"),
    "bdl-3": lambda e: _entries(e, "request", _REQUESTS),
    "bdl-4": lambda e: _entries(e, "response", _RESPONSES),
    "bdl-5": lambda e: has(e, "resource", "request", "response"),
    "bdl-7": _unique_full_urls,
    "bdl-8": lambda e: "/_history/" not in e.get("fullUrl", ""),
    "bdl-9": _document_identifier,
    "bdl-10": lambda e: e.get("type") != "document" or "timestamp" in e,
    "bdl-11": lambda e: _first_is(e, "document", "Composition"),
    "bdl-12": lambda e: _first_is(e, "message", "MessageHeader"),
    "ces-1": lambda e: count(e, "category", "productOrService") == 1,
    "cmp-1": lambda e: has(e, "text", "entry", "section"),
    "cmp-2": lambda e: not (has(e, "emptyReason") and has(e, "entry")),
    "con-1": lambda e: has(e, "summary", "assessment"),
    "con-2": lambda e: has(e, "code", "detail"),
    "con-4": _abated_is_not_active,
    "con-5": lambda e: not has(e, "clinicalStatus") or not _entered_in_error(e, _CONDITION_VERIFICATION),
    "cpl-3": lambda e: not (has(e, "detail") and has(e, "reference")),
    "ctm-1": _on_behalf_of_a_practitioner,
    "fhs-1": lambda e: not (chosen(e, "age") and chosen(e, "born")),
    "fhs-2": lambda e: chosen(e, "age") or not has(e, "estimatedAge"),
    "gol-1": lambda e: has(e, "measure") or not chosen(e, "detail"),
    "grp-1": lambda e: "member" not in e or e.get("actual") is True,
    "imm-1": lambda e: has(e, "documentType", "reference"),
    "imr-1": lambda e: has(e, "vaccineCode", "targetDisease"),
    "Parameters:inv-1": _one_parameter_content,
    "Task:inv-1": lambda e: not certainly_after(e.get("authoredOn"), e.get("lastModified")),
    "ipn-1": lambda e: has(e, "identifier", "name"),
    "lnk-1": lambda e: len(e.get("item", ())) > 1,
    "lst-1": lambda e: not (has(e, "emptyReason") and has(e, "entry")),
    "lst-2": lambda e: e.get("mode") == "changes" or not any(has(row, "deleted") for row in items(e, "entry")),
    "lst-3": lambda e: e.get("mode") == "working" or not any(has(row, "date") for row in items(e, "entry")),
    "mad-1": lambda e: has(e, "dose") or chosen(e, "rate"),
    "mdd-1": lambda e: not certainly_after(e.get("whenPrepared"), e.get("whenHandedOver")),
    "msq-3": lambda e: e.get("coordinateSystem") in (0, 1),
    "msq-5": lambda e: count(e, "chromosome", "genomeBuild") != 1,
    "msq-6": lambda e: (
        count(e, "genomeBuild", "referenceSeqId", "referenceSeqPointer", "referenceSeqString") == 1
    ),
    "obs-3": lambda e: has(e, "low", "high", "text"),
    "obs-6": lambda e: "dataAbsentReason" not in e or not chosen(e, "value"),
    "obs-7": lambda e: "component" not in e or not _component_repeats_code(e),
    "org-1": lambda e: has(e, "identifier", "name"),
    "org-2": lambda e: e.get("use") != "home",
    "org-3": lambda e: e.get("use") != "home",
    "pat-1": lambda e: has(e, "name", "telecom", "address", "organization"),
    "ppc-1": lambda e: has(e, "policy", "policyRule"),
    "prr-1": lambda e: "orderDetail" not in e or has(e, "code"),
    "qrs-1": lambda e: not (has(e, "answer") and has(e, "item")),
    "que-1": _group_has_items,
    "que-2": lambda e: distinct(_link_ids(e)),
    "que-3": lambda e: e.get("type") != "display" or not has(e, "code"),
    "que-4": lambda e: not (has(e, "answerOption") and has(e, "answerValueSet")),
    "que-5": lambda e: (
        not has(e, "answerValueSet", "answerOption") or e.get("type") in _QUESTIONS_WITH_ANSWER_LISTS
    ),
    "que-6": lambda e: e.get("type") != "display" or not has(e, "required", "repeats"),
    "que-7": lambda e: e.get("operator") != "exists" or has(e, "answerBoolean"),
    "que-8": lambda e: e.get("type") not in ("group", "display") or not has(e, "initial"),
    "que-9": lambda e: e.get("type") != "display" or not has(e, "readOnly"),
    "que-10": lambda e: not has(e, "maxLength") or e.get("type") in _QUESTIONS_WITH_MAX_LENGTH,
    "que-11": lambda e: not (has(e, "answerOption") and has(e, "initial")),
    "que-12": lambda e: len(e.get("enableWhen", ())) <= 2 or has(e, "enableBehavior"),
    "que-13": lambda e: e.get("repeats") is True or len(e.get("initial", ())) <= 1,
    "ras-1": lambda e: (
        not isinstance(e, dict) or (_is_percentage(e.get("low")) and _is_percentage(e.get("high")))
    ),
    "ras-2": _not_more_than_100_percent,
    "rqg-1": lambda e: count(e, "resource", "action") == 1,
    "sev-1": lambda e: count(e, "name", "query") < 2,
}
