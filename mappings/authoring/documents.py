"""A map as tables that the sending site can read and sign: every row one rule, pieces written out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mappings.compiler.document import Node
from mappings.compiler.library import Library
from mappings.compiler.program import Map, Program
from mappings.hl7v2.fields import field_type, full_name
from mappings.running.source_path import parse

COLUMNS = ("source", "name", "type", "condition", "target", "function", "table", "default", "rule")


@dataclass(frozen=True, slots=True)
class Row:
    """One way from the message into FHIR, in words. rule: `file:line`."""

    source: str
    name: str
    type: str
    condition: str
    target: str
    function: str
    table: str
    default: str
    rule: str

    def cells(self) -> tuple[str, ...]:
        return tuple(getattr(self, column) for column in COLUMNS)


@dataclass(frozen=True, slots=True)
class _At:
    """Where a walk through the rules is: the path of the element, conditions and loops around it."""

    target: str = ""
    conditions: tuple[str, ...] = ()
    loop: str = ""


def rows(found: Map, program: Program) -> list[Row]:
    """The rows of a map, in the order in which its rules run."""
    types = {
        node["as"].text: node["resource"].text
        for document in (found.document, *program.library.pieces.values())
        for node in document.walk()
        if "resource" in node and "as" in node
    }
    return list(_rules(found.document["rules"], _At(), program.library, types))


def markdown(program: Program, name: str = "") -> Iterator[str]:
    """All maps, or one, as Markdown. Raises KeyError for a name that no map has."""
    for found in [program.maps[name]] if name else program.maps.values():
        about = found.document.get("about")
        yield f"# {found.name}: {', '.join(found.types)}\n"
        if about is not None:
            yield f"{about.text}\n"
        yield f"| {' | '.join(COLUMNS)} |"
        yield f"|{' --- |' * len(COLUMNS)}"
        for row in rows(found, program):
            yield f"| {' | '.join(_escaped(cell) for cell in row.cells())} |"
        yield ""


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _rules(node: Node, at: _At, library: Library, types: dict[str, str]) -> Iterator[Row]:
    for item in node.items:
        yield from _rule(item, at, library, types)


def _rule(node: Node, at: _At, library: Library, types: dict[str, str]) -> Iterator[Row]:
    loop = node["foreach"].text if "foreach" in node else at.loop
    conditions = (*at.conditions, *_conditions(node.get("when")))
    target = types.get(node["in"].text, node["in"].text) if "in" in node else at.target
    inner = _At(target, conditions, loop)
    if "resource" in node:
        yield from _rules(node["rules"], replace(inner, target=node["resource"].text), library, types)
    elif "use" in node:
        piece = library.pieces[node["use"].text]
        yield from _rules(piece["rules"], inner, library, types)
    elif "to" in node:
        path = target if node["to"].text == "." else f"{target}.{node['to'].text}"
        if "rules" in node:
            yield from _rules(node["rules"], replace(inner, target=path), library, types)
        else:
            yield from _values(node, path, inner)
    elif "rules" in node:
        yield from _rules(node["rules"], inner, library, types)
    else:
        yield from _others(node, inner)


def _values(node: Node, path: str, at: _At) -> Iterator[Row]:
    for way in node["first"].items if "first" in node else [node]:
        conditions = at.conditions if way is node else (*at.conditions, *_conditions(way.get("when")))
        source, name, kind = _source(way, at.loop)
        yield Row(
            source,
            name,
            kind,
            "; ".join(conditions),
            path,
            _text(way.get("using")),
            _text(way.get("table")),
            _text(node.get("default")),
            way.where,
        )


# Rules of an element besides `to`, and how they read in a table.
_OF_ELEMENTS = {"clear": "emptied", "keep": "only where nothing is stored"}


def _others(node: Node, at: _At) -> Iterator[Row]:
    verb = next(iter(node.mapping))
    words = " ".join(f"{key} {_text(value)}" for key, value in node.mapping.items() if key != "when")
    target = f"{at.target}.{node[verb].text}" if verb in _OF_ELEMENTS else at.target
    yield Row(
        "",
        "",
        "",
        "; ".join(at.conditions),
        target,
        _OF_ELEMENTS.get(verb, words),
        "",
        "",
        node.where,
    )


def _source(way: Node, loop: str) -> tuple[str, str, str]:
    if "const" in way:
        return f"“{_text(way['const'])}”", "", ""
    if "reference" in way:
        return f"→ {way['reference'].text}", "", ""
    if "from" not in way:
        return "", "", ""
    text = way["from"].text
    whole = loop + text.removesuffix(".") if text.startswith(".") and "-" in loop else text
    path = parse(whole)
    if path is None or not path.segment:
        return whole, "", ""
    name = full_name(path.segment, path.field, path.component, path.subcomponent)
    return whole, name, field_type(path.segment, path.field)


def _conditions(node: Node | None) -> list[str]:
    if node is None:
        return []
    return [f"{key} {_text(value)}" for key, value in node.mapping.items()]


def _text(node: Node | None) -> str:
    if node is None:
        return ""
    if isinstance(node.content, str):
        return node.content
    if isinstance(node.content, list):
        return " or ".join(_text(item) for item in node.content)
    return ", ".join(f"{key}: {_text(value)}" for key, value in node.content.items())
