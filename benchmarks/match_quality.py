"""Measure Patient/$match on corrupted copies of synthetic people; write the table into docs/reference/match.md.

    python benchmarks/match_quality.py [--seed 20261121] [--people 4000] [--questions 2000] [--check]

The people are put together anew from the elements of the shipped synthetic charts: the same few names again and
again, in households, with twins and with fathers and sons of one name. Half of the questions are corrupted
copies of a stored person, half ask for somebody who is not stored but close to one who is. Everything goes
through the door of the server, on a database of its own. Exit status 1 when anybody else is called certain or
a figure falls below its floor.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from server.app import new_id
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.demo_data.charts import bundles
from server.fhir.json_codec import decode
from server.interactions.operations.match import GRADE
from server.interactions.operations.matching.grade import GRADES
from server.interactions.perform import perform
from server.interactions.request import Context, InteractionRequest
from server.storage import open_store

DOCUMENT = Path(__file__).parent.parent / "docs" / "reference" / "match.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
FLOORS = {"certain": 1.0, "probable": 0.95, "found": 0.97}
_CALLER = Principal(client_id="benchmark", scopes=parse_scopes("system/*.cruds"))
_MRN, _SSN = "http://hospital.smarthealthit.org", "http://hl7.org/fhir/sid/us-ssn"

Person = dict[str, Any]


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


def _strangers(elements: _Elements) -> dict[str, Callable[[Person, random.Random], Person]]:
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


# -- asking


@dataclass(slots=True)
class Score:
    """right, wrong: matches by grade. asked, found: questions by what was done to them, found by best grade."""

    right: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    found: dict[str, Counter[str]] = field(default_factory=dict)
    milliseconds: list[float] = field(default_factory=list)

    def precision(self, grade: str) -> float:
        return self.right[grade] / max(1, self.right[grade] + self.wrong[grade])

    def recall(self, grade: str) -> float:
        """Of the questions for somebody who is there, those whose answer has him at this grade or better."""
        known = GRADES[: GRADES.index(grade) + 1]  # type: ignore[arg-type]
        hits = sum(self.found[name][g] for name in CORRUPTIONS if name in self.found for g in known)
        return hits / max(1, sum(self.asked[name] for name in CORRUPTIONS))


def measure(seed: int, count: int, questions: int, folder: Path) -> Score:
    chance = random.Random(seed)
    context = _context(folder)
    stored = list(people(count, chance))
    with context.store.writing():
        for person in stored:
            perform(context, _CALLER, InteractionRequest("update", "Patient", person["id"], body=person))
    known = {_names_and_birth(person) for person in stored}
    score = Score()
    strangers = _strangers(_elements())
    for number in range(questions):
        names = list(strangers if number % 2 else CORRUPTIONS)
        name = names[number // 2 % len(names)]
        described, wanted = (
            (_stranger(stored, known, strangers[name], chance), "")
            if number % 2
            else _copy(stored, name, chance)
        )
        described = {key: value for key, value in described.items() if value not in (None, []) and key != "id"}
        _ask(context, described, wanted, name, score)
    return score


def _names_and_birth(person: Person) -> tuple[str, ...]:
    name = person["name"][0]
    return name["family"], name["given"][0], person["birthDate"]


def _stranger(
    stored: list[Person],
    known: set[tuple[str, ...]],
    make: Callable[[Person, random.Random], Person],
    chance: random.Random,
) -> Person:
    """Somebody who is not stored, not even by accident."""
    while True:
        made = make(chance.choice(stored), chance)
        if _names_and_birth(made) not in known:
            return made


def _copy(stored: list[Person], name: str, chance: random.Random) -> tuple[Person, str]:
    """A copy in which everything that was to be changed is another, and whose copy it is."""
    while True:
        person = chance.choice(stored)
        changed = CORRUPTIONS[name](person, chance)
        if all(person[element] != value for element, value in changed.items()):
            return person | changed, person["id"]


def _ask(context: Context, described: Person, wanted: str, name: str, score: Score) -> None:
    request = InteractionRequest("operation", "Patient", operation="match", body=described)
    began = time.perf_counter()
    answer = decode(perform(context, _CALLER, request).body)
    score.milliseconds.append((time.perf_counter() - began) * 1_000)
    score.asked[name] += 1
    found = score.found.setdefault(name, Counter())
    for entry in answer.get("entry", ()):
        if entry["search"]["mode"] != "match":
            continue
        grade = next(e["valueCode"] for e in entry["search"]["extension"] if e["url"] == GRADE)
        right = entry["resource"]["id"] == wanted
        (score.right if right else score.wrong)[grade] += 1
        if right or not wanted:
            found[grade] += 1


def _context(folder: Path) -> Context:
    store = open_store(f"sqlite:///{folder / 'match.sqlite3'}")
    store.upgrade()
    return Context(
        store=store,
        base_url="http://127.0.0.1/fhir",
        clock=lambda: datetime.now(UTC),
        new_id=new_id,
        cursor_key=b"benchmark",
        time_zone="America/New_York",
        audit=lambda row: None,
    )


def table(score: Score, seed: int, count: int) -> str:
    """The section of the document, without anything that differs from run to run."""
    lines = [
        f"Seed {seed}, {count} people, {score.asked.total()} questions.",
        "",
        "| grade | matches | the right person | precision | recall at this grade or better |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for grade in GRADES[:-1]:
        right, precision, recall = score.right[grade], score.precision(grade), score.recall(grade)
        lines.append(f"| {grade} | {right + score.wrong[grade]} | {right} | {precision:.1%} | {recall:.1%} |")
    shown = GRADES[:-1]
    lines += [
        "",
        "A copy of somebody who is stored, by what was changed in it: how often found at which grade.",
        "",
    ]
    lines += _by_name(score, [name for name in CORRUPTIONS if score.asked[name]], shown)
    lines += ["", "Somebody who is not stored: how many stored people were offered, at which grade.", ""]
    lines += _by_name(score, [name for name in score.asked if name not in CORRUPTIONS], shown)
    return "\n".join(lines)


def _by_name(score: Score, names: list[str], grades: tuple[str, ...]) -> list[str]:
    lines = [f"| | questions | {' | '.join(grades)} |", f"| --- | ---: |{' ---: |' * len(grades)}"]
    for name in names:
        cells = " | ".join(str(score.found[name][grade]) for grade in grades)
        lines.append(f"| {name} | {score.asked[name]} | {cells} |")
    return lines


def write(section: str) -> None:
    """Replace what stands between the two markers."""
    text = DOCUMENT.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    DOCUMENT.write_text(f"{head}{BEGIN}\n{section}\n{END}{tail}", encoding="utf-8")


@click.command()
@click.option("--seed", type=int, default=20261121, show_default=True)
@click.option("--people", "count", type=click.IntRange(min=10), default=4_000, show_default=True)
@click.option("--questions", type=click.IntRange(min=1), default=2_000, show_default=True)
@click.option("--check", is_flag=True, help="Only measure; leave the document as it is.")
def main(seed: int, count: int, questions: int, check: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        score = measure(seed, count, questions, Path(folder))
    section = table(score, seed, count)
    if not check:
        write(section)
    click.echo(section)
    ordered = sorted(score.milliseconds)
    click.echo(f"\np50 {ordered[len(ordered) // 2]:.1f} ms, p95 {ordered[len(ordered) * 95 // 100]:.1f} ms")
    low = {
        "certain": score.precision("certain"),
        "probable": score.precision("probable"),
        "found": score.recall("possible"),
    }
    if any(low[name] < floor for name, floor in FLOORS.items()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
