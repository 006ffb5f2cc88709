"""Searching AuditEvents: what the database finds in the rows is what matches the events themselves.

The second opinion is the one every other search is tested against: the event's own index values, matched in
memory.
Covers server/interactions/audit_event_search.py, server/storage/audit_search.py.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.errors import FhirError
from server.fhir.criteria import Indexed, indexed, matches
from server.fhir.search_parsing import parse_search
from server.interactions.audit_event import audit_event
from server.interactions.audit_event_search import ANSWERED, audit_query
from server.policy.audit_events import kinds
from server.storage.audit_chain import SignedHead
from server.storage.interface import AuditRow

BASE = "http://127.0.0.1:8000/fhir"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ACT = "http://hl7.org/fhir/restful-interaction"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
OWN = "urn:baton:audit-interaction"


def made(count: int) -> list[AuditRow]:
    chance = random.Random(11)
    names = [name for name in sorted(kinds()) if name]
    rows = []
    for _ in range(count):
        interaction = chance.choice(
            ["read", "search-type", "create", "login", chance.choice(names), "queue-retry"]
        )
        resource_type = chance.choice(["Patient", "Observation", ""])
        id = chance.choice(["a", "b", "c"]) if resource_type else ""
        patients = set(chance.choice(["", "a", "b", "a b"]).split())
        principal = chance.choice(
            ["Practitioner/p", "Practitioner/a", "User/rn", "Client/app", "operator", "Patient/c"]
        )
        # As `interactions.audit` makes rows: whoever the request names is among the patients.
        patients |= {id} if resource_type == "Patient" and id else set()
        patients |= {"c"} if principal == "Patient/c" else set()
        rows.append(
            AuditRow(
                recorded=NOW + timedelta(milliseconds=chance.randrange(200_000_000)),
                principal=principal,
                client_id=chance.choice(["app", "console", ""]),
                interaction=interaction,
                resource_type=resource_type,
                id=id,
                version_id=chance.choice([0, 2]),
                patient=" ".join(sorted(patients)),
                outcome=chance.choice([200, 201, 304, 400, 401, 403, 404, 503]),
                request_id=f"request-{chance.randrange(9)}",
                username=chance.choice(["", "rn", "ma"]),
                token_id=chance.choice(["", "0123456789abcdef", "fedcba9876543210"]),
                organization=chance.choice(["", "Organization/q", "Organization/a"]),
            )
        )
    return rows


ROWS = made(400)


@pytest.fixture(scope="module")
def events() -> list[Indexed]:
    return [indexed(audit_event(sequence, row, BASE), base_url=BASE) for sequence, row in enumerate(ROWS, 1)]


@pytest.fixture
def trail(store: Any) -> Any:
    with store.writing() as writer:
        for row in ROWS:
            writer.audit(row)
    store.seal_audit(lambda end: SignedHead(end.sequence, NOW, "not looked at here", "{}"), NOW)
    return store


_DATES = st.builds(
    lambda prefix, offset, form: prefix + (NOW + timedelta(milliseconds=offset)).strftime(form),
    st.sampled_from(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"]),
    st.integers(-1_000_000, 201_000_000)
    | st.sampled_from(ROWS).map(lambda row: (row.recorded - NOW) // timedelta(milliseconds=1)),
    st.sampled_from(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m", "%Y"]),
)
_EXACT = st.sampled_from(ROWS).map(
    lambda row: row.recorded.isoformat(timespec="milliseconds").replace("+00:00", "Z")
)
_PAIRS = st.one_of(
    st.tuples(st.sampled_from(["date", "_lastUpdated"]), _DATES | _EXACT),
    st.tuples(st.just("patient"), st.sampled_from(["a", "Patient/b", f"{BASE}/Patient/c", "a,b", "nobody"])),
    st.tuples(st.just("patient:Patient"), st.just("a")),
    st.tuples(
        st.just("agent"),
        st.sampled_from(["Practitioner/p", "a", "Practitioner/p,Patient/c", "Organization/q", "c", "http://x.example/Practitioner/p"]),
    ),
    st.tuples(
        st.just("agent:identifier"),
        st.sampled_from(["urn:baton:user|rn", "urn:baton:client|app", "app", "rn,console", f"urn:ietf:rfc:3986|{BASE}", "urn:x|rn"]),
    ),
    st.tuples(st.just("entity"), st.sampled_from(["Observation/a", "Patient/a", "Patient/c,Observation/b", "Group/a"])),
    st.tuples(
        st.just("action"),
        st.sampled_from(["R", "E,D", "http://hl7.org/fhir/audit-event-action|C", "|U", "http://hl7.org/fhir/audit-event-action|", "x"]),
    ),
    st.tuples(st.just("outcome"), st.sampled_from(["0", "4", "8", "12", "0,8", "http://hl7.org/fhir/audit-event-outcome|4"])),
    st.tuples(
        st.just("type"),
        st.sampled_from(["rest", f"{DCM}|110114", f"{DCM}|", "|rest", "110113,rest", f"{DCM}|110100", "urn:x|rest"]),
    ),
    st.tuples(
        st.just("subtype"),
        st.sampled_from([f"{ACT}|read", "search", "AuthZ-Role", "login", f"{OWN}|", f"{OWN}|queue-retry", "queue-retry", f"{DCM}|110122", f"{ACT}|", "nothing"]),
    ),
    st.tuples(st.just("policy"), st.sampled_from(["urn:ietf:params:oauth:jti:0123456789abcdef", "urn:x", "0123456789abcdef"])),
    st.tuples(st.just("source"), st.sampled_from(["Device/x", "x"])),
    st.tuples(st.just("source:identifier"), st.sampled_from([BASE, f"urn:ietf:rfc:3986|{BASE}", "urn:x"])),
    st.tuples(st.just("_id"), st.sampled_from(["1", "400", "401", "x", "01", "7,8"])),
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(pairs=st.lists(_PAIRS, min_size=1, max_size=3))
def test_the_rows_that_are_found_are_those_whose_events_match(
    trail: Any, events: list[Indexed], pairs: list[tuple[str, str]]
) -> None:
    query = parse_search("AuditEvent", pairs, base_url=BASE, count_default=1_000)
    found = trail.search_audit(audit_query(query, BASE))
    assert found.next_after is None
    expected = {int(event.resource["id"]) for event in events if matches(event, query)}
    assert {sequence for sequence, _ in found.rows} == expected, pairs
    assert trail.audit_total(audit_query(query, BASE), None).value == len(expected)


def test_each_parameter_is_tried_above() -> None:
    tried = {
        "_id", "_lastUpdated", "action", "agent", "date", "entity", "outcome", "patient", "policy", "source", "subtype", "type",
    }  # fmt: skip
    assert tried == set(ANSWERED)


@pytest.mark.parametrize(
    ("pairs", "expression"),
    [
        ([("address", "10.")], "http.address"),
        ([("altid", "rn")], "http.altid"),
        ([("site", "x")], "http.site"),
        ([("patient:identifier", "urn:x|1")], "http.patient"),
        ([("action:not", "R")], "http.action"),
        ([("date:missing", "true")], "http.date"),
        ([("entity", "a")], "http.entity"),
        ([("_sort", "action,-date")], "http._sort"),
        ([("_sort", "_id")], "http._sort"),
        ([("_list", "1")], ""),
        ([("agent:Practitioner.name", "x")], ""),
        ([("_has:Provenance:target:agent", "x")], ""),
        ([("patient.name", "x")], ""),
        ([("_tag", "x")], "http._tag"),
    ],
)
def test_what_is_not_answered_is_refused(pairs: list[tuple[str, str]], expression: str) -> None:
    with pytest.raises(FhirError) as refused:
        audit_query(parse_search("AuditEvent", pairs, base_url=BASE), BASE)
    assert refused.value.kind == "unsupported-search"
    if expression:
        assert [issue.expression for issue in refused.value.issues] == [expression]
