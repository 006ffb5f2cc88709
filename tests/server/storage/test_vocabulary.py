"""The terminology's file as a source of definitions, for searches as for operations.

Covers server/storage/vocabulary.py, definitions.py. The file of these tests holds a few real codes.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from server.errors import FhirError
from server.fhir.search_parsing import parse_search
from server.fhir.visibility import EVERYTHING
from server.storage.vocabulary import current_vocabulary
from server.terminology.value_sets import ListedConcept
from server.terminology.words import words
from terminology import editions
from terminology.store import connect, finish
from terminology.systems import ICD_10_CM, RXNORM, SNOMED_CT
from terminology.writing import IS_A, ConceptRow, EdgeRow, MemberRow, SystemRow, Writer

MANY, LIST = "urn:example:many", "urn:example:list"
US = "http://snomed.info/sct/731000124108"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with editions.scratch(tmp_path) as scratch:
        with closing(connect(scratch)) as database:
            _write(Writer(database))
        editions.publish(scratch, tmp_path, editions.base_name())
    return tmp_path


def _write(writer: Writer) -> None:
    writer.create()
    icd = writer.system(SystemRow(ICD_10_CM, "2026", "ICD-10-CM", "complete", ""))
    writer.concepts(icd, _ICD)
    writer.edges(icd, [EdgeRow("E11.9", IS_A, "E11")])
    writer.close(icd)
    rxnorm = writer.system(SystemRow(RXNORM, "2025-11", "RxNorm", "fragment", "", kind="TTY"))
    writer.concepts(rxnorm, [ConceptRow("29046", "lisinopril", "IN")])
    writer.close(rxnorm)
    for version in ("1", "2"):
        many = writer.system(SystemRow(MANY, version, "Many", "complete", ""))
        writer.concepts(many, [ConceptRow(f"c{n:04}", f"Concept number {n}") for n in range(2_500)])
        writer.edges(many, [EdgeRow(f"c{n:04}", IS_A, "c0000") for n in range(1, 2_500)])
        writer.close(many)
    for date in ("20240301", "20240901"):
        snomed = writer.system(SystemRow(SNOMED_CT, f"{US}/version/{date}", "SNOMED CT", "complete", ""))
        writer.concepts(snomed, [ConceptRow("44054006", "Diabetes mellitus type 2")])
        writer.close(snomed)
    writer.value_set(
        {"resourceType": "ValueSet", "url": LIST, "version": "1", "status": "active"},
        [MemberRow("urn:example:answers", "", "a", "A"), MemberRow("urn:example:answers", "", "b", "")],
    )
    finish(writer, "small")


_ICD = [
    ConceptRow("E11", "Type 2 diabetes mellitus"),
    ConceptRow("E11.9", "Type 2 diabetes mellitus without complications"),
    ConceptRow("I10", "Essential (primary) hypertension"),
]


def test_a_long_list_is_read_in_pages_and_whole(folder: Path) -> None:
    vocabulary = current_vocabulary(folder)
    assert vocabulary is not None
    many = vocabulary.code_system(MANY, "")
    assert many is not None
    every = [f"c{n:04}" for n in range(2_500)]
    assert list(many.codes()) == every
    assert list(many.below("c0000")) == every
    assert sorted(many.matching(words("conc numb"))) == every
    assert list(many.above("c2499")) == ["c2499", "c0000"]
    assert list(many.below("nothing")) == list(many.above("nothing")) == []


def test_an_edition_means_the_latest_version_of_it(folder: Path) -> None:
    vocabulary = current_vocabulary(folder)
    assert vocabulary is not None
    for version in (US, f"{US}/version/20240901", ""):
        found = vocabulary.code_system(SNOMED_CT, version)
        assert found is not None
        assert found.version == f"{US}/version/20240901"
    assert vocabulary.code_system(SNOMED_CT, f"{US}/version/2024") is None


def test_a_list_of_codes_without_a_composition_is_a_value_set(folder: Path) -> None:
    vocabulary = current_vocabulary(folder)
    assert vocabulary is not None
    found = vocabulary.value_set(LIST, "")
    assert found is not None
    (component,) = found.includes
    assert component.concepts == (ListedConcept("a", "A"), ListedConcept("b"))
    assert vocabulary.value_set(LIST, "2") is None


def test_the_default_version_counts_where_none_is_named(folder: Path) -> None:
    vocabulary = current_vocabulary(folder)
    assert vocabulary is not None
    assert [vocabulary.code_system(MANY, version).version for version in ("", "1", "2")] == ["2", "1", "2"]  # type: ignore[union-attr]
    assert vocabulary.code_system(MANY, "3") is None


def test_without_a_file_nothing_of_it_is_known(tmp_path: Path) -> None:
    assert current_vocabulary(None) is None
    assert current_vocabulary(tmp_path) is None


def condition(id: str, system: str, code: str) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": id,
        "subject": {"reference": "Patient/p1"},
        "code": {"coding": [{"system": system, "code": code}]},
    }


@pytest.fixture
def with_file(store: Any, folder: Path, chart: Any) -> Any:
    store.vocabulary = folder
    chart.put(
        condition("diabetes", ICD_10_CM, "E11.9"),
        condition("pressure", ICD_10_CM, "I10"),
        condition("drug", RXNORM, "29046"),
    )
    return chart


def test_a_search_below_a_code_follows_the_files_hierarchy(with_file: Any, search: Any) -> None:
    assert search("Condition", **{"code:below": f"{ICD_10_CM}|E11"}) == ["diabetes"]
    assert search("Condition", **{"code:above": f"{ICD_10_CM}|E11.9"}) == ["diabetes"]
    assert search("Condition", **{"code:below": f"{ICD_10_CM}|I10"}) == ["pressure"]


def test_a_search_in_a_value_set_is_filtered_by_the_file(with_file: Any, search: Any) -> None:
    asked = {"system": ICD_10_CM, "filter": [{"property": "concept", "op": "is-a", "value": "E11"}]}
    value_set = {"resourceType": "ValueSet", "id": "vs", "url": "urn:vs", "status": "active"}
    with_file.put(value_set | {"compose": {"include": [asked]}})
    assert search("Condition", **{"code:in": "urn:vs"}) == ["diabetes"]
    assert search("Condition", **{"code:not-in": "urn:vs"}) == ["drug", "pressure"]


def test_a_search_is_not_answered_from_a_part_of_a_code_system(with_file: Any, search: Any) -> None:
    assert search("Condition", **{"code:in": f"{RXNORM}?fhir_vs"}) == ["drug"]
    for name, value in (("code:below", f"{RXNORM}|29046"), ("code:in", f"{RXNORM}?fhir_vs=tty/IN")):
        with pytest.raises(FhirError) as error:
            with_file.found(parse_search("Condition", [(name, value)]))
        assert error.value.kind == "unsupported-search"


def test_what_is_stored_here_comes_before_the_file(with_file: Any, search: Any) -> None:
    own = {
        "resourceType": "CodeSystem",
        "id": "own",
        "url": ICD_10_CM,
        "status": "active",
        "content": "complete",
    }
    with_file.put(own | {"concept": [{"code": "E11", "concept": [{"code": "I10"}]}]})
    assert search("Condition", **{"code:below": f"{ICD_10_CM}|E11"}) == ["pressure"]


def test_definitions_are_looked_up_within_the_time_of_a_search(with_file: Any) -> None:
    with with_file.store.reading() as reader, reader.definitions(EVERYTHING) as found:
        assert found.code_system(ICD_10_CM, "").concept("I10").display == "Essential (primary) hypertension"
        assert found.code_system(ICD_10_CM, "1") is None
