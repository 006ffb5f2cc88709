"""Two persons, element by element: what agrees, what nearly does, what differs.

An outcome never tells a value, only how the two are related. An element that one of them does not state has no
outcome: unknown is neither equal nor different.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from server.interactions.operations.matching.person import Name, Person

Outcome = Literal["agrees", "nearly", "partly", "differs"]


@dataclass(frozen=True, slots=True)
class Reason:
    """element: a key of the model's weights. outcome: one of that element's. detail: how, in words; "" where
    nothing is to be added. whole: the element agrees in all that both state (names: every word)."""

    element: str
    outcome: Outcome
    detail: str = ""
    whole: bool = False


def compare(one: Person, other: Person) -> tuple[Reason, ...]:
    """What speaks for and against both being one."""
    return (
        *_identifiers(one, other),
        *_names(one, other),
        *_generations(one, other),
        *_birth_dates(one, other),
        *_genders(one, other),
        *_births(one, other),
        *_shared("phone", one.phones, other.phones),
        *_shared("email", one.emails, other.emails),
        *_places(one, other),
    )


def _identifiers(one: Person, other: Person) -> Iterator[Reason]:
    if one.identifiers & other.identifiers:
        yield Reason("identifier", "agrees", "same system and value", whole=True)
    same = {system for system, _ in one.identifiers & other.identifiers}
    systems = {system for system, _ in one.identifiers} & {system for system, _ in other.identifiers}
    if systems - same:
        yield Reason("identifier", "differs", "another value of the same system")


# -- names

_RANK = {"agrees": 3, "nearly": 2, "partly": 2, "differs": 0}


def _names(one: Person, other: Person) -> tuple[Reason, ...]:
    """Of all pairs of names, former ones included, the pair that is most alike; of several the one whose family
    names are, so that it is the same pair whoever is compared with whom."""
    pairs = [_pair(a, b) for a in one.names for b in other.names]
    return max(pairs, key=lambda reasons: (_likeness(reasons), _order(reasons)), default=())


def _likeness(reasons: tuple[Reason, ...]) -> tuple[int, int]:
    return sum(_RANK[r.outcome] for r in reasons), sum(r.whole for r in reasons)


def _order(reasons: tuple[Reason, ...]) -> tuple[tuple[str, int, bool, str], ...]:
    return tuple((r.element, _RANK[r.outcome], r.whole, r.detail) for r in reasons)


def _pair(a: Name, b: Name) -> tuple[Reason, ...]:
    straight = (*_family(a, b), *_given(a, b))
    crossed = _swapped(a, b)
    return max(straight, crossed, key=_likeness)


def _family(a: Name, b: Name) -> Iterator[Reason]:
    if not a.family or not b.family:
        return
    one, other = " ".join(a.family), " ".join(b.family)
    if one.replace(" ", "") == other.replace(" ", ""):
        yield Reason("family", "agrees", whole=True)
    elif set(a.family) & set(b.family):
        yield Reason("family", "nearly", "a part of the name is the same")
    elif is_typing_error(one, other):
        yield Reason("family", "nearly", "one or two letters differ")
    else:
        yield Reason("family", "differs")


def _given(a: Name, b: Name) -> Iterator[Reason]:
    if not a.given or not b.given:
        return
    if a.given == b.given or "".join(a.given) == "".join(b.given):
        yield Reason("given", "agrees", whole=True)
    elif a.given[0] == b.given[0]:
        if _compatible(a.given[1:], b.given[1:]):
            yield Reason(
                "given", "agrees", "the first name is the same, further ones are shortened or not stated"
            )
        else:
            yield Reason("given", "nearly", "the first name is the same, further ones differ")
    elif _compatible(a.given[:1], b.given[:1]):
        yield Reason("given", "nearly", "an initial")
    elif is_typing_error(a.given[0], b.given[0]):
        yield Reason("given", "nearly", "one or two letters differ")
    elif a.given[0] in b.given or b.given[0] in a.given:
        yield Reason("given", "nearly", "the first name of one is a further name of the other")
    else:
        yield Reason("given", "differs")


def _compatible(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Every word that both have is the same, or the other's initial."""
    return all(
        a == b or (len(a) == 1 and b.startswith(a)) or (len(b) == 1 and a.startswith(b))
        for a, b in zip(one, other, strict=False)
    )


