"""The searches that each value of a resource must be found by, as (name, value) pairs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from math import isinf

from search_oracle.dates import Range
from search_oracle.definitions import Parameter
from search_oracle.evaluator import Held
from search_oracle.paths import select
from search_oracle.questions import Offered
from search_oracle.values import Amount, Link, Token, Values
from search_oracle.wording import escaped

Pair = tuple[str, str]
_DATES = ("date", "dateTime", "instant")


def searches(held: Held, parameter: Parameter, offered: Offered) -> Iterator[Pair]:
    """Every search by one of the resource's values of the parameter."""
    values = held.values(parameter)
    code = parameter.code
    if code == "_id":  # docs/reference/search.md: an id is written without a system
        yield code, held.key[1]
        return
    if parameter.type == "composite":
        yield from ((code, text) for group in values.groups for text in _composite(parameter, group))
        return
    if parameter.type == "date":
        nodes = select(held.resource, parameter.expressions, held.resource)
        yield from ((code, str(node.value)) for node in nodes if node.type in _DATES)
    yield from ((code, text) for text in texts(parameter, values))
    yield from ((f"{code}:exact", escaped(text)) for text in values.strings)
    yield from ((f"{code}:identifier", _token(link.identifier)) for link in values.links if link.identifier)
    if ":of-type" in offered.forms:
        for token in values.tokens:
            yield from (
                (f"{code}:of-type", f"{escaped(system)}|{escaped(kind)}|{escaped(token.code)}")
                for system, kind in token.kinds
                if system and token.code
            )
    if ":text" in offered.forms and parameter.type == "token":
        yield from ((f"{code}:text", escaped(text)) for text in values.texts)
    if values.present and code != "_lastUpdated":
        yield f"{code}:missing", "false"


def texts(parameter: Parameter, values: Values) -> Iterator[str]:
    """The values as a search says them."""
    yield from map(_token, values.tokens)
    yield from map(escaped, values.strings)
    yield from map(escaped, values.uris)
    for held in values.dates:
        yield from _date(held)
    for amount in values.amounts:
        yield from _amount(amount)
    for link in values.links:
        yield from _link(parameter, link)


def _token(token: Token) -> str:
    if token.code is None:
        return f"{escaped(token.system)}|"
    return f"{escaped(token.system)}|{escaped(token.code)}" if token.system else f"|{escaped(token.code)}"


def _date(held: Range) -> Iterator[str]:
    """Some of it is at or after its start, and some at or before its end."""
    low, high = held
    if not isinf(low):
        yield "ge" + _written(low)
    if not isinf(high):
        yield "le" + _written(high - 1)


def _written(microseconds: float) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(microseconds))
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _amount(amount: Amount) -> Iterator[str]:
    """By its number alone and with each of its units; a range by its ends."""
    ends = (("", amount.low),) if amount.low == amount.high else (("le", amount.low), ("ge", amount.high))
    for prefix, end in ends:
        if end.is_finite():
            yield f"{prefix}{end}"
            for system, code in sorted(amount.units, key=str):
                yield f"{prefix}{end}|{escaped(system or '')}|{escaped(code)}"


def _link(parameter: Parameter, link: Link) -> Iterator[str]:
    if link.key is not None:
        yield "/".join(link.key)
        if parameter.may_target(link.key[0]):  # a Bundle's first entry may be of any type
            yield link.key[1]
    elif link.url:
        yield escaped(link.url)
        if link.version:
            yield escaped(f"{link.url}|{link.version}")


def _composite(parameter: Parameter, group: tuple[Values, ...]) -> Iterator[str]:
    """Each value of the first component with each of the second ..."""
    parts = zip(parameter.components, group, strict=True)
    for chosen in product(*(tuple(texts(part.parameter, values)) for part, values in parts)):
        yield "$".join(chosen)
