"""`name:modifier=value,value` on one resource: the rules of matching, by the parameter's type.

Values are read from the query string here, anew from the standard.
Source: hl7.org/fhir/R4/search.html#ptypes, #modifiers, #escaping
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from search_oracle.dates import Range, compare_dates, date_range, widened
from search_oracle.definitions import Parameter, parameters
from search_oracle.terminology import included, members, related
from search_oracle.units import UCUM, UNITS, Number, converted, exact
from search_oracle.values import Amount, Link, Place, Token, Values, folded, local_key

_PREFIXED = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)(?=[-+0-9])")


class Impossible(ValueError):
    """A value that its parameter cannot have."""


class Refused(ValueError):
    """A search that is refused: what it names is not known to the server, as far as the caller may see."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What the reading of values depends on. seen: the resources (Held) that the caller may see."""

    place: Place
    now: datetime
    seen: Sequence[Any] = ()


def split(text: str, separator: str) -> list[str]:
    r"""The parts between separators that no backslash escapes; the parts stay escaped."""
    parts = [""]
    characters = iter(text)
    for character in characters:
        if character == "\\":
            parts[-1] += character + next(characters, "")
        elif character == separator:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def plain(text: str) -> str:
    r"""Without the backslashes of `\,` `\|` `\$` `\\`."""
    return re.sub(r"\\([,|$\\])", r"\1", text)


Test = Callable[[Values], bool]


