"""Official releases loaded into the file. Covers: version and checksum, new version then atomic switch,
idempotence, options of RxNorm, carrying over to another version of Baton, prune, export.

Releases are synthetic rows in the true layout of each. What is loaded into is a few rows, as if they shipped.
"""

import hashlib
import json
import tarfile
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner

from terminology import editions, loading, store, tables
from terminology.cli import terminology
from terminology.concepts import Concepts
from terminology.loaders.archive import Unreadable
from terminology.loaders.release import Options, version_in_name
from terminology.rxnorm import RxNorm
from terminology.store import Store
from terminology.systems import CVX, ICD_10_CM, LOINC, NDC, RXNORM, SNOMED_CT, UNII
from terminology.writing import IS_A, ConceptRow, SystemRow, Writer

RELEASE = "20AA_261102F"
SMALL = {
    "29046": ("IN", "lisinopril"),
    "203644": ("BN", "Zestril"),
    "316151": ("SCDC", "lisinopril 10 MG"),
    "314076": ("SCD", "lisinopril 10 MG Oral Tablet"),
    "104377": ("SBD", "lisinopril 10 MG Oral Tablet [Zestril]"),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory whose shipped tables are two drugs and a vaccine."""

    def fill(writer: Writer, progress: Callable[[str], None]) -> None:
        drugs = writer.system(SystemRow(RXNORM, "2025-11", "RxNorm", "fragment", "public", kind="TTY"))
        writer.concepts(drugs, [ConceptRow("6809", "metformin", "IN"), ConceptRow("29046", "lisinopril", "IN")])
        writer.close(drugs)
        vaccines = writer.system(SystemRow(CVX, "2026-01", "CVX", "complete", "public"))
        writer.concepts(vaccines, [ConceptRow("21", "varicella")])
        writer.close(vaccines)

    monkeypatch.setattr(store, "_fill", fill)
    directory = tmp_path / "terminology"
    store.open_store(directory)
    return directory


@pytest.fixture
def small(make_zip: Callable, rrf: type) -> Path:
    """A release of five concepts, with a retired one, synonyms, and vocabularies under licence."""
    return make_zip(
        "RxNorm_full.zip",
        {
            "rrf/RXNCONSO.RRF": [
                *(rrf.name(code, tty, name) for code, (tty, name) in SMALL.items()),
                rrf.name("314076", "PSN", "lisinopril 10 MG Oral Tablet for people"),
                rrf.name("29046", "TMSY", "liSINopril"),
                rrf.name("29046", "SU", "LISINOPRIL", "MTHSPL", "E7199S1YWR"),
                rrf.name("29046", "PT", "free name", "MESH"),
                rrf.name("29046", "CD", "licensed name", "NDDF", srl="3"),
                rrf.name("29046", "IN", "lisinopril", "ATC", "C09AA03"),
                rrf.name("900001", "SCD", "lisinopril 11 MG Oral Tablet", suppress="O"),
            ],
            "rrf/RXNREL.RRF": [
                rrf.relation("29046", "has_ingredient", "316151"),
                rrf.relation("316151", "ingredient_of", "29046"),
                rrf.relation("316151", "consists_of", "314076"),
                rrf.relation("314076", "tradename_of", "104377"),
                rrf.relation("203644", "has_ingredient", "104377"),
            ],
            "rrf/RXNSAT.RRF": [
                rrf.attribute("314076", "NDC", "68180098001"),
                rrf.attribute("314076", "NDC", "68180-980-01"),
                rrf.attribute("314076", "RXN_AVAILABLE_STRENGTH", "10 MG"),
                rrf.attribute("314076", "SOMETHING_ELSE", "x"),
            ],
            "rrf/RXNCUI.RRF": ["900009|1|2|1|314076|"],
            "rrf/RXNATOMARCHIVE.RRF": [
                "1||lisinopril 12 MG Oral Tablet|||||N|ENG||||900009|RXNORM|SCD|314076|",
            ],
            "rrf/RXNSAB.RRF": [rrf.source(RELEASE)],
        },
    )


def test_a_release_becomes_the_default_and_the_shipped_version_stays(home: Path, small: Path) -> None:
    loaded = loading.load(home, "rxnorm", small)
    assert (loaded.version, loaded.already) == ("2026-11-02", False)
    concepts = Concepts(loaded.path)
    info = concepts.system(RXNORM)
    assert info is not None
    assert (info.version, info.sha256, info.origin) == ("2026-11-02", loaded.sha256, "loaded")
    assert info.loaded_at
    assert concepts.find(RXNORM, "6809") is None
    assert concepts.find(RXNORM, "6809", "2025-11") is not None
    assert concepts.search(RXNORM, "lisino 10").total == 3
    assert Store(loaded.path).version().startswith("rxnorm-2026-11-02+")
    drug = RxNorm(Store(loaded.path)).drug("104377")
    assert drug is not None
    assert drug.product is not None
    assert drug.product.rxcui == "314076"
    assert RxNorm(Store(loaded.path)).by_ndc("68180-0980-01") == drug.product


def test_synonyms_codes_attributes_and_retired_codes_are_kept(home: Path, small: Path) -> None:
    concepts = Concepts(loading.load(home, "rxnorm", small).path)
    ingredient, product = concepts.lookup(RXNORM, "29046"), concepts.lookup(RXNORM, "314076")
    assert ingredient is not None
    assert product is not None
    assert [(name.use, name.value) for name in ingredient.designations] == [("tall-man", "liSINopril")]
    assert {told.name: told.value for told in ingredient.properties} == {"TTY": "IN", "UNII": "E7199S1YWR"}
    assert {told.name for told in product.properties if told.name.isupper()} == {
        "TTY",
        "RXN_AVAILABLE_STRENGTH",
    }
    assert [found.code for found in concepts.translate(RXNORM, "29046", UNII)] == ["E7199S1YWR"]
    obsolete, archived = concepts.find(RXNORM, "900001"), concepts.find(RXNORM, "900009")
    assert obsolete is not None
    assert archived is not None
    assert (obsolete.active, archived.active) == (False, False)
    assert ("314076", "equivalent") in {
        (found.code, found.equivalence) for found in concepts.translate(RXNORM, "900009")
    }


def test_vocabularies_under_licence_are_read_only_where_allowed(home: Path, small: Path) -> None:
    concepts = Concepts(loading.load(home, "rxnorm", small, options=Options(accept_umls=True)).path)
    ingredient = concepts.lookup(RXNORM, "29046")
    assert ingredient is not None
    names = {name.value for name in ingredient.designations}
    assert "free name" in names
    assert "licensed name" not in names
    assert "ATC" not in {told.name for told in ingredient.properties}
    concepts = Concepts(loading.load(home, "rxnorm", small, options=Options(include_atc=True)).path)
    ingredient = concepts.lookup(RXNORM, "29046")
    assert ingredient is not None
    assert "C09AA03" in {told.value for told in ingredient.properties if told.name == "ATC"}


def test_the_same_release_of_the_same_file_is_loaded_once(home: Path, small: Path) -> None:
    first = loading.load(home, "rxnorm", small)
    files = sorted(home.iterdir())
    again = loading.load(home, "rxnorm", small)
    assert (again.already, again.path) == (True, first.path)
    assert sorted(home.iterdir()) == files
    other = loading.load(home, "rxnorm", small, release="2026-12-07")
    assert not other.already
    assert next(s.version for s in Concepts(other.path).systems() if s.url == RXNORM) == "2026-12-07"


def test_open_readers_keep_their_file_and_new_ones_get_the_new(home: Path, small: Path) -> None:
    before = RxNorm(store.open_store(home))
    loading.load(home, "rxnorm", small)
    assert before.concept("6809") is not None
    assert before.version.startswith("rxnorm-2025-11")
    assert RxNorm(store.open_store(home)).concept("6809") is None


def test_a_load_that_fails_changes_nothing(home: Path, make_zip: Callable, rrf: type, tmp_path: Path) -> None:
    files = sorted(path.name for path in home.iterdir() if path.name != ".lock")
    text = tmp_path / "notes.zip"
    text.write_text("no zip")
    backwards = make_zip(
        "RxNorm_full_11022026.zip",
        {
            "RXNCONSO.RRF": [rrf.name(code, tty, name) for code, (tty, name) in SMALL.items()],
            "RXNREL.RRF": [rrf.relation(code, "has_ingredient", "29046") for code in ("316151", "314076")],
            "RXNSAT.RRF": [],
        },
    )
    narrow = make_zip(
        "RxNorm_01052026.zip", {"RXNCONSO.RRF": ["1|RXNORM|x"], "RXNREL.RRF": [], "RXNSAT.RRF": []}
    )
    for kind, path, words in (
        ("rxnorm", text, "no zip"),
        ("rxnorm", backwards, "order"),
        ("rxnorm", narrow, "columns"),
        ("loinc", backwards, "Loinc.csv"),
        ("snomed", backwards, "sct2_Concept_Snapshot"),
        ("ndc", backwards, "product.txt"),
        ("fhir-package", backwards, "gzipped tar"),
    ):
        with pytest.raises(Unreadable, match=words):
            loading.load(home, kind, path)
    left = sorted(path.name for path in home.iterdir() if path.name != ".lock")
    assert left == files


def test_a_version_that_nothing_tells_is_asked_for(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "cvx.txt"
    path.write_text("03|MMR|measles, mumps and rubella virus vaccine||Active|6|False|2010/09/20\n")
    with pytest.raises(Unreadable, match="--release"):
        loading.load(home, "cvx", path)
    assert loading.load(home, "cvx", path, release="2026-06").version == "2026-06"


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("RxNorm_full_prescribe_11022026.zip", "2026-11-02"),
        ("Loinc_2.80.zip", "2.80"),
        ("ndctext-20261101.zip", "2026-11-01"),
        ("icd10cm_order_2026.txt", "2026"),
        ("release.zip", None),
    ],
)
def test_the_name_of_a_file_tells_its_version(name: str, version: str | None) -> None:
    assert version_in_name(name) == version


def test_a_loinc_release_brings_terms_answers_and_hierarchy(home: Path, make_zip: Callable) -> None:
    path = make_zip(
        "Loinc_2.80.zip",
        {
            "LoincTable/Loinc.csv": [
                "LOINC_NUM,COMPONENT,PROPERTY,CLASS,STATUS,SHORTNAME,LONG_COMMON_NAME,EXTERNAL_COPYRIGHT_NOTICE",
                '2160-0,Creatinine,MCnc,CHEM,ACTIVE,Creat,"Creatinine [Mass/volume] in Serum, Plasma",',
                "1-8,Old,MCnc,CHEM,DEPRECATED,Old,Old test,Copyright somebody",
            ],
            "AccessoryFiles/AnswerFile/AnswerList.csv": [
                "AnswerListId,AnswerListName,AnswerStringId,DisplayText",
                "LL1-9,Yes or no,LA33-6,Yes",
                "LL1-9,Yes or no,LA32-8,No",
                "LL2-7,One,LA33-6,Yes",
            ],
            "AccessoryFiles/ComponentHierarchyBySystem/ComponentHierarchyBySystem.csv": [
                "PATH_TO_ROOT,SEQUENCE,IMMEDIATE_PARENT,CODE,CODE_TEXT",
                ",1,,LP432695-7,{component}",
                "LP432695-7,1,LP432695-7,2160-0,Creatinine",
            ],
        },
    )
    concepts = Concepts(loading.load(home, "loinc", path).path)
    term, old = concepts.lookup(LOINC, "2160-0"), concepts.find(LOINC, "1-8")
    assert term is not None
    assert old is not None
    assert (term.display, term.kind) == ("Creatinine [Mass/volume] in Serum, Plasma", "CHEM")
    assert not old.active
    assert concepts.is_a(LOINC, "LP432695-7", "2160-0")
    members = concepts.members("http://loinc.org/vs/LL1-9")
    assert members is not None
    assert [(member.code, member.display) for member in members] == [("LA33-6", "Yes"), ("LA32-8", "No")]


def test_a_snomed_release_brings_preferred_names_and_hierarchy(home: Path, make_zip: Callable) -> None:
    def rows(header: str, *lines: str) -> list[str]:
        return ["\t".join(line.split(" ; ")) for line in (header, *lines)]

    root = "SnomedCT_ManagedServiceUS_PRODUCTION_US1000124_20260901/Snapshot/"
    day, module, fsn, synonym = "20260901", "731000124108", "900000000000003001", "900000000000013009"
    path = make_zip(
        "snomed.zip",
        {
            f"{root}Terminology/sct2_Concept_Snapshot_US1000124_20260901.txt": rows(
                "id ; effectiveTime ; active ; moduleId ; definitionStatusId",
                f"138875005 ; {day} ; 1 ; {module} ; 900000000000074008",
                f"73211009 ; {day} ; 1 ; {module} ; 900000000000074008",
                f"44054006 ; {day} ; 1 ; {module} ; 900000000000074008",
                f"99999 ; {day} ; 0 ; {module} ; 900000000000074008",
            ),
            f"{root}Terminology/sct2_Description_Snapshot-en_US1000124_20260901.txt": rows(
                "id ; effectiveTime ; active ; moduleId ; conceptId ; languageCode ; typeId ; term ;"
                " caseSignificanceId",
                f"11 ; {day} ; 1 ; {module} ; 138875005 ; en ; {fsn} ; SNOMED CT Concept (SNOMED RT+CTV3) ; 1",
                f"12 ; {day} ; 1 ; {module} ; 73211009 ; en ; {fsn} ; Diabetes mellitus (disorder) ; 1",
                f"13 ; {day} ; 1 ; {module} ; 44054006 ; en ; {fsn} ; Diabetes mellitus type 2 (disorder) ; 1",
                f"14 ; {day} ; 1 ; {module} ; 44054006 ; en ; {synonym} ; Type 2 diabetes mellitus ; 1",
                f"15 ; {day} ; 1 ; {module} ; 44054006 ; en ; {synonym} ; Non-insulin dependent diabetes ; 1",
                f"16 ; {day} ; 0 ; {module} ; 44054006 ; en ; {synonym} ; Gone ; 1",
            ),
            f"{root}Terminology/sct2_Relationship_Snapshot_US1000124_20260901.txt": rows(
                "id ; effectiveTime ; active ; moduleId ; sourceId ; destinationId ; relationshipGroup ;"
                " typeId ; characteristicTypeId ; modifierId",
                f"1 ; {day} ; 1 ; {module} ; 73211009 ; 138875005 ; 0 ; 116680003 ; 900000000000011006 ; 9",
                f"2 ; {day} ; 1 ; {module} ; 44054006 ; 73211009 ; 0 ; 116680003 ; 900000000000011006 ; 9",
                f"3 ; {day} ; 0 ; {module} ; 138875005 ; 44054006 ; 0 ; 116680003 ; 900000000000011006 ; 9",
            ),
            f"{root}Refset/Language/der2_cRefset_LanguageSnapshot-en_US1000124_20260901.txt": rows(
                "id ; effectiveTime ; active ; moduleId ; refsetId ; referencedComponentId ; acceptabilityId",
                f"a ; {day} ; 1 ; {module} ; 900000000000509007 ; 14 ; 900000000000548007",
                f"b ; {day} ; 1 ; {module} ; 900000000000509007 ; 15 ; 900000000000549004",
            ),
        },
    )
    loaded = loading.load(home, "snomed", path)
    assert loaded.version == "http://snomed.info/sct/731000124108/version/20260901"
    concepts = Concepts(loaded.path)
    diabetes, gone = concepts.lookup(SNOMED_CT, "44054006"), concepts.find(SNOMED_CT, "99999")
    assert diabetes is not None
    assert gone is not None
    assert (diabetes.display, diabetes.kind) == ("Type 2 diabetes mellitus", "disorder")
    assert "Gone" not in {name.value for name in diabetes.designations}
    assert not gone.active
    assert concepts.is_a(SNOMED_CT, "138875005", "44054006")
    assert not concepts.is_a(SNOMED_CT, "44054006", "138875005")
    assert [parent.name for parent in diabetes.parents] == [IS_A]


def test_icd_10_cm_is_read_from_its_tabular_list_and_from_its_order_file(home: Path, tmp_path: Path) -> None:
    xml = tmp_path / "icd10cm-tabular-2027.xml"
    seventh = "".join(f'<extension char="{c}">{w}</extension>' for c, w in (("A", "initial"), ("D", "later")))
    xml.write_text(
        "<ICD10CM.tabular><chapter><section id='S00-S09'><diag><name>S06</name><desc>Intracranial injury</desc>"
        "<notes><note>7th characters D and S do not apply to codes in category S06 with 6th character 7 -"
        f" death, or 8 - other death.</note></notes><sevenChrDef>{seventh}</sevenChrDef>"
        "<diag><name>S06.2X</name><desc>Injury</desc><diag><name>S06.2X1</name><desc>Short</desc>"
        "<inclusionTerm><note>Brief one</note></inclusionTerm></diag><diag><name>S06.2X7</name>"
        "<desc>Death</desc>"
        "</diag></diag><diag><name>S06.A</name><desc>Other</desc></diag></diag></section></chapter></ICD10CM.tabular>"
    )
    order = tmp_path / "icd10cm_order_2028.txt"
    order.write_text(
        "00001 S06     0 Intracranial injury                                          Intracranial injury\n"
        "00002 S062X1A 1 Short inj                                                    Short injury, initial\n"
    )
    concepts = Concepts(loading.load(home, "icd10cm", xml).path)
    codes = {concept.code: concept.kind for concept in concepts.every(ICD_10_CM)}
    assert codes == {
        "S06": "false", "S06.2X": "false", "S06.2X1": "false", "S06.2X1A": "true", "S06.2X1D": "true",
        "S06.2X7": "false", "S06.2X7A": "true", "S06.A": "false", "S06.AXXA": "true", "S06.AXXD": "true",
    }  # fmt: skip
    assert concepts.is_a(ICD_10_CM, "S06", "S06.2X1D")
    assert concepts.search(ICD_10_CM, "brief").concepts[0].code == "S06.2X1"
    concepts = Concepts(loading.load(home, "icd10cm", order).path)
    assert [c.code for c in concepts.every(ICD_10_CM)] == ["S06", "S06.2X1A"]
    assert concepts.is_a(ICD_10_CM, "S06", "S06.2X1A")


def test_the_directory_of_ndcs_brings_products_and_packages(home: Path, make_zip: Callable) -> None:
    path = make_zip(
        "ndctext_20261101.zip",
        {
            "product.txt": [
                "PRODUCTID\tPRODUCTNDC\tPROPRIETARYNAME\tNONPROPRIETARYNAME\tDOSAGEFORMNAME\tSUBSTANCENAME\t"
                "ACTIVE_NUMERATOR_STRENGTH\tACTIVE_INGRED_UNIT",
                "x\t68180-980\tLisinopril\tlisinopril\tTABLET\tLISINOPRIL; HYDROCHLOROTHIAZIDE\t10; 12.5\t"
                "mg/1; mg/1",
            ],
            "package.txt": [
                "PRODUCTID\tPRODUCTNDC\tNDCPACKAGECODE\tPACKAGEDESCRIPTION",
                "x\t68180-980\t68180-980-01\t100 TABLET in 1 BOTTLE",
            ],
        },
    )
    concepts = Concepts(loading.load(home, "ndc", path).path)
    product = concepts.lookup(NDC, "68180-980")
    assert product is not None
    told = {found.name: found.value for found in product.properties}
    assert told["substances"] == "LISINOPRIL 10 mg/1; HYDROCHLOROTHIAZIDE 12.5 mg/1"
    assert concepts.is_a(NDC, "68180-980", "68180-980-01")


def _resource(kind: str, name: str, **more: object) -> dict[str, object]:
    return {"resourceType": kind, "url": f"http://example.org/fhir/{name}", "version": "1", **more}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A FHIR package with resources of each kind, a broken one and an example."""
    url = "http://example.org/fhir"
    concept = {"code": "a", "display": "A", "concept": [{"code": "b", "display": "B"}]}
    group = {
        "source": f"{url}/cs",
        "target": "urn:t",
        "element": [{"code": "b", "target": [{"code": "z", "equivalence": "wider"}]}],
    }
    listed, whole = {"system": f"{url}/cs", "concept": [{"code": "b"}]}, {"system": f"{url}/cs"}
    resources = {
        "package/package.json": {"name": "org.example.terms", "version": "1.2.0", "license": "CC0-1.0"},
        "package/cs.json": _resource("CodeSystem", "cs", content="complete", concept=[concept]),
        "package/vs.json": _resource("ValueSet", "vs", compose={"include": [listed]}),
        "package/all.json": _resource("ValueSet", "all", compose={"include": [whole]}),
        "package/cm.json": _resource("ConceptMap", "cm", group=[group]),
        "package/example/cs.json": _resource("CodeSystem", "example", content="complete", concept=[concept]),
    }
    files = {name: json.dumps(body) for name, body in resources.items()} | {"package/broken.json": "{"}
    path = tmp_path / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, BytesIO(text.encode()))
    return path


