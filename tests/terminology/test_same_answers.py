"""A loaded release of the same content gives the same answers as the tables that ship.

The shipped RxNorm is written as an official release in its true layout and loaded; every question is then
asked of both files.
"""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terminology import loading, tables
from terminology.concepts import Concept, Concepts
from terminology.names import fold
from terminology.rxnorm import RxNorm
from terminology.store import Store
from terminology.systems import NDC, RXNORM, UNII

pytestmark = pytest.mark.slow
DERIVED = "derived_has_ingredient"
"""Relations that the shipped tables have from names and no release states."""


@pytest.fixture(scope="module")
def loaded(built: Path, rrf: type, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file after a load of what ships, as RRF."""
    directory = tmp_path_factory.mktemp("terminology")
    (directory / built.name).hardlink_to(built)
    path = directory / "RxNorm_full_prescribe_11022026.zip"
    concepts = list(tables.rows("rxnorm/concepts.tsv.gz"))
    members = {
        "RXNCONSO": (
            line
            for row in concepts
            for line in (
                rrf.name(row["rxcui"], row["tty"], row["name"]),
                *([rrf.name(row["rxcui"], "SU", row["name"], "MTHSPL", row["unii"])] if row["unii"] else []),
            )
        ),
        "RXNREL": (
            line
            for row in tables.rows("rxnorm/relations.tsv.gz")
            for line in (
                rrf.relation(row["rxcui2"], row["rela"], row["rxcui1"]),
                rrf.relation(row["rxcui1"], f"inverse_{row['rela']}", row["rxcui2"]),
            )
        ),
        "RXNSAT": (
            rrf.attribute(row["rxcui"], "NDC", row["ndc11"]) for row in tables.rows("rxnorm/ndc11.tsv.gz")
        ),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, lines in members.items():
            with archive.open(f"rrf/{name}.RRF", "w") as file:
                file.writelines(f"{line}\n".encode() for line in lines)
    return loading.load(directory, "rxnorm", path).path


@pytest.fixture(scope="module")
def codes() -> list[str]:
    return [row["rxcui"] for row in tables.rows("rxnorm/concepts.tsv.gz")]


def _stated(concept: Concept | None) -> object:
    """What a release states of a concept: no version, no mark of a shipped overlay, nothing derived."""
    if concept is None:
        return None
    properties = {told for told in concept.properties if told.name != "overlay"}
    relations = {relation for relation in concept.relations if relation.name != DERIVED}
    return (concept.display, concept.kind, concept.active, properties, relations, concept.designations)


@given(data=st.data())
@settings(deadline=None, max_examples=300)
def test_any_code_is_the_same_concept_and_drug(
    built: Path, loaded: Path, codes: list[str], data: st.DataObject
) -> None:
    code = codes[data.draw(st.integers(0, len(codes) - 1))]
    shipped, release = Store(built), Store(loaded)
    assert release.concept(code) == shipped.concept(code)
    assert release.drug(code) == shipped.drug(code)
    assert release.classes(code) == shipped.classes(code)
    name = shipped.concept(code)
    assert name is not None
    assert release.named(fold(name[2])) == shipped.named(fold(name[2]))
    one, other = Concepts(built), Concepts(loaded)
    assert _stated(other.lookup(RXNORM, code)) == _stated(one.lookup(RXNORM, code))
    for target in (RXNORM, UNII):
        assert other.translate(RXNORM, code, target) == one.translate(RXNORM, code, target)


@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_any_name_and_ndc_is_the_same_drug(
    built: Path, loaded: Path, codes: list[str], data: st.DataObject
) -> None:
    shipped, release = RxNorm(Store(built)), RxNorm(Store(loaded))
    concept = shipped.concept(codes[data.draw(st.integers(0, len(codes) - 1))])
    assert concept is not None
    words = concept.name.split()
    text = " ".join(words[: data.draw(st.integers(1, len(words)))])
    assert release.by_name(text) == shipped.by_name(text)
    ndc = f"{data.draw(st.integers(0, 99999999999)):011}"
    assert release.by_ndc(ndc) == shipped.by_ndc(ndc)


def test_every_drug_product_and_ndc_is_the_same(built: Path, loaded: Path) -> None:
    shipped, release = Store(built), Store(loaded)
    for table, columns in (("drug", "code, body"), ("product", "ingredients, code"), ("name", "folded, code")):
        query = f"select {columns} from {table} order by 1, 2"
        assert release._db.all(query) == shipped._db.all(query), table
    query = "select ndc11, rxcui from ndc order by 1"
    assert release._db.all(query) == shipped._db.all(query)
    one, other = Concepts(built), Concepts(loaded)
    for ndc in ("16729030216", "16729-0302-16"):
        assert other.translate(NDC, ndc) == one.translate(NDC, ndc)


@pytest.mark.parametrize("words", ["lisinopril 10", "metf 500 tab", "zes", "24 hr metoprolol", "insulin glar"])
def test_any_search_finds_the_same(built: Path, loaded: Path, words: str) -> None:
    shipped, release = Concepts(built).search(RXNORM, words, 50), Concepts(loaded).search(RXNORM, words, 50)
    assert release.total == shipped.total
    assert [(c.code, c.display) for c in release.concepts] == [(c.code, c.display) for c in shipped.concepts]
