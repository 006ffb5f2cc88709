"""What of an overlay has no effect: files that nobody reads, names that no rule says, rows that change nothing.

Doubts, no mistakes: the maps can be used as they are, but whoever wrote this meant something by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from mappings.compiler.document import Node
from mappings.compiler.library import Library
from mappings.compiler.problems import Problem, did_you_mean
from mappings.compiler.program import Program
from mappings.tables import Table, TableRow

_LOOKS_LIKE_ONE = frozenset({".yaml", ".yml", ".csv"})
# How rules say the names that a site may define: kind -> the words before a name.
_SAID_AS = {"switches": "switch.", "extensions": "extension.", "ranks": ""}
_CALLED = {"switches": "switch", "extensions": "extension", "ranks": "ranks"}


def stray_files(overlays: Path) -> Iterator[Problem]:
    """Files beside the overlays that look as if they were of one."""
    for path in sorted(overlays.iterdir()):
        if path.is_file() and path.suffix in _LOOKS_LIKE_ONE:
            yield _doubt(path.name, 1, "not read: an overlay is a folder here, named as its sources name it")


def unread_files(overlay: Path) -> Iterator[Problem]:
    """Files of an overlay that look like maps or code tables, and are not where these are read."""
    for path in sorted(path for path in overlay.rglob("*") if path.is_file()):
        name = f"{overlay.name}/{path.relative_to(overlay).as_posix()}"
        if path.suffix == ".yml":
            yield _doubt(name, 1, f"not read; did you mean {path.stem + '.yaml'!r}?")
        elif path.suffix == ".csv" and path.parent != overlay / "tables":
            yield _doubt(name, 1, f"not read; did you mean 'tables/{path.name}'?")


def unused(
    own: Library, own_tables: Mapping[str, Table], program: Program, base_tables: Mapping[str, Table]
) -> Iterator[Problem]:
    """What an overlay defines without effect. own: its files alone; program: with the base."""
    used = {table for one in program.maps.values() for table in one.tables}
    for name, table in own_tables.items():
        if name not in base_tables and name not in used:
            first = next(iter(table.rows.values()), None)
            if first is not None:
                filled = name.zfill(4)  # HL7's tables have four digits
                near = did_you_mean(filled if filled in base_tables else name, base_tables)
                yield _doubt(first.file, 1, f"no rule and no function uses the table {name!r}{near}")
        for row in table.rows.values():
            yield from _without_effect(row, base_tables.get(name))
    said = _said(program.library)
    for (kind, name), node in own.places.items():
        word = f"{_SAID_AS[kind]}{name}"
        if not any(text == word or text.endswith(f".{word}") for text in said):
            yield node.problem(f"no rule uses the {_CALLED[kind]} {name!r}", is_warning=True)


def _without_effect(row: TableRow, shipped: Table | None) -> Iterator[Problem]:
    if shipped is None:
        return
    same = shipped.rows.get(row.code)
    if same is not None and (same.system, same.target, same.display) == (row.system, row.target, row.display):
        yield _doubt(row.file, row.line, f"{row.code!r} of table {row.table} is so without this row")


def _said(library: Library) -> frozenset[str]:
    """Every word and text of the maps and pieces."""

    def of(node: Node) -> Iterator[str]:
        for inner in node.walk():
            yield from inner.mapping
            yield inner.text

    documents = (*library.maps.values(), *library.pieces.values())
    return frozenset(text for document in documents for text in of(document) if text)


def _doubt(file: str, line: int, text: str) -> Problem:
    return Problem(file, line, 1, text, is_warning=True)
