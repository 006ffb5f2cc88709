"""What one resource may cost: bodies within the 5 MB limit that are as dear as they can be made.

Measured is processor time, with room for a slow machine. Each shape is sent once as large as the limit of bytes
allows and once as large as the limit of elements allows; what the server keeps of both must be cheap.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from server.errors import FhirError
from server.fhir.json_codec import decode, has_more_elements
from server.interactions.request import Limits

SECONDS = 2.5  # of processor time; about 1 on an idle core
LIMITS = Limits()


def resource(resource_type: str, **elements: Any) -> bytes:
    return json.dumps({"resourceType": resource_type, **elements}, separators=(",", ":")).encode()


def patient(**elements: Any) -> bytes:
    return resource("Patient", **elements)


def observation(**elements: Any) -> bytes:
    return resource("Observation", **{"status": "final", "code": {"text": "x"}, **elements})


def definition(view: str, elements: list[Any]) -> bytes:
    head = {"url": "urn:x", "name": "N", "status": "draft", "kind": "logical", "abstract": True, "type": "T"}
    return resource("StructureDefinition", **head, **{view: {"element": elements}})


def events(n: int) -> bytes:
    dates = [f"{1000 + i // 336}-{i // 28 % 12 + 1:02}-{i % 28 + 1:02}" for i in range(n)]
    subject = {"reference": "Patient/p1"}
    timing = {"event": dates}
    return resource("ServiceRequest", status="active", intent="order", subject=subject, occurrenceTiming=timing)


def within_itself(n: int) -> bytes:
    inside = [{"resourceType": "Patient", "id": f"p{i}"} for i in range(n)]
    members = [{"entity": {"reference": f"#p{i}"}} for i in range(n)]
    return resource("Group", type="person", actual=True, contained=inside, member=members)


def concepts(n: int) -> bytes:
    listed = [{"code": f"c{i}"} for i in range(n)]
    return resource("CodeSystem", status="active", content="complete", concept=listed)


def members(n: int) -> bytes:
    listed = [{"entity": {"reference": f"Patient/{i}"}} for i in range(n)]
    return resource("Group", type="person", actual=True, member=listed)


def quantity(i: int) -> dict[str, Any]:
    return {"value": i + 0.5, "code": "mg", "system": "http://unitsofmeasure.org"}


SHAPES: dict[str, Callable[[int], bytes]] = {
    "given names": lambda n: patient(name=[{"given": [f"g{i}" for i in range(n)]}]),
    "names": lambda n: patient(name=[{"family": f"f{i}"} for i in range(n)]),
    "identifiers": lambda n: patient(identifier=[{"value": f"i{i}"} for i in range(n)]),
    "concepts": concepts,
    "references": members,
    "references elsewhere": lambda n: observation(
        hasMember=[{"reference": f"http://a/Observation/{i}"} for i in range(n)]
    ),
    "codings": lambda n: observation(
        code={"coding": [{"code": f"c{i}", "system": f"urn:s{i}"} for i in range(n)]}
    ),
    "quantities": lambda n: observation(
        component=[{"code": {"text": "x"}, "valueQuantity": quantity(i)} for i in range(n)]
    ),
    "dates": events,
    "elements": lambda n: definition("differential", [{"id": f"T.{i}", "path": f"T.{i}"} for i in range(n)]),
    "elements at fault": lambda n: definition("snapshot", [{"path": "T"}] * n),
    "a fault at the end": lambda n: patient(name=[{"given": ["a"] * n + [""]}]),
    "nothing but faults": lambda n: patient(name=[{}] * n),
    "unknown properties": lambda n: patient(**{f"x{i}": 0 for i in range(n)}),
    "contained resources": within_itself,
    "resources of a document": lambda n: resource(
        "Bundle", type="collection", entry=[{"resource": {"resourceType": "Patient", "active": True}}] * n
    ),
    "decimals": lambda n: b'{"resourceType": "Patient","x":[' + b",".join([b"1e1"] * n) + b"]}",
    "keys twice": lambda n: b'{"resourceType":"Patient","x":[' + b",".join([b'{"a":0,"a":0}'] * n) + b"]}",
}
TEXTS = {
    "a long name": lambda n: patient(name=[{"family": "é" * (n // 6)}]),
    "a name that grows when it is folded": lambda n: (
        '{"resourceType":"Patient","name":[{"family":"' + "\ufdfa" * (n // 5) + '"}]}'
    ).encode(),
    "a narrative of tags": lambda n: patient(
        text={
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{"<b/>" * (n // 4)}a</div>',
        }
    ),
}


def largest(shape: Callable[[int], bytes], size: Callable[[bytes], int], most: int) -> bytes:
    """The shape with as many items as leave it nearly `most` in size."""
    probe, start = size(shape(2_000)), size(shape(1))
    number = int((most - start) * 0.9 / ((probe - start) / 1_999))
    data = shape(number)
    while size(data) > most:
        number = int(number * 0.95)
        data = shape(number)
    return data


def elements_of(data: bytes) -> int:
    """An upper bound of the elements of these shapes, whose texts hold no brackets or commas."""
    return sum(map(data.count, (b",", b"{", b"[")))


def send(fhir: Any, data: bytes) -> tuple[Any, float]:
    """The answer and the processor seconds it took."""
    kind = json.loads(data)["resourceType"]
    started = time.process_time()
    answer = fhir.post(kind, data, Content_Type="application/fhir+json")
    return answer, time.process_time() - started


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_a_body_of_many_elements_is_refused_before_it_costs_anything(fhir: Any, shape: str) -> None:
    answer, seconds = send(fhir, largest(SHAPES[shape], len, LIMITS.body_bytes))
    assert (answer.status, answer.codes) == (422, ["too-costly"])
    assert "elements" in answer.text
    assert seconds < SECONDS / 5


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES)
def test_a_body_of_as_many_elements_as_are_allowed_is_cheap(fhir: Any, shape: str) -> None:
    data = largest(SHAPES[shape], elements_of, LIMITS.elements)
    send(fhir, SHAPES[shape](1))  # what is read once for a type
    answer, seconds = send(fhir, data)
    assert answer.status in (201, 400, 422)
    assert seconds < SECONDS


@pytest.mark.parametrize("shape", TEXTS)
def test_a_body_of_long_texts_is_cheap(fhir: Any, shape: str) -> None:
    answer, seconds = send(fhir, TEXTS[shape](LIMITS.body_bytes - 1_000))
    assert answer.status in (201, 422)
    assert seconds < SECONDS


def test_values_to_be_indexed_are_counted(fhir: Any) -> None:
    # A code without a system is indexed twice: alone, and as one that has no system.
    allowed = json.loads(concepts(LIMITS.index_values // 2 - 20))
    answer = fhir.post("CodeSystem", allowed)
    assert answer.status == 201
    answer = fhir.post("CodeSystem", json.loads(concepts(LIMITS.index_values // 2 + 20)))
    assert (answer.status, answer.codes) == (422, ["too-costly"])
    assert "index-values" in answer.text


def test_the_text_of_searchable_strings_is_counted(fhir: Any) -> None:
    assert fhir.post("Patient", json.loads(patient(name=[{"family": "a" * 50_000}]))).status == 201
    # Counted for `family` and for `name`.
    answer = fhir.post("Patient", json.loads(patient(name=[{"family": "a" * 50_001}])))
    assert (answer.status, answer.codes) == (422, ["too-costly"])


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize(
    ("body", "named"),
    [(patient(name=[{"given": ["a"] * 50_000}]), "elements"), (concepts(20_001), "index-values")],
    ids=["elements", "index-values"],
)
def test_entries_of_a_bundle_are_kept_to_the_same(
    fhir: Any, build: Any, kind: str, body: bytes, named: str
) -> None:
    costly = json.loads(body)
    entries = [
        build.entry("POST", "Patient", build.patient()),
        build.entry("POST", costly["resourceType"], costly),
    ]
    answer = fhir.post("", build.bundle(kind, *entries))
    if kind == "transaction":
        refused = answer.json
        assert answer.status == 422
        assert fhir.get("Patient").json["total"] == 0
    else:
        rows = [row["response"] for row in answer.json["entry"]]
        assert [row["status"][:3] for row in rows] == ["201", "422"]
        refused = rows[1]["outcome"]
    (issue,) = refused["issue"]
    assert issue["code"] == "too-costly"
    assert named in issue["diagnostics"]
    assert issue["expression"][0].startswith("Bundle.entry[1]")


def test_a_bundle_has_a_limit_of_its_own(fhir: Any, build: Any) -> None:
    numbers = b'{"resourceType":"Bundle","type":"batch","entry":[' + b"0," * LIMITS.bundle_elements + b"0]}"
    started = time.process_time()
    answer = fhir.post("", numbers, Content_Type="application/fhir+json")
    assert (answer.status, answer.codes) == (422, ["too-costly"])
    assert time.process_time() - started < SECONDS / 5
    usual = [build.entry("POST", "Patient", build.patient(name=[{"given": ["a"] * 400}]))] * 150
    assert fhir.post("", build.bundle("batch", *usual)).status == 200  # more than one resource may have


def test_what_only_looks_like_elements_passes(fhir: Any) -> None:
    text = '<div xmlns="http://www.w3.org/1999/xhtml">' + ',{[\\"' * LIMITS.elements + "</div>"
    body = {"resourceType": "Patient", "text": {"status": "generated", "div": text}}
    assert elements_of(resource("Patient", text=text)) > LIMITS.elements
    assert fhir.post("Patient", body).status == 201


def test_the_limits_are_published(fhir: Any) -> None:
    (limits,) = fhir.get("metadata").json["rest"][0]["extension"]
    published = {part["url"]: part["valueInteger"] for part in limits["extension"]}
    assert published["elements"] == LIMITS.elements == 50_000
    assert published["bundle-elements"] == LIMITS.bundle_elements
    assert published["index-values"] == LIMITS.index_values == 20_000


@pytest.mark.parametrize(
    "value", [{}, {"a": []}, {"a": [1, {}, [[]]], "b": ',{["\\'}, {"\\": '"', "b": [",", "]"]}]
)
def test_elements_are_counted_alike_in_text_and_decoded(value: Any) -> None:
    most = next(n for n in range(100) if not has_more_elements(value, n))
    data = json.dumps(value).encode()
    assert decode(data, max_elements=most) == value
    if most:
        with pytest.raises(FhirError, match="too-costly"):
            decode(data, max_elements=most - 1)
