"""ICD-10-CM as NCHS and CMS publish it: the tabular list (XML) or the order file (fixed columns).

Codes of seven characters that the tabular list only implies are written out: a code without children
under a definition of seventh characters is padded with X to six and each character put behind it.
Source: cdc.gov/nchs/icd/icd-10-cm/files.html; ICD-10-CM Official Guidelines, section I.A.4 and 5
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import IO
from xml.etree.ElementTree import Element, ParseError, iterparse

from terminology.loaders.archive import Archive, Unreadable
from terminology.loaders.release import Format, Options
from terminology.systems import ICD_10_CM
from terminology.writing import IS_A, ConceptRow, EdgeRow, SystemRow, Writer

_EXCEPTION = re.compile(
    r"7th characters (?P<seventh>.+?) do not apply to codes in category \w+ with 6th character (?P<sixth>.+)"
)
_CHARACTER = re.compile(r"\b[A-Z0-9]\b")

KIND = "billable"
"""Whether a code is a category or may be reported: `kind` of its concepts, true or false."""
SYSTEM = SystemRow(
    ICD_10_CM,
    "",
    "ICD-10-CM",
    "complete",
    "Public domain (U.S. CDC/NCHS and CMS)",
    "ICD-10-CM is a work of the U.S. government, an authorised adaptation of ICD-10, copyright World Health "
    "Organization.",
    KIND,
)
Code = tuple[ConceptRow, str | None]
"""A concept and the code above it."""


def write_codes(writer: Writer, system: SystemRow, codes: Iterable[Code]) -> None:
    """A version of ICD-10-CM from its codes."""
    number = writer.system(system)
    above: list[EdgeRow] = []

    def rows() -> Iterator[ConceptRow]:
        for concept, parent in codes:
            if parent:
                above.append(EdgeRow(concept.code, IS_A, parent))
            yield concept

    writer.concepts(number, rows())
    writer.edges(number, above)
    writer.close(number)


def tabular(file: IO[bytes]) -> Iterator[Code]:
    """The codes of a tabular list, read category by category.

    Raises: xml.etree.ElementTree.ParseError where it is no XML.
    """
    depth = 0
    # An operator's own file; expat itself bounds what entities may grow to.
    for event, element in iterparse(file, events=("start", "end")):  # noqa: S314
        if element.tag == "diag":
            depth += 1 if event == "start" else -1
            if event == "end" and depth == 0:
                yield from _codes(element, None, {}, _exceptions(element))
                element.clear()


def _codes(
    element: Element, parent: str | None, seventh: dict[str, str], but: frozenset[tuple[str, str]]
) -> Iterator[Code]:
    code, name = _text(element.find("name")), _text(element.find("desc"))
    own = element.find("sevenChrDef")
    if own is not None:
        seventh = {e.get("char", ""): _text(e) for e in own.iter("extension")}
    children = element.findall("diag")
    notes = tuple(("inclusion-term", _text(note)) for note in element.iterfind("inclusionTerm/note"))
    extended = bool(seventh) and not children
    yield _row(code, name, not children and not extended, notes), parent
    for child in children:
        yield from _codes(child, code, seventh, but)
    if extended:
        stem = (code if "." in code else f"{code}.").ljust(7, "X")
        for character, words in seventh.items():
            if (stem[6], character) not in but:
                yield _row(stem + character, f"{name}, {words}", True), code


def _exceptions(category: Element) -> frozenset[tuple[str, str]]:
    """(6th, 7th character) that a note of the category takes out again."""
    found = (_EXCEPTION.search(_text(note)) for note in category.iterfind("notes/note"))
    return frozenset(
        (part.strip()[0], character)
        for told in found
        if told
        for part in told["sixth"].split(" or ")
        for character in _CHARACTER.findall(told["seventh"])
    )


def _text(element: Element | None) -> str:
    return " ".join((element.text or "").split()) if element is not None else ""


def _row(code: str, name: str, billable: bool, notes: tuple[tuple[str, str], ...] = ()) -> ConceptRow:
    return ConceptRow(code, name, "true" if billable else "false", designations=notes)


def table(rows: Iterable[Mapping[str, str]]) -> Iterator[Code]:
    """The codes of the shipped table, which is a tabular list written out."""
    return _placed(
        _row(
            row["code"],
            row["description"],
            row["billable"] == "1",
            tuple(("inclusion-term", note) for note in row["inclusion_terms"].split("|")),
        )
        for row in rows
    )


def order_file(file: Iterable[str]) -> Iterator[Code]:
    """The codes of an order file: number, code without dot, whether billable, short and long name."""
    return _placed(_ordered(line) for line in file if line[6:13].strip())


def _ordered(line: str) -> ConceptRow:
    code = line[6:13].strip()
    short, name = line[16:76].strip(), line[77:].strip()
    return _row(
        code if len(code) <= 3 else f"{code[:3]}.{code[3:]}",
        name or short,
        line[14:15] == "1",
        (("short", short),) if name and short != name else (),
    )


def _placed(rows: Iterable[ConceptRow]) -> Iterator[Code]:
    """Each code, in the order of codes, below the longest one that it begins with."""
    above: list[str] = []
    for row in rows:
        while above and not row.code.startswith(above[-1]):
            above.pop()
        yield row, above[-1] if above else None
        above.append(row.code)


def _file(archive: Archive) -> str:
    """The tabular list of an archive, else its order file; those of additions alone are other files."""
    return (
        archive.find(".xml", "tabular")
        or archive.find(".xml")
        or archive.find(".txt", "order")
        or archive.need(".txt")
    )


def _write(writer: Writer, archive: Archive, system: SystemRow, options: Options) -> None:
    name = _file(archive)
    if not name.lower().endswith(".xml"):
        write_codes(writer, system, order_file(archive.lines(name)))
        return
    with archive.open(name) as file:
        try:
            write_codes(writer, system, tabular(file))
        except ParseError as error:
            raise Unreadable(f"{name} is no XML") from error


FORMAT = Format(SYSTEM, lambda archive: archive.size([_file(archive)]), _write)
