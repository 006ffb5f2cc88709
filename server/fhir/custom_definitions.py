"""A SearchParameter resource read as a definition of our own: what it selects on each of its base types, or why
not.

    string, token, reference, date, number, quantity, uri, by expressions of `element_paths`, several of them
    joined by `|`, each of which may end with `.where(resolve() is Type)`

An expression is followed through the tables of elements when it is stored, so that one that leads nowhere, or
to what its type has no rule for, is refused then and not found out later.
Source: hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from server.errors import FhirError
from server.fhir.element_paths import LENGTH_MAXIMUM, Mark, Path, parse_path
from server.fhir.element_steps import KIND_OF, PathError
from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.generated.search import ANY_TARGET
from server.fhir.index_functions import FUNCTIONS
from server.fhir.search_parameters import parameter as shipped
from server.fhir.search_query import SearchParameter
from server.fhir.search_results import RESULT_PARAMETERS
from server.fhir.unstored import UNSTORED
from server.fhir.validation_tables import PRIMITIVES, table

ALTERNATIVES_MAXIMUM = 50  # of one expression
EXPRESSION_MAXIMUM = 10_000  # characters
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9\-]{0,63}")
_RESOLVES = re.compile(r"(.+)\.where\(\s*resolve\(\)\s+is\s+([A-Za-z]+)\s*\)", re.DOTALL)
_TAKEN = frozenset({*RESULT_PARAMETERS, "page"})
_USAGES = frozenset({"normal", "other"})


@dataclass(frozen=True, slots=True)
class Alternative:
    """One path of an expression. resolves: the type that a reference must name, "" for any."""

    path: Path
    resolves: str


def definitions(content: Mapping[str, Any]) -> tuple[SearchParameter, ...]:
    """The parameters that a valid, active SearchParameter defines, one a base type; their number is not given
    yet.

    Raises: FhirError unprocessable with the element that cannot be used.
    """
    kind, code, expression = content["type"], content["code"], content.get("expression", "")
    if kind not in FUNCTIONS:
        raise _refusal("type", f"a parameter of type {kind} cannot be defined here; {', '.join(FUNCTIONS)} can")
    if not _CODE.fullmatch(code):
        raise _refusal("code", "letters, digits and hyphens are expected, at most 64, a letter first")
    if code in _TAKEN:
        raise _refusal("code", f"{code} has a meaning of its own in every search")
    if content.get("xpathUsage", "normal") not in _USAGES:
        raise _refusal("xpathUsage", "only the values themselves are compared: normal")
    if not expression:
        raise _refusal("expression", "an expression is needed")
    read = alternatives(expression)
    targets = _targets(content) if kind == "reference" else ()
    found, unused = [], set(read)
    for base in dict.fromkeys(content["base"]):
        if base not in RESOURCE_TYPES:
            raise _refusal("base", f"{base} is no resource type; name the types themselves")
        if base in UNSTORED:
            raise _refusal("base", f"{base} is not stored here, so that nothing of it is indexed")
        present = shipped(base, code)
        if present is not None:
            raise _refusal("code", f"{base} has a parameter {code} already: {present.url}")
        reached = {one: _reached(one.path.outline, base) for one in read}
        unused -= {one for one, types in reached.items() if types}
        selected = _selected(kind, base, reached)
        found.append(
            SearchParameter(
                number=0,
                code=code,
                type=kind,
                resource_type=base,
                expression=expression,
                url=content["url"],
                targets=targets,
                datatypes=selected,
            )
        )
    if unused:
        (which, *_) = sorted(number + 1 for number, one in enumerate(read) if one in unused)
        raise _refusal(
            "expression", f"alternative {which} leads to no element of {', '.join(content['base'][:5])}"
        )
    return tuple(found)


@lru_cache(maxsize=512)
def alternatives(expression: str) -> tuple[Alternative, ...]:
    """The paths of an expression. Raises: FhirError unprocessable with what cannot be read."""
    if len(expression) > EXPRESSION_MAXIMUM:
        raise _refusal("expression", f"more than {EXPRESSION_MAXIMUM} characters")
    found = []
    for number, text in enumerate(_split(expression), 1):
        if number > ALTERNATIVES_MAXIMUM:
            raise _refusal("expression", f"more than {ALTERNATIVES_MAXIMUM} alternatives")
        resolving = _RESOLVES.fullmatch(text) if len(text) <= LENGTH_MAXIMUM else None
        path, resolves = resolving.groups() if resolving else (text, "")
        if resolves and resolves not in RESOURCE_TYPES:
            raise _refusal("expression", f"alternative {number}: {resolves} is no resource type")
        try:
            found.append(Alternative(parse_path(path), resolves))
        except PathError as error:
            near = f", near {error.near!r}" if error.near else ""
            raise _refusal("expression", f"alternative {number}{near}: {error}") from None
    return tuple(found)


def _split(expression: str) -> Iterator[str]:
    """The alternatives between `|`, outside parentheses and quotes."""
    depth, quote, start, escaped = 0, "", 0, False
    for at, character in enumerate(expression):
        if escaped:
            escaped = False
        elif quote:
            escaped = character == "\\"
            quote = "" if character == quote else quote
        elif character in "'`":
            quote = character
        elif character == "|" and depth == 0:
            yield expression[start:at].strip()
            start = at + 1
        else:
            depth += (character == "(") - (character == ")")
    yield expression[start:].strip()


def _targets(content: Mapping[str, Any]) -> tuple[str, ...]:
    targets = tuple(sorted(set(content.get("target", ()))))
    unknown = [name for name in targets if name not in RESOURCE_TYPES]
    if unknown and unknown != ["Resource"]:
        raise _refusal("target", f"{unknown[0]} is no resource type")
    return ANY_TARGET if unknown or not targets else targets


def _selected(kind: str, base: str, reached: Mapping[Alternative, frozenset[str]]) -> tuple[str, ...]:
    """The datatypes with a rule. Raises: FhirError unprocessable where there are none, or they do not go
    together."""
    types = frozenset[str]().union(*reached.values())
    ruled = {name if name in FUNCTIONS[kind] else KIND_OF.get(name) for name in types}
    known = tuple(name for name in FUNCTIONS[kind] if name in ruled)
    if not known:
        leads = f"leads to {', '.join(sorted(types)[:5])}" if types else "leads nowhere"
        raise _refusal(
            "expression",
            f"on {base} it {leads}; of type {kind} can be {', '.join(FUNCTIONS[kind])}",
        )
    if kind == "token" and "string" in known and len(known) > 1:
        raise _refusal(
            "expression",
            f"on {base} it leads to texts and to codes ({', '.join(known)}), which are not compared alike:"
            " name the type of the value, as in value.ofType(Coding)",
        )
    return known


def _reached(outline: Iterable[Mark], base: str) -> frozenset[str]:
    """The types of the elements that a path can lead to from a resource type, empty where it leads nowhere.

    Raises: FhirError unprocessable for a path to a computed value.
    """
    types = frozenset({base})
    for number, (what, name) in enumerate(outline):
        if what == "computed":
            raise _refusal("expression", "it leads to a computed value, not to an element")
        if what == "type":
            types = frozenset(one for one in types if name in (one, KIND_OF.get(one)))
        elif what in ("name", "some") and not (number == 0 and name == base):
            types = frozenset(child for one in types for child in _children(one, name))
    return types


def _children(parent: str, name: str) -> Iterator[str]:
    try:
        described = table("Element" if parent in PRIMITIVES else parent)
    except KeyError:  # a resource within a resource: of any type
        return
    for written in described.choices.get(name, (name,)):
        if written in described.elements:
            yield described.elements[written].type


def _refusal(element: str, text: str) -> FhirError:
    return FhirError("unprocessable", f"SearchParameter.{element}: {text}", f"SearchParameter.{element}")
