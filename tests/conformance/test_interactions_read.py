"""read, vread, history, and what holds for every request on the wire: hl7.org/fhir/R4/http.html.

"IN-..." of the scorecard.
"""

from __future__ import annotations

import gzip
import json
import time
import uuid
from typing import Any
from urllib.parse import quote

import pytest
from asking.bodies import bundle, new, outcome

XML = '<Patient xmlns="http://hl7.org/fhir"><gender value="male"/></Patient>'


def line(id: str) -> Any:
    return pytest.mark.requirement(f"IN-{id}")


@line("read")
def test_read_answers_with_version_and_time(fhir: Any, patient: Any, path: str) -> None:
    answer = fhir.get(path)
    assert (answer.status_code, answer.json()) == (200, patient)
    assert answer.headers["ETag"] == f'W/"{patient["meta"]["versionId"]}"'
    assert answer.headers["Last-Modified"].endswith("GMT")
    assert answer.headers["Content-Type"].startswith("application/fhir+json")


@line("read-not-modified")
def test_a_read_of_a_known_version_is_304_without_a_body(fhir: Any, path: str) -> None:
    answer = fhir.get(path, If_None_Match='W/"1"')
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", 'W/"1"')
    assert fhir.get(path, If_None_Match='W/"7"').status_code == 200


@line("read-unknown")
def test_an_unknown_id_is_404(fhir: Any) -> None:
    outcome(fhir.get("Patient/none-of-this-id"), 404, "not-found")


@line("read-deleted")
def test_a_deleted_resource_is_410(fhir: Any, path: str) -> None:
    assert fhir.ask("DELETE", path).status_code == 204
    outcome(fhir.get(path), 410, "deleted")
    assert fhir.get(f"{path}/_history/1").status_code == 200
    outcome(fhir.get(f"{path}/_history/2"), 410, "deleted")


@line("read-unknown-type")
def test_an_unknown_type_is_404(fhir: Any) -> None:
    outcome(fhir.get("Unicorn/1"), 404)
    outcome(fhir.get("Unicorn"), 404)
    outcome(fhir.post("Unicorn", {"resourceType": "Unicorn"}), 404)


@line("vread")
def test_every_version_can_be_read(fhir: Any, patient: Any, path: str) -> None:
    assert fhir.put(path, patient | {"gender": "male"}).status_code == 200
    assert fhir.get(f"{path}/_history/1").json() == patient
    second = fhir.get(f"{path}/_history/2")
    assert (second.json()["gender"], second.headers["ETag"]) == ("male", 'W/"2"')
    outcome(fhir.get(f"{path}/_history/3"), 404, "not-found")


@line("history-instance")
def test_the_history_of_a_resource_begins_with_the_newest(fhir: Any, patient: Any, path: str) -> None:
    fhir.put(path, patient | {"gender": "male"})
    fhir.ask("DELETE", path)
    history = fhir.get(f"{path}/_history").json()
    assert (history["type"], history["total"]) == ("history", 3)
    assert [e["request"]["method"] for e in history["entry"]] == ["DELETE", "PUT", "POST"]
    assert "resource" not in history["entry"][0]
    assert [e["response"]["status"][:3] for e in history["entry"]] == ["204", "200", "201"]


@line("history-type")
def test_the_history_of_a_type_holds_all_its_resources(fhir: Any, path: str) -> None:
    history = fhir.get("Patient/_history?_count=5").json()
    assert history["type"] == "history"
    assert history["entry"][0]["fullUrl"] == f"{fhir.base}/{path}"
    assert {e["fullUrl"].split("/")[-2] for e in history["entry"]} == {"Patient"}


@line("history-system")
def test_the_history_of_the_system_holds_all_types(fhir: Any, path: str) -> None:
    other = fhir.create({"resourceType": "Basic", "code": {"text": "x"}})
    history = fhir.get("_history?_count=2").json()
    assert [e["fullUrl"] for e in history["entry"]] == [
        f"{fhir.base}/Basic/{other['id']}",
        f"{fhir.base}/{path}",
    ]


@line("history-since")
def test_since_leaves_out_what_is_older(fhir: Any, patient: Any, path: str) -> None:
    time.sleep(0.01)
    changed = fhir.put(path, patient | {"gender": "male"}).json()
    since = quote(changed["meta"]["lastUpdated"])
    history = fhir.get(f"{path}/_history?_since={since}").json()
    assert [e["resource"]["meta"]["versionId"] for e in history["entry"]] == ["2"]


@line("history-at")
def test_at_asks_for_what_was_current_then(fhir: Any, patient: Any, path: str) -> None:
    time.sleep(0.01)
    fhir.put(path, patient | {"gender": "male"})
    moment = quote(patient["meta"]["lastUpdated"])
    history = fhir.get(f"{path}/_history?_at={moment}").json()
    assert [e["resource"]["meta"]["versionId"] for e in history["entry"]] == ["1"]


