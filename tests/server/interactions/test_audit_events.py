"""AuditEvent over the API: read and searched by whoever may, never written, and reached in no other way.

Covers server/interactions/audit_events.py, server/auth/audit_access.py, server/policy/audit_readers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from server.auth.audit_access import decide_stored, may_read_audit
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.fhir.validation import validate
from server.interactions.audit_event_search import ANSWERED

EVENT = {
    "resourceType": "AuditEvent",
    "type": {"code": "rest"},
    "recorded": "2024-01-01T00:00:00Z",
    "agent": [{"requestor": True}],
    "source": {"observer": {"display": "here"}},
}


@pytest.fixture
def auditor(as_token: Callable[..., Any]) -> Any:
    return as_token("user/AuditEvent.rs", fhir_user="Practitioner/privacy", role="privacy")


@pytest.fixture
def trail(fhir: Any, seal_trail: Callable[[], None]) -> Any:
    """Two charts and a few reads of them, sealed."""
    for id in ("one", "two"):
        fhir.put(f"Patient/{id}", {"resourceType": "Patient", "id": id})
    fhir.get("Patient/one")
    fhir.get("Patient/nobody")
    fhir.get("Patient")
    seal_trail()
    return fhir


def test_a_search_answers_with_valid_events_the_latest_first(trail: Any, auditor: Any) -> None:
    answer = auditor.get("AuditEvent?patient=one")
    assert answer.status == 200
    bundle = answer.json
    events = [entry["resource"] for entry in bundle["entry"]]
    assert bundle["total"] == 3
    assert [event["subtype"][-1]["code"] for event in events] == ["search-type", "read", "update"]
    assert all(not [issue for issue in validate(event) if issue.severity == "error"] for event in events)
    assert all(entry["fullUrl"].endswith(f"/AuditEvent/{entry['resource']['id']}") for entry in bundle["entry"])
    assert bundle["link"][0]["url"].endswith("/fhir/AuditEvent?patient=one")


def test_one_event_is_read_by_its_id(trail: Any, auditor: Any) -> None:
    (entry,) = auditor.get("AuditEvent?patient=one&subtype=read").json["entry"]
    id = entry["resource"]["id"]
    answer = auditor.get(f"AuditEvent/{id}")
    assert (answer.status, answer.json, answer.headers["ETag"]) == (200, entry["resource"], 'W/"1"')
    assert auditor.get(f"AuditEvent/{id}?_elements=recorded").json["meta"]["tag"][0]["code"] == "SUBSETTED"


@pytest.mark.parametrize("id", ["0", "999999", "01", "x", "-1", "9" * 30, "1.5"])
def test_an_event_that_is_not_there_is_not_found(trail: Any, auditor: Any, id: str) -> None:
    answer = auditor.get(f"AuditEvent/{id}")
    assert (answer.status, answer.codes) == (404, ["not-found"])


def test_a_refused_read_is_found_by_the_patient_that_was_asked_for(trail: Any, auditor: Any) -> None:
    (entry,) = auditor.get("AuditEvent?patient=nobody&outcome=4").json["entry"]
    assert entry["resource"]["outcomeDesc"] == "HTTP 404"


def test_pages_follow_one_another_without_gaps(
    trail: Any, auditor: Any, seal_trail: Callable[[], None]
) -> None:
    for _ in range(7):
        trail.get("Patient/one")
    seal_trail()
    for order in ("-date", "date"):
        seen: list[int] = []
        url = f"AuditEvent?patient=one&subtype=read&_count=3&_sort={order}"
        while url:
            page = auditor.get(url).json
            assert page["total"] == 8
            seen += [int(entry["resource"]["id"]) for entry in page["entry"]]
            links = {link["relation"]: link["url"] for link in page["link"]}
            url = links.get("next", "").partition("/fhir/")[2]
        assert len(seen) == len(set(seen)) == 8
        assert seen == sorted(seen, reverse=order == "-date")


@pytest.mark.parametrize(
    ("query", "entries", "total"),
    [
        ("_summary=count", None, 3),
        ("_count=0", None, 3),
        ("_total=none&_count=1", 1, None),
        ("_total=accurate&_count=1", 1, 3),
        ("_count=2", 2, 3),
    ],
)
def test_totals_are_exact_or_absent(
    trail: Any, auditor: Any, query: str, entries: int | None, total: int | None
) -> None:
    bundle = auditor.get(f"AuditEvent?patient=one&{query}").json
    assert bundle.get("total") == total
    assert len(bundle.get("entry", ())) == (entries or 0)


def test_a_search_by_post_and_within_a_compartment(trail: Any, auditor: Any) -> None:
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert auditor.post("AuditEvent/_search", b"patient=one", **form).json["total"] == 3
    within = auditor.get("Patient/one/AuditEvent?subtype=read").json
    assert within["total"] == 1
    assert within["link"][0]["url"].endswith("/fhir/Patient/one/AuditEvent?subtype=read")
    refused = auditor.get("Device/one/AuditEvent")
    assert (refused.status, refused.codes) == (400, ["not-supported"])


def test_reading_the_trail_leaves_a_row_itself(trail: Any, auditor: Any, store: Any, settings: Any) -> None:
    auditor.get("AuditEvent?patient=one")
    store.ingest_audit(settings.home / "audit")
    row = store.audit_rows(limit=1)[0]
    assert (row.interaction, row.resource_type, row.outcome) == ("search-type", "AuditEvent", 200)
    assert (row.principal, row.results, row.detail) == ("Practitioner/privacy", 3, "patient")
    assert set(row.patient.split()) == {"one", "two"}  # the search of Patients showed both


@pytest.mark.parametrize(
    ("query", "expression"),
    [
        ("address=10.0", "http.address"),
        ("entity-name=x", "http.entity-name"),
        ("colour=red", "http.colour"),
        ("patient.name=x", "http.patient"),
        ("_include=AuditEvent:patient", "http._include"),
        ("_revinclude=Provenance:target", "http._include"),
        ("_sort=action", "http._sort"),
        ("_sort=_id", "http._sort"),
        ("date=yesterday", "http.date"),
        ("_explain=true", "http._explain"),
    ],
)
def test_what_cannot_be_answered_is_refused_and_never_ignored(
    trail: Any, auditor: Any, query: str, expression: str
) -> None:
    answer = auditor.get(f"AuditEvent?{query}")
    assert answer.status == 400
    assert answer.paths == [expression]


def test_lenient_handling_says_what_was_ignored(trail: Any, auditor: Any) -> None:
    bundle = auditor.get("AuditEvent?patient=one&colour=red", Prefer="handling=lenient").json
    assert bundle["entry"][-1]["search"]["mode"] == "outcome"
    assert "colour" not in bundle["link"][0]["url"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "AuditEvent", EVENT, 405),
        ("PUT", "AuditEvent/1", {**EVENT, "id": "1"}, 405),
        ("PUT", "AuditEvent?_id=1", EVENT, 405),
        ("DELETE", "AuditEvent/1", None, 405),
        ("DELETE", "AuditEvent?_id=1", None, 405),
        ("GET", "AuditEvent/1/_history", None, 404),
        ("GET", "AuditEvent/1/_history/1", None, 404),
        ("GET", "AuditEvent/_history", None, 404),
        ("GET", "AuditEvent/1/$meta", None, 404),
    ],
)
def test_nobody_writes_an_event_and_none_has_a_history(
    trail: Any, fhir: Any, method: str, path: str, body: Any, status: int
) -> None:
    answer = fhir(method, path, body)
    assert (answer.status, answer.codes) == (status, ["not-supported"])
    if status == 405:
        assert answer.headers["Allow"] == "GET, HEAD"


def test_a_patch_of_an_event_is_refused(trail: Any, fhir: Any) -> None:
    patch = b'[{"op": "replace", "path": "/outcome", "value": "0"}]'
    answer = fhir("PATCH", "AuditEvent/1", patch, Content_Type="application/json-patch+json")
    assert (answer.status, answer.codes) == (405, ["not-supported"])


@pytest.mark.parametrize("type", ["batch", "transaction"])
def test_a_bundle_writes_none_either_and_reads_them(trail: Any, fhir: Any, as_token: Any, type: str) -> None:
    def bundle(*entries: dict[str, Any]) -> dict[str, Any]:
        return {"resourceType": "Bundle", "type": type, "entry": list(entries)}

    write = bundle({"resource": EVENT, "request": {"method": "POST", "url": "AuditEvent"}})
    answer = fhir.post("", write)
    status = answer.json["entry"][0]["response"]["status"] if type == "batch" else str(answer.status)
    assert status.startswith("405")
    reader = as_token("system/AuditEvent.rs system/Patient.rs")
    read = bundle({"request": {"method": "GET", "url": "AuditEvent?patient=one"}})
    (entry,) = reader.post("", read).json["entry"]
    assert entry["resource"]["total"] == 3


def test_an_attempt_to_write_one_is_audited(trail: Any, fhir: Any, store: Any, settings: Any) -> None:
    fhir.delete("AuditEvent/1")
    store.ingest_audit(settings.home / "audit")
    row = store.audit_rows(limit=1)[0]
    assert (row.interaction, row.resource_type, row.id, row.outcome) == ("delete", "AuditEvent", "1", 405)


NOT_READERS = [
    ("user/*.rs", {"fhir_user": "Practitioner/a", "role": "rn"}),
    ("user/AuditEvent.rs", {"fhir_user": "Practitioner/a", "role": "rn"}),
    ("user/AuditEvent.rs", {"fhir_user": "Practitioner/a"}),
    ("user/AuditEvent.c", {"fhir_user": "Practitioner/a", "role": "privacy"}),
    ("user/AuditEvent.rs?action=R", {"fhir_user": "Practitioner/a", "role": "privacy"}),
    ("patient/*.rs", {"patient": "one"}),
    ("patient/AuditEvent.rs", {"patient": "one"}),
    ("system/*.rs", {}),
    ("system/Patient.rs", {}),
]


@pytest.mark.parametrize(("scope", "claims"), NOT_READERS)
def test_who_may_not_read_the_trail_is_refused(
    trail: Any, as_token: Callable[..., Any], scope: str, claims: dict[str, str]
) -> None:
    reader = as_token(scope, **claims)
    for path in ("AuditEvent", "AuditEvent?patient=one", "AuditEvent/1", "AuditEvent?_summary=count"):
        answer = reader.get(path)
        assert (answer.status, answer.codes) == (403, ["forbidden"]), path


@pytest.mark.parametrize(
    ("scope", "claims"),
    [
        ("user/*.rs", {"fhir_user": "Practitioner/a", "role": "supervisor"}),
        ("user/AuditEvent.rs", {"fhir_user": "Practitioner/a", "role": "privacy"}),
        ("system/AuditEvent.rs", {}),
    ],
)
def test_who_may_read_the_trail_does(
    trail: Any, as_token: Callable[..., Any], scope: str, claims: dict[str, str]
) -> None:
    assert as_token(scope, **claims).get("AuditEvent?patient=one").json["total"] == 3


def test_a_partners_token_never_reads_it() -> None:
    scopes = parse_scopes("user/AuditEvent.rs system/AuditEvent.rs")
    own = Principal("app", scopes, user="Practitioner/a", role="privacy")
    partner = Principal("app", scopes, user="Practitioner/a", role="privacy", organization="Organization/q")
    assert may_read_audit(own, "s")
    assert not may_read_audit(partner, "s")


ELSEWHERE = [
    ("Patient?_revinclude=AuditEvent:patient", "http._revinclude"),
    ("Patient?_revinclude=AuditEvent:*", "http._revinclude"),
    ("Patient?_has:AuditEvent:patient:action=R", "http._has"),
    ("Provenance?_include=Provenance:target:AuditEvent", "http._include"),
    ("Provenance?target:AuditEvent.action=R", "http.target"),
    ("?_type=AuditEvent", "http._type"),
    ("?_type=AuditEvent,Patient", "http._type"),
    ("Patient/one/*?_type=AuditEvent", "http._type"),
]


@pytest.mark.parametrize(("path", "expression"), ELSEWHERE)
def test_no_other_search_reaches_them(
    trail: Any, as_token: Callable[..., Any], path: str, expression: str
) -> None:
    answer = as_token("system/*.rs system/AuditEvent.rs").get(path)
    assert (answer.status, answer.codes) == (400, ["not-supported"])
    assert answer.paths == [expression]


def test_what_an_earlier_release_let_clients_store_is_seen_by_nobody(
    trail: Any, store: Any, as_token: Callable[..., Any], clock: Any
) -> None:
    """Stored below the door, as a database of that release holds it."""
    from server.fhir.index_values import index_values
    from server.fhir.json_codec import encode
    from server.storage.versions import NewVersion

    event = {
        **EVENT,
        "id": "forged",
        "meta": {"versionId": "1"},
        "entity": [{"what": {"reference": "Patient/one"}}],
    }
    rows = index_values(event, base_url="http://127.0.0.1:8000/fhir", time_zone="UTC")
    with store.writing() as writer:
        writer.put(NewVersion("AuditEvent", "forged", 1, 0, clock(), encode(event), "PUT", rows))
    reader = as_token("system/*.cruds system/AuditEvent.rs")
    for path in (
        "AuditEvent", "AuditEvent?_id=forged", "AuditEvent?patient=one", "_history", "Patient?_revinclude=*",
        "Patient/one/$everything", "Patient/one/*", "?_type=Patient&_revinclude=*", "",
    ):  # fmt: skip
        answer = reader.get(path)
        assert answer.status == 200, (path, answer.body)
        assert b'"id":"forged"' not in answer.body, path
    assert reader.get("AuditEvent/forged").status == 404
    assert not decide_stored(Principal("x", parse_scopes("system/*.cruds")), "read", "Patient").visible.of(
        "AuditEvent"
    )


def test_the_capability_statement_says_what_can_be_asked(anonymous: Any) -> None:
    rest = anonymous.get("metadata").json["rest"][0]
    own = next(row for row in rest["resource"] if row["type"] == "AuditEvent")
    assert [row["code"] for row in own["interaction"]] == ["read", "search-type"]
    assert {row["name"] for row in own["searchParam"]} == set(ANSWERED)
    assert (own["versioning"], own["readHistory"], own["updateCreate"]) == ("no-version", False, False)
    assert [row["name"] for row in own["operation"]] == ["validate"]
    assert "never created" in own["documentation"]
    others = [row for row in rest["resource"] if row["type"] != "AuditEvent"]
    assert not any(name.startswith("AuditEvent:") for row in others for name in row.get("searchRevInclude", ()))


def test_an_audit_event_of_a_client_can_still_be_validated(fhir: Any) -> None:
    assert fhir.post("AuditEvent/$validate", EVENT).status == 200
