"""A store in memory that answers searches by the letter of the standard: slowly, and without an index.

It shares nothing with the server but the published definitions, so that a mistake there cannot agree with
itself here. Where the standard leaves a choice it follows docs/reference/search.md.
Source: hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from search_oracle.clauses import Asking, Refused, clause
from search_oracle.definitions import (
    Parameter,
    compartment,
    open_types,
    parameters,
    patient_compartment,
    resource_types,
)
from search_oracle.values import Link, Place, Values, folded, local_key, values

Json = dict[str, Any]
Key = tuple[str, str]
Holds = Callable[["Held"], bool]


class Held:
    """A stored resource. number: the place of its arrival, which an update keeps."""

    def __init__(self, resource: Json, number: int, place: Place) -> None:
        self.resource, self.number, self._place = resource, number, place
        self.key: Key = (resource["resourceType"], resource["id"])
        self._values: dict[str, Values] = {}

    def values(self, parameter: Parameter) -> Values:
        assert parameter.resource_type == self.key[0], parameter
        found = self._values.get(parameter.code)
        if found is None:
            found = self._values[parameter.code] = values(parameter, self.resource, self._place)
        return found

    def links(self, parameter: Parameter) -> Sequence[Link]:
        return self.values(parameter).links

    def refers_to(self, parameter: Parameter, key: Key) -> bool:
        return any(link.key == key for link in self.links(parameter))

    def all_references(self) -> set[Key]:
        """Every reference to a resource of this server, wherever it stands."""
        found: set[Key] = set()
        waiting: list[Any] = [self.resource]
        while waiting:
            item = waiting.pop()
            if isinstance(item, dict):
                if isinstance(item.get("reference"), str):
                    key = local_key(item["reference"], self._place.base)
                    found |= {key} if key else set()
                waiting += item.values()
            elif isinstance(item, list):
                waiting += item
        return found

    def patients(self) -> set[str]:
        """Ids of the patients in whose compartments it is."""
        return {id for _, id in self.compartments("Patient")}

    def compartments(self, of: str) -> set[Key]:
        """The resources of a type in whose compartments it is, one of them itself."""
        kind = self.key[0]
        links = [link for code in compartment(of).get(kind, ()) for link in self.links(parameters(kind)[code])]
        found = {link.key for link in links if link.key is not None and link.key[0] == of}
        return found | {self.key} if kind == of else found


@dataclass(frozen=True, slots=True)
class Token:
    """Whose eyes: patient None sees everything. scopes: (resource type or "*", criteria) of that patient."""

    patient: str | None = None
    scopes: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (("*", ()),)

    def reaches(self, resource_type: str) -> bool:
        """Whether there may be anything of a type that it sees: else it may not even search."""
        if self.patient is None:
            return True
        charted = resource_type in patient_compartment() or resource_type in open_types()
        return charted and any(kind in ("*", resource_type) for kind, _ in self.scopes)


@dataclass(frozen=True, slots=True)
class Include:
    """source "": any type, of `_revinclude=*`."""

    source: str
    code: str
    target: str = ""
    reverse: bool = False
    iterate: bool = False


class Oracle:
    """Resources in the order of their arrival, and what searches on them must answer."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._held: dict[Key, Held] = {}
        self._numbers: dict[Key, int] = {}

    def put(self, resource: Json) -> None:
        """Keep a resource as the server has stored it (with id and meta)."""
        key = (resource["resourceType"], resource["id"])
        number = self._numbers.setdefault(key, len(self._numbers))
        self._held[key] = Held(resource, number, self.place)

    def delete(self, key: Key) -> None:
        del self._held[key]

    def everything(self) -> list[Held]:
        """All that is held, by arrival."""
        return sorted(self._held.values(), key=lambda held: held.number)

    def visible(self, token: Token) -> list[Held]:
        """What a token may see, by arrival: its patient's compartment, and open types that this refers to."""
        everything = self.everything()
        if token.patient is None:
            return everything
        own = [held for held in everything if self._in_chart(held, token)]
        referred = set().union(*(held.all_references() for held in own)) if own else set()
        seen = {held.key for held in own}
        return [
            held
            for held in everything
            if held.key in seen
            or (
                held.key[0] in open_types()
                and held.key[0] not in patient_compartment()
                and held.key in referred
                and self._in_scope(held, token)
            )
        ]

    def _in_chart(self, held: Held, token: Token) -> bool:
        return token.patient in held.patients() and self._in_scope(held, token)

    def _in_scope(self, held: Held, token: Token) -> bool:
        asking = Asking(self.place, datetime.now().astimezone())
        return any(
            wanted in ("*", held.key[0])
            and all(_Reading(asking, []).condition(held.key[0], name, text)(held) for name, text in criteria)
            for wanted, criteria in token.scopes
        )

    def matches(
        self, resource_type: str, pairs: Iterable[tuple[str, str]], seen: Sequence[Held], now: datetime
    ) -> list[Held]:
        """The resources of a type that fulfil all pairs, in the order of their arrival."""
        reading = _Reading(Asking(self.place, now, seen), seen)
        tests = [reading.condition(resource_type, name, text) for name, text in pairs]
        found = [held for held in seen if held.key[0] == resource_type]
        return [held for held in found if all(test(held) for test in tests)]

    def in_order(self, found: Sequence[Held], sort: str) -> list[Held]:
        """Sorted; what has no value comes last either way, ties stay in the order of their arrival."""
        ordered = list(found)
        for part in reversed(sort.split(",")):
            code, descending = part.removeprefix("-"), part.startswith("-")
            keyed = [(sort_value(held, code, descending), held) for held in ordered]
            valued = [pair for pair in keyed if pair[0] is not None]
            valued.sort(key=lambda pair: pair[0], reverse=descending)  # reversed sorting is stable as well
            ordered = [held for _, held in valued] + [held for value, held in keyed if value is None]
        return ordered

    def included(self, matches: Sequence[Held], includes: Sequence[Include], seen: Sequence[Held]) -> set[Key]:
        """What a page of matches brings along; never one of the matches themselves."""
        known = {held.key for held in matches}
        found: set[Key] = set()
        start, current = list(matches), list(includes)
        while start and current:
            fresh = [
                held
                for held in seen
                if held.key not in known and any(_brings(include, start, held) for include in current)
            ]
            found |= {held.key for held in fresh}
            known |= found
            start, current = fresh, [include for include in includes if include.iterate]
        return found


