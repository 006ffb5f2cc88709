"""Synthetic people for measuring Patient/$match: households, people close to somebody, corrupted copies.

They are put together anew from the names and streets of the shipped synthetic charts, so that the same few
names come again and again. Nobody of this is a real person.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from server.demo_data.charts import bundles

_MRN, _SSN = "http://hospital.smarthealthit.org", "http://hl7.org/fhir/sid/us-ssn"

Person = dict[str, Any]
# (somebody who is stored, dice) -> somebody else who is close to him
Stranger = Callable[[Person, random.Random], Person]


# -- people


@dataclass(frozen=True, slots=True)
class _Elements:
    families: list[str]
    givens: dict[str, list[str]]
    streets: list[str]


def _elements() -> _Elements:
    """Names and streets of the shipped charts; Synthea's digits at the ends of names are left out."""
    patients = [
        e["resource"] for b in bundles() for e in b["entry"] if e["resource"]["resourceType"] == "Patient"
    ]
    names = [(p["gender"], n) for p in patients for n in p["name"]]
    practitioners = [
        e["resource"] for b in bundles() for e in b["entry"] if e["resource"]["resourceType"] == "Practitioner"
    ]
    names += [(p.get("gender", "female"), n) for p in practitioners for n in p["name"]]
    givens: dict[str, set[str]] = {"female": set(), "male": set()}
    for gender, name in names:
        givens[gender].update(_letters(given) for given in name.get("given", ()))
    return _Elements(
        sorted({_letters(name["family"]) for _, name in names}),
        {gender: sorted(every) for gender, every in givens.items()},
        sorted({line for p in patients for a in p["address"] for line in a["line"]}),
    )


def _letters(name: str) -> str:
    return name.rstrip("0123456789")


def people(count: int, chance: random.Random) -> Iterator[Person]:
    """Households: couples, children, twins, sons of their father's name. About `count` people."""
    elements = _elements()
    made = 0
    while made < count:
        family = chance.choice(elements.families)
        home = {
            "telecom": [
                {"system": "phone", "value": f"555-{chance.randrange(200, 1000)}-{chance.randrange(10_000):04}"}
            ],
            "address": [
                {
                    "line": [f"{chance.randrange(1, 999)} {chance.choice(elements.streets).partition(' ')[2]}"],
                    "city": "Boston",
                    "state": "MA",
                    "postalCode": f"0{chance.randrange(2100, 2160)}",
                }
            ],
        }
        parents = [
            _person(elements, family, gender, _day(chance, 1930, 1975), home, chance)
            for gender in ("male", "female")
        ]
        children = [
            _person(elements, family, chance.choice(("male", "female")), _day(chance, 1976, 2015), home, chance)
            for _ in range(chance.randrange(3))
        ]
        household = parents + children
        if children and chance.random() < 0.3:
            household.append(twin_of(children[0], chance, elements))
        if chance.random() < 0.1:
            household.append(junior_of(parents[0], chance))
        for person in household:
            person["id"] = f"m{made}"
            made += 1
            yield person


def _person(
    elements: _Elements, family: str, gender: str, born: date, home: dict[str, Any], chance: random.Random
) -> Person:
    given = [chance.choice(elements.givens[gender])]
    if chance.random() < 0.6:
        given.append(chance.choice(elements.givens[gender]))
    return {
        "resourceType": "Patient",
        "identifier": _numbers(chance),
        "name": [{"use": "official", "family": family, "given": given}],
        "gender": gender,
        "birthDate": born.isoformat(),
        **home,
    }


def _numbers(chance: random.Random) -> list[dict[str, str]]:
    return [
        {"system": _MRN, "value": f"{chance.randrange(10_000_000):07}"},
        {"system": _SSN, "value": f"999-{chance.randrange(10, 99)}-{chance.randrange(1000, 9999)}"},
    ]


def _day(chance: random.Random, first: int, last: int) -> date:
    return date(first, 1, 1) + timedelta(days=chance.randrange((last - first) * 365))


# -- somebody else


def twin_of(person: Person, chance: random.Random, elements: _Elements) -> Person:
    own = person["name"][0]["given"][0]
    other = chance.choice([given for given in elements.givens[person["gender"]] if given != own])
    name = person["name"][0] | {"given": [other, *person["name"][0]["given"][1:]]}
    return person | {"identifier": _numbers(chance), "name": [name]}


def junior_of(person: Person, chance: random.Random) -> Person:
    born = date.fromisoformat(person["birthDate"]) + timedelta(days=chance.randrange(20 * 365, 35 * 365))
    suffix = {"suffix": ["Jr."]} if chance.random() < 0.5 else {}
    return person | {
        "identifier": _numbers(chance),
        "name": [person["name"][0] | suffix],
        "birthDate": min(born, date(2024, 1, 1)).isoformat(),
    }


