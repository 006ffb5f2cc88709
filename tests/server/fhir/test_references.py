"""References: their forms, where they are, and what a transaction rewrites.

Covers hl7.org/fhir/R4/references.html, hl7.org/fhir/R4/http.html#trules.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from server.fhir.references import (
    Absolute,
    Fragment,
    Local,
    MalformedReference,
    Query,
    Urn,
    iter_references,
    parse_reference,
    rewrite_references,
)

BASE = "https://here.example.org/fhir"
URN = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("Patient/1", Local("Patient", "1")),
        ("Patient/a-b.c/_history/2", Local("Patient", "a-b.c", "2")),
        (f"{BASE}/Patient/1", Local("Patient", "1")),
        (f"{BASE}/Patient/1/_history/2", Local("Patient", "1", "2")),
        (f"{BASE}/Patient?identifier=a", Query("Patient", "identifier=a")),
        ("Patient?identifier=urn:x|1", Query("Patient", "identifier=urn:x|1")),
        (
            "https://there.example.org/fhir/Patient/1",
            Absolute("https://there.example.org/fhir/Patient/1", "Patient"),
        ),
        (
            "https://there.example.org/fhir/Patient/1/_history/2",
            Absolute("https://there.example.org/fhir/Patient/1/_history/2", "Patient"),
        ),
        ("https://there.example.org/people/1", Absolute("https://there.example.org/people/1")),
        (f"{BASE}x/Patient/1", Absolute(f"{BASE}x/Patient/1", "Patient")),
        ("#m", Fragment("m")),
        ("#", Fragment("")),
        (URN, Urn(URN)),
        ("urn:oid:1.2.3", Urn("urn:oid:1.2.3")),
    ],
)
def test_each_form_has_one_meaning(text: str, meaning: object) -> None:
    assert parse_reference(text, BASE) == meaning
    assert parse_reference(text, BASE + "/") == meaning


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "Patient",
        "Patient/",
        "Human/1",
        "Human?x=1",
        "Patient/a b",
        "Patient/1/2",
        "/Patient/1",
        "Patient?",
    ],
)
def test_other_texts_are_malformed(text: str) -> None:
    with pytest.raises(MalformedReference):
        parse_reference(text, BASE)


def test_a_local_reference_is_written_as_it_is_read() -> None:
    for text in ("Patient/1", "Patient/1/_history/2"):
        assert str(parse_reference(text)) == text


def chart() -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest",
        "text": {
            "status": "generated",
            "div": f"<div {XHTML}><a href=\"{URN}\">x</a> {URN} <img src='{URN}'/></div>",
        },
        "contained": [{"resourceType": "Observation", "subject": {"reference": URN}}],
        "_status": {"extension": [{"url": "http://x", "valueReference": {"reference": URN}}]},
        "medicationReference": {"reference": "Medication/1"},
        "subject": {"reference": URN, "display": URN},
        "instantiatesUri": [URN, "http://other"],
        "instantiatesCanonical": [URN],
        "note": [{"text": URN}],
        "extension": [{"url": "http://x", "valueAttachment": {"url": URN}}, {"url": URN, "valueUuid": URN}],
    }


def test_every_reference_element_is_found_with_its_path() -> None:
    assert [path for path, _ in iter_references(chart())] == [
        "MedicationRequest.contained[0].subject",
        "MedicationRequest.status.extension[0].value.ofType(Reference)",
        "MedicationRequest.medication.ofType(Reference)",
        "MedicationRequest.subject",
    ]


def test_references_inside_entries_are_found() -> None:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": chart()}, {"link": [{"url": "x"}]}]}
    assert ("Bundle.entry[0].resource.subject", {"reference": URN, "display": URN}) in list(
        iter_references(bundle)
    )


def test_a_transaction_replaces_references_uris_and_links_but_no_canonicals_and_no_text() -> None:
    resource = rewrite_references(chart(), {URN: "Patient/7"}.get)
    assert resource["subject"] == {"reference": "Patient/7", "display": URN}
    assert resource["contained"][0]["subject"] == {"reference": "Patient/7"}
    assert resource["_status"]["extension"][0]["valueReference"] == {"reference": "Patient/7"}
    assert resource["medicationReference"] == {"reference": "Medication/1"}
    assert resource["instantiatesUri"] == ["Patient/7", "http://other"]
    assert resource["instantiatesCanonical"] == [URN]
    assert resource["note"] == [{"text": URN}]
    assert resource["extension"][0]["valueAttachment"] == {"url": "Patient/7"}
    assert resource["extension"][1]["valueUuid"] == "Patient/7"
    assert (
        resource["text"]["div"] == f'<div {XHTML}><a href="Patient/7">x</a> {URN} <img src="Patient/7"/></div>'
    )


def test_rewriting_leaves_the_given_resource_alone_and_shares_what_does_not_change() -> None:
    given = chart()
    before = copy.deepcopy(given)
    result = rewrite_references(given, {URN: "Patient/7"}.get)
    assert given == before
    assert result["medicationReference"] is given["medicationReference"]
    assert rewrite_references(given, lambda link: None) is given


def test_a_replacement_is_escaped_in_a_narrative() -> None:
    given = {"resourceType": "Patient", "text": {"div": '<div><a href="a?x=1&amp;y=2">x</a></div>'}}
    result = rewrite_references(given, {"a?x=1&y=2": 'b?"&'}.get)
    assert result["text"]["div"] == '<div><a href="b?&quot;&amp;">x</a></div>'


@pytest.mark.parametrize(
    "resource",
    [
        {},
        {"resourceType": "Nothing"},
        {"resourceType": "Patient", "managingOrganization": "x", "name": [None, 1], "contained": ["x", {}]},
        {"resourceType": "Patient", "generalPractitioner": {"reference": 1}},
    ],
)
def test_resources_of_a_wrong_shape_are_walked_without_an_error(resource: dict[str, Any]) -> None:
    assert list(iter_references(resource)) is not None
    assert rewrite_references(resource, {"x": "y"}.get) == resource
