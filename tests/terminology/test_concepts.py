"""Code systems read from the file. Covers: R4 terminology service (look-up, subsumption, translation)."""

import string
import threading
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from terminology.concepts import NDC_TO_RXNORM, RXNORM_TO_INGREDIENT, Concepts, Property, Relation
from terminology.systems import (
    CVX,
    ICD_10_CM,
    LOINC,
    MED_RT,
    MESH,
    NDC,
    PLACE_OF_SERVICE,
    RXNORM,
    SNOMED_CT,
    UNII,
    VUID,
)

US_CORE_CATEGORY = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category"


def test_every_shipped_system_says_its_version_licence_and_how_whole_it_is(concepts: Concepts) -> None:
    told = {system.url: system for system in concepts.systems() if system.is_default}
    assert {RXNORM, MED_RT, MESH, SNOMED_CT, CVX, PLACE_OF_SERVICE, VUID, LOINC, ICD_10_CM} <= set(told)
    assert all(system.version and system.licence for system in told.values() if "us/core" not in system.url)
    fragments = {url for url, system in told.items() if system.content == "fragment"}
    assert {RXNORM, LOINC, SNOMED_CT} <= fragments
    assert not {CVX, PLACE_OF_SERVICE, ICD_10_CM} & fragments
    assert "National Library of Medicine" in told[RXNORM].notice
    assert "CC BY 4.0" in told[SNOMED_CT].licence
    assert "Regenstrief" in told[LOINC].notice
    assert all(system.concepts == len(concepts.every(system.url, system.version)) for system in told.values())


def test_a_system_of_two_versions_answers_by_the_default_unless_asked_for_the_other(concepts: Concepts) -> None:
    versions = [system.version for system in concepts.systems() if system.url == US_CORE_CATEGORY]
    assert versions == ["8.0.0", "6.1.0"]
    newest, older = concepts.every(US_CORE_CATEGORY), concepts.every(US_CORE_CATEGORY, "6.1.0")
    assert len(newest) > len(older)
    assert {concept.version for concept in older} == {"6.1.0"}
    assert concepts.lookup(US_CORE_CATEGORY, older[0].code, "5.0.0") is None
    assert concepts.system(US_CORE_CATEGORY, "5.0.0") is None


def test_a_concept_has_its_names_properties_and_neighbours(concepts: Concepts) -> None:
    drug = concepts.lookup(RXNORM, "314076")
    assert drug is not None
    assert (drug.display, drug.active) == ("lisinopril 10 MG Oral Tablet", True)
    assert Property("TTY", "SCD", "code") in drug.properties
    assert Relation("consists_of", "316151", "lisinopril 10 MG") in drug.relations
    diabetes = concepts.lookup(ICD_10_CM, "E11.65")
    assert diabetes is not None
    assert [parent.code for parent in diabetes.parents] == ["E11.6"]
    category = concepts.lookup(ICD_10_CM, "E11.6")
    assert category is not None
    assert "E11.65" in [child.code for child in category.children]
    assert Property("billable", "false", "code") in category.properties
    hypertension = concepts.lookup(SNOMED_CT, "38341003")
    assert hypertension is not None
    assert any("(disorder)" in name.value for name in hypertension.designations)


def test_a_drug_has_its_strengths_form_and_brand_as_properties(concepts: Concepts) -> None:
    brand, generic = concepts.lookup(RXNORM, "104377"), concepts.lookup(RXNORM, "197885")
    assert brand is not None
    assert generic is not None
    told = {(found.name, found.value) for found in brand.properties}
    assert {
        ("TTY", "SBD"),
        ("strength", "lisinopril 10 mg"),
        ("dose-form", "Oral Tablet"),
        ("brand", "Zestril"),
        ("generic-product", "314076"),
    } <= told
    strengths = {found.value for found in generic.properties if found.name == "strength"}
    assert strengths == {"hydrochlorothiazide 12.5 mg", "lisinopril 10 mg"}


def test_a_code_that_is_not_there_is_nothing(concepts: Concepts) -> None:
    for system, code in ((RXNORM, "0"), ("urn:nowhere", "314076"), (ICD_10_CM, "e11.65"), (RXNORM, "")):
        assert concepts.lookup(system, code) is None
        assert concepts.find(system, code) is None
        assert concepts.designations(system, code) == ()
        assert concepts.ancestors(system, code) == ()
        assert concepts.descendants(system, code) == ()
        assert not concepts.is_a(system, code, code)


def test_a_retired_vaccine_is_not_active(concepts: Concepts) -> None:
    old, new = concepts.find(CVX, "01"), concepts.find(CVX, "21")
    assert old is not None
    assert new is not None
    assert (old.active, new.active) == (False, True)


def test_subsumption_follows_is_a_over_every_step(concepts: Concepts) -> None:
    assert concepts.is_a(ICD_10_CM, "E11", "E11.65")
    assert concepts.is_a(ICD_10_CM, "E11.65", "E11.65")
    assert not concepts.is_a(ICD_10_CM, "E11.65", "E11")
    assert not concepts.is_a(ICD_10_CM, "E10", "E11.65")
    assert concepts.is_a(ICD_10_CM, "S72", "S72.001A")


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_descendants_ancestors_and_subsumption_agree(concepts: Concepts, data: st.DataObject) -> None:
    system = data.draw(st.sampled_from([MED_RT, MESH, VUID]))
    listed = concepts.every(system)
    concept = listed[data.draw(st.integers(0, len(listed) - 1))]
    above = concepts.ancestors(system, concept.code)
    for ancestor in above:
        assert concepts.is_a(system, ancestor.code, concept.code)
        assert concept in concepts.descendants(system, ancestor.code)
    other = listed[data.draw(st.integers(0, len(listed) - 1))]
    expected = other in above or other == concept
    assert concepts.is_a(system, other.code, concept.code) == expected


