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
from server.interactions.version import instant
from server.policy.audit_events import kinds
from server.storage.audit_chain import SignedHead
from server.storage.audit_values import AuditRow

BASE = "http://127.0.0.1:8000/fhir"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ACT = "http://hl7.org/fhir/restful-interaction"
ACTION = "http://hl7.org/fhir/audit-event-action"
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


# Parameter, with its modifier -> values that are tried.
VALUES = {
    "patient": ["a", "Patient/b", f"{BASE}/Patient/c", "a,b", "nobody"],
    "patient:Patient": ["a"],
    "agent": [
        "Practitioner/p",
        "Practitioner/p,Patient/c",
        "Organization/q",
        "a",
        "c",
        "http://x.example/Practitioner/p",
    ],
    "agent:identifier": [
        "urn:baton:user|rn",
        "urn:baton:client|app",
        "urn:baton:user|",
        "app",
        "rn,console",
        f"urn:ietf:rfc:3986|{BASE}",
        "urn:x|rn",
    ],
    "entity": ["Observation/a", "Patient/a", "Patient/c,Observation/b", "Group/a", "a", "c"],
    "action": ["R", "E,D", f"{ACTION}|C", "|U", f"{ACTION}|", "x"],
    "outcome": ["0", "4", "8", "12", "0,8", "http://hl7.org/fhir/audit-event-outcome|4"],
    "type": ["rest", f"{DCM}|110114", f"{DCM}|", "|rest", "110113,rest", f"{DCM}|110100", "urn:x|rest"],
    "subtype": [
        f"{ACT}|read",
        f"{ACT}|",
        f"{OWN}|",
        f"{OWN}|queue-retry",
        f"{DCM}|110122",
        "search",
        "AuthZ-Role",
        "login",
        "queue-retry",
        "nothing",
    ],
    "policy": ["urn:ietf:params:oauth:jti:0123456789abcdef", "urn:x", "0123456789abcdef"],
    "source": ["Device/x", "x"],
    "source:identifier": [BASE, f"urn:ietf:rfc:3986|{BASE}", "urn:x"],
    "_id": ["1", "400", "401", "x", "01", "7,8"],
}
_DATED = ("date", "_lastUpdated")
_MILLISECONDS = st.integers(-1_000_000, 201_000_000) | st.sampled_from(ROWS).map(
    lambda row: (row.recorded - NOW) // timedelta(milliseconds=1)
)
_DATES = st.builds(
    lambda prefix, offset, form: prefix + (NOW + timedelta(milliseconds=offset)).strftime(form),
    st.sampled_from(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"]),
    _MILLISECONDS,
    st.sampled_from(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m", "%Y"]),
)
_EXACT = st.sampled_from(ROWS).map(lambda row: instant(row.recorded))
_PAIRS = st.tuples(st.sampled_from(_DATED), _DATES | _EXACT) | st.sampled_from(
    [(name, value) for name, values in VALUES.items() for value in values]
)


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
    assert {name.partition(":")[0] for name in (*VALUES, *_DATED)} == set(ANSWERED)
    assert {name for name in VALUES if ":" in name} >= {
        f"{code}:{modifier}" for code, readers in ANSWERED.items() for modifier in readers if modifier
    }


@pytest.mark.parametrize(
    ("pairs", "expression"),
    [
        ([("address", "10.")], "http.address"),
        ([("altid", "rn")], "http.altid"),
        ([("site", "x")], "http.site"),
        ([("patient:identifier", "urn:x|1")], "http.patient"),
        ([("action:not", "R")], "http.action"),
        ([("date:missing", "true")], "http.date"),
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
