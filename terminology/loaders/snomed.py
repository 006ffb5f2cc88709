"""An official SNOMED CT release in RF2, of its snapshot: concepts, terms, relationships.

Source: docs.snomed.org, Release File Specification (component and language reference set files)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from terminology.loaders.archive import Archive
from terminology.loaders.release import Format, Options
from terminology.systems import SNOMED_CT
from terminology.writing import IS_A, ConceptRow, DesignationRow, EdgeRow, SystemRow, Writer

NOTICE = (
    "This material includes SNOMED Clinical Terms (SNOMED CT), used by permission of SNOMED International. "
    "SNOMED CT is a registered trademark of SNOMED International."
)
SYSTEM = SystemRow(
    SNOMED_CT, "", "SNOMED CT", "complete", "SNOMED CT affiliate licence", NOTICE, "semantic-tag"
)
_IS_A = "116680003"
_FULLY_SPECIFIED = "900000000000003001"
_PREFERRED = "900000000000548007"
_US_ENGLISH = "900000000000509007"
_STATED = "900000000000010007"
_INTERNATIONAL, _UNITED_STATES = "900000000000207008", "731000124108"
_EDITIONS = {"US": _UNITED_STATES, "US1000124": _UNITED_STATES, "INT": _INTERNATIONAL}
_NAME = re.compile(r"_(?P<edition>[A-Z]+\d*)_(?P<date>\d{8})\.txt$")
_TAG = re.compile(r" \((?P<tag>[^()]+)\)$")


def members(archive: Archive) -> list[str | None]:
    """The files that are read; the language reference set may be missing.

    Raises: Unreadable
    """
    needed = [
        archive.need(".txt", f"sct2_{name}_Snapshot") for name in ("Concept", "Description", "Relationship")
    ]
    return [*needed, archive.find(".txt", "LanguageSnapshot")]


def version(archive: Archive) -> str | None:
    """The version as a URI: http://snomed.info/sct/MODULE/version/DATE.

    Source: confluence.ihtsdotools.org "SNOMED CT URI Standard"
    """
    found = _NAME.search(str(members(archive)[0]))
    if found is None or found["edition"] not in _EDITIONS:
        return None
    return f"{SNOMED_CT}/{_EDITIONS[found['edition']]}/version/{found['date']}"


def write(writer: Writer, archive: Archive, system: SystemRow, options: Options) -> None:
    """One release."""
    concepts, descriptions, relationships, language = members(archive)
    assert concepts is not None
    assert descriptions is not None
    assert relationships is not None
    number = writer.system(system)
    writer.concepts(number, (ConceptRow(c[0], "", active=c[2] == "1") for c in _cells(archive, concepts)))
    writer.name_concepts(number, _full_names(archive, descriptions))
    if language:
        preferred = frozenset(
            int(cells[5])
            for cells in _cells(archive, language)
            if cells[2] == "1" and cells[4] == _US_ENGLISH and cells[6] == _PREFERRED
        )
        writer.rename_concepts(
            number,
            (
                (cells[4], cells[7])
                for cells in _cells(archive, descriptions)
                if cells[2] == "1" and cells[6] != _FULLY_SPECIFIED and int(cells[0]) in preferred
            ),
        )
    writer.designations(
        number,
        (
            DesignationRow(
                cells[4],
                "fully-specified-name" if cells[6] == _FULLY_SPECIFIED else "synonym",
                cells[5],
                cells[7],
            )
            for cells in _cells(archive, descriptions)
            if cells[2] == "1"
        ),
    )
    writer.edges(
        number,
        (
            EdgeRow(cells[4], IS_A if cells[7] == _IS_A else cells[7], cells[5])
            for cells in _cells(archive, relationships)
            if cells[2] == "1" and cells[8] != _STATED
        ),
    )
    writer.close(number)


def _cells(archive: Archive, name: str) -> Iterator[list[str]]:
    """Rows without the header; those cut short are passed over."""
    lines = archive.lines(name)
    width = len(next(lines, "").split("\t"))
    return (cells for cells in (line.split("\t") for line in lines) if len(cells) == width)


def _full_names(archive: Archive, name: str) -> Iterator[tuple[str, str, str]]:
    """(concept, name without its tag, tag) of every fully specified name."""
    for cells in _cells(archive, name):
        if cells[2] == "1" and cells[6] == _FULLY_SPECIFIED:
            tag = _TAG.search(cells[7])
            yield cells[4], cells[7][: tag.start()] if tag else cells[7], tag["tag"] if tag else ""


def _read(archive: Archive) -> int:
    concepts, descriptions, relationships, language = members(archive)
    return archive.size([concepts, relationships, language, *[descriptions] * 3])


FORMAT = Format(SYSTEM, _read, write, version)
