"""Measure Patient/$match on corrupted copies of synthetic people; write the table into docs/reference/match.md.

    python benchmarks/match_quality.py [--seed 20261121] [--people 4000] [--questions 2000] [--check]

The people are those of match_people. Half of the questions are corrupted
copies of a stored person, half ask for somebody who is not stored but close to one who is. Everything goes
through the door of the server, on a database of its own. Exit status 1 when anybody else is called certain or
a figure falls below its floor.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click
from match_people import CORRUPTIONS, Person, Stranger, people, strangers

from server.app import new_id
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
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
    others = strangers()
    for number in range(questions):
        names = list(others if number % 2 else CORRUPTIONS)
        name = names[number // 2 % len(names)]
        described, wanted = (
            (_stranger(stored, known, others[name], chance), "") if number % 2 else _copy(stored, name, chance)
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
    make: Stranger,
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
