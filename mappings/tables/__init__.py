"""Code tables: what a code of HL7 v2 is in FHIR. One CSV file each, named by its number: `0001`, `0004-status`.

Columns: code (as sent; `*` for any other), system and target (what it becomes; an empty target says that there
is nothing in FHIR for it, which is no gap), display, equivalence (FHIR's ConceptMapEquivalence), note, source.
Where the code came from and what it may be used for stands in SOURCES.toml beside the files.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

COLUMNS = ("code", "system", "target", "display", "equivalence", "note", "source")
EQUIVALENCES = frozenset({"equal", "equivalent", "wider", "narrower", "inexact", "unmatched"})
ANY = "*"


class TableError(ValueError):
    """A table file that cannot be read. `line`: 1-based, of the file."""

    def __init__(self, file: str, line: int, text: str) -> None:
        super().__init__(f"{file}:{line}: {text}")
        self.file, self.line, self.text = file, line, text


@dataclass(frozen=True, slots=True)
class TableRow:
    """One code. `target` is empty for a code that has no counterpart in FHIR; `line`: of its file, `file`: as
    problems name it, "" for what stands in no file."""

    table: str
    code: str
    system: str
    target: str
    display: str
    equivalence: str
    note: str
    source: str
    line: int
    file: str = field(default="", compare=False, repr=False)

    @property
    def name(self) -> str:
        """How a trace names the row."""
        return f"{self.table}:{self.code}"


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one table by code. A code is looked up as sent, then without regard to case, then as `*`."""

    name: str
    rows: Mapping[str, TableRow]
    folded: Mapping[str, TableRow] = field(repr=False)

    def row(self, code: str) -> TableRow | None:
        """The row of a code, None where the table does not know it."""
        return self.rows.get(code) or self.folded.get(code.casefold()) or self.rows.get(ANY)


def made(name: str, rows: Mapping[str, TableRow]) -> Table:
    """A table of rows. Codes that differ by case alone stay apart; any further spelling goes to the first."""
    folded: dict[str, TableRow] = {}
    for code, row in rows.items():
        folded.setdefault(code.casefold(), row)
    return Table(name, MappingProxyType(dict(rows)), MappingProxyType(folded))


def read(name: str, text: str, shown: str = "") -> Table:
    """The table that a CSV text holds. shown: put before the name of its file. Raises TableError with the line
    of the first mistake.
    """
    file = f"{shown}{name}.csv"
    lines = csv.reader(io.StringIO(text, newline=""))
    rows: dict[str, TableRow] = {}
    try:
        header = next(lines, [])
        if tuple(header) != COLUMNS:
            raise TableError(f"{name}.csv", 1, f"the columns are {','.join(COLUMNS)}")
        for cells in lines:
            if not cells:
                continue
            if len(cells) != len(COLUMNS):
                raise TableError(f"{name}.csv", lines.line_num, f"{len(cells)} columns, not {len(COLUMNS)}")
            code, system, target, display, equivalence, note, source = (cell.strip() for cell in cells)
            row = TableRow(name, code, system, target, display, equivalence, note, source, lines.line_num, file)
            if not row.code:
                raise TableError(f"{name}.csv", row.line, "no code")
            if row.code in rows:
                raise TableError(f"{name}.csv", row.line, f"code {row.code!r} stands twice")
            if row.equivalence not in EQUIVALENCES:
                raise TableError(f"{name}.csv", row.line, f"equivalence {row.equivalence!r} is none of FHIR's")
            rows[row.code] = row
    except csv.Error as error:
        raise TableError(f"{name}.csv", lines.line_num, str(error)) from error
    return made(name, rows)


def load(folder: Path, shown: str = "") -> Mapping[str, Table]:
    """Every table of a folder by name. shown: put before the names of files in problems. Raises TableError."""
    found = {}
    for path in sorted(folder.glob("*.csv")):
        try:
            text = path.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            raise TableError(path.name, 1, "not UTF-8") from error
        found[path.stem] = read(path.stem, text, shown)
    return MappingProxyType(found)


def overlaid(base: Mapping[str, Table], over: Mapping[str, Table]) -> Mapping[str, Table]:
    """Tables with the rows of an overlay laid over them: its codes win, its new tables are added."""
    joined = dict(base)
    for name, table in over.items():
        joined[name] = made(name, {**base[name].rows, **table.rows}) if name in base else table
    return MappingProxyType(joined)


@cache
def tables() -> Mapping[str, Table]:
    """The tables that ship with Baton."""
    return load(Path(__file__).parent, "tables/")


def table(name: str) -> Table:
    """One of them. Raises KeyError for a name that none has."""
    return tables()[name]