def clause(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    """The test that a resource's values of the parameter must pass. Raises: Impossible."""
    if modifier == "missing":
        wanted = {"true": False, "false": True}[text]
        return lambda values: values.present is wanted
    tests = [_one(parameter, modifier, part, asking) for part in split(text, ",")]
    if modifier in ("not", "not-in"):  # also resources without the element
        return lambda values: not any(test(values) for test in tests)
    return lambda values: any(test(values) for test in tests)


def _one(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    special = _BY_MODIFIER.get((parameter.type, modifier))
    if special is not None:
        return special(parameter, modifier, text, asking)
    if modifier == "identifier":
        same = _token_test(text)
        return lambda values: any(
            link.identifier is not None and same(link.identifier) for link in values.links
        )
    return _BY_TYPE[parameter.type](parameter, modifier, text, asking)


def _composite(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    """`a$b`: both parts in one and the same element."""
    parts = split(text, "$")
    if len(parts) != len(parameter.components):
        raise Impossible
    tests = [
        _one(component.parameter, "", part, asking)
        for component, part in zip(parameter.components, parts, strict=True)
    ]
    return lambda values: any(
        all(test(held) for test, held in zip(tests, group, strict=True)) for group in values.groups
    )


def _string(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    written, sought = plain(text), folded(plain(text))
    if modifier == "exact":
        return lambda values: written in values.strings
    if modifier == "contains":
        return lambda values: any(sought in folded(held) for held in values.strings)
    return lambda values: any(folded(held).startswith(sought) for held in values.strings)


def _text(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    sought = folded(plain(text))
    return lambda values: any(folded(held).startswith(sought) for held in values.texts)


def _token(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    same = _token_test(text)
    return lambda values: any(same(token) for token in values.tokens)


def _token_test(text: str) -> Callable[[Token], bool]:
    """`code`: any system. `system|code`, `|code`: this system, or none. `system|`: any code of it."""
    parts = [plain(part) for part in split(text, "|")]
    if len(parts) > 2 or not any(parts):
        raise Impossible
    system, code = (None, parts[0]) if len(parts) == 1 else (parts[0], parts[1])

    def same(token: Token) -> bool:
        if system is not None and token.system != system:
            return False
        if not code:
            return True
        held = token.code or ""
        return held.casefold() == code.casefold() if token.any_case else held == code

    return same


def _of_type(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    """`system|code|value`: an Identifier with this type and this value."""
    parts = [plain(part) for part in split(text, "|")]
    if len(parts) != 3 or not all(parts):
        raise Impossible
    system, code, value = parts
    return lambda values: any((system, code) in token.kinds and token.code == value for token in values.tokens)


def _reference(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    written = plain(text)
    key = local_key(written, asking.place.base)
    if key is None and re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", written):
        # An id alone is of the parameter's type where it has only one.
        wanted = modifier or (parameter.targets[0] if len(parameter.targets) == 1 else "")

        def by_id(link: Link) -> bool:
            return link.key is not None and link.key[1] == written and wanted in ("", link.key[0])

        return lambda values: any(by_id(link) for link in values.links)
    if key is not None:
        if modifier not in ("", key[0]):
            raise Impossible
        return lambda values: any(link.key == key for link in values.links)
    url, _, version = written.partition("|")

    def by_url(link: Link) -> bool:
        return link.key is None and link.url == url and version in ("", link.version)

    return lambda values: any(by_url(link) for link in values.links)


def _prefix(text: str) -> tuple[str, str]:
    match = _PREFIXED.match(text)
    return (match[1], text[2:]) if match else ("eq", text)


def _date(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    prefix, written = _prefix(text)
    asked: Range = date_range(written, asking.place.zone)
    if prefix == "ap":
        asked = widened(asked, asking.now)
    return lambda values: any(compare_dates(prefix, asked, held) for held in values.dates)


def _number(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    same = _amount_test(text)
    return lambda values: any(same(exact(held.low), exact(held.high)) for held in values.amounts)


def _amount_test(text: str) -> Callable[[Number, Number], bool]:
    """The test of a range. A stored number is a point, whatever its digits; what is asked has its precision."""
    prefix, written = _prefix(text)
    value = Fraction(written)
    low, high = map(Fraction, implicit_range(written))
    near_low, near_high = value - abs(value) / 10, value + abs(value) / 10

    def test(a: Number, b: Number) -> bool:
        within = low <= a and b < high
        return {
            "eq": within,
            "ne": not within,
            "gt": b > value,
            "lt": a < value,
            "ge": b >= value,
            "le": a <= value,
            "sa": a > value,
            "eb": b < value,
            "ap": a <= near_high and b >= near_low,
        }[prefix]

    return test


def implicit_range(written: str) -> tuple[Decimal, Decimal]:
    """Half a unit of the last digit to each side: 5.4 is [5.35, 5.45), and by R4's example 1e2 is [95, 105)."""
    digits, _, power = written.lower().partition("e")
    decimals = len(digits.partition(".")[2])
    if power and decimals == 0 and len(digits.lstrip("+-")) == 1:
        decimals = 1
    margin = Decimal(5).scaleb(int(power or 0) - decimals - 1)
    return Decimal(written) - margin, Decimal(written) + margin


def _quantity(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    number, system, code = (*(plain(part) for part in split(text, "|")), "", "")[:3]
    same = _amount_test(number)

    def found(held: Amount) -> bool:
        low, high = exact(held.low), exact(held.high)
        if not code:
            return same(low, high)
        if system != UCUM or code not in UNITS:
            return (system or None, code) in held.units and same(low, high)
        # By each of its own units of UCUM that measures the same.
        ends = [(converted(low, own, code), converted(high, own, code)) for of, own in held.units if of == UCUM]
        return any(a is not None and b is not None and same(a, b) for a, b in ends)

    return lambda values: any(found(held) for held in values.amounts)


def _uri(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    written = plain(text)
    return lambda values: written in values.uris


def _uri_path(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    """URLs are above and below one another by whole parts of their paths; another uri only itself."""
    written = plain(text)

    def under(one: str, other: str) -> bool:
        url = "://" in one and "://" in other
        return one == other or (url and (one.rstrip("/") + "/").startswith(other.rstrip("/") + "/"))

    if modifier == "below":
        return lambda values: any(under(held, written) for held in values.uris)
    return lambda values: any(under(written, held) for held in values.uris)


def _in_value_set(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    """A ValueSet of this server by its id, or one of R4's by its url. Raises: Refused."""
    written = plain(text)
    key = local_key(written, asking.place.base)
    if key is None:
        listed = members(written)
        assert listed, written
        return lambda values: any((token.system, token.code) in listed for token in values.tokens)
    stored = [held.resource for held in asking.seen if held.key == key]
    if not stored or "compose" not in stored[0]:
        raise Refused(text)
    return lambda values: any(
        token.system and included(stored[0], token.system, token.code) for token in values.tokens
    )


def _concept(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    """`system|code`: a code that is above or below it in the hierarchy of its system."""
    system, code = (plain(part) for part in split(text, "|"))
    wanted = related(modifier, system, code)
    return lambda values: any(token.system == system and token.code in wanted for token in values.tokens)


# Type -> its parameter that refers to what a resource is a part of.
PARTS = {
    "CarePlan": "part-of",
    "Encounter": "part-of",
    "Location": "partof",
    "Organization": "partof",
    "Procedure": "part-of",
    "Task": "part-of",
}


def _tree(parameter: Parameter, modifier: str, text: str, asking: Asking) -> Test:
    """References to a resource and to its parts, or to what it is a part of, through what the caller may see.

    Of a canonical: its versions.
    """
    written = plain(text)
    if written.startswith("http") and local_key(written, asking.place.base) is None:
        url, _, version = written.partition("|")
        return lambda values: any(
            link.url == url
            and (link.version == version or link.version.startswith(version + ".") or not version)
            for link in values.links
        )
    key = local_key(written, asking.place.base)
    assert key is not None, "the type is named"
    found, level = {key}, {key}
    while level:
        level = {other for one in asking.seen for other in _steps(one, modifier, level, asking)} - found
        found |= level
    return lambda values: any(link.key in found for link in values.links)


def _steps(one: Any, modifier: str, level: set[Any], asking: Asking) -> Iterator[Any]:
    """Keys one step up from, or down to, a resource that may be seen."""
    if one.key[0] not in PARTS:
        return
    wholes = {link.key for link in one.links(parameters(one.key[0])[PARTS[one.key[0]]]) if link.key}
    if modifier == "below":
        yield from [one.key] if wholes & level else []
    elif one.key in level:
        yield from wholes & {held.key for held in asking.seen}


_BY_MODIFIER: Mapping[tuple[str, str], Callable[[Parameter, str, str, Asking], Test]] = {
    ("token", "text"): _text,
    ("token", "of-type"): _of_type,
    ("token", "in"): _in_value_set,
    ("token", "not-in"): _in_value_set,
    ("token", "above"): _concept,
    ("token", "below"): _concept,
    ("uri", "above"): _uri_path,
    ("uri", "below"): _uri_path,
    ("reference", "above"): _tree,
    ("reference", "below"): _tree,
}
_BY_TYPE: Mapping[str, Callable[[Parameter, str, str, Asking], Test]] = {
    "string": _string,
    "token": _token,
    "reference": _reference,
    "date": _date,
    "number": _number,
    "quantity": _quantity,
    "uri": _uri,
    "composite": _composite,
}
