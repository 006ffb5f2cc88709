"""The audit rows of patches and conditional writes: which resource it was, by which parameters it was found.

Covers server/interactions/conditional.py with audit.py: names of parameters, never what was asked for.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from server.fhir.json_codec import encode

MRN = "identifier=urn:example:mrn|A-1&birthdate=1950-03-02"
PATCH = encode([{"op": "replace", "path": "/gender", "value": "male"}])
JSON_PATCH = "application/json-patch+json"


@pytest.fixture
def rows(store: Any, settings: Any) -> Callable[[], list[tuple[Any, ...]]]:
    """(interaction, id, version, outcome, patient, detail) of writes since the last call, the oldest first."""
    seen = 0

    def new() -> list[tuple[Any, ...]]:
        nonlocal seen
        store.ingest_audit(settings.home / "audit")
        everything = list(reversed(store.audit_rows(limit=1_000)))
        fresh, seen = everything[seen:], len(everything)
        return [
            (row.interaction, row.id, row.version_id, row.outcome, row.patient, row.detail)
            for row in fresh
            if row.interaction in ("update", "patch", "delete")
        ]

    return new


def test_each_write_names_its_resource_and_the_parameters_that_found_it(fhir, build, rows):
    fhir.put(f"Patient?{MRN}", build.patient(id="p1"))
    fhir("PATCH", f"Patient?{MRN}", PATCH, Content_Type=JSON_PATCH)
    fhir("PATCH", "Patient/p1", PATCH, Content_Type=JSON_PATCH)
    fhir.delete(f"Patient?{MRN}")
    fhir.delete(f"Patient?{MRN}")
    names = "birthdate identifier"
    assert rows() == [
        ("update", "p1", 1, 201, "p1", names),
        ("patch", "p1", 2, 200, "p1", names),
        ("patch", "p1", 2, 200, "p1", ""),
        ("delete", "p1", 3, 204, "p1", names),
        ("delete", "", 0, 204, "", names),
    ]


def test_so_does_each_entry_of_a_transaction(fhir, build, rows):
    binary = {"resourceType": "Binary", "contentType": JSON_PATCH, "data": base64.b64encode(PATCH).decode()}
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir.put("Patient/p2", build.patient(id="p2", identifier=[{"value": "B"}]))
    rows()
    answer = fhir.post(
        "",
        build.bundle(
            "transaction",
            build.entry("PUT", f"Patient?{MRN}", build.patient(gender="other")),
            build.entry("PATCH", "Patient?identifier=B", binary),
            build.entry("DELETE", "Patient?identifier=nobody"),
        ),
    )
    assert answer.status == 200, answer.body
    assert rows() == [
        ("delete", "", 0, 204, "", "identifier"),
        ("update", "p1", 2, 200, "p1", "birthdate identifier"),
        ("patch", "p2", 2, 200, "p2", "identifier"),
    ]


def test_refusals_are_rows_too(fhir, as_token, build, rows):
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir.put("Patient/p2", build.patient(id="p2"))
    rows()
    fhir("PATCH", f"Patient?{MRN}", PATCH, Content_Type=JSON_PATCH)
    fhir("PATCH", "Patient/nobody", PATCH, Content_Type=JSON_PATCH)
    fhir("PATCH", "Patient/p1", b"<x/>", Content_Type="application/xml-patch+xml")
    as_token("system/Patient.u")("PATCH", "Patient/p1", PATCH, Content_Type=JSON_PATCH)
    assert [(row[0], row[1], row[3]) for row in rows()] == [
        ("patch", "", 412),
        ("patch", "nobody", 404),
        ("patch", "p1", 415),
        ("patch", "p1", 403),
    ]
