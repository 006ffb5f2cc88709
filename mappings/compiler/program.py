"""A set of maps that runs: each message type with the one rule that its map is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mappings.compiler.context import Compilation, Place
from mappings.compiler.document import Node
from mappings.compiler.library import Library
from mappings.compiler.overlays import changed
from mappings.compiler.problems import Problem, did_you_mean
from mappings.compiler.rules import block
from mappings.running.rules import Rule
from mappings.tables import Table

_TYPE = re.compile(r"[A-Z][A-Z0-9]{2}\^(?:[A-Z0-9]{3}|\*)")
_DOCUMENT = frozenset({"map", "for", "about", "rules"})


@dataclass(frozen=True, slots=True)
class Map:
    """One message map. types: `ADT^A01`, or `ADT^*` for what no other map is for. document: with its
    changes.
    """

    name: str
    types: tuple[str, ...]
    rule: Rule
    document: Node
    tables: frozenset[str]


@dataclass(frozen=True, slots=True)
class Program:
    """The maps of one overlay, or of the base. by_type: the map of each message type. tables: laid over the
    base's.
    """

    maps: Mapping[str, Map]
    by_type: Mapping[str, Map]
    tables: Mapping[str, Table]
    library: Library

    def map_for(self, code: str, trigger: str) -> Map | None:
        """The map of a message type, None where no map is for it."""
        return self.by_type.get(f"{code}^{trigger}") or self.by_type.get(f"{code}^*")


def compile_library(library: Library, tables: Mapping[str, Table]) -> tuple[Program, tuple[Problem, ...]]:
    """The program of a library, and all that is wrong or doubtful in it. With a mistake in it, it is not to
    be run.
    """
    problems = list(library.problems)
    _apply_changes(library, problems)
    maps: dict[str, Map] = {}
    by_type: dict[str, Map] = {}
    used: set[str] = set()
    for name, document in library.maps.items():
        compilation = Compilation(library, tables)
        made = _map(compilation, name, document)
        problems += compilation.problems
        if made is None:
            continue
        maps[name] = made
        for kind in made.types:
            if kind in by_type:
                problems.append(document["for"].problem(f"{kind} has a map already: {by_type[kind].name}"))
            by_type[kind] = made
        used |= _pieces_in(library, document, set())
    for name, piece in library.pieces.items():
        if name not in used:
            problems.append(piece.problem(f"no map uses the piece {name!r}", is_warning=True))
            compilation = Compilation(library, tables)
            problems += compilation.problems
    return Program(maps, by_type, tables, library), tuple(sorted(set(problems)))


def _apply_changes(library: Library, problems: list[Problem]) -> None:
    for name, changes in library.changes.items():
        for documents in (library.maps, library.pieces):
            if name in documents:
                documents[name] = changed(documents[name], changes, problems)
                break
        else:
            known = [*library.maps, *library.pieces]
            problems.append(
                changes["extends"].problem(f"nothing {name!r} to extend{did_you_mean(name, known)}")
            )


def _map(compilation: Compilation, name: str, document: Node) -> Map | None:
    compilation.only(document, _DOCUMENT)
    types = tuple(item.text for item in document["for"].items) if "for" in document else ()
    for kind in types:
        if not _TYPE.fullmatch(kind):
            compilation.wrong(document["for"], f"{kind!r} is no message type: one is ADT^A01")
    if not types or "rules" not in document:
        compilation.wrong(document, "a map is `for` message types and has `rules`")
        return None
    rule = block(compilation, document["rules"], Place())
    for node, called in compilation.references:
        if called not in compilation.names:
            compilation.wrong(
                node, f"no resource {called!r} in this map{did_you_mean(called, compilation.names)}"
            )
    return Map(name, types, rule, document, frozenset(compilation.tables_used))


def _pieces_in(library: Library, node: Node, found: set[str]) -> set[str]:
    for inner in node.walk():
        if "use" in inner and inner["use"].text not in found:
            found.add(inner["use"].text)
            piece = library.pieces.get(inner["use"].text)
            if piece is not None:
                _pieces_in(library, piece, found)
    return found


def version_of(files: Mapping[str, str]) -> str:
    """A hash of files by name and content, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(files):
        content = files[name].encode()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]
