"""Instructions of several steps: tapers, and amounts that change with the day of the week.

A schedule is read so that people see it and its mean amount a day is known. It never makes two lines
equal by itself: domain 3.2 has each tapered, alternating or scaled instruction looked at by a person.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction

from smart_app.reconciliation.records import Sig, Step
from smart_app.reconciliation.vocabulary import WEEK

TAPER = "several steps"
BY_DAY = "alternating doses"
BY_TIME = "several doses a day"

_AMOUNT = r"(?=(?:take |inject |use |give )?(?:\d|\.\d|[½¼¾]|half\b|one\b|two\b|three\b|four\b|five\b|six\b))"
_CLAUSE = re.compile(
    rf"(?:[,;.]?\s+|[,;])(?:and\s+)?then\b[,:]?\s*|[;\n]\s*|,\s*(?:and\s+)?{_AMOUNT}|\.\s+{_AMOUNT}",
    re.IGNORECASE,
)
_AND_CLAUSE = re.compile(rf"(?:[,;]\s*|\.\s+)(?:and\s+)?{_AMOUNT}|\s+and\s+{_AMOUNT}", re.IGNORECASE)
_THE_END = re.compile(r"\W*(?:and )?(?:then )?(?:stop|off|discontinue|d/?c)\W*", re.IGNORECASE)
_OTHER_DAYS = re.compile(
    r"\b(?:on )?(?:all |the )?(?:other|remaining|rest of the) (?:days|week)(?: of the week)?\b", re.IGNORECASE
)
_EXCEPT = re.compile(
    r"^(?P<most>.+?)\s*(?:,\s*)?(?:once )?(?:daily|every day)[, ]+except (?P<days>.+)$", re.IGNORECASE
)
_ALTERNATE = re.compile(
    r"^(?:take )?(?:alternat\w+ )(?:between )?(?P<one>.+?) (?:with|and) (?P<other>.+?)"
    r"(?: (?:every other day|on alternate days|every day|each day|daily))?\W*$"
    r"|^(?P<first>.+?) alternating with (?P<second>.+?)(?: (?:every other day|every day|daily))?\W*$",
    re.IGNORECASE,
)  # fmt: skip

_Reader = Callable[[str], Sig]


def read_schedule(text: str, read: _Reader) -> tuple[str, tuple[Step, ...]] | None:
    """(what kind of schedule, its steps) of a text that `read` alone does not understand; else None.

    Every step has an amount; nothing of the text is left over.
    """
    for reader in (_by_day, _every_other, _by_time, _taper):
        if found := reader(text, read):
            return found
    return None


def schedule_of(sigs: Sequence[Sig]) -> tuple[Step, ...]:
    """The steps of several structured dosages, one each; empty if one of them is no plain instruction."""
    if len(sigs) < 2 or not all(sig.is_complete for sig in sigs):
        return ()
    return tuple(_step(sig) for sig in sigs)


def mean_rate(steps: Sequence[Step]) -> tuple[Fraction, ...] | None:
    """Administrations a day of each step where the steps go on side by side; None for a taper."""
    if not steps or any(step.duration_days is not None or step.per_day is None for step in steps):
        return None
    return tuple(step.per_day for step in steps if step.per_day is not None)


def _step(sig: Sig, per_day: Fraction | None = None) -> Step:
    return Step(
        dose=sig.dose,
        per_day=sig.per_day if sig.per_day is not None else per_day,
        when=sig.when,
        duration_days=sig.duration_days,
    )


def _plain(sig: Sig) -> bool:
    return sig.dose is not None and not sig.complex and not sig.as_needed


def _taper(text: str, read: _Reader) -> tuple[str, tuple[Step, ...]] | None:
    clauses = [clause for clause in _CLAUSE.split(text) if clause and clause.strip(" ,.;")]
    if len(clauses) > 2 and _THE_END.fullmatch(clauses[-1]):
        clauses.pop()
    sigs = [read(clause) for clause in clauses]
    if len(sigs) < 2 or not all(map(_plain, sigs)) or any(sig.duration_days is None for sig in sigs[:-1]):
        return None
    steps: list[Step] = []
    for sig in sigs:
        steps.append(_step(sig, steps[-1].per_day if steps else None))
    return TAPER, tuple(steps)


def _by_day(text: str, read: _Reader) -> tuple[str, tuple[Step, ...]] | None:
    if found := _EXCEPT.match(text):
        text = f"{found['days']} and {found['most']} on all other days"
    clauses = [clause for clause in _AND_CLAUSE.split(text) if clause and clause.strip(" ,.;")]
    if len(clauses) < 2:
        return None
    rest = _OTHER_DAYS.search(clauses[-1])
    sigs = [read(_OTHER_DAYS.sub("", clause)) for clause in clauses]
    days = [set(sig.when) & set(WEEK) for sig in sigs]
    if rest and not days[-1]:
        days[-1] = set(WEEK).difference(*days[:-1])
    if not all(map(_plain, sigs)) or not all(days) or sum(map(len, days)) != len(set().union(*days)):
        return None
    return BY_DAY, tuple(
        Step(sig.dose, Fraction(len(named), 7), tuple(sorted(named, key=WEEK.index)), None)
        for sig, named in zip(sigs, days, strict=True)
    )


def _by_time(text: str, read: _Reader) -> tuple[str, tuple[Step, ...]] | None:
    """`2 tablets in the morning and 1 tablet at bedtime`: each once a day, at a time of its own."""
    sigs = [read(clause) for clause in _AND_CLAUSE.split(text) if clause and clause.strip(" ,.;")]
    if len(sigs) < 2 or not all(_plain(sig) and sig.per_day == 1 and len(sig.when) == 1 for sig in sigs):
        return None
    apart = len({sig.when for sig in sigs}) == len(sigs)
    bounded = any(sig.duration_days is not None for sig in sigs)
    return (BY_TIME, tuple(_step(sig) for sig in sigs)) if apart and not bounded else None


def _every_other(text: str, read: _Reader) -> tuple[str, tuple[Step, ...]] | None:
    found = _ALTERNATE.match(text)
    if not found:
        return None
    sigs = [read(found["one"] or found["first"]), read(found["other"] or found["second"])]
    if not all(map(_plain, sigs)) or any(sig.per_day not in (None, 1) for sig in sigs):
        return None
    return BY_DAY, tuple(Step(sig.dose, Fraction(1, 2), (), None) for sig in sigs)