def test_a_fhir_package_brings_its_systems_sets_and_maps(home: Path, package: Path) -> None:
    loaded = loading.load(home, "fhir-package", package)
    assert (loaded.name, loaded.version) == ("org.example.terms", "1.2.0")
    concepts, url = Concepts(loaded.path), "http://example.org/fhir"
    assert concepts.is_a(f"{url}/cs", "a", "b")
    assert concepts.system(f"{url}/example") is None
    members = concepts.members(f"{url}/vs")
    assert members is not None
    assert [member.code for member in members] == ["b"]
    assert concepts.members(f"{url}/all") is None
    assert concepts.value_set(f"{url}/all")["compose"]["include"][0]["system"] == f"{url}/cs"
    [translation] = concepts.translate(f"{url}/cs", "b")
    assert (translation.code, translation.equivalence, translation.map) == ("z", "wider", f"{url}/cm")


def test_another_version_of_baton_takes_what_was_loaded_over(
    home: Path, small: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading.load(home, "rxnorm", small)
    before = Concepts(loading.load(home, "fhir-package", package).path)
    monkeypatch.setattr(editions, "base", lambda: "0123456789abcdef")
    assert editions.current(home) is None
    after = Concepts(store.open_store(home).path)
    assert after.path != before.path
    assert {(s.url, s.version, s.is_default) for s in after.systems()} == {
        (s.url, s.version, s.is_default) for s in before.systems()
    }
    for system, code in ((RXNORM, "314076"), (RXNORM, "29046"), ("http://example.org/fhir/cs", "b")):
        assert after.lookup(system, code) == before.lookup(system, code)
    assert after.search(RXNORM, "lisino 10") == before.search(RXNORM, "lisino 10")
    assert after.members("http://example.org/fhir/vs") == before.members("http://example.org/fhir/vs")
    assert after.translate("http://example.org/fhir/cs", "b") == before.translate(
        "http://example.org/fhir/cs", "b"
    )
    assert Store(after.path).ndc("68180098001") == "314076"
    assert loading.load(home, "rxnorm", small).already
    monkeypatch.undo()
    assert store.open_store(home).path == before.path


def test_a_reader_reads_on_in_every_thread_when_its_file_is_pruned(home: Path, small: Path) -> None:
    before, found = Concepts(store.open_store(home).path), []
    loading.load(home, "rxnorm", small)
    loading.prune(home)
    assert not before.path.exists()
    thread = threading.Thread(target=lambda: found.append(before.find(RXNORM, "6809")))
    thread.start()
    thread.join()
    assert found == [before.find(RXNORM, "6809")]
    assert found[0] is not None


def test_what_nothing_opens_any_more_is_pruned(home: Path, small: Path) -> None:
    old = store.open_store(home)
    loaded = loading.load(home, "rxnorm", small)
    (home / "terminology-x.building").write_text("left by a builder that died")
    gone = loading.prune(home)
    assert {path.name for path in gone} == {old.path.name, "terminology-x.building"}
    assert store.open_store(home).path == loaded.path
    assert loading.prune(home) == ()


def test_pruning_drops_versions_that_a_newer_load_replaced(home: Path, small: Path) -> None:
    loading.load(home, "rxnorm", small)
    newest = Concepts(loading.load(home, "rxnorm", small, release="2026-12-07").path)
    drugs = Store(newest.path)
    loading.prune(home)
    after = Concepts(store.open_store(home).path)
    assert [s.version for s in after.systems() if s.url == RXNORM] == ["2026-12-07", "2025-11"]
    assert after.find(RXNORM, "314076", "2026-11-02") is None
    assert after.lookup(RXNORM, "314076") == newest.lookup(RXNORM, "314076")
    assert after.search(RXNORM, "lisino") == newest.search(RXNORM, "lisino")
    assert Store(after.path).drug("104377") == drugs.drug("104377")
    assert not loading.load(home, "rxnorm", small).already


def test_the_same_version_of_another_file_replaces_it(
    home: Path, small: Path, make_zip: Callable, rrf: type
) -> None:
    loading.load(home, "rxnorm", small)
    corrected = make_zip(
        "corrected.zip",
        {
            "RXNCONSO.RRF": [rrf.name("29046", "IN", "lisinopril"), rrf.name("6809", "IN", "metformin")],
            "RXNREL.RRF": [],
            "RXNSAT.RRF": [],
            "RXNSAB.RRF": [rrf.source(RELEASE)],
        },
    )
    concepts = Concepts(loading.load(home, "rxnorm", corrected).path)
    assert [s.version for s in concepts.systems() if s.url == RXNORM] == ["2026-11-02", "2025-11"]
    assert [c.code for c in concepts.every(RXNORM)] == ["29046", "6809"]
    assert concepts.search(RXNORM, "zestril").total == 0
    assert Store(concepts.path).ndc("68180098001") is None


def test_loads_and_builds_of_one_directory_wait_for_each_other(home: Path, small: Path, package: Path) -> None:
    failed: list[BaseException] = []

    def run(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:
            failed.append(error)

    acts: list[Callable[[], object]] = [
        lambda: loading.load(home, "rxnorm", small),
        lambda: store.build(home),
        lambda: loading.load(home, "fhir-package", package),
        lambda: store.build(home),
    ]
    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    concepts = Concepts(store.open_store(home).path)
    assert concepts.find(RXNORM, "104377") is not None
    assert concepts.system("http://example.org/fhir/cs") is not None


def test_the_commands_load_once_list_prune_and_export(
    home: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_HOME", str(home.parent))
    runner = CliRunner()
    assert (
        "load an official release first" in runner.invoke(terminology, ["export-tier-a", str(tmp_path)]).output
    )
    answer = runner.invoke(terminology, ["load", "rxnorm", str(small), "--include-atc"])
    assert answer.exit_code == 0
    assert '"version": "2026-11-02"' in answer.output
    assert "WHO Collaborating Centre" in answer.output
    assert runner.invoke(terminology, ["load", "loinc", str(small)]).exit_code == 1
    assert "2026-11-02" in runner.invoke(terminology, ["systems"]).output
    assert runner.invoke(terminology, ["prune"]).exit_code == 0
    assert runner.invoke(terminology, ["export-tier-a", str(tmp_path / "out")]).exit_code == 0
    assert (tmp_path / "out" / "concepts.tsv.gz").exists()


def test_every_shipped_file_is_listed_with_its_licence_and_is_unchanged() -> None:
    listed = tables.sources()
    present = {
        str(path.relative_to(Path(str(tables.DATA))))
        for path in Path(str(tables.DATA)).rglob("*")
        if path.is_file() and path.name != "SOURCES.toml"
    }
    assert present == set(listed)
    for name, source in listed.items():
        assert source.licence, name
        if source.sha256:
            path = Path(str(tables.DATA)) / name
            assert hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256, name
        if source.rows:
            assert len(tables.read(name).splitlines()) in (source.rows, source.rows + 1), name
