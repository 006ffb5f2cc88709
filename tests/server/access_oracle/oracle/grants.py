"""What a token stands for: scopes, launch context, user and role; and random ones.

Source: hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from urllib.parse import quote

from search_oracle.makers import IDS

Pair = tuple[str, str]
VERSION_1 = {"read": "rs", "write": "cud", "*": "cruds"}
# Of the shipped policy, and those that the tests add to it.
ROLES = (
    "rn",
    "engineer",
    "privacy",
    "community",
    "nobody",
    "reaches-all",
    "reaches-organization",
    "reaches-related",
)
# Parameters that scopes are narrowed by here, with the values that charts have.
CRITERIA: dict[str, tuple[Pair, ...]] = {
    "Observation": (("status", "final"), ("status", "final,amended"), ("code", "a,b"), ("status:not", "final")),
    "Encounter": (("status", "finished"), ("class:missing", "false")),
    "Patient": (("active", "true"), ("gender", "female,male")),
    "List": (("status", "current"), ("_id", "a,b")),
    "Practitioner": (("active", "true"), ("_id", "a,A")),
}


@dataclass(frozen=True, slots=True)
class Scope:
    """level/kind.letters?criteria; letters as they are written (v1 words too). kind: a type or "*"."""

    level: str
    kind: str
    letters: str
    criteria: tuple[Pair, ...] = ()

    @property
    def allowed(self) -> str:
        """The letters of version 2."""
        return VERSION_1.get(self.letters, self.letters)

    def __str__(self) -> str:
        query = "&".join(f"{name}={quote(value, safe=',|:/')}" for name, value in self.criteria)
        return f"{self.level}/{self.kind}.{self.letters}" + (f"?{query}" if query else "")


@dataclass(frozen=True, slots=True)
class Grant:
    """A token. user: "Practitioner/id" or None. patient: an id or None."""

    scopes: tuple[Scope, ...]
    patient: str | None = None
    user: str | None = None
    role: str = ""

    @property
    def scope(self) -> str:
        return " ".join(map(str, self.scopes))

    def __str__(self) -> str:
        return f"{self.scope} patient={self.patient} user={self.user} role={self.role}"


def random_grant(random: Random, kinds: Sequence[str], *, writes: bool = False) -> Grant:
    """A token that reaches some of a chart. kinds: the types that are in it."""
    second = ("rs", "rs", "rs", "r", "s", "cruds") if not writes else ("cruds", "cruds", "crus", "cud", "rds")
    letters = (*second, "*") if writes else (*second, "read", "*")
    some = random.sample(list(kinds), max(2, len(kinds) // 2))
    patient, user = random.choice(IDS), f"Practitioner/{random.choice(IDS)}"

    def broad(level: str) -> tuple[Scope, ...]:
        return (Scope(level, "*", random.choice(letters)),)

    def by_type(level: str) -> tuple[Scope, ...]:
        return tuple(Scope(level, kind, random.choice(letters)) for kind in ("Patient", *some))

    def granular(level: str) -> tuple[Scope, ...]:
        made = [
            Scope(
                level, kind, random.choice(second), (random.choice(CRITERIA[kind]),)
            )  # version 1 knows no criteria
            for kind in CRITERIA
            if random.random() < 0.7
        ]
        made += [Scope(level, kind, random.choice(letters)) for kind in some if kind not in CRITERIA]
        if random.random() < 0.3:  # two criteria of one scope: both must hold
            made.append(Scope(level, "Observation", "rs", CRITERIA["Observation"][1:3]))
        return tuple(made) or broad(level)

    make = random.choice((broad, by_type, granular, granular))
    form = random.randrange(10)
    if form < 5:
        grant = Grant(make("patient"), patient)
    elif form < 7:
        grant = Grant(make("user"), None, user, random.choice(ROLES))
    elif form < 8:
        grant = Grant((*make("patient"), *by_type("user")[:3]), patient, user, random.choice(ROLES))
    elif form < 9:
        grant = Grant(make("system"))
    else:  # scopes without the claim that gives them a meaning
        grant = Grant((*broad("patient"), *broad("user"), *by_type("system")[:1]))
    return grant
