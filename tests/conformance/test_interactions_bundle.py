"""batch, transaction and what is answered later: hl7.org/fhir/R4/http.html#transaction, #async.

"IN-..." of the scorecard.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
from asking.bodies import bundle, new, outcome


def line(id: str) -> Any:
    return pytest.mark.requirement(f"IN-{id}")


def entry(method: str, url: str, resource: Any = None, **request: str) -> dict[str, Any]:
    made: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    return made if resource is None else made | {"resource": resource, "fullUrl": f"urn:uuid:{uuid.uuid4()}"}


@line("batch")
def test_a_batch_does_each_entry_on_its_own(fhir: Any, path: str, number: str) -> None:
    answer = fhir.post(
        "",
        bundle(
            "batch", entry("GET", path), entry("GET", "Patient/none"), entry("POST", "Patient", new(number))
        ),
    )
    body = answer.json()
    assert (answer.status_code, body["type"]) == (200, "batch-response")
    assert [e["response"]["status"][:3] for e in body["entry"]] == ["200", "404", "201"]
    assert body["entry"][1]["response"]["outcome"]["resourceType"] == "OperationOutcome"


@line("transaction")
def test_a_transaction_links_its_entries(fhir: Any, number: str) -> None:
    who = entry("POST", "Patient", new(number))
    what = entry(
        "POST",
        "Observation",
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "x"},
            "subject": {"reference": who["fullUrl"]},
        },
    )
    answer = fhir.post("", bundle("transaction", what, who))
    assert (answer.status_code, answer.json()["type"]) == (200, "transaction-response")
    places = [e["response"]["location"].split("/_history")[0].split("/")[-2:] for e in answer.json()["entry"]]
    stored = fhir.get("/".join(places[0])).json()
    assert stored["subject"]["reference"].endswith("/".join(places[1]))


@line("transaction-atomic")
def test_a_transaction_is_stored_whole_or_not_at_all(fhir: Any, number: str, condition: str) -> None:
    bad = entry("POST", "Patient", {"resourceType": "Patient", "gender": "lady"})
    issue = outcome(fhir.post("", bundle("transaction", entry("POST", "Patient", new(number)), bad)), 400)
    assert issue["expression"][0].startswith("Bundle.entry[1].resource")
    assert fhir.matches(f"Patient?{condition}") == []


@line("transaction-order")
def test_deletions_come_first_and_reads_last(
    fhir: Any, patient: Any, path: str, number: str, condition: str
) -> None:
    answer = fhir.post(
        "",
        bundle(
            "transaction",
            entry("GET", f"Patient?{condition}"),
            entry("POST", "Patient", new(number, gender="other"), ifNoneExist=condition),
            entry("DELETE", path),
        ),
    ).json()
    read, created, deleted = answer["entry"]
    assert (created["response"]["status"][:3], deleted["response"]["status"][:3]) == ("201", "204")
    assert [e["resource"]["gender"] for e in read["resource"]["entry"]] == ["other"]


@line("transaction-conditional")
def test_every_entry_of_a_transaction_may_be_conditional(
    fhir: Any, path: str, number: str, condition: str
) -> None:
    reference = {"reference": f"Patient?{condition}"}
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": reference,
    }
    answer = fhir.post(
        "",
        bundle(
            "transaction",
            entry("PUT", f"Patient?{condition}", new(number, gender="male")),
            entry(
                "POST",
                "Basic",
                {"resourceType": "Basic", "code": {"text": number}},
                ifNoneExist=f"_id={number}",
            ),
        ),
    )
    assert [e["response"]["status"][:3] for e in answer.json()["entry"]] == ["200", "201"]
    answer = fhir.post(
        "", bundle("transaction", entry("POST", "Observation", observation)), Prefer="return=representation"
    )
    assert answer.json()["entry"][0]["resource"]["subject"]["reference"] == path
    fhir.post("Patient", new(number))
    outcome(fhir.post("", bundle("transaction", entry("POST", "Observation", observation))), 412)


@line("transaction-if-match")
def test_if_match_of_an_entry_holds_for_the_whole(fhir: Any, patient: Any, path: str) -> None:
    change = patient | {"gender": "male"}
    assert fhir.post("", bundle("transaction", entry("PUT", path, change, ifMatch='W/"7"'))).status_code == 412
    assert fhir.get(path).json() == patient


@line("transaction-patch")
def test_a_patch_stands_in_a_transaction(fhir: Any, path: str) -> None:
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Patient.gender"},
        {"name": "value", "valueCode": "other"},
    ]
    patch = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    answer = fhir.post(
        "", bundle("transaction", {"request": {"method": "PATCH", "url": path}, "resource": patch})
    )
    assert answer.status_code == 200, answer.text
    assert fhir.get(path).json()["gender"] == "other"


def later(fhir: Any, kicked_off: Any) -> Any:
    """The batch-response of a request with respond-async, when it is done."""
    assert kicked_off.status_code == 202, kicked_off.text
    url = kicked_off.headers["Content-Location"]
    deadline = time.monotonic() + 30
    while (answer := fhir.get(url)).status_code == 202:
        assert float(answer.headers["Retry-After"]) >= 0
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert answer.status_code == 200
    return answer.json()


@line("async")
def test_long_work_is_answered_later(fhir: Any, number: str, condition: str) -> None:
    body = bundle("transaction", entry("POST", "Patient", new(number)))
    done = later(fhir, fhir.post("", body, Prefer="respond-async"))
    (row,) = done["entry"]
    assert row["response"]["status"].startswith("200")
    assert row["resource"]["type"] == "transaction-response"
    found = later(fhir, fhir.get(f"Patient?{condition}", Prefer="respond-async"))
    assert found["entry"][0]["resource"]["total"] == 1


@line("async-cancel")
def test_what_is_answered_later_may_be_thrown_away(fhir: Any) -> None:
    url = fhir.get("Patient?_count=1", Prefer="respond-async").headers["Content-Location"]
    assert fhir.ask("DELETE", url).status_code == 202
    outcome(fhir.get(url), 404)
