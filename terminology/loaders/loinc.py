"""An official LOINC release from its zip: terms, answer lists, and the hierarchy of components.

Source: loinc.org/kb/users-guide (appendix A: the structure of LOINC's tables)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from terminology.loaders.archive import Archive
from terminology.loaders.release import Format, Options
from terminology.systems import LOINC
from terminology.writing import IS_A, LOADED, ConceptRow, EdgeRow, MemberRow, SystemRow, Writer

NOTICE = (
    "This material contains content from LOINC (http://loinc.org). LOINC is copyright Regenstrief Institute, "
    "Inc. and the LOINC Committee and is available at no cost under the license at http://loinc.org/license. "
    "LOINC is a registered United States trademark of Regenstrief Institute, Inc."
)
SYSTEM = SystemRow(LOINC, "", "LOINC", "complete", "LOINC licence (loinc.org/license)", NOTICE, "CLASS")
_AXES = ("COMPONENT", "PROPERTY", "TIME_ASPCT", "SYSTEM", "SCALE_TYP", "METHOD_TYP", "ORDER_OBS")
_COPYRIGHT = "EXTERNAL_COPYRIGHT_NOTICE"


def members(archive: Archive) -> list[str | None]:
    """The files that are read; the last two may be missing.

    Raises: Unreadable
    """
    return [
        archive.need("/Loinc.csv"),
        archive.find("AnswerList.csv"),
        archive.find("ComponentHierarchyBySystem.csv"),
    ]


def write(writer: Writer, archive: Archive, system: SystemRow, options: Options) -> None:
    """One release."""
    terms, answers, hierarchy = members(archive)
    assert terms is not None
    number = writer.system(system)
    writer.concepts(number, (_term(row) for row in archive.rows(terms)))
    if hierarchy:
        writer.concepts(
            number,
            (
                ConceptRow(row["CODE"], row["CODE_TEXT"], "PART")
                for row in archive.rows(hierarchy)
                if row["CODE"].startswith("LP")
            ),
        )
        writer.edges(
            number,
            (
                EdgeRow(row["CODE"], IS_A, row["IMMEDIATE_PARENT"])
                for row in archive.rows(hierarchy)
                if row["IMMEDIATE_PARENT"]
            ),
        )
    if answers:
        writer.concepts(
            number,
            (
                ConceptRow(row["AnswerStringId"], row["DisplayText"], "ANSWER")
                for row in archive.rows(answers)
                if row["AnswerStringId"]
            ),
        )
        for body, listed in _answer_lists(archive, answers, system.version):
            writer.value_set(body, listed, LOADED)
    writer.close(number)


def _term(row: Mapping[str, str]) -> ConceptRow:
    display = row.get("LONG_COMMON_NAME") or row.get("SHORTNAME") or row["COMPONENT"]
    others = (("short", row.get("SHORTNAME", "")), ("consumer", row.get("CONSUMER_NAME", "")))
    return ConceptRow(
        row["LOINC_NUM"],
        display,
        row.get("CLASS", ""),
        row.get("STATUS", "ACTIVE") not in ("DEPRECATED", "DISCOURAGED"),
        tuple((use, value) for use, value in others if value != display),
        (
            *((axis, row.get(axis, ""), "string") for axis in _AXES),
            ("STATUS", row.get("STATUS", ""), "code"),
            (_COPYRIGHT, row.get(_COPYRIGHT, ""), "string"),
        ),
    )


def _answer_lists(
    archive: Archive, name: str, version: str
) -> Iterator[tuple[dict[str, str], list[MemberRow]]]:
    """Each answer list as a value set; a list's rows stand together."""
    current, listed = {"url": ""}, list[MemberRow]()
    for row in archive.rows(name):
        url = f"{LOINC}/vs/{row['AnswerListId']}"
        if url != current["url"]:
            if listed:
                yield current, listed
            current = {"resourceType": "ValueSet", "url": url, "version": version, "status": "active",
                       "name": row.get("AnswerListName", ""), "copyright": NOTICE}  # fmt: skip
            listed = []
        if row["AnswerStringId"]:
            listed.append(MemberRow(LOINC, version, row["AnswerStringId"], row["DisplayText"]))
    if listed:
        yield current, listed


def _read(archive: Archive) -> int:
    terms, answers, hierarchy = members(archive)
    return archive.size([terms, *[answers] * 2, *[hierarchy] * 2])


FORMAT = Format(SYSTEM, _read, write)