@line("history-paging")
def test_a_history_is_read_in_pages(fhir: Any, patient: Any, path: str) -> None:
    for gender in ("male", "other", "unknown"):
        fhir.put(path, patient | {"gender": gender})
    seen, url = [], f"{path}/_history?_count=1"
    while url:
        answer = fhir.get(url).json()
        seen += [e["resource"]["meta"]["versionId"] for e in answer["entry"]]
        url = next((row["url"] for row in answer["link"] if row["relation"] == "next"), "")
    assert seen == ["4", "3", "2", "1"]


@line("head")
def test_head_is_get_without_the_body(fhir: Any, path: str) -> None:
    for url in (path, f"{path}/_history", "Patient?_count=1", "metadata"):
        got, head = fhir.get(url, Accept_Encoding="identity"), fhir.ask("HEAD", url, Accept_Encoding="identity")
        assert (head.status_code, head.content) == (got.status_code, b"")
        for name in ("Content-Type", "ETag", "Last-Modified"):
            assert head.headers.get(name) == got.headers.get(name)
    assert fhir.ask("HEAD", "Patient/none-of-this-id").status_code == 404


@line("gzip")
def test_answers_and_bodies_may_be_compressed(fhir: Any, number: str) -> None:
    answer = fhir.get("metadata", Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.json() == fhir.get("metadata", Accept_Encoding="identity").json()
    packed = gzip.compress(json.dumps(new(number)).encode())
    assert fhir.post("Patient", packed, Content_Encoding="gzip").status_code == 201
    outcome(fhir.post("Patient", packed, Content_Encoding="br"), 415)


@line("format-parameter")
def test_format_and_pretty_are_taken_everywhere(fhir: Any, path: str) -> None:
    answer = fhir.get(f"{path}?_format=json&_pretty=true", Accept="application/fhir+xml")
    assert answer.status_code == 200
    assert "\n  " in answer.text


@line("xml-asked")
def test_xml_that_is_asked_for_is_406_in_words(fhir: Any, path: str) -> None:
    for answer in (fhir.get(path, Accept="application/fhir+xml"), fhir.get(f"{path}?_format=xml")):
        assert "json" in outcome(answer, 406, "not-supported")["diagnostics"].casefold()


@line("xml-sent")
def test_xml_that_is_sent_is_415_in_words(fhir: Any) -> None:
    answer = fhir.post("Patient", XML, Content_Type="application/fhir+xml")
    assert "json" in outcome(answer, 415, "not-supported")["diagnostics"].casefold()


@line("version-of-fhir")
def test_another_version_of_fhir_is_refused(fhir: Any, path: str) -> None:
    assert fhir.get(path, Accept="application/fhir+json; fhirVersion=4.0").status_code == 200
    outcome(fhir.get(path, Accept="application/fhir+json; fhirVersion=5.0"), 406)


@line("method")
def test_a_method_that_is_not_offered_is_405_with_those_that_are(fhir: Any, path: str) -> None:
    answer = fhir.post(path, {"resourceType": "Patient"})
    outcome(answer, 405, "not-supported")
    assert {"GET", "PUT", "PATCH", "DELETE"} <= set(answer.headers["Allow"].split(", "))


@line("no-token")
def test_without_a_token_nothing_but_metadata_is_told(anonymous: Any, path: str) -> None:
    for answer in (
        anonymous.get(path),
        anonymous.get("Patient"),
        anonymous.get("_history"),
        anonymous.post("", bundle("batch")),
        anonymous.get("Patient/none-of-this-id"),
    ):
        outcome(answer, 401, "login")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@line("bytes")
def test_what_was_stored_comes_back_digit_by_digit(fhir: Any) -> None:
    body = (
        '{"resourceType":"Observation","status":"final","code":{"text":"x"},'
        '"valueQuantity":{"value":1.50},"_status":{"id":"s"},"note":[{"text":"\\u00e4 \\ud83d\\ude00"}]}'
    )
    stored = fhir.post("Observation", body)
    text = fhir.get(f"Observation/{stored.json()['id']}").text
    assert '"value":1.50' in text
    assert "ä 😀" in text or "\\ud83d\\ude00" in text
    assert fhir.get(f"Observation/{stored.json()['id']}").json()["_status"] == {"id": "s"}


@line("request-id")
def test_a_request_id_is_kept(fhir: Any) -> None:
    id = str(uuid.uuid4())
    assert fhir.get("metadata", X_Request_Id=id).headers["X-Request-Id"] == id
    assert fhir.get("metadata").headers["X-Request-Id"]


@line("cors")
def test_browsers_of_any_origin_may_ask_with_a_token(fhir: Any, path: str) -> None:
    answer = fhir.get(path, Origin="https://app.example.org")
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://app.example.org")
    assert "etag" in answer.headers["Access-Control-Expose-Headers"].casefold()