def strangers() -> dict[str, Stranger]:
    """Who is not stored, by what makes him close to somebody who is."""
    elements = _elements()

    def twin(person: Person, chance: random.Random) -> Person:
        return twin_of(person, chance, elements)

    def twin_under_the_others_number(person: Person, chance: random.Random) -> Person:
        return twin_of(person, chance, elements) | {"identifier": person["identifier"]}

    def without_numbers(person: Person, chance: random.Random) -> Person:
        return twin_of(person, chance, elements) | {"identifier": []}

    def number_given_again(person: Person, chance: random.Random) -> Person:
        gender = chance.choice(("female", "male"))
        other = _person(
            elements, chance.choice(elements.families), gender, _day(chance, 1930, 2015), {}, chance
        )
        if other["name"] == person["name"] and other["birthDate"] == person["birthDate"]:
            other["birthDate"] = "1929-01-01"
        return other | {"identifier": person["identifier"][:1]}

    def namesake(person: Person, chance: random.Random) -> Person:
        return junior_of(person, chance) | {"telecom": [], "address": []}

    def junior(person: Person, chance: random.Random) -> Person:
        return junior_of(person, chance) | {"identifier": []}

    def born_on_the_same_day(person: Person, chance: random.Random) -> Person:
        other = _person(elements, person["name"][0]["family"], person["gender"], date(2000, 1, 1), {}, chance)
        given = chance.choice(
            [g for g in elements.givens[person["gender"]] if g != person["name"][0]["given"][0]]
        )
        other["name"][0]["given"] = [given]
        return other | {"birthDate": person["birthDate"]}

    return {
        "a twin": twin,
        "a twin without numbers": without_numbers,
        "a twin under the other's numbers": twin_under_the_others_number,
        "a son of his father's name, same home": junior,
        "somebody of the same name, elsewhere": namesake,
        "a record number given again": number_given_again,
        "same family name and birth date": born_on_the_same_day,
    }


# -- corrupted copies


def _slip(word: str, chance: random.Random) -> str:
    at = chance.randrange(max(1, len(word) - 1))
    return chance.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
            word[:at] + "e" + word[at:],
        )
    )


def _name(person: Person, **changed: Any) -> dict[str, Any]:
    return {"name": [person["name"][0] | changed]}


def _swapped_day(person: Person) -> str:
    year, month, day = person["birthDate"].split("-")
    return f"{year}-{day}-{month}" if int(day) <= 12 else person["birthDate"]


def _other_digit(person: Person, chance: random.Random) -> str:
    year, month, day = person["birthDate"].split("-")
    return (
        f"{int(year) + chance.choice((-10, -1, 1, 10))}-{month}-{day if day != '29' or month != '02' else '28'}"
    )


CORRUPTIONS: dict[str, Callable[[Person, random.Random], dict[str, Any]]] = {
    "nothing": lambda p, c: {},
    "no numbers": lambda p, c: {"identifier": []},
    "no numbers, telephone and address": lambda p, c: {"identifier": [], "telecom": [], "address": []},
    "a slip in the family name": lambda p, c: _name(p, family=_slip(p["name"][0]["family"], c)),
    "the same, no numbers": lambda p, c: {
        "identifier": [],
        **_name(p, family=_slip(p["name"][0]["family"], c)),
    },
    "a slip in the first name, no numbers": lambda p, c: {
        "identifier": [],
        **_name(p, given=[_slip(p["name"][0]["given"][0], c)]),
    },
    "initial instead of first name, no numbers": lambda p, c: {
        "identifier": [],
        **_name(p, given=[p["name"][0]["given"][0][0]]),
    },
    "given and family name swapped, no numbers": lambda p, c: {
        "identifier": [],
        **_name(p, family=p["name"][0]["given"][0], given=[p["name"][0]["family"]]),
    },
    "new family name": lambda p, c: _name(p, family="Neuling"),
    "new family name, no numbers": lambda p, c: {"identifier": [], **_name(p, family="Neuling")},
    "day and month swapped, no numbers": lambda p, c: {"identifier": [], "birthDate": _swapped_day(p)},
    "another digit in the birth date, no numbers": lambda p, c: {
        "identifier": [],
        "birthDate": _other_digit(p, c),
    },
    "another digit in the birth date": lambda p, c: {"birthDate": _other_digit(p, c)},
    "no birth date, no numbers": lambda p, c: {"identifier": [], "birthDate": None},
    "moved, new telephone, no numbers": lambda p, c: {
        "identifier": [],
        "telecom": [{"system": "phone", "value": "617-555-0199"}],
        "address": [{"line": ["1 New Street"], "postalCode": "94105"}],
    },
    "telephone written otherwise, no numbers, no address": lambda p, c: {
        "identifier": [],
        "address": [],
        "telecom": [{"system": "phone", "value": "+1 " + p["telecom"][0]["value"].replace("-", " ")}],
    },
    "numbers and name only": lambda p, c: {"birthDate": None, "telecom": [], "address": [], "gender": None},
    "wrong gender": lambda p, c: {"gender": {"male": "female", "female": "male"}[p["gender"]]},
}
