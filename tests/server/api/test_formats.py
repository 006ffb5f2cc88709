"""Formats: JSON in every spelling, XML and Turtle refused with words that say what is offered.

Covers server/api/headers.py; hl7.org/fhir/R4/http.html#mime-type, #parameters, #version-parameter.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from server.api.headers import FHIR_JSON, JSON, answer_type, read_prefer
from server.errors import FhirError

# Every spelling of R4 and its predecessors for what this server does not speak.
OTHERS = [
    "xml",
    "text/xml",
    "application/xml",
    "application/fhir+xml",
    "application/xml+fhir",
    "ttl",
    "turtle",
    "text/turtle",
    "application/fhir+turtle",
    "application/x-turtle",
    "html",
    "text/html",
]
SPELLINGS = {
    "json": FHIR_JSON,
    "application/fhir+json": FHIR_JSON,
    "application/json+fhir": FHIR_JSON,
    "application/json": JSON,
    "text/json": JSON,
}
CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture(autouse=True)
def stored(fhir: Any, build: Any) -> None:
    fhir.put("Patient/p1", build.patient(id="p1"))


def refused(answer: Any, status: int) -> None:
    assert (answer.status, answer.codes) == (status, ["not-supported"])
    assert answer.headers["Content-Type"] == "application/fhir+json; charset=utf-8"
    assert "JSON only" in answer.text
    assert "application/fhir+json" in answer.text
    assert "application/json" in answer.text.replace("application/fhir+json", "")


@pytest.mark.parametrize("spelling", OTHERS)
def test_another_format_asked_for_is_not_acceptable(fhir: Any, spelling: str) -> None:
    refused(fhir.get(f"Patient/p1?_format={quote(spelling, safe='')}"), 406)
    refused(fhir.get(f"Patient/p1?_format={spelling}", Accept=FHIR_JSON), 406)
    if "/" in spelling:
        refused(fhir.get("Patient/p1", Accept=spelling), 406)
        refused(fhir.get("Patient/p1", Accept=f"{spelling}; q=0.5, image/*"), 406)


@pytest.mark.parametrize("spelling", [name for name in OTHERS if "/" in name])
def test_another_format_sent_is_an_unsupported_media_type(fhir: Any, spelling: str) -> None:
    refused(fhir.post("Patient", b"<Patient/>", Content_Type=spelling), 415)
    refused(fhir.post("", b"<Bundle/>", Content_Type=f"{spelling}; charset=utf-8"), 415)


@pytest.mark.parametrize(("spelling", "answered"), SPELLINGS.items())
def test_json_is_answered_by_each_of_its_names(fhir: Any, spelling: str, answered: str) -> None:
    expected = f"{answered}; charset=utf-8"
    for path in (f"Patient/p1?_format={quote(spelling, safe='')}", f"Patient/p1?_format={spelling}"):
        assert fhir.get(path, Accept="text/turtle").headers["Content-Type"] == expected
    assert fhir.get("Patient/p1", Accept=spelling.upper()).headers["Content-Type"] == expected


@pytest.mark.parametrize("accept", [CHROMIUM, FIREFOX, "*/*", "", "application/*", "text/html, */*;q=0.1"])
def test_a_browser_gets_json(fhir: Any, accept: str) -> None:
    answer = fhir.get("Patient/p1", Accept=accept)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/fhir+json; charset=utf-8")


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("application/json, application/fhir+json", JSON),
        ("application/fhir+json, application/json", FHIR_JSON),
        ("application/json;q=0.4, application/fhir+json;q=0.5", FHIR_JSON),
        ("application/fhir+json;q=0, */*", JSON),  # the more specific range decides
        ("*/*;q=0.1, application/json", JSON),
        ("application/*;q=0.2, */*;q=0.9", FHIR_JSON),
        ("application/fhir+json;fhirVersion=4.0", FHIR_JSON),
        ('application/fhir+json; fhirVersion="4.0.1"', FHIR_JSON),
        ("application/fhir+json;fhirVersion=3.0, application/json;q=0.1", JSON),
    ],
)
def test_of_several_the_preferred_one_is_answered(accept: str, answered: str) -> None:
    assert answer_type(accept, "") == answered


@pytest.mark.parametrize(
    "accept",
    [
        "application/json;q=0",
        "*/*;q=0",
        "application/fhir+json;q=nan",
        "application/fhir+json;q=-1",
        "application/fhir+json;q=",
        ";;,",
    ],
)
def test_nothing_acceptable_is_a_refusal(accept: str) -> None:
    with pytest.raises(FhirError) as caught:
        answer_type(accept, "")
    assert caught.value.status == 406


def test_another_version_of_fhir_is_refused_by_name(fhir: Any) -> None:
    answer = fhir.get("Patient/p1", Accept="application/fhir+json; fhirVersion=5.0")
    assert (answer.status, "fhirVersion=4.0" in answer.text) == (406, True)
    sent = fhir.put(
        "Patient/p1",
        b'{"resourceType":"Patient","id":"p1"}',
        Content_Type="application/fhir+json; fhirVersion=3.0",
    )
    assert (sent.status, "fhirVersion=4.0" in sent.text) == (415, True)
    assert fhir.get("Patient/p1?_format=application/fhir%2Bjson;fhirVersion=3.0").status == 406


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("", ("", "", False)),
        ("respond-async", ("", "", True)),
        ("Respond-Async, return=minimal", ("minimal", "", True)),
        ("return=representation; handling=lenient", ("representation", "lenient", False)),
        ("wait=10, respond-async", ("", "", True)),
        ('return="OperationOutcome"', ("OperationOutcome", "", False)),
        ("return=everything, handling=harsh", ("", "", False)),
    ],
)
def test_preferences_are_read_and_unknown_ones_ignored(prefer: str, expected: tuple[str, str, bool]) -> None:
    found = read_prefer(prefer)
    assert (found.returned, found.handling, found.asynchronous) == expected
