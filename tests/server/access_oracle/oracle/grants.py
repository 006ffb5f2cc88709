"""What a token stands for: scopes, launch context, user, role and partner; and random ones.

Sources: hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html, docs/reference/partners.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    "partner",
    "nobody",
    "reaches-all",
    "reaches-organization",
    "reaches-related",
)
# Those whose people may be kept from charts, and open them in an emergency.
KEPT_OUT = ("community", "reaches-all", "reaches-organization", "reaches-related")
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
    """A token. user: "Practitioner/id", another reference to somebody, or None. patient: an id or None.
    partner: who of client and user belongs to a partner organisation."""

    scopes: tuple[Scope, ...]
    patient: str | None = None
    user: str | None = None
    role: str = ""
    partner: frozenset[str] = frozenset()

    @property
    def is_staff(self) -> bool:
        """Whether somebody acts whose role, organizations and relationships count."""
        return self.user is not None and self.user.startswith(("Practitioner/", "PractitionerRole/"))

    @property
    def scope(self) -> str:
        return " ".join(map(str, self.scopes))

    def __str__(self) -> str:
        partner = f" partner={'+'.join(sorted(self.partner))}" if self.partner else ""
        return f"{self.scope} patient={self.patient} user={self.user} role={self.role}{partner}"


def random_grant(
    random: Random, kinds: Sequence[str], *, writes: bool = False, known: Sequence[str] = ()
) -> Grant:
    """A token that reaches some of a chart. kinds: the types that are in it. known: users to come back to."""
    second = ("rs", "rs", "rs", "r", "s", "cruds") if not writes else ("cruds", "cruds", "crus", "cud", "rds")
    letters = (*second, "*") if writes else (*second, "read", "*")
    some = random.sample(list(kinds), max(2, len(kinds) // 2))
    patient = random.choice(IDS)
    user = f"{random.choice(('Practitioner', 'Practitioner', 'PractitionerRole'))}/{random.choice(IDS)}"
    if known and random.random() < 0.5:
        user = random.choice(known)

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
    form = random.randrange(14)
    if form < 4:
        grant = Grant(make("patient"), patient)
    elif form < 5:  # the patient, or who cares for them, with an app that may ask for more
        person = random.choice((f"Patient/{patient}", f"RelatedPerson/{random.choice(IDS)}"))
        scopes = make("patient") if random.random() < 0.7 else (*make("patient"), *broad("user"))
        grant = Grant(scopes, patient, person)
    elif form < 7:
        grant = Grant(make("user"), None, user, random.choice(ROLES))
    elif form < 8:
        grant = Grant((*make("patient"), *by_type("user")[:3]), patient, user, random.choice(ROLES))
    elif form < 9:
        grant = Grant(make("system"))
    elif form < 13:
        scopes = broad("user") if random.random() < 0.8 else ()
        scopes += make("patient") if random.random() < 0.3 or not scopes else ()
        grant = Grant(scopes, patient, user, random.choice(KEPT_OUT))
    else:  # scopes without the claim that gives them a meaning
        grant = Grant((*broad("patient"), *broad("user"), *by_type("system")[:1]))
    if random.random() < 0.15:
        members = ({"client"}, {"user"}, {"client", "user"}) if grant.user else ({"client"},)
        grant = replace(grant, partner=frozenset(random.choice(members)))
    return grant