def test_lists_come_in_pages(concepts: Concepts) -> None:
    whole = concepts.descendants(ICD_10_CM, "E11")
    paged = [
        concept
        for offset in range(0, len(whole) + 10, 10)
        for concept in concepts.descendants(ICD_10_CM, "E11", count=10, offset=offset)
    ]
    assert tuple(paged) == whole
    assert concepts.every(RXNORM, kinds=["BN"], count=3) == concepts.every(RXNORM, kinds=["BN"])[:3]
    assert concepts.every(RXNORM, count=0) == ()


def test_concepts_are_found_by_kind_property_and_relation(concepts: Concepts) -> None:
    assert set(concepts.kinds(RXNORM)) > {"IN", "SCD", "SBD", "GPCK"}
    assert concepts.with_property(RXNORM, "TTY", ["BN"]) == concepts.every(RXNORM, kinds=["BN"])
    assert "UNII" in concepts.property_names(RXNORM)
    [mesna] = concepts.with_property(RXNORM, "UNII", ["NR7O1405Q9"])
    assert mesna.display == "mesna"
    assert mesna in concepts.with_property(RXNORM, "UNII")
    assert concepts.with_property(RXNORM, "no such property") == ()
    assert "314076" in [c.code for c in concepts.with_relation(RXNORM, "consists_of", ["316151"])]


def test_words_find_what_begins_with_each_of_them(concepts: Concepts) -> None:
    page = concepts.search(RXNORM, "metf 500 TAB", count=5)
    assert page.concepts[0].code == "861007"
    assert page.total > len(page.concepts) == 5
    rest = concepts.search(RXNORM, "metf 500 TAB", count=page.total, offset=5)
    assert len(rest.concepts) == page.total - 5
    assert not set(rest.concepts) & set(page.concepts)
    assert all("metf" in c.display.lower() or "fortamet" in c.display.lower() for c in page.concepts)
    assert {c.system for c in concepts.search(ICD_10_CM, "metformin").concepts} <= {ICD_10_CM}


@given(st.text(alphabet=string.printable + "äß\0\u202e", max_size=40))
@settings(deadline=None, max_examples=150)
def test_no_text_breaks_a_search(concepts: Concepts, words: str) -> None:
    page = concepts.search(CVX, words, count=3)
    assert len(page.concepts) <= 3 <= max(3, page.total)


@given(st.text(max_size=12), st.text(max_size=12))
@settings(deadline=None, max_examples=60)
def test_no_text_breaks_a_question(concepts: Concepts, system: str, code: str) -> None:
    for url in (system, RXNORM):
        assert concepts.lookup(url, code) is None or code.isdigit()
        assert isinstance(concepts.translate(url, code), tuple)
        assert isinstance(concepts.translate(NDC, code), tuple)
    assert concepts.members(system) is None


def test_codes_translate_by_every_map_that_has_them(concepts: Concepts) -> None:
    [package] = concepts.translate(NDC, "16729-0302-16")
    assert (package.system, package.code, package.map) == (RXNORM, "856369", NDC_TO_RXNORM)
    combination = concepts.translate(RXNORM, "197885", RXNORM)
    assert {(found.code, found.equivalence) for found in combination} == {("29046", "wider"), ("5487", "wider")}
    assert {found.map for found in combination} == {RXNORM_TO_INGREDIENT}
    assert [found.code for found in concepts.translate(RXNORM, "44", UNII)] == ["NR7O1405Q9"]
    [vaccine] = concepts.translate(NDC, "00005-0100-02", CVX)
    assert vaccine.code == "162"
    assert {found.system for found in concepts.translate("http://hl7.org/fhir/name-use", "usual")} == {
        "http://terminology.hl7.org/CodeSystem/v2-0200",
        "http://terminology.hl7.org/CodeSystem/v3-EntityNameUseR2",
    }
    assert concepts.translate(RXNORM, "0") == ()


def test_what_translates_there_translates_back(concepts: Concepts) -> None:
    for there in concepts.translate("http://hl7.org/fhir/name-use", "official"):
        back = concepts.translate_back(there.system, there.code, "http://hl7.org/fhir/name-use")
        assert "official" in [found.code for found in back]
    for there in concepts.translate(RXNORM, "44", UNII):
        assert [found.code for found in concepts.translate_back(there.system, there.code)] == ["44"]


def test_every_map_says_what_it_is(concepts: Concepts) -> None:
    for url in concepts.concept_maps():
        assert concepts.concept_map(url)["url"] == url
    assert concepts.concept_map("urn:nowhere") is None


def test_a_value_set_that_lists_its_codes_is_expanded_and_another_is_defined(concepts: Concepts) -> None:
    members = concepts.members("http://hl7.org/fhir/us/core/ValueSet/us-core-condition-code-current")
    assert members is None
    for url, version in concepts.value_sets():
        body = concepts.value_set(url, version)
        assert (body["url"], body["version"]) == (url, version)
    listed = [
        found for url, version in concepts.value_sets() if (found := concepts.members(url, version)) is not None
    ]
    assert listed
    assert all(member.system and member.code for members in listed for member in members)


def test_threads_read_at_the_same_time(built: Path) -> None:
    concepts, found = Concepts(built), []

    def read() -> None:
        found.extend(concepts.lookup(RXNORM, code) for code in ("314076", "104377", "197885"))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 24
    assert None not in found
