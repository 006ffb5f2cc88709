"""Somebody with a token who asks at random, and what judges of answers have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from access_oracle.sight import Sight
from search_oracle.definitions import open_types, patient_compartment
from search_oracle.evaluator import Key
from search_oracle.makers import BASE
from search_oracle.questions import Offered

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """path: below the base. body: of a POST."""

    path: str
    body: Json | None = None

    def ask(self, fhir: Any) -> Any:
        return fhir.get(self.path) if self.body is None else fhir.post(self.path, self.body)

    def __str__(self) -> str:
        return f"{'GET' if self.body is None else 'POST'} [base]/{self.path}"


# An answer -> "", or what is wrong with it.
Judge = Callable[[Any], str]
Made = tuple[Request, Judge]


@dataclass(slots=True)
class Curious:
    """Somebody with a token who asks at random. offered: what the server says that it answers."""

    sight: Sight
    random: Random
    offered: Offered

    def key(self) -> Key:
        known = list(self.sight.world.versions)
        if self.random.random() < 0.05:
            return (self.random.choice(self.sight.world.kinds), "nobody-has-this")
        return self.random.choice(known)


def refused(reply: Any, *statuses: int) -> str:
    """ "" for a refusal with one of the statuses, and no more than an OperationOutcome."""
    if reply.status not in statuses:
        return f"status {reply.status}, not {statuses}"
    if reply.json["resourceType"] != "OperationOutcome" or ("ETag" in reply.headers and reply.status != 410):
        return "a refusal that tells more than that it is one"
    return ""


def paged(curious: Curious, reply: Any, most: int = 400) -> list[Json] | str:
    """The entries of all pages, or what is wrong with one of them."""
    found: list[Json] = []
    for _ in range(most):
        if reply.status != 200:
            return f"status {reply.status} of a page"
        found += reply.json.get("entry", [])
        following = [link["url"] for link in reply.json["link"] if link["relation"] == "next"]
        if not following:
            return found
        reply = curious.sight.fhir.get(following[0].removeprefix(BASE))
    return "pages without an end"


def every_kind(sight: Sight) -> set[str]:
    """The types that a scope may be about, as far as they matter to whether there is any."""
    return {*sight.world.kinds, *patient_compartment(), *sorted(open_types())[:3], "AuditEvent", "Bundle"}
