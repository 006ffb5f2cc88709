"""The searches that find who may be meant: each names enough to be short, so that all of them stay as fast when
there are more patients. None asks for everything to agree; together they forgive what `compare` forgives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from server.interactions.operations.matching.model import Model
from server.interactions.operations.matching.person import Person, is_placeholder, number

Pairs = tuple[tuple[str, str], ...]

_START = 3  # letters of a name that a slip hardly ever touches all
_VALUES = 20  # identifiers, phones and addresses of one resource that are asked for
_ESCAPED = str.maketrans({"\\": "\\\\", ",": "\\,", "|": "\\|", "$": "\\$"})


def searches(patient: Mapping[str, Any], person: Person, model: Model) -> tuple[Pairs, ...]:
    """Search parameters of Patient, a row a search; () where too little is known to look for anybody."""
    return tuple(dict.fromkeys(_searches(patient, person, model)))


def _searches(patient: Mapping[str, Any], person: Person, model: Model) -> Iterator[Pairs]:
    identifiers = _identifiers(patient, model)
    if identifiers:
        yield (("identifier", ",".join(identifiers)),)
    families = sorted({word for name in person.names for word in name.family})
    givens = sorted({name.given[0] for name in person.names if name.given})
    starts = _any_of({word[:_START] for word in (*families, *givens)})
    whole = (("name", _any_of(families)), ("name", _any_of(givens)))
    day = person.birth_date if len(person.birth_date) == 10 else ""
    if starts and day:
        yield ("birthdate", day), ("name", starts)
    if families and givens:
        if day:
            yield ("birthdate", ",".join(slips_of(day))), *whole
            yield ("birthdate:missing", "true"), *whole
        elif person.birth_date:
            yield ("birthdate", person.birth_date), *whole
        if not day:
            yield whole
    if starts and person.phones:
        yield (
            ("phone", _any_of(p for phone in sorted(person.phones)[:_VALUES] for p in spellings(phone))),
            ("name", starts),
        )
    if starts and person.emails:
        yield ("email", _any_of(sorted(person.emails)[:_VALUES])), ("name", starts)
    codes = sorted({code for code, _ in person.places if code})[:_VALUES]
    if codes and families and givens:
        yield ("address-postalcode", _any_of(codes)), *whole


def _identifiers(patient: Mapping[str, Any], model: Model) -> list[str]:
    """`system|value` as written, and social security numbers with and without hyphens."""
    found: dict[str, None] = {}
    for identifier in patient.get("identifier", ())[:_VALUES]:
        system, value = identifier.get("system", ""), identifier.get("value", "")
        plain = number(value)
        if not system or is_placeholder(plain, model):
            continue
        written = [value]
        if len(plain) == 9 and plain.isdigit():
            written += [plain, f"{plain[:3]}-{plain[3:5]}-{plain[5:]}"]
        found.update((f"{system.translate(_ESCAPED)}|{each.translate(_ESCAPED)}", None) for each in written)
    return list(found)


def _any_of(values: Iterable[str]) -> str:
    return ",".join(value.translate(_ESCAPED) for value in dict.fromkeys(values))


def spellings(phone: str) -> tuple[str, ...]:
    """The ways in which a number of ten digits is usually written."""
    if len(phone) != 10:
        return (phone,)
    area, office, line = phone[:3], phone[3:6], phone[6:]
    return (
        phone,
        f"{area}-{office}-{line}",
        f"({area}) {office}-{line}",
        f"({area}){office}-{line}",
        f"{area}.{office}.{line}",
        f"{area} {office} {line}",
        f"+1{phone}",
        f"1{phone}",
        f"+1-{area}-{office}-{line}",
        f"+1 {area}-{office}-{line}",
        f"+1 ({area}) {office}-{line}",
        f"1-{area}-{office}-{line}",
    )


def slips_of(day: str) -> list[str]:
    """The dates that a slip makes of this one: day and month swapped, a digit another, two of them swapped."""
    digits = day.replace("-", "")
    made = [digits[:4] + digits[6:] + digits[4:6]]
    for at in range(len(digits)):
        made += [digits[:at] + digit + digits[at + 1 :] for digit in "0123456789"]
        made.append(digits[:at] + digits[at : at + 2][::-1] + digits[at + 2 :])
    found = {day_of for each in made if (day_of := _calendar(each)) and each != digits}
    return sorted(found)


def _calendar(digits: str) -> str:
    text = f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""
