"""The FHIRPath of search parameters, worked out to the JSON keys of one resource type.

Only the subset that R4's own definitions use: paths, `|`, `as` and `ofType`, `where(a = 'b')`,
`where(resolve() is Type)`, an index, and `x.exists() and x != false`; in components `%resource`. Everything
else is an error, so that a definition is never half understood. Build time only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

R4 = "4.0.1"
_BASES = ("Resource", "DomainResource")


@dataclass(frozen=True, slots=True)
class Step:
    """One JSON key. many: an array. where: (key, value) an element must have. first: only the first element."""

    key: str
    many: bool
    where: tuple[str, str] | None = None
    first: bool = False


@dataclass(frozen=True, slots=True)
class Path:
    """From the resource to values of one datatype. resolves: the resource type a reference must name, or "".

    exists: the value is whether anything but `false` is there (Patient.deceased).
    """

    steps: tuple[Step, ...]
    datatype: str
    resolves: str = ""
    exists: bool = False


class Structures:
    """The elements of all types, by path."""

    def __init__(self, definitions: Iterable[Mapping[str, Any]]) -> None:
        self._elements: dict[str, dict[str, Mapping[str, Any]]] = {}
        self.resource_types: list[str] = []
        for definition in definitions:
            if definition["resourceType"] != "StructureDefinition":
                continue
            self._elements[definition["id"]] = {e["path"]: e for e in definition["snapshot"]["element"]}
            # The collection holds a type of R4B, SubscriptionStatus, as well.
            concrete = definition["kind"] == "resource" and not definition["abstract"]
            if concrete and definition["version"] == R4:
                self.resource_types.append(definition["id"])
        self.resource_types.sort()

    def children(self, datatype: str, name: str) -> list[tuple[Step, str]]:
        """The keys and datatypes under which an element of a datatype may stand in JSON.

        datatype: a type, or for a nested element "Type#path". Empty if there is no such element.
        """
        root, _, path = datatype.partition("#")
        elements, parent = self._elements.get(root, {}), path or root
        plain, choice = elements.get(f"{parent}.{name}"), elements.get(f"{parent}.{name}[x]")
        element = plain or choice
        if element is None:
            return []
        many = element["max"] not in ("0", "1")
        if "contentReference" in element:
            return [(Step(name, many), f"{root}{element['contentReference']}")]
        codes = [code["code"] for code in element["type"]]
        if choice is not None:
            return [(Step(name + code[0].upper() + code[1:], many), code) for code in codes]
        (code,) = codes
        if code in ("BackboneElement", "Element"):
            code = f"{root}#{element['path']}"
        return [(Step(name, many), code)]


def paths(expression: str, resource_type: str, structures: Structures) -> list[Path]:
    """The paths of an expression's alternatives that start at the resource type.

    Raises: ValueError for an expression outside the subset or an unknown element.
    """
    found: list[Path] = []
    for alternative in _own(expression, resource_type):
        text = _plain(alternative)
        exists = re.fullmatch(r"(.+)\.exists\(\) and \1 != false", text)
        if exists:
            found += [replace(p, exists=True) for p in paths(exists[1], resource_type, structures)]
            continue
        head, *rest = _split(text, ".")
        names = rest if head in (resource_type, *_BASES) else [head, *rest]
        found += _follow(names, [Path((), resource_type)], structures, expression)
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class ComponentPath:
    """To one component's values of a datatype, from the composite's element; if `whole` from the resource."""

    path: Path
    whole: bool


def component_paths(
    expression: str, base: Path, resource_type: str, structures: Structures
) -> list[ComponentPath]:
    """The paths of a component's expression below the element that base leads to.

    Raises: ValueError as `paths`, and for elements that repeat: then it would be open what belongs together.
    """
    found = []
    for alternative in _split(expression, "|"):
        head, *names = _split(_plain(alternative), ".")
        whole = head == "%resource"
        start = resource_type if whole else base.datatype
        reached = _follow(names if whole else [head, *names], [Path((), start)], structures, expression)
        found += [ComponentPath(path, whole) for path in reached]
    if any(step.many for component in found for step in component.path.steps):
        raise ValueError(f"a component that repeats: {expression}")
    return found


def alternatives(expression: str, resource_type: str) -> str:
    """The part of an expression that speaks of the resource type."""
    return " | ".join(_own(expression, resource_type))


def _own(expression: str, resource_type: str) -> list[str]:
    own = []
    for alternative in _split(expression, "|"):
        match = re.match(r"\(*(\w+)", alternative)
        # InsurancePlan's `name | alias` names no type.
        if match and (match[1] in (resource_type, *_BASES) or match[1][0].islower()):
            own.append(alternative)
    return own


def _plain(alternative: str) -> str:
    """`(a.b as T).c` and `a.b as T` as `a.b.as(T).c`."""
    text = alternative.strip()
    while text.startswith("("):
        inner, rest = _parenthesis(text)
        text = _plain(inner) + rest
    cast = re.fullmatch(r"([\w.]+) as (\w+)", text)
    return f"{cast[1]}.as({cast[2]})" if cast else text


def _parenthesis(text: str) -> tuple[str, str]:
    depth = 0
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return text[1:at], text[at + 1 :]
    raise ValueError(f"unbalanced: {text}")


def _split(text: str, separator: str) -> list[str]:
    """Split outside parentheses and quotes."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == "'"
        depth += (character == "(") - (character == ")")
        if character == separator and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _follow(names: list[str], reached: list[Path], structures: Structures, expression: str) -> list[Path]:
    for name in names:
        if match := re.fullmatch(r"(?:as|ofType)\((\w+)\)", name):
            reached = [path for path in reached if path.datatype == match[1]]
        elif match := re.fullmatch(r"where\(resolve\(\) is (\w+)\)", name):
            reached = [replace(path, resolves=match[1]) for path in reached]
        elif match := re.fullmatch(r"where\((\w+)\s*=\s*'([^']*)'\)", name):
            condition = (match[1], match[2])
            reached = [_with_last(path, where=condition) for path in reached]
        elif match := re.fullmatch(r"(\w+)(?:\[(0)\])?", name):
            reached = [
                Path((*path.steps, step), datatype)
                for path in reached
                for step, datatype in structures.children(path.datatype, match[1])
            ]
            if match[2]:
                reached = [_with_last(path, first=True) for path in reached]
        else:
            raise ValueError(f"outside the subset: {name} in {expression}")
        if not reached:
            raise ValueError(f"unknown element: {name} in {expression}")
    return reached


def _with_last(path: Path, **changes: Any) -> Path:
    return replace(path, steps=(*path.steps[:-1], replace(path.steps[-1], **changes)))
