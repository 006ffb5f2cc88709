"""Composite parameters: which elements hold their components together, and the code that indexes them.

One component of each composite is a token; under its entry the other one is indexed. Build time only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from server.fhir.generate_search_paths import ComponentPath, Path, Step, Structures, component_paths, paths

# Datatype of the token -> function of index_composites that makes the entries beside it.
_BESIDE: Mapping[str, str] = {
    "CodeableConcept": "beside_concept",
    "Coding": "beside_coding",
    "code": "beside_code",
}
# Type of the other component -> datatype -> function that indexes it there.
_BESIDE_IT: Mapping[str, Mapping[str, str]] = {
    "token": {"CodeableConcept": "paired_concept", "boolean": "paired_boolean", "code": "paired_code"},
    "reference": {"Reference": "paired_reference", "canonical": "paired_canonical"},
    "quantity": {"Quantity": "quantity", "Range": "quantity_range"},
    "date": {"dateTime": "date", "Period": "period"},
    "string": {"string": "string"},
    "number": {"integer": "number", "decimal": "number"},
}
MODULES: Mapping[str, str] = {
    **dict.fromkeys((*_BESIDE.values(), "composites"), "index_composites"),
    **{
        name: "index_composites" for rules in _BESIDE_IT.values() for name in rules.values() if "paired" in name
    },
    "numbers": "index_ranges",
}


@dataclass(frozen=True, slots=True)
class ComponentPlan:
    """One component. datatypes: those it selects below the composite's elements."""

    code: str
    type: str
    targets: tuple[str, ...]
    datatypes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """Components of one datatype each, below one element: the token, and what is indexed beside it."""

    element: Path
    token: ComponentPath
    others: tuple[ComponentPath, ...]
    function: str


@dataclass(frozen=True, slots=True)
class CompositePlan:
    components: tuple[ComponentPlan, ...]
    together: tuple[Together, ...]


def composite_plan(
    definition: Mapping[str, Any],
    by_url: Mapping[str, Mapping[str, Any]],
    corrected: Sequence[str] | None,
    resource_type: str,
    structures: Structures,
) -> CompositePlan:
    """How a composite is indexed on a type. corrected: expressions in place of its components' own.

    Raises: ValueError for one without a token, or with components that nothing indexes.
    """
    known = [by_url[component["definition"]] for component in definition["component"]]
    written = corrected or [component["expression"] for component in definition["component"]]
    together: list[Together] = []
    datatypes: list[dict[str, None]] = [{} for _ in known]
    for element in paths(definition["expression"], resource_type, structures):
        found = [component_paths(text, element, resource_type, structures) for text in written]
        for ways, path_lists in zip(datatypes, found, strict=True):
            ways.update(dict.fromkeys(component.path.datatype for component in path_lists))
        together += _together(element, [row["type"] for row in known], found)
    if not together:
        raise ValueError(f"{definition['url']} selects nothing of {resource_type}")
    components = tuple(
        ComponentPlan(row["code"], row["type"], tuple(sorted(row.get("target", ()))), tuple(ways))
        for row, ways in zip(known, datatypes, strict=True)
    )
    return CompositePlan(components, tuple(together))


def _together(element: Path, types: Sequence[str], found: Sequence[list[ComponentPath]]) -> list[Together]:
    at = types.index("token")
    rest = [kind for n, kind in enumerate(types) if n != at]
    made = []
    for way in product(*found):
        token, others = way[at], tuple(path for n, path in enumerate(way) if n != at)
        names = [_BESIDE_IT[kind].get(o.path.datatype) for kind, o in zip(rest, others, strict=True)]
        if token.path.datatype not in _BESIDE or None in names:
            continue
        if len(names) > 1 and rest != ["number", "number"]:
            raise ValueError(f"beside a token: {rest}")
        made.append(Together(element, token, others, "numbers" if len(names) > 1 else str(names[0])))
    return made


def emitted(found: Sequence[tuple[Together, str]], value: str, depth: int) -> list[str]:
    """The code for what stands together in the element whose JSON is in the variable `value`.

    found: with each the name of its parameters' entries.
    """
    lines = []
    for row, constant in found:
        pad = "    " * depth
        names = ["x", "z"][: len(row.others)]
        for name, other in zip(names, row.others, strict=True):
            lines.append(f"{pad}{name} = {_get(other, value)}")
        lines.append(f"{pad}if {' and '.join(f'{name} is not None' for name in names)}:")
        lines.append(f"{pad}    y = {_get(row.token, value)}")
        lines.append(f"{pad}    if y is not None:")
        beside = f"{_BESIDE[row.token.path.datatype]}(y, {constant})"
        lines.append(f"{pad}        {row.function}(o, {', '.join(names)}, {beside})")
    return lines


def _get(component: ComponentPath, value: str) -> str:
    source = "r" if component.whole else value
    steps: Sequence[Step] = component.path.steps
    for n, step in enumerate(steps):
        source = f"{source if n == 0 else f'({source} or {{}})'}.get({step.key!r})"
    return source
