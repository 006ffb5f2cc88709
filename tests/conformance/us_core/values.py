"""What stands in a resource, as far as searches ask for it: codes, words and spans of time.

Source: hl7.org/fhir/R4/search.html; a reading of its own, that shares nothing with a server's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

DAY = timedelta(days=1)
FIRST, LAST = datetime.min.replace(tzinfo=UTC) + 3 * DAY, datetime.max.replace(tzinfo=UTC) - 3 * DAY


def at(value: Any, path: list[str]) -> Iterator[Any]:
    """The values at a path of searches.toml."""
    if isinstance(value, list):
        for one in value:
            yield from at(one, path)
    elif not path:
        yield value
    elif isinstance(value, dict):
        name, rest = path[0], path[1:]
        if name.startswith("extension("):
            tail = name[len("extension(") : -1]
            for extension in value.get("extension", []):
                if extension["url"].endswith(tail):
                    yield from (part for key, part in extension.items() if key.startswith("value"))
        elif name.endswith("[x]"):
            stem = re.compile(re.escape(name[:-3]) + "[A-Z]")
            for key, part in value.items():
                if stem.match(key):
                    yield from at(part, rest)
        elif name in value:
            yield from at(value[name], rest)


def tokens(value: Any) -> Iterator[tuple[str, str]]:
    """(system, code) of a code, Coding, CodeableConcept or Identifier."""
    if isinstance(value, str):
        yield "", value
    elif "coding" in value:
        yield from (
            (coding.get("system", ""), coding["code"]) for coding in value["coding"] if "code" in coding
        )
    elif "code" in value:
        yield value.get("system", ""), value["code"]
    elif "value" in value:
        yield value.get("system", ""), value["value"]


def words(value: Any) -> Iterator[str]:
    """The strings of a HumanName, an Address or a string."""
    if isinstance(value, str):
        yield value
    else:
        for name in (
            "family",
            "given",
            "prefix",
            "suffix",
            "line",
            "city",
            "district",
            "state",
            "postalCode",
            "text",
        ):
            yield from at(value, [name])


@dataclass(frozen=True, slots=True)
class Span:
    """[low, high) in UTC; slack: how far a server's time zone, or its precision, may move the limits."""

    low: datetime
    high: datetime
    slack: timedelta


def span(value: Any) -> Span | None:
    """What a date, dateTime, instant or Period covers; None of anything else."""
    if isinstance(value, dict):
        if not {"start", "end"} & set(value):
            return None
        start, end = span(value.get("start", "")), span(value.get("end", ""))
        known = [limit.slack for limit in (start, end) if limit]
        return Span(start.low if start else FIRST, end.high if end else LAST, max(known))
    if not isinstance(value, str) or not re.match(r"\d{4}", value):
        return None
    if "T" in value:
        low = datetime.fromisoformat(value).astimezone(UTC)
        return Span(low, low + timedelta(seconds=1), timedelta(seconds=1))
    year, month, day = (*map(int, value.split("-")), 0, 0)[:3]
    low = datetime(year, month or 1, day or 1, tzinfo=UTC)
    if day:
        high = low + DAY
    elif month:
        high = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    else:
        high = datetime(year + 1, 1, 1, tzinfo=UTC)
    return Span(low, high, DAY)


def holds(found: Span, asked: str, strictly: bool) -> bool:
    """Whether a span fulfils a value of a date parameter. strictly: beyond any slack, else within it."""
    prefix = asked[:2] if asked[:2].isalpha() else ""
    wanted = span(asked.removeprefix(prefix))
    assert wanted is not None
    slack = max(found.slack, wanted.slack) * (1 if strictly else -1)
    if prefix in ("gt", "ge"):
        return found.high > wanted.high + slack
    if prefix in ("lt", "le"):
        return found.low < wanted.low - slack
    if strictly:  # the very same value: of what lies within it, slack may leave out any
        return (wanted.low, wanted.high) == (found.low, found.high)
    return found.high > wanted.low + slack and found.low < wanted.high - slack


def escaped(text: str) -> str:
    """text as the value of a search parameter."""
    return re.sub(r"([\\,|$])", r"\\\1", text)
