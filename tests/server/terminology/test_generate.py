"""The compiler of shipped definitions: the same bytes for the same input, and nothing that is not needed."""

from __future__ import annotations

import io
import json
from zipfile import ZipFile

import pytest

from server.terminology.generate import compile_definitions

SYSTEM = {
    "resourceType": "CodeSystem",
    "url": "urn:cs",
    "version": "1",
    "description": "long",
    "copyright": "(c) somebody",
    "content": "complete",
    "valueSet": "urn:all|1",
    "concept": [
        {"code": "a", "definition": "long", "concept": [{"code": "b", "display": "B", "definition": "long"}]}
    ],
}
VALUE_SET = {
    "resourceType": "ValueSet",
    "url": "urn:vs",
    "text": {"div": "long"},
    "compose": {"include": [{"system": "urn:cs"}]},
}


def test_the_archive_depends_on_the_definitions_and_not_on_their_order() -> None:
    assert compile_definitions([SYSTEM, VALUE_SET]) == compile_definitions(
        [VALUE_SET, {"resourceType": "NamingSystem"}, SYSTEM]
    )


def test_concept_maps_are_found_by_the_systems_they_translate_from_and_to() -> None:
    kept = {
        "resourceType": "ConceptMap",
        "url": "http://hl7.org/fhir/ConceptMap/m",
        "group": [{"source": "urn:a", "target": "urn:b"}],
    }
    example = {**kept, "url": "http://hl7.org/fhir/ConceptMap/example", "experimental": True}
    with ZipFile(io.BytesIO(compile_definitions([kept, example]))) as archive:
        index = json.loads(archive.read("index.json"))
    assert list(index["ConceptMap"]) == ["http://hl7.org/fhir/ConceptMap/m"]
    assert index["from"] == {"urn:a": ["http://hl7.org/fhir/ConceptMap/m"]}
    assert index["to"] == {"urn:b": ["http://hl7.org/fhir/ConceptMap/m"]}


def test_descriptions_are_left_out_and_copyrights_are_kept() -> None:
    with ZipFile(io.BytesIO(compile_definitions([SYSTEM, VALUE_SET]))) as archive:
        index = json.loads(archive.read("index.json"))
        block, line = index["CodeSystem"]["urn:cs"]
        resource = json.loads(archive.read(block).split(b"\n")[line])
    assert index["whole"] == {"urn:all": "urn:cs"}
    assert set(index["ValueSet"]) == {"urn:vs"}
    assert b"long" not in json.dumps(resource).encode()
    assert resource["copyright"] == "(c) somebody"
    assert resource["concept"][0]["concept"] == [{"code": "b", "display": "B"}]


def test_definitions_of_a_later_release_are_left_out() -> None:
    later = {**SYSTEM, "version": "5.0.0", "url": "urn:later"}
    assert compile_definitions([SYSTEM, later]) == compile_definitions([SYSTEM])


def test_a_url_may_be_defined_once() -> None:
    with pytest.raises(ValueError, match="urn:cs is defined twice"):
        compile_definitions([SYSTEM, SYSTEM])
