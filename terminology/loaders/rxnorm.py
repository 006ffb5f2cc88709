"""An official RxNorm release (full or prescribable content) from its zip, table by table.

Kept are the names and codes of SAB=RXNORM, UNIIs (MTHSPL), NDCs and some attributes, and where a retired
code went. Other vocabularies in the full release are licensed by their owners: they are read only where
the UMLS licence was accepted, and of those only the ones without restriction (SRL 0).
Source: nlm.nih.gov/research/umls/rxnorm/docs/techdoc.html (sections 12 and 13)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from terminology.loaders.archive import Archive, Unreadable
from terminology.loaders.release import Format, Options
from terminology.systems import RXNORM, UNII
from terminology.writing import (
    IS_A,
    LOADED,
    ConceptRow,
    DesignationRow,
    EdgeRow,
    MapRow,
    PropertyRow,
    SystemRow,
    Writer,
)

RXNORM_TO_UNII = "urn:baton:concept-map:rxnorm-unii"
RXNORM_RETIRED = "urn:baton:concept-map:rxnorm-retired"
NOTICE = (
    "This product uses publicly available data courtesy of the U.S. National Library of Medicine (NLM), "
    "National Institutes of Health, Department of Health and Human Services; NLM is not responsible for the "
    "product and does not endorse or recommend this or any other product."
)
SYSTEM = SystemRow(
    RXNORM,
    "",
    "RxNorm",
    "complete",
    "Public domain (SAB=RXNORM); other vocabularies under the UMLS licence",
    NOTICE,
    "TTY",
)
_SYNONYMS = {"SY": "synonym", "TMSY": "tall-man", "PSN": "prescribable-name", "ET": "entry-term"}
_ATTRIBUTES = frozenset(
    ("RXN_HUMAN_DRUG", "RXN_VET_DRUG", "RXN_AVAILABLE_STRENGTH", "RXTERM_FORM", "RXN_OBSOLETED", "RXN_STRENGTH",
     "RXN_QUANTITY", "RXN_QUALITATIVE_DISTINCTION", "RXN_BN_CARDINALITY")
)  # fmt: skip
# One of each pair of inverse relations; the other says the same again.
RELATIONS = {
    name: name
    for name in ("has_ingredient", "has_ingredients", "has_precise_ingredient", "consists_of", "contains",
                 "tradename_of", "has_dose_form", "has_doseformgroup", "form_of", "has_part",
                 "quantified_form_of", "reformulation_of")
} | {"isa": IS_A}  # fmt: skip
_VERSION = re.compile(r"^RXNORM_\w+_(?P<year>\d\d)(?P<month>\d\d)(?P<day>\d\d)")
_NDC = re.compile(r"^\d{11}$")


def members(archive: Archive) -> list[str | None]:
    """The files of a release that are read; the last three may be missing.

    Raises: Unreadable
    """
    needed = [archive.need(f"{name}.RRF") for name in ("RXNCONSO", "RXNREL", "RXNSAT")]
    return [*needed, *(archive.find(f"{name}.RRF") for name in ("RXNCUI", "RXNATOMARCHIVE", "RXNSAB"))]


def version(archive: Archive) -> str | None:
    """The date of the release as its table of sources has it, YYYY-MM-DD."""
    name = archive.find("RXNSAB.RRF")
    for line in archive.lines(name) if name else ():
        cells = line.split("|")
        if len(cells) > 3 and cells[3] == "RXNORM" and (found := _VERSION.match(cells[2])):
            return f"20{found['year']}-{found['month']}-{found['day']}"
    return None


def write(writer: Writer, archive: Archive, system: SystemRow, options: Options) -> None:
    """One release; the prescribable content, by the name of its file, is a fragment of RxNorm.

    Raises: Unreadable where rows have other columns than RxNorm's.
    """
    conso, rel, sat, cui, gone, _ = members(archive)
    assert conso is not None
    assert rel is not None
    assert sat is not None
    subset = "prescribe" in archive.path.name.lower()
    number = writer.system(replace(system, content="fragment" if subset else system.content))
    writer.concepts(number, _concepts(archive, conso))
    if gone:
        writer.concepts(number, _archived(archive, gone))
    writer.designations(number, _names(archive, conso, options))
    writer.properties(number, _codes(archive, conso, options))
    writer.edges(number, _relations(archive, rel))
    drugs, ingredients = writer.ends_of(number, "has_ingredient")
    if drugs < ingredients:
        raise Unreadable(f"{rel} has more ingredients than drugs: its columns are not in RxNorm's order")
    writer.properties(number, _attributes(archive, sat))
    writer.ndcs(_ndcs(archive, sat), "rxnorm")
    writer.close(number)
    units = (
        MapRow(RXNORM, row.code, UNII, row.value, "equal")
        for row in _codes(archive, conso, Options())
        if row.name == "UNII"
    )
    writer.concept_map(RXNORM_TO_UNII, system.version, "RxNorm to UNII", units, origin=LOADED)
    if cui:
        moved = _remapped(archive, cui)
        writer.concept_map(RXNORM_RETIRED, system.version, "Retired RxNorm codes", moved, origin=LOADED)


def _cells(archive: Archive, name: str, least: int, sab: str) -> Iterator[list[str]]:
    """Rows of a table, those that name a source only; `least` columns, or it is another table."""
    mark = f"|{sab}|"
    for line in archive.lines(name):
        if mark in line:
            cells = line.split("|")
            if len(cells) < least:
                raise Unreadable(f"{name} has rows of fewer columns than RxNorm's")
            yield cells


def _concepts(archive: Archive, name: str) -> Iterator[ConceptRow]:
    for cells in _cells(archive, name, 18, "RXNORM"):
        if cells[11] == "RXNORM" and cells[1] == "ENG" and cells[12] not in _SYNONYMS:
            yield ConceptRow(cells[0], cells[14], cells[12], cells[16] != "O")


def _archived(archive: Archive, name: str) -> Iterator[ConceptRow]:
    """Concepts that this release no longer has."""
    for cells in _cells(archive, name, 16, "RXNORM"):
        if cells[13] == "RXNORM" and cells[14] not in _SYNONYMS and cells[12]:
            yield ConceptRow(cells[12], cells[2], cells[14], active=False)


def _names(archive: Archive, name: str, options: Options) -> Iterator[DesignationRow]:
    for cells in _cells(archive, name, 18, "RXNORM"):
        if cells[11] == "RXNORM" and cells[12] in _SYNONYMS:
            yield DesignationRow(cells[0], _SYNONYMS[cells[12]], "en", cells[14])
    if options.accept_umls:
        for cells in _cells(archive, name, 18, "ENG"):
            if cells[11] not in ("RXNORM", "ATC") and cells[15] == "0":
                yield DesignationRow(cells[0], cells[11].lower(), "en", cells[14])


def _codes(archive: Archive, name: str, options: Options) -> Iterator[PropertyRow]:
    """Codes of other systems that a concept carries."""
    for cells in _cells(archive, name, 18, "MTHSPL"):
        if cells[11] == "MTHSPL" and cells[12] == "SU":
            yield PropertyRow(cells[0], "UNII", cells[13], "code")
    if options.include_atc:
        for cells in _cells(archive, name, 18, "ATC"):
            if cells[11] == "ATC":
                yield PropertyRow(cells[0], "ATC", cells[13], "code")


def _relations(archive: Archive, name: str) -> Iterator[EdgeRow]:
    """Relations between concepts: RELA is what the second concept is to the first."""
    for cells in _cells(archive, name, 16, "RXNORM"):
        rel = RELATIONS.get(cells[7])
        if rel and cells[0] and cells[4] and cells[10] == "RXNORM" and cells[14] != "O":
            yield EdgeRow(cells[4], rel, cells[0])


def _attributes(archive: Archive, name: str) -> Iterator[PropertyRow]:
    for cells in _cells(archive, name, 13, "RXNORM"):
        if cells[8] in _ATTRIBUTES and cells[9] == "RXNORM":
            yield PropertyRow(cells[0], cells[8], cells[10], "string")


def _ndcs(archive: Archive, name: str) -> Iterator[tuple[str, str]]:
    for cells in _cells(archive, name, 13, "NDC"):
        if cells[8] == "NDC" and cells[9] == "RXNORM" and cells[11] != "O" and _NDC.match(cells[10]):
            yield cells[10], cells[0]


def _remapped(archive: Archive, name: str) -> Iterator[MapRow]:
    for line in archive.lines(name):
        cells = line.split("|")
        if len(cells) > 4 and cells[0] and cells[4] and cells[0] != cells[4]:
            yield MapRow(RXNORM, cells[0], RXNORM, cells[4], "equivalent" if cells[3] == "1" else "relatedto")


def _read(archive: Archive) -> int:
    conso, rel, sat, *others = members(archive)
    return archive.size([conso] * 4 + [rel] + [sat] * 2 + others)


FORMAT = Format(SYSTEM, _read, write, version)
