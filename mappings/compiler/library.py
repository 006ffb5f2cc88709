"""The files of a folder of maps, by what they hold: maps, pieces, changes to these, and the names they all
share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mappings.compiler.document import Node, parse
from mappings.compiler.element_paths import Extension
from mappings.compiler.elements import elements_of
from mappings.compiler.problems import Problem, did_you_mean

KINDS = ("map", "piece", "extends", "extensions", "ranks", "switches")


@dataclass(frozen=True, slots=True)
class Switch:
    """A choice that rules leave to a site. values: what it can be, the default first."""

    name: str
    values: tuple[str, ...]
    about: str


@dataclass(slots=True)
class Library:
    """maps, pieces: documents by name. changes: documents that extend one, by its name. texts: files as
    read. places: where extensions, ranks and switches stand, by kind and name.
    """

    maps: dict[str, Node] = field(default_factory=dict)
    pieces: dict[str, Node] = field(default_factory=dict)
    changes: dict[str, Node] = field(default_factory=dict)
    extensions: dict[str, Extension] = field(default_factory=dict)
    ranks: dict[str, Mapping[str, int]] = field(default_factory=dict)
    switches: dict[str, Switch] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    places: dict[tuple[str, str], Node] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def over(self, base: Library) -> Library:
        """This library laid over another: what has a name of the other's takes its place."""
        return Library(
            {**base.maps, **self.maps},
            {**base.pieces, **self.pieces},
            dict(self.changes),
            {**base.extensions, **self.extensions},
            {**base.ranks, **self.ranks},
            {**base.switches, **self.switches},
            {**base.texts, **self.texts},
            {**base.places, **self.places},
            [*base.problems, *self.problems],
        )


def read(folder: Path, shown: str = "") -> Library:
    """All `*.yaml` of a folder and of the folders in it. shown: put before file names in problems and
    traces.
    """
    paths = sorted(path for path in folder.rglob("*.yaml") if path.is_file())
    files = []
    problems = []
    for path in paths:
        name = shown + path.relative_to(folder).as_posix()
        try:
            files.append((name, path.read_text("utf-8-sig")))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(name, 1, 1, f"cannot be read: {type(error).__name__}"))
    library = of_texts(files)
    library.problems += problems
    return library


def of_texts(files: Iterable[tuple[str, str]]) -> Library:
    """A library of files by name and content."""
    library = Library()
    for name, text in files:
        library.texts[name] = text
        document, problems = parse(text, name)
        library.problems += problems
        if document is not None:
            _file(library, document)
    return library


def _file(library: Library, document: Node) -> None:
    kind = next((kind for kind in KINDS if kind in document), None)
    if kind is None:
        guess = next((did_you_mean(key, KINDS) for key in document.mapping), "")
        library.problems.append(document.problem(f"a file starts with one of {', '.join(KINDS)}{guess}"))
        return
    if kind in ("map", "piece", "extends"):
        named = {"map": library.maps, "piece": library.pieces, "extends": library.changes}[kind]
        name = document[kind].text
        if not name:
            library.problems.append(document[kind].problem(f"`{kind}` is a name"))
        elif name in named:
            library.problems.append(
                document[kind].problem(f"{kind} {name!r} stands in {named[name].file} already")
            )
        else:
            named[name] = document
        return
    read_names = {"extensions": _extensions, "ranks": _ranks, "switches": _switches}[kind]
    read_names(library, document[kind])
    library.places |= {(kind, name): row for name, row in document[kind].mapping.items()}


def _extensions(library: Library, node: Node) -> None:
    for name, row in node.mapping.items():
        fields = {key: value.text for key, value in row.mapping.items()}
        on = frozenset(item.text for item in row["on"].items) if "on" in row else frozenset()
        if not fields.get("url") or not fields.get("value") or fields.keys() - {"url", "on", "value"}:
            library.problems.append(
                row.problem(f"extension {name!r} has url, value and, where it is bound, on")
            )
            continue
        extension = Extension(name, fields["url"], on, fields["value"])
        if extension.value_name not in elements_of("Extension"):
            library.problems.append(row.problem(f"no extension can hold a {extension.value!r}"))
            continue
        library.extensions[name] = extension


def _ranks(library: Library, node: Node) -> None:
    for name, row in node.mapping.items():
        try:
            library.ranks[name] = {code: int(rank.text) for code, rank in row.mapping.items()}
        except ValueError:
            library.problems.append(row.problem(f"the ranks of {name!r} are whole numbers"))


def _switches(library: Library, node: Node) -> None:
    for name, row in node.mapping.items():
        values = tuple(item.text for item in row["values"].items) if "values" in row else ()
        if len(values) < 2 or "about" not in row:
            library.problems.append(row.problem(f"switch {name!r} has values (the default first) and about"))
            continue
        library.switches[name] = Switch(name, values, row["about"].text)
