"""`from`, `first`, `const`, `reference`, `default`: from YAML to where a value comes from, checked against
R4.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from mappings.compiler.conditions import condition
from mappings.compiler.context import Compilation, Place
from mappings.compiler.document import Node
from mappings.compiler.elements import INTEGERS, TEXTS, Element, codes_of, elements_of
from mappings.compiler.problems import Problem, did_you_mean
from mappings.datatypes import FUNCTIONS
from mappings.datatypes.function import Function
from mappings.running.alternatives import (
    Alternative,
    Constant,
    FromClock,
    FromFunction,
    FromText,
    ToAllResources,
    ToResource,
)
from mappings.tables import Table, TableRow, made

CLOCKS = ("received", "moment")
ORIGINS = ("from", "const", "reference")
WORDS = frozenset({"from", "const", "reference", "using", "table", "join", "when"})
_PLAIN = frozenset({"ID", "IS", "SI", "NM", "ST", "TX", "FT", "GTS"})
# A result of the left may stand where the right is expected.
_WIDER = {
    "code": {"string", "uri", "id"},
    "string": {"markdown"},
    "uri": {"url", "canonical"},
    "date": {"dateTime"},
    "instant": {"dateTime"},
    "positiveInt": {"integer", "unsignedInt"},
    "unsignedInt": {"integer"},
    "Quantity": {"SimpleQuantity", "Duration", "Age", "Count", "Distance"},
}


def alternative(compilation: Compilation, node: Node, place: Place, element: Element) -> Alternative | None:
    """Where a value for an element comes from; None after saying what is wrong."""
    origins = [word for word in ORIGINS if word in node]
    if len(origins) != 1:
        compilation.wrong(node, f"a value comes from one of {', '.join(ORIGINS)}")
        return None
    when = condition(compilation, node.get("when"), place)
    if "const" in node:
        return Constant(constant(compilation, node["const"], element), when)
    if "reference" in node:
        return _reference(compilation, node["reference"], element, when)
    if node["from"].text in CLOCKS:
        _expect(compilation, node, "instant", element)
        return FromClock(node["from"].text, when)
    path, datatype = compilation.path(node["from"], place)
    if "using" in node:
        function = _function(compilation, node["using"], datatype)
        if function is None or path is None:
            return None
        _expect(compilation, node["using"], function.result, element)
        return FromFunction(path, function, _function_table(compilation, node, function, element), when)
    table = table_of(compilation, node.get("table"), element)
    if not (element.type in TEXTS or (element.type == "boolean" and table is not None)):
        compilation.wrong(node["from"], f"`using` says how this becomes a {element.type}")
    join = node["join"].text if "join" in node else None
    return FromText(path, element.type, table or "", join, when) if path is not None else None


def default(compilation: Compilation, node: Node, place: Place, element: Element) -> Alternative | None:
    """What `default` gives: a constant, or an alternative like any other."""
    if any(word in node for word in ORIGINS):
        compilation.only(node, WORDS)
        return alternative(compilation, node, place, element)
    return Constant(constant(compilation, node, element))


def _reference(compilation: Compilation, node: Node, element: Element, when: Any) -> Alternative:
    if element.type != "Reference":
        compilation.wrong(node, f"a reference does not go into a {element.type}")
    if node.text == "all":
        return ToAllResources(when)
    compilation.references.append((node, node.text))
    return ToResource(node.text, when)


def function_named(compilation: Compilation, node: Node) -> Function | None:
    """The datatype function that a node names."""
    function = FUNCTIONS.get(node.text)
    if function is None:
        compilation.wrong(node, f"no function {node.text!r}{did_you_mean(node.text, FUNCTIONS)}")
    return function


def _function(compilation: Compilation, node: Node, datatype: str) -> Function | None:
    function = function_named(compilation, node)
    # Senders write numbers and codes into all kinds of plain text: what reads ST reads any of them.
    fits = {datatype, "*"} | ({"ST"} if datatype in _PLAIN else set())
    if function is not None and datatype and not fits & function.takes:
        takes = ", ".join(sorted(function.takes))
        compilation.wrong(node, f"{node.text!r} reads {takes}; there is a {datatype} here")
    return function


def _expect(compilation: Compilation, node: Node, result: str, element: Element) -> None:
    """Say so where a result does not go into an element."""
    kind, _, inner = result.partition("(")
    if kind.endswith("[x]"):
        fits = element.name == kind
    elif kind == "Reference":
        target = inner.rstrip(")")
        fits = element.type == kind and (not target or not element.targets or target in element.targets)
    else:
        fits = element.type == kind or element.type in _WIDER.get(kind, ())
    if not fits:
        compilation.wrong(
            node, f"this gives {result}, which does not go into {element.name!r} ({element.type})"
        )


def _function_table(compilation: Compilation, node: Node, function: Function, element: Element) -> str:
    table = node.get("table")
    if table is None:
        if function.table == "required":
            compilation.wrong(node["using"], f"{function.name!r} needs a `table`")
        return ""
    if not function.table:
        compilation.wrong(table, f"{function.name!r} takes no table")
    if table.mapping:
        compilation.wrong(table, "a function takes a table by name")
    else:
        table_of(compilation, table, element)
    return table.text


def table_of(compilation: Compilation, node: Node | None, element: Element) -> str | Table | None:
    """The table that a node names or is, its targets checked against the codes that R4 requires."""
    if node is None:
        return None
    if node.mapping:
        rows = {
            code: TableRow("map", code, "", target.text, "", "equivalent", "", "", target.line)
            for code, target in node.mapping.items()
        }
        for code, target in node.mapping.items():
            _code(compilation, target, rows[code].target, element)
        return made("map", rows)
    table = compilation.tables.get(node.text)
    if table is None:
        compilation.wrong(node, f"no table {node.text!r}{did_you_mean(node.text, compilation.tables)}")
        return None
    compilation.tables_used.add(node.text)
    if element.is_primitive:
        for row in table.rows.values():
            _row_code(compilation, row, element)
    return node.text


def _code(compilation: Compilation, node: Node, code: str, element: Element) -> None:
    if words := _code_fault(code, element):
        compilation.wrong(node, words)


def _row_code(compilation: Compilation, row: TableRow, element: Element) -> None:
    """A mistake of a table is told with the place of its row."""
    if words := _code_fault(row.target, element):
        compilation.problems.append(Problem(row.file, row.line, 1, words))


def _code_fault(code: str, element: Element) -> str:
    """Why a code cannot stand in an element, "" where it can."""
    if element.type == "boolean" and code not in ("", "true", "false"):
        return f"{code!r} is neither true nor false"
    known = codes_of(element.value_set) if element.value_set and code else ()
    if known and code not in known:
        return f"R4 has no code {code!r} for {element.name!r}{did_you_mean(code, known)}"
    return ""


def _number(text: str) -> Decimal:
    return Decimal(text)


_CONVERSIONS: dict[str, Callable[[str], Any]] = {"decimal": _number, **dict.fromkeys(INTEGERS, int)}


def constant(compilation: Compilation, node: Node, element: Element) -> Any:
    """FHIR JSON of what a node spells, by the type of the element."""
    if element.is_primitive:
        if element.type == "boolean":
            if node.text not in ("true", "false"):
                compilation.wrong(node, "true or false")
            return node.text == "true"
        _code(compilation, node, node.text, element)
        if not node.text:
            compilation.wrong(node, f"a {element.type}")
        try:
            return _CONVERSIONS.get(element.type, str)(node.text)
        except (ValueError, InvalidOperation):
            compilation.wrong(node, f"no {element.type}")
            return None
    if element.type.endswith("[x]"):
        compilation.wrong(node, f"{element.name!r} has several types: name the one that is meant")
        return None
    known = elements_of(element.type)
    made_of: dict[str, Any] = {}
    for name, value in node.mapping.items():
        if name not in known:
            compilation.wrong(value, f"{element.type} has no {name!r}{did_you_mean(name, known)}")
        elif known[name].is_list:
            made_of[name] = [constant(compilation, item, known[name]) for item in value.items]
        else:
            made_of[name] = constant(compilation, value, known[name])
    if not made_of:
        compilation.wrong(node, f"a {element.type}: a mapping of {', '.join(list(known)[2:6])}, ...")
    return made_of