def _swapped(a: Name, b: Name) -> tuple[Reason, ...]:
    if not (a.family and a.given and b.family and b.given):
        return ()
    if " ".join(a.family) in (b.given[0], " ".join(b.given)) and " ".join(b.family) in (
        a.given[0],
        " ".join(a.given),
    ):
        detail = "given and family name are swapped"
        return Reason("family", "nearly", detail), Reason("given", "nearly", detail)
    return ()


def is_typing_error(one: str, other: str) -> bool:
    """Whether two words differ by one slip (two in long words): a letter missing, added, replaced or swapped
    with its neighbour. Short words differ by more than a slip."""
    length = min(len(one), len(other))
    allowed = 0 if length < 4 else 1 if length < 8 else 2
    return 0 < slips(one, other, allowed) <= allowed


def slips(one: str, other: str, most: int) -> int:
    """The number of slips between two words; more than `most` is said as most + 1.

    Source: optimal string alignment, F. J. Damerau, Commun. ACM 7 (1964).
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        above, row, older = row, [i], before
        before = above
        for j, candidate in enumerate(other, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != candidate))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == candidate:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return min(row[-1], most + 1)


# -- the rest


def _generations(one: Person, other: Person) -> Iterator[Reason]:
    if one.generations and other.generations:
        same = bool(one.generations & other.generations)
        yield Reason("suffix", "agrees" if same else "differs", whole=same)


def _birth_dates(one: Person, other: Person) -> Iterator[Reason]:
    a, b = one.birth_date, other.birth_date
    if not a or not b:
        return
    if len(a) != len(b):
        short = min(len(a), len(b))
        if a[:short] == b[:short]:
            yield Reason("birthDate", "partly", "one of them is less precise")
        else:
            yield Reason("birthDate", "differs")
    elif a == b:
        if len(a) == 10:
            yield Reason("birthDate", "agrees", whole=True)
        else:
            yield Reason("birthDate", "partly", "no day is stated")
    elif len(a) == 10 and (a[:4], a[5:7], a[8:]) == (b[:4], b[8:], b[5:7]):
        yield Reason("birthDate", "nearly", "day and month are swapped")
    elif len(a) == 10 and slips(a.replace("-", ""), b.replace("-", ""), 1) == 1:
        yield Reason("birthDate", "nearly", "one digit differs, or two are swapped")
    else:
        yield Reason("birthDate", "differs")


def _genders(one: Person, other: Person) -> Iterator[Reason]:
    if one.gender and other.gender:
        same = one.gender == other.gender
        yield Reason("gender", "agrees" if same else "differs", whole=same)


def _births(one: Person, other: Person) -> Iterator[Reason]:
    if one.multiple_birth is not None and other.multiple_birth is not None:
        same = one.multiple_birth == other.multiple_birth
        yield Reason("multipleBirth", "agrees" if same else "differs", "order among siblings", whole=same)


def _shared(element: str, one: frozenset[str], other: frozenset[str]) -> Iterator[Reason]:
    if one and other:
        same = bool(one & other)
        yield Reason(element, "agrees" if same else "differs", whole=same)


def _places(one: Person, other: Person) -> Iterator[Reason]:
    if not one.places or not other.places:
        return
    whole = {place for place in one.places & other.places if all(place)}
    codes = {code for code, _ in one.places if code} & {code for code, _ in other.places if code}
    if whole:
        yield Reason("address", "agrees", "postal code and street", whole=True)
    elif codes:
        yield Reason("address", "partly", "the postal code is the same")
    else:
        yield Reason("address", "differs")
