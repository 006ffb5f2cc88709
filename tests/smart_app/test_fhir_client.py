"""The FHIR client against somebody else's server: what it asks, what it makes of every answer.

Covers: hl7.org/fhir/R4/http.html (read, search, create, update, transaction, conditional requests).
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from smart_app import fhir_json
from smart_app.fhir_client import (
    Conflict,
    FhirClient,
    FhirFault,
    Forbidden,
    NotFhir,
    NotFound,
    Refused,
    Unauthorized,
    Unavailable,
)
from smart_app.outbound_http import OutboundHttp

BASE = "https://ehr.example/r4"


@pytest.fixture
def server() -> Any:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def client(http: OutboundHttp) -> FhirClient:
    tokens = iter(("first", "second", "third"))
    kept = {"token": next(tokens)}

    def token(*, refused: str = "") -> str:
        if refused == kept["token"]:
            kept["token"] = next(tokens)
        return kept["token"]

    return FhirClient(BASE + "/", http, token)


def page(*resources: Any, next_url: str = "", mode: str = "match") -> dict[str, Any]:
    links = [{"relation": "next", "url": next_url}] if next_url else []
    entries = [{"resource": each, "search": {"mode": mode}} for each in resources]
    return {"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries}


def named(resource_type: str, resource_id: str) -> dict[str, Any]:
    return {"resourceType": resource_type, "id": resource_id}


def test_a_read_carries_token_and_media_type(server: Any, client: FhirClient) -> None:
    server.get(f"{BASE}/Patient/p1", json=named("Patient", "p1"))
    assert client.read("Patient", "p1") == named("Patient", "p1")
    sent = server.calls[0].request.headers
    assert sent["Authorization"] == "Bearer first"
    assert sent["Accept"] == "application/fhir+json"


def test_decimals_keep_their_digits_both_ways(server: Any, client: FhirClient) -> None:
    server.get(f"{BASE}/Observation/o", body=b'{"resourceType":"Observation","id":"o","v":1.50,"w":1E-7}')
    server.put(f"{BASE}/Observation/o", body=b'{"resourceType":"Observation","id":"o"}', status=200)
    read = client.read("Observation", "o")
    assert read["v"] == Decimal("1.50")
    client.update(read, if_match="1")
    assert b'"v":1.50' in server.calls[1].request.body


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6), st.integers())
def test_any_number_reads_back_as_it_was_written(number: Decimal, whole: int) -> None:
    assert fhir_json.decode(fhir_json.encode({"n": number, "i": whole})) == {"n": number, "i": whole}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"<html>", b"[" * 100_000, b'{"a":NaN}', b"1"])
def test_what_is_no_json_object_is_no_resource(body: bytes) -> None:
    with pytest.raises(ValueError, match="not"):
        fhir_json.decode(body)


def test_an_unchanged_resource_is_not_sent_again(server: Any, client: FhirClient) -> None:
    known = {**named("Patient", "p1"), "meta": {"versionId": "3"}}
    server.get(f"{BASE}/Patient/p1", status=304)
    assert client.read("Patient", "p1", known=known) is known
    assert server.calls[0].request.headers["If-None-Match"] == 'W/"3"'


def test_a_refused_token_is_renewed_once(server: Any, client: FhirClient) -> None:
    server.get(f"{BASE}/Patient/p1", status=401)
    server.get(f"{BASE}/Patient/p1", json=named("Patient", "p1"))
    assert client.read("Patient", "p1")["id"] == "p1"
    assert [c.request.headers["Authorization"] for c in server.calls] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (410, NotFound),
        (409, Conflict),
        (412, Conflict),
        (400, Refused),
        (422, Refused),
        (500, Refused),
        (302, Refused),
        (429, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
def test_every_status_has_its_fault(
    server: Any, client: FhirClient, status: int, fault: type[FhirFault]
) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "diagnostics": "why"}]}
    headers = {"Location": "https://evil.example/"}
    server.get(f"{BASE}/Patient/p1", status=status, json=outcome, headers=headers)
    with pytest.raises(fault) as raised:
        client.read("Patient", "p1")
    assert type(raised.value) is fault
    assert raised.value.outcome == outcome
    assert "why" not in raised.value.words


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", b"{}", b'{"resourceType":"Observation"}', b'{"resourceType":7}']
)
def test_a_success_that_is_not_fhir_is_a_fault(server: Any, client: FhirClient, body: bytes) -> None:
    server.get(f"{BASE}/Patient/p1", body=body)
    with pytest.raises(NotFhir):
        client.read("Patient", "p1")


def test_a_read_is_tried_again_while_the_server_recovers(server: Any, client: FhirClient) -> None:
    server.get(f"{BASE}/Patient/p1", body=requests.exceptions.ConnectionError())
    server.get(f"{BASE}/Patient/p1", status=503)
    server.get(f"{BASE}/Patient/p1", json=named("Patient", "p1"))
    assert client.read("Patient", "p1")["id"] == "p1"


def test_a_write_is_never_tried_again(server: Any, client: FhirClient) -> None:
    server.post(f"{BASE}/Task", body=requests.exceptions.ReadTimeout())
    with pytest.raises(Unavailable):
        client.create({"resourceType": "Task"})
    assert len(server.calls) == 1


def test_a_search_follows_every_page_and_sorts_what_was_included(server: Any, client: FhirClient) -> None:
    server.get(f"{BASE}/Task", json=page(named("Task", "1"), next_url="?page=2"), match=[_query("code", "a|b")])
    second = page(named("Task", "2"), named("Task", "1"))
    second["entry"].append({"resource": named("Patient", "p"), "search": {"mode": "include"}})
    second["entry"].append({"resource": named("OperationOutcome", "x"), "search": {"mode": "outcome"}})
    second["entry"] += [None, {"resource": 3}, {}]
    server.get(f"{BASE}/Task", json=second, match=[_query("page", "2")])
    found = client.search("Task", [("code", "a|b")])
    assert [each["id"] for each in found.matches] == ["1", "2"]
    assert [each["id"] for each in found.included] == ["p"]
    assert found.complete
    assert "code=a%7Cb&_count=200" in str(server.calls[0].request.url)


def test_a_search_that_never_ends_is_cut_and_says_so(server: Any, client: FhirClient) -> None:
    server.get(f"{BASE}/Task", json=page(named("Task", "1"), next_url=f"{BASE}/Task?again=1"))
    assert not client.search("Task", [], maximum_pages=3).complete
    assert len(server.calls) == 3


def test_a_token_follows_no_next_link_to_another_origin(server: Any, client: FhirClient) -> None:
    for elsewhere in ("https://evil.example/Task", "http://ehr.example/r4/Task", "//evil.example/Task"):
        server.reset()
        server.get(f"{BASE}/Task", json=page(named("Task", "1"), next_url=elsewhere))
        with pytest.raises(NotFhir, match="another origin"):
            client.search("Task", [])


def test_a_conditional_create_says_whether_it_was_there(server: Any, client: FhirClient) -> None:
    there = {**named("Task", "9"), "meta": {"versionId": "2"}}
    server.post(f"{BASE}/Task", json=there, status=200)
    written = client.create({"resourceType": "Task"}, if_none_exist=[("identifier", "s|v")])
    assert (written.created, written.version) == (False, "2")
    assert server.calls[0].request.headers["If-None-Exist"] == "identifier=s%7Cv"


def test_a_write_without_a_body_is_read_again(server: Any, client: FhirClient) -> None:
    server.post(f"{BASE}/Task", status=201, headers={"Location": f"{BASE}/Task/7/_history/1"})
    server.get(f"{BASE}/Task/7", json=named("Task", "7"))
    assert client.create({"resourceType": "Task"}).resource["id"] == "7"


def test_an_update_names_the_version_it_replaces(server: Any, client: FhirClient) -> None:
    server.put(f"{BASE}/List/a", json=named("List", "a"))
    client.update(named("List", "a"), if_match="4")
    client.update(named("List", "a"))
    assert server.calls[0].request.headers["If-Match"] == 'W/"4"'
    assert server.calls[1].request.headers["If-None-Match"] == "*"


def test_a_transaction_goes_to_the_base(server: Any, client: FhirClient) -> None:
    server.post(BASE, json={"resourceType": "Bundle", "type": "transaction-response"})
    client.transaction({"resourceType": "Bundle", "type": "transaction", "entry": []})
    assert json.loads(server.calls[0].request.body)["type"] == "transaction"


def test_an_id_cannot_leave_its_place_in_the_address(server: Any, client: FhirClient) -> None:
    server.get(f"{BASE}/Patient/..%2Fmetadata%3Fx", status=404)
    with pytest.raises(NotFound):
        client.read("Patient", "../metadata?x")


def test_an_answer_without_end_is_cut(server: Any) -> None:
    server.get(f"{BASE}/Patient/p1", body=b"x" * 2000)
    small = FhirClient(BASE, OutboundHttp(maximum_body=1000, sleep=lambda seconds: None))
    with pytest.raises(Unavailable, match="too large"):
        small.read("Patient", "p1")


def _query(name: str, value: str) -> Any:
    return responses.matchers.query_param_matcher({name: value}, strict_match=False)
