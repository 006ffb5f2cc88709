"""What a Patient resource says of who somebody is, in the form in which it is compared.

Placeholders (an unknown name, a number of nines) are left out: agreement in them says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from server.fhir.folding import fold
from server.interactions.operations.matching.model import Model

_NOT_IN_NUMBERS = re.compile(r"[^0-9A-Za-z]")
_NOT_A_DIGIT = re.compile(r"[^0-9]")
_PHONE_DIGITS = 7  # fewer are an extension, not a number
_SUFFIXES = {
    "jr": "2", "junior": "2", "sr": "1", "senior": "1", "i": "1", "ii": "2", "iii": "3", "iv": "4", "v": "5",
}  # fmt: skip
_WORDS = {
    "street": "st", "avenue": "ave", "road": "rd", "drive": "dr", "lane": "ln", "boulevard": "blvd",
    "court": "ct", "place": "pl", "apartment": "apt", "suite": "ste", "north": "n", "south": "s",
    "east": "e", "west": "w",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Name:
    """family: its words. given: its words in order. Both folded."""

    family: tuple[str, ...] = ()
    given: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """identifiers: (system, value without separators). names: also former ones. birth_date: as written.
    generations: of a suffix (Jr. and II are 2). phones: last ten digits. places: (postal code, line)."""

    identifiers: frozenset[tuple[str, str]] = frozenset()
    names: tuple[Name, ...] = ()
    generations: frozenset[str] = frozenset()
    birth_date: str = ""
    gender: str = ""
    multiple_birth: int | None = None
    phones: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()
    places: frozenset[tuple[str, str]] = frozenset()


def person(patient: Mapping[str, Any], model: Model) -> Person:
    """The person that a valid Patient resource describes."""
    names = tuple(dict.fromkeys(_names(patient, model)))
    birth_date = patient.get("birthDate", "")
    telecom = patient.get("telecom", ())
    order = patient.get("multipleBirthInteger")
    return Person(
        identifiers=frozenset(_identifiers(patient, model)),
        names=tuple(name for name in names if name.family or name.given),
        generations=frozenset(_generations(patient)),
        birth_date="" if birth_date in model.no_birth_dates else birth_date,
        gender=patient.get("gender", "") if patient.get("gender") in ("male", "female") else "",
        multiple_birth=order if isinstance(order, int) else None,
        phones=frozenset(_phones(telecom)),
        emails=frozenset(
            point["value"].strip().casefold()
            for point in telecom
            if point.get("system") == "email" and "@" in point.get("value", "")
        ),
        places=frozenset(_places(patient)),
    )


def number(text: str) -> str:
    """A number without what separates its digits and letters."""
    return _NOT_IN_NUMBERS.sub("", text).casefold()


def is_placeholder(value: str, model: Model) -> bool:
    """Whether a number, without separators, stands for none."""
    return len(set(value)) < 2 or value in model.no_identifiers


def _identifiers(patient: Mapping[str, Any], model: Model) -> Iterator[tuple[str, str]]:
    for identifier in patient.get("identifier", ()):
        system, value = identifier.get("system", ""), number(identifier.get("value", ""))
        codes = {coding.get("code") for coding in identifier.get("type", {}).get("coding", ())}
        if system and not is_placeholder(value, model) and not codes & model.shared_types:
            yield system, value


def _names(patient: Mapping[str, Any], model: Model) -> Iterator[Name]:
    for name in patient.get("name", ()):
        family, given = name.get("family", ""), " ".join(word for word in name.get("given", ()) if word)
        if not family and not given and name.get("text"):
            family, given = _of_text(name["text"])
        families = tuple(w for w in fold(family).split() if w not in model.no_family and w not in _SUFFIXES)
        givens = tuple(fold(given).split())
        if any(word in model.no_given for word in givens):
            givens = ()
        yield Name(families, givens)


def _of_text(text: str) -> tuple[str, str]:
    """Family and given names of a name that is only a text: "Given Family" or "Family, Given"."""
    before, comma, after = text.partition(",")
    if comma and fold(after) not in _SUFFIXES:
        return before, after
    words = [word for word in before.split() if fold(word) not in _SUFFIXES]
    return (words[-1], " ".join(words[:-1])) if words else ("", "")


def _generations(patient: Mapping[str, Any]) -> Iterator[str]:
    for name in patient.get("name", ()):
        written = [word for word in name.get("suffix", ()) if word]
        written += name.get("family", "").split()[1:] + name.get("text", "").split()[2:]
        for word in written:
            found = _SUFFIXES.get(fold(word))
            if found:
                yield found


def _phones(telecom: Any) -> Iterator[str]:
    for point in telecom:
        if point.get("system") in ("phone", "sms", "fax"):
            digits = _NOT_A_DIGIT.sub("", point.get("value", ""))[-10:]
            if len(digits) >= _PHONE_DIGITS and len(set(digits)) > 1:
                yield digits


def _places(patient: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for address in patient.get("address", ()):
        code = number(address.get("postalCode", ""))
        words = fold(" ".join(line for line in address.get("line", ()) if line)).split()
        line = " ".join(_WORDS.get(word, word) for word in words)
        if code or line:
            yield (code[:5] if code.isdigit() else code), line
