"""The steps of a path through a tree of elements: functions and operators of FHIRPath, for `element_paths`.

A step takes a collection (elements and plain values) and gives one; a boolean is a collection of one, or empty
where FHIRPath has no answer. Every step spends from a Walk, which bounds the work of a hostile path.
Sources: hl7.org/fhirpath/N1 sections 4 to 6, hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from server.fhir.element_tree import Node
from server.fhir.validation_tables import PRIMITIVES

WORK_MAXIMUM = 200_000  # elements looked at by all paths of one patch
# In the time in which an element is looked at: characters that are searched, elements that are passed on.
_TEXT_OF_ONE_ELEMENT = 64
_PASSED_ON = 16


class PathError(ValueError):
    """The path cannot be read, or has no answer. The text names rules, never a part of path or resource.

    near: the part of the path where reading it ended, "" where it was read; for definitions, which hold no
    data.
    """

    near = ""


class PathTooCostly(PathError):
    """The paths look at more elements than those of one patch may."""


@dataclass(slots=True)
class Walk:
    """How much more may be looked at."""

    left: int = WORK_MAXIMUM

    def spend(self, elements: int) -> None:
        """Raises: PathTooCostly when there are no more left."""
        self.left -= elements
        if self.left < 0:
            raise PathTooCostly("the paths look at too many elements")


# Nodes and plain values (texts, numbers, booleans).
Collection = list[Any]
Step = Callable[[Collection, Walk], Collection]


def follow(steps: tuple[Step, ...], items: Collection, walk: Walk) -> Collection:
    """One step after the other."""
    for step in steps:
        walk.spend(1)
        items = step(items, walk)
    return items


def constant(value: Any) -> Step:
    return lambda items, walk: [value]


def member(name: str, *, first: bool) -> Step:
    def step(items: Collection, walk: Walk) -> Collection:
        found: Collection = []
        for item in items:
            if isinstance(item, Node):
                # At the beginning of a path the name of a type stands for what is of that type.
                found += [item] if first and item.type == name else item.named(name)
        # What is only passed on costs less than what is looked into.
        walk.spend(len(items) + len(found) // _PASSED_ON)
        return found

    return step


def at(index: int) -> Step:
    return lambda items, walk: items[index : index + 1]


def _where(criteria: Step) -> Step:
    return lambda items, walk: [item for item in items if _truth(criteria([item], walk)) is True]


def _all(criteria: Step) -> Step:
    return lambda items, walk: [all(_truth(criteria([item], walk)) is True for item in items)]


def exists(criteria: Step | None) -> Step:
    if criteria is None:
        return lambda items, walk: [bool(items)]
    where = _where(criteria)
    return lambda items, walk: [bool(where(items, walk))]


def _extension(url: str) -> Step:
    def step(items: Collection, walk: Walk) -> Collection:
        extensions = member("extension", first=False)(items, walk)
        return [node for node in extensions if [url] == [child.value for child in node.named("url")]]

    return step


# What a type is a kind of, as far as elements are declared with the narrower one.
KIND_OF = {
    **dict.fromkeys(("Age", "Count", "Distance", "Duration", "MoneyQuantity", "SimpleQuantity"), "Quantity"),
    **dict.fromkeys(("code", "id", "markdown"), "string"),
    **dict.fromkeys(("url", "canonical", "uuid", "oid"), "uri"),
    **dict.fromkeys(("positiveInt", "unsignedInt"), "integer"),
}


def of_type(type: str) -> Step:
    def step(items: Collection, walk: Walk) -> Collection:
        walk.spend(len(items))
        nodes = (item for item in items if isinstance(item, Node))
        return [node for node in nodes if type in (node.type, KIND_OF.get(node.type))]

    return step


def _single(items: Collection, walk: Walk) -> Collection:
    if len(items) > 1:
        raise PathError("single() finds more than one element")
    return items


def _not(items: Collection, walk: Walk) -> Collection:
    truth = _truth(items)
    return [] if truth is None else [not truth]


def part(name: str, number: int) -> Step:
    return (lambda items, walk: items[number:]) if name == "skip" else (lambda items, walk: items[:number])


def _of_text(test: Callable[[str, str], bool]) -> Callable[[str], Step]:
    def made(text: str) -> Step:
        def step(items: Collection, walk: Walk) -> Collection:
            if len(items) > 1:
                raise PathError("a function of texts is asked of more than one element")
            value = _value(items[0]) if items else None
            if not isinstance(value, str):
                return []
            walk.spend(len(value) // _TEXT_OF_ONE_ELEMENT)
            return [test(value, text)]

        return step

    return made


WITH_CRITERIA: dict[str, Callable[[Step], Step]] = {"where": _where, "all": _all}
WITH_NUMBER = frozenset({"skip", "take"})
WITH_TEXT: dict[str, Callable[[str], Step]] = {
    "extension": _extension,
    "startsWith": _of_text(str.startswith),
    "endsWith": _of_text(str.endswith),
    "contains": _of_text(lambda value, text: text in value),
}
PLAIN: dict[str, Step] = {
    "empty": lambda items, walk: [not items],
    "not": _not,
    "first": lambda items, walk: items[:1],
    "last": lambda items, walk: items[-1:],
    "tail": lambda items, walk: items[1:],
    "single": _single,
    "count": lambda items, walk: [len(items)],
}


def logic(operator: str, left: Step, right: Step) -> Step:
    def step(items: Collection, walk: Walk) -> Collection:
        truth = _LOGIC[operator](_truth(left(items, walk)), _truth(right(items, walk)))
        return [] if truth is None else [truth]

    return step


def _and(one: bool | None, two: bool | None) -> bool | None:
    if one is False or two is False:
        return False
    return None if None in (one, two) else True


def _or(one: bool | None, two: bool | None) -> bool | None:
    if one is True or two is True:
        return True
    return None if None in (one, two) else False


def _xor(one: bool | None, two: bool | None) -> bool | None:
    return None if None in (one, two) else one is not two


_LOGIC: dict[str, Callable[[bool | None, bool | None], bool | None]] = {"and": _and, "or": _or, "xor": _xor}


def _truth(items: Collection) -> bool | None:
    """A collection as a boolean: None where it is empty, true for one element that is no boolean."""
    if not items:
        return None
    if len(items) > 1:
        raise PathError("more than one element stands where a boolean is needed")
    item = items[0].value if isinstance(items[0], Node) else items[0]
    return item if isinstance(item, bool) else True


def equality(left: Step, right: Step, wanted: bool) -> Step:
    def step(items: Collection, walk: Walk) -> Collection:
        one, two = left(items, walk), right(items, walk)
        if not one or not two:
            return []
        walk.spend(1 + min(len(one), len(two)))
        equal = len(one) == len(two) and all(map(_equal, one, two))
        return [equal is wanted]

    return step


def _equal(one: Any, two: Any) -> bool:
    one, two = _value(one), _value(two)
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    return bool(one == two)


def _value(item: Any) -> Any:
    if not isinstance(item, Node):
        return item
    if item.type not in PRIMITIVES:
        raise PathError("only texts, numbers, dates and booleans are compared")
    return item.value