def sort_value(held: Held, code: str, descending: bool) -> Any:
    """The first value ascending, the last descending; of a range its start, of a text its bytes when folded."""
    parameter = parameters(held.key[0])[code]
    found = held.values(parameter)
    if code == "_id":
        return held.key[1].encode()
    candidates: list[Any] = {
        "string": [folded(text).encode() for text in found.strings],
        "date": [low for low, _ in found.dates],
        "number": [amount.low for amount in found.amounts],
        "quantity": [amount.low for amount in found.amounts],
        "uri": [uri.encode() for uri in found.uris],
    }[parameter.type]
    return (max if descending else min)(candidates, default=None)


def _reference_parameters(resource_type: str, code: str) -> list[Parameter]:
    known = parameters(resource_type)
    if code != "*":
        return [known[code]]
    return [parameter for parameter in known.values() if parameter.type == "reference"]


def _brings(include: Include, start: Sequence[Held], held: Held) -> bool:
    if include.reverse:
        return include.source in ("", held.key[0]) and any(
            held.refers_to(parameter, one.key)
            for parameter in _reference_parameters(held.key[0], include.code)
            for one in start
            if include.target in ("", one.key[0])
        )
    return include.target in ("", held.key[0]) and any(
        one.refers_to(parameter, held.key)
        for one in start
        if one.key[0] == include.source
        for parameter in _reference_parameters(include.source, include.code)
    )


class _Reading:
    """Conditions read for one search. seen: what chains and `_has` may reach."""

    def __init__(self, asking: Asking, seen: Sequence[Held]) -> None:
        self._asking, self._seen = asking, seen

    def condition(self, resource_type: str, name: str, text: str) -> Holds:
        """`name=text` on resources of a type, chains and `_has` to any depth."""
        if name.startswith("_has:"):
            _, source, code, rest = name.split(":", 3)
            inner = self.condition(source, rest, text)
            return partial(self._referred, source, parameters(source)[code], inner)
        link, dot, rest = name.partition(".")
        if dot:
            return self._chained(resource_type, link, rest, text)
        if name == "_list":
            return self._listed(text.split(","))
        code, _, modifier = name.partition(":")
        parameter = parameters(resource_type)[code]
        test = clause(parameter, modifier, text, self._asking)
        return lambda held: test(held.values(parameter))

    def _chained(self, resource_type: str, link: str, rest: str, text: str) -> Holds:
        code, _, wanted = link.partition(":")
        parameter = parameters(resource_type)[code]
        targets = [wanted] if wanted else [one for one in resource_types() if parameter.may_target(one)]
        inner: dict[str, Holds] = {}
        for target in targets:
            try:
                inner[target] = self.condition(target, rest, text)
            except Refused:
                raise
            except (
                KeyError,
                ValueError,
                ArithmeticError,
            ):  # this target has no such parameter, or of another type
                continue
        return lambda held: any(
            held.refers_to(parameter, other.key) and other.key[0] in inner and inner[other.key[0]](other)
            for other in self._seen
        )

    def _referred(self, source: str, link: Parameter, inner: Holds, held: Held) -> bool:
        return any(
            other.key[0] == source and other.refers_to(link, held.key) and inner(other) for other in self._seen
        )

    def _listed(self, ids: Sequence[str]) -> Holds:
        item = parameters("List")["item"]
        lists = [other for other in self._seen if other.key[0] == "List" and other.key[1] in ids]
        entries = {link.key for other in lists for link in other.links(item)}
        return lambda held: held.key in entries
