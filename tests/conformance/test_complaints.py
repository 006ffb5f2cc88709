"""What users of FHIR servers complain about in public, and the answer here. "X1" to "X15" of the scorecard."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


def line(number: int, what: str) -> Any:
    return pytest.mark.requirement(f"X{number}", what)


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex


def patient(mark: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "identifier": [{"system": "urn:example:x", "value": mark}], **more}


def bundle(kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def at_once(calls: list[Callable[[], Any]]) -> list[int]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return sorted(answer.status_code for answer in pool.map(lambda call: call(), calls))


@line(1, "parallel conditional creates and updates create once")
def test_parallel_conditional_writes_create_once(fhir: Any, mark: str) -> None:
    condition = f"identifier=urn:example:x|{mark}"
    create = lambda: fhir.post("Patient", patient(mark), If_None_Exist=condition)  # noqa: E731
    assert at_once([create] * 12) == [200] * 11 + [201]
    other = f"identifier=urn:example:x|{mark}-2"
    update = lambda: fhir.put(f"Patient?{other}", patient(f"{mark}-2"))  # noqa: E731
    assert at_once([update] * 12) == [200] * 11 + [201]
    assert len(fhir.matches(f"Patient?{condition}")) == len(fhir.matches(f"Patient?{other}")) == 1


@line(2, "two entries of one resource refuse a transaction, and both are named")
def test_an_overlap_in_a_transaction_is_refused(fhir: Any, mark: str) -> None:
    url = f"Patient/{mark}"
    entries = [
        {"request": {"method": "PUT", "url": url}, "resource": patient(mark, id=mark, gender=gender)}
        for gender in ("male", "female")
    ]
    answer = fhir.post("", bundle("transaction", *entries))
    assert answer.status_code == 400
    (issue,) = answer.json()["issue"]
    assert re.search(r"\b0\b.*\b1\b", issue["diagnostics"])
    assert issue["expression"][0].startswith("Bundle.entry[")
    assert fhir.get(url).status_code == 404


@line(3, "a mistyped parameter never answers with everyone's data unsaid")
def test_an_unknown_parameter_is_never_ignored_in_silence(fhir: Any, charts: Any) -> None:
    for url in (
        "Patient?identifer=x",
        "Observation?patient.nme=x",
        "?_type=Patient&identifer=x",
        "Patient?_sort=nme",
    ):
        answer = fhir.get(url)
        assert answer.status_code == 400, url
        assert answer.json()["issue"][0]["expression"][0].startswith("http.")
    lenient = fhir.get("Patient?identifer=x&_count=1", Prefer="handling=lenient").json()
    assert "outcome" in [entry["search"]["mode"] for entry in lenient["entry"]]
    assert "identifer" not in next(row["url"] for row in lenient["link"] if row["relation"] == "self")


@line(4, "pages hold every match once, while others write")
def test_pages_are_stable_while_others_write(fhir: Any, mark: str) -> None:
    tag = [{"system": "urn:example:x", "code": mark}]

    def make(name: str) -> str:
        resource = {"resourceType": "Patient", "meta": {"tag": tag}, "name": [{"family": name}]}
        return str(fhir.post("Patient", resource).json()["id"])

    stay = [make(f"Same{number % 3}") for number in range(12)]
    leave = [make("Same1") for _ in range(4)]
    for sort in ("", "&_sort=family", "&_sort=-_lastUpdated"):
        seen: list[str] = []
        url: str | None = f"Patient?_tag=urn:example:x|{mark}&_count=3{sort}"
        while url:
            page = fhir.get(url).json()
            assert page["entry"]
            seen += [entry["resource"]["id"] for entry in page["entry"]]
            url = next((row["url"] for row in page["link"] if row["relation"] == "next"), None)
            make("Same1")
            if leave:
                fhir.ask("DELETE", f"Patient/{leave.pop()}")
        assert len(seen) == len(set(seen))
        assert set(stay) <= set(seen)


@line(5, "chains, includes and lists of hundreds of values come to an end soon")
def test_what_is_slow_elsewhere_is_not(fhir: Any, charts: Any) -> None:
    listed = ",".join(f"code-{number}" for number in range(400)) + ",2823-3"
    for url in (
        f"Observation?code={listed}",
        "Observation?patient.name=shaw,jones&patient.gender=female,male&_sort=-date",
        "Observation?category=laboratory&_include=*&_revinclude=Provenance:target&_count=100",
        "Patient?_has:Observation:patient:_has:Provenance:target:agent.name=acme",
    ):
        started = time.monotonic()
        assert fhir.get(url).status_code == 200, url
        assert time.monotonic() - started < 5, url  # elsewhere such searches never ended


@line(6, "a token of one patient gets nothing of another, by whatever way it asks")
def test_no_way_leads_to_another_patients_data(fhir: Any, mint: Callable[..., str], mark: str) -> None:
    own, other = (fhir.create(patient(f"{mark}-{n}"))["id"] for n in (1, 2))
    for who in (own, other):
        fhir.create(
            {
                "resourceType": "Observation",
                "status": "final",
                "code": {"text": f"secret-{who}"},
                "subject": {"reference": f"Patient/{who}"},
                "focus": [{"reference": f"Patient/{other}"}],
            }
        )
    token = mint("patient/*.rs", "--patient", own)
    limited = type(fhir)(fhir.base, token, fhir.run)
    assert limited.get(f"Patient/{own}").status_code == 200
    for url in (f"Patient/{other}", f"Patient/{other}/_history", f"Patient/{other}/_history/1"):
        assert limited.get(url).status_code == 404, url
    for url in (
        f"Patient?_id={other}",
        f"Patient?identifier=urn:example:x|{mark}-2",
        f"Observation?patient={other}",
        f"Observation?focus:Patient.identifier=urn:example:x|{mark}-2",
        f"Patient?_has:Observation:focus:_id=none&_id={other}",
        f"Patient/{other}/*",
    ):
        answer = limited.get(url)
        assert answer.status_code == 200, (url, answer.text)
        bundle_ = answer.json()
        assert (bundle_["total"], bundle_.get("entry")) == (0, None), url
    for url in ("Observation?_include=Observation:focus", "Observation?_include=*&_revinclude=*"):
        answer = limited.get(url)
        assert answer.status_code == 200
        assert f"secret-{own}" in answer.text
        assert f"secret-{other}" not in answer.text
        assert f"{mark}-2" not in answer.text
    nothing = type(fhir)(fhir.base, mint("patient/*.rs"), fhir.run)
    assert "entry" not in nothing.get("Patient").json()
    assert nothing.get(f"Patient/{own}").status_code in (403, 404)


@line(7, "no mode answers without a token, and no scope is inert")
def test_scopes_are_in_force_from_the_first_start(fhir: Any, anonymous: Any, mint: Callable[..., str]) -> None:
    assert anonymous.get("Patient").status_code == 401
    limited = type(fhir)(fhir.base, mint("system/Observation.rs"), fhir.run)
    assert limited.get("Observation?_count=1").status_code == 200
    for answer in (
        limited.get("Patient"),
        limited.get("Patient/1"),
        limited.post("Observation", {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}),
    ):
        assert answer.status_code == 403


@line(8, "bulk export works from the first start; an unknown group is 404 at once")
def test_bulk_export_is_ready(fhir: Any) -> None:
    assert fhir.get("$export", Prefer="respond-async").status_code == 202
    assert fhir.get("Group/none/$export", Prefer="respond-async").json()["issue"][0]["code"] == "not-found"


@line(9, "a search parameter that is stored is refused until it is complete, then finds everything")
def test_a_search_parameter_of_ones_own_finds_everything(fhir: Any, mark: str) -> None:
    made = fhir.create({"resourceType": "Basic", "code": {"text": mark}, "created": "2024-01-01"})
    code = f"made-{mark[:8]}"
    fhir.create(
        {
            "resourceType": "SearchParameter",
            "url": f"http://example.org/{code}",
            "name": "Made",
            "status": "active",
            "description": "When it was made",
            "code": code,
            "base": ["Basic"],
            "type": "date",
            "expression": "Basic.created",
        }
    )
    deadline = time.monotonic() + 15
    while (answer := fhir.get(f"Basic?{code}=2024-01-01")).status_code == 400:
        assert answer.json()["issue"][0]["code"] == "transient"
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert made["id"] in {entry["resource"]["id"] for entry in answer.json()["entry"]}


@line(10, "a subscription is taken, activated and fires")
def test_subscriptions_are_served(offered: dict[str, Any]) -> None:
    assert offered["Subscription"].get("supportedProfile")


@line(11, "what was not checked is said, never passed in silence")
def test_a_profile_that_is_not_checked_is_said(fhir: Any) -> None:
    unknown = "http://example.org/StructureDefinition/none"
    resource = {"resourceType": "Patient", "meta": {"profile": [unknown]}}
    told = fhir.post("Patient/$validate", resource).json()["issue"]
    assert "not-supported" in {issue["code"] for issue in told}
    asked = {
        "resourceType": "Parameters",
        "parameter": [{"name": "resource", "resource": resource}, {"name": "profile", "valueUri": unknown}],
    }
    told = fhir.post("Patient/$validate", asked).json()["issue"]
    assert ("error", "not-supported") in {(issue["severity"], issue["code"]) for issue in told}


@line(12, "nine prefixes, five precisions and every form of a period: ranges, not texts, are compared")
def test_dates_are_ranges_at_every_precision(fhir: Any, mark: str) -> None:
    shapes: dict[str, dict[str, str]] = {
        "closed": {"start": "2024-03-10T10:00:00Z", "end": "2024-03-20T10:00:00Z"},
        "begun": {"start": "2024-03-10T10:00:00Z"},
        "ended": {"end": "2024-03-20T10:00:00Z"},
    }
    names = {}
    for name, period in shapes.items():
        made = fhir.create(
            {
                "resourceType": "Encounter",
                "identifier": [{"system": "urn:example:x", "value": mark}],
                "status": "finished",
                "class": {"code": "AMB"},
                "period": period,
            }
        )
        names[made["id"]] = name

    def found(value: str) -> set[str]:
        query = f"Encounter?identifier=urn:example:x|{mark}&date={quote(value)}"
        return {names[resource["id"]] for resource in fhir.matches(query)}

    everything = set(shapes)
    inside = "2024-03-15T10:00:00Z"
    for value in ("2024", "2024-03", "2024-03-15", "2024-03-15T10:00Z", inside, "2024-03-15T05:00:00-05:00"):
        for prefix in PREFIXES:
            assert found(prefix + value) <= everything
        assert found(f"eq{value}") | found(f"ne{value}") == everything
        assert found(f"eq{value}") & found(f"ne{value}") == set()
        assert found(f"gt{value}") <= found(f"ge{value}")
        assert found(f"lt{value}") <= found(f"le{value}")
        assert found(f"sa{value}") <= found(f"gt{value}")
        assert found(f"eb{value}") <= found(f"lt{value}")
    assert found("2024") == found("2024-03") == {"closed"}
    assert found(f"gt{inside}") == found(f"lt{inside}") == everything
    assert found("gt2024-04") == found("sa2024-03-21") | {"begun"} == {"begun"}
    assert found("lt2024-03-01") == {"ended"}
    assert found("eb2024-03-21T00:00:00Z") == {"closed", "ended"}
    assert found("sa2024-03-09") == {"closed", "begun"}
    assert found(f"ap{inside}") == everything


@line(13, "accurate is exact, none is absent, and all pages agree")
def test_totals_are_exact(fhir: Any, charts: Any) -> None:
    counted = len(fhir.matches("Observation?category=laboratory"))
    for method, total in (("accurate", counted), ("estimate", counted), ("none", None)):
        answer = fhir.get(f"Observation?category=laboratory&_total={method}&_count=7").json()
        assert answer.get("total") == total
        following = next(row["url"] for row in answer["link"] if row["relation"] == "next")
        assert fhir.get(following).json().get("total") == total
    assert fhir.get("Observation?category=laboratory&_summary=count").json()["total"] == counted


@line(14, "limits are published, and what is beyond them is refused by name")
def test_limits_are_published_and_in_force(fhir: Any, statement: dict[str, Any]) -> None:
    (listed,) = (e["extension"] for e in statement["rest"][0]["extension"] if e["url"].endswith(":limits"))
    limits = {limit["url"]: limit["valueInteger"] for limit in listed}
    assert (
        len(fhir.get(f"Patient?_count={limits['count-maximum'] + 1}").json().get("entry", ()))
        <= limits["count-maximum"]
    )
    entries = [{"request": {"method": "GET", "url": "Patient/x"}}] * (limits["bundle-entries"] + 1)
    long = json.dumps({"resourceType": "Basic", "code": {"text": "x" * limits["body-bytes"]}})
    for answer, status, code in (
        (fhir.post("", bundle("batch", *entries)), 413, "too-long"),
        (fhir.post("Basic", long), 413, "too-long"),
        (fhir.get("Patient?name=" + "x" * limits["url-bytes"]), 414, "too-long"),
        (fhir.get("Patient?" + "name=x&" * 600), 422, "too-costly"),
    ):
        assert (answer.status_code, answer.json()["issue"][0]["code"]) == (status, code)


@line(15, "every error is an OperationOutcome with a status of its own, never a 5xx or an error within a 200")
@pytest.mark.parametrize(
    "url",
    [
        "Patient?_revinclude=*&_include=*",
        "ValueSet?url:below=http://example.org",
        "ValueSet?url:below=",
        "ValueSet/$expand?url=urn:none",
        "CodeSystem/$lookup?code=x",
        "Patient/$none",
        "Patient/%00",
        "Patient?name=%FF%FE",
        "Patient?name=%00",
        "Patient?birthdate=9999-99-99",
        "Patient?birthdate=gt0000",
        "Observation?value-quantity=1e999",
        "Observation?value-quantity=1e99999999||x",
        "Observation?code=|||",
        "Observation?component-code-value-quantity=$",
        "Patient?_has:::=x",
        "Patient?_has:Observation:patient:_has:=x",
        "Patient?a.b.c.d.e.f.g.h.i.j.k=x",
        "Patient?_include=:::",
        "Patient?_sort=,,-",
        "Patient?_count=99999999999999999999",
        "Patient?_elements=,",
        "Patient?_cursor=forged",
        "Patient/_history?_since=never",
        "Patient/1/_history/0",
        "?_type=",
        "Patient/a/b/c/d",
        "%2e%2e/etc/passwd",
    ],
)
def test_bad_input_is_answered_in_fhir(fhir: Any, url: str) -> None:
    for method in ("GET", "DELETE", "POST"):
        if method == "DELETE" and "?" in url:
            continue  # a condition may be good for a deletion: nothing is deleted by a trial
        answer = fhir.ask(method, url, {"resourceType": "Parameters"} if method == "POST" else None)
        assert answer.status_code < 500
        if answer.status_code >= 400:
            body = answer.json()
            assert body["resourceType"] == "OperationOutcome"
            assert all(issue["code"] and issue["diagnostics"] for issue in body["issue"])
        elif answer.status_code == 200 and answer.json()["resourceType"] == "Bundle":
            assert answer.json()["type"] in ("searchset", "history")
