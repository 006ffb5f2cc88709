"""What a search parameter finds in a resource: its values by type, worked out by FHIRPath when asked for.

Source: hl7.org/fhir/R4/search.html#ptypes with its tables of datatypes
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from search_oracle.dates import Range, date_range, period_range, timing_range
from search_oracle.definitions import Parameter
from search_oracle.paths import Node, evident_type, select
from search_oracle.terminology import bound_systems

Json = Mapping[str, Any]
SPECIAL_VALUES = "http://hl7.org/fhir/special-values"
CURRENCIES = "urn:iso:std:iso:4217"
INFINITE = Decimal("Infinity")
A_LITTLE = Decimal("1e-40")  # less than any two numbers of the charts differ by
EXACT = Context(prec=80)


@dataclass(frozen=True, slots=True)
class Token:
    """system "": none. any_case: of a plain string. kinds: (system, code) of an Identifier's type."""

    system: str
    code: str | None
    any_case: bool = False
    kinds: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Amount:
    """A number from low to high. units: (system or None where it is not told apart, code or unit)."""

    low: Decimal
    high: Decimal
    units: frozenset[tuple[str | None, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Link:
    """A reference or canonical. key: (type, id) of a resource of this server. url: as written elsewhere,
    without a canonical's version, which is in `version`. identifier: of a logical reference.
    """

    key: tuple[str, str] | None = None
    url: str = ""
    version: str = ""
    identifier: Token | None = None
    type: str = ""


@dataclass(frozen=True, slots=True)
class Values:
    """All that a parameter selects. present: there is an element, whether or not it has such a value.

    groups: of a composite, the values of its components, element by element. types: of the elements.
    """

    present: bool = False
    tokens: tuple[Token, ...] = ()
    texts: tuple[str, ...] = ()
    strings: tuple[str, ...] = ()
    dates: tuple[Range, ...] = ()
    amounts: tuple[Amount, ...] = ()
    uris: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    groups: tuple[tuple[Values, ...], ...] = ()
    types: frozenset[str] = frozenset()

    @property
    def comparable(self) -> bool:
        """Whether a composite can compare it: a text alone is no code."""
        return self.present and (bool(self.tokens) or not self.texts)


@dataclass(frozen=True, slots=True)
class Place:
    """Where resources live. base: the FHIR base with a trailing slash. zone: of dates that name none."""

    base: str
    zone: ZoneInfo


def values(parameter: Parameter, resource: Json, place: Place) -> Values:
    """The values of a parameter in a resource."""
    if parameter.components:
        groups = tuple(
            tuple(
                values_of(part.parameter.type, select(node.place, part.expressions, resource), place)
                for part in parameter.components
            )
            for node in select(resource, parameter.expressions, resource)
        )
        return Values(any(all(part.comparable for part in group) for group in groups), groups=groups)
    return values_of(parameter.type, select(resource, parameter.expressions, resource), place)


def values_of(kind: str, nodes: Iterable[Node], place: Place) -> Values:
    """The values that nodes have for a parameter of a type."""
    found = list(nodes)
    return replace(_values_of(kind, found, place), types=frozenset(node.type for node in found))


def _values_of(kind: str, found: list[Node], place: Place) -> Values:
    if kind == "token":
        tokens = tuple(token for node in found for token in _tokens(node))
        texts = tuple(text for node in found for text in _texts(node))
        return Values(bool(tokens or texts), tokens=tokens, texts=texts)
    if kind == "string":
        strings = tuple(text for node in found for text in _strings(node))
        return Values(bool(strings), strings=strings)
    if kind == "date":
        dates = tuple(one for node in found if (one := _date(node, place.zone)) is not None)
        return Values(bool(dates), dates=dates)
    if kind in ("number", "quantity"):
        amounts = tuple(one for node in found if (one := _amount(node)) is not None)
        return Values(bool(amounts), amounts=amounts)
    if kind == "uri":
        uris = tuple(str(node.value) for node in found)
        return Values(bool(uris), uris=uris)
    assert kind == "reference", kind
    links = tuple(link for node in found for link in _links(node, place.base))
    return Values(bool(links), links=links)


# -- tokens


def _tokens(node: Node) -> Iterator[Token]:
    value: Any = node.value
    match node.type:
        case "CodeableConcept":
            for coding in value.get("coding", ()):
                yield from _coding(coding)
        case "Coding":
            yield from _coding(value)
        case "Identifier":
            if "value" in value or "system" in value:
                yield identifier_token(value)
        case "ContactPoint":
            # R4 leaves contact points to servers; here the value, with or without its system (phone, email).
            if "value" in value:
                yield Token("", value["value"])
                yield Token(value.get("system", ""), value["value"])
        case "boolean":
            text = "true" if value else "false"
            yield Token("", text)
            yield Token(SPECIAL_VALUES, text)
        case "string" | "markdown":
            yield Token("", value, any_case=True)
        case "Quantity" | "Range" | "Reference":
            return  # R4 has them selected by a token parameter, but they have no code: Group.characteristic
        case "code":
            # R4: its namespace is implied by the value set; a search may name it or not.
            yield Token("", value)
            yield from (Token(system, value) for system in bound_systems(node.path, value))
        case _:
            assert node.type in ("id", "uri", "canonical", "System.String"), node
            yield Token("", str(value))


def _coding(coding: Json) -> Iterator[Token]:
    if "code" in coding or "system" in coding:
        yield Token(coding.get("system", ""), coding.get("code"))


def identifier_token(identifier: Json) -> Token:
    kinds = tuple(
        (coding.get("system", ""), coding["code"])
        for coding in identifier.get("type", {}).get("coding", ())
        if "code" in coding
    )
    return Token(identifier.get("system", ""), identifier.get("value"), kinds=kinds)


def _texts(node: Node) -> Iterator[str]:
    """What `:text` looks at: CodeableConcept.text, Coding.display, Identifier.type.text."""
    value: Any = node.value
    if node.type == "CodeableConcept":
        yield from (coding["display"] for coding in value.get("coding", ()) if "display" in coding)
        if "text" in value:
            yield value["text"]
    elif node.type == "Coding" and "display" in value:
        yield value["display"]
    elif node.type == "Identifier" and "text" in value.get("type", {}):
        yield value["type"]["text"]


# -- strings


def _strings(node: Node) -> Iterator[str]:
    value: Any = node.value
    if node.type == "HumanName":
        yield from (value[part] for part in ("family", "text") if part in value)
        for part in ("given", "prefix", "suffix"):
            yield from (text for text in value.get(part, ()) if text is not None)
    elif node.type == "Address":
        yield from (text for text in value.get("line", ()) if text is not None)
        parts = ("city", "district", "state", "postalCode", "country", "text")
        yield from (value[part] for part in parts if part in value)
    else:
        assert isinstance(value, str), node
        yield value


_JOINING = frozenset("'’‘ʼ`´.")
_MARKS = frozenset('!"#$%&()*+,-/:;<=>?@[\\]^_{|}~')


def folded(text: str) -> str:
    """Without case, accents, punctuation and surplus spaces.

    The standard leaves to servers which characters that is. Here apostrophes and full stops join what they
    separate, all other punctuation and ASCII symbols stand for a space; a text of nothing else keeps them.
    """
    made = []
    for character in unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()):
        category = unicodedata.category(character)
        if category == "Mn" or character in _JOINING:
            continue
        made.append(" " if character in _MARKS or category.startswith("P") else character)
    return " ".join("".join(made).split()) or " ".join(text.casefold().split())


# -- dates, numbers, quantities


def _date(node: Node, zone: ZoneInfo) -> Range | None:
    value: Any = node.value
    if node.type == "Period":
        return period_range(value, zone)
    if node.type == "Timing":
        return timing_range(value, zone)
    # A string may stand where a date may (CarePlan.activity.detail.scheduled); it is none.
    return date_range(value, zone) if node.type in ("date", "dateTime", "instant") else None


def _amount(node: Node) -> Amount | None:
    value: Any = node.value
    match node.type:
        case "Range":
            low, high = value.get("low", {}), value.get("high", {})
            if "value" not in low and "value" not in high:
                return None
            units = _units(low) | _units(high)
            return Amount(_number(low, -INFINITE), _number(high, INFINITE), units)
        case "Money":
            code = {"code": value["currency"], "system": CURRENCIES} if "currency" in value else {}
            return _quantity({**value, **code})
        case "SampledData":
            return _samples(value)
        case _ if isinstance(value, Mapping):
            return _quantity(value)
        case _:
            return Amount(Decimal(str(value)), Decimal(str(value)))


def _number(quantity: Json, missing: Decimal = Decimal(0)) -> Decimal:
    return Decimal(str(quantity["value"])) if "value" in quantity else missing


def _quantity(value: Json) -> Amount | None:
    """A comparator opens the side it points to: "< 5" is every number below 5, without 5 itself."""
    if "value" not in value:
        return None
    low = high = _number(value)
    comparator = value.get("comparator", "")
    if comparator == "<":
        high = EXACT.subtract(high, A_LITTLE)
    elif comparator == ">":
        low = EXACT.add(low, A_LITTLE)
    return Amount(
        -INFINITE if comparator.startswith("<") else low,
        INFINITE if comparator.startswith(">") else high,
        _units(value),
    )


def _units(quantity: Json) -> frozenset[tuple[str | None, str]]:
    found: set[tuple[str | None, str]] = {
        (None, quantity[part]) for part in ("code", "unit") if part in quantity
    }
    if "code" in quantity and "system" in quantity:
        found.add((quantity["system"], quantity["code"]))
    return frozenset(found)


def _samples(value: Json) -> Amount | None:
    """From the lowest to the highest sample, in the unit of its origin; E, U and L are no numbers."""
    origin, factor = _number(value["origin"]), Decimal(str(value.get("factor", 1)))
    numbers = [
        Decimal(text) * factor + origin for text in value.get("data", "").split() if text not in ("E", "U", "L")
    ]
    return Amount(min(numbers), max(numbers), _units(value["origin"])) if numbers else None


# -- references


def _links(node: Node, base: str) -> Iterator[Link]:
    value: Any = node.value
    if isinstance(value, str):  # canonical, or a uri under a reference parameter
        url, _, version = value.partition("|")
        yield Link(local_key(url, base), url, version)
    elif "resourceType" in value:  # a resource within a Bundle, as if referred to
        if "id" in value:
            yield Link((value["resourceType"], value["id"]))
    else:
        literal = value.get("reference", "")
        logical = value.get("identifier")
        if literal or logical is not None or "display" in value:
            yield Link(
                local_key(literal, base),
                "" if literal.startswith("#") else literal,
                identifier=identifier_token(logical) if logical is not None else None,
                type=evident_type(value) or "",
            )


def local_key(text: str, base: str) -> tuple[str, str] | None:
    """(type, id) of a reference to a resource of this server, whatever version it names."""
    parts = text.removeprefix(base).split("/")
    if len(parts) == 4 and parts[2] == "_history":
        parts = parts[:2]
    if len(parts) != 2 or not parts[0].isalpha() or not parts[0][:1].isupper() or not parts[1]:
        return None
    return parts[0], parts[1]
