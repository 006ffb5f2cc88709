"""Searches: those of the search oracle, asked of what a token may see, and counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from access_oracle.curious import Curious, Made, Request, every_kind, refused
from access_oracle.sight import Sight
from search_oracle.asking import Answer, Door, compare
from search_oracle.definitions import compartment
from search_oracle.evaluator import Held
from search_oracle.questions import Asker, Question


class _Eyes:
    """A token as the search oracle knows one: what it reaches."""

    def __init__(self, sight: Sight) -> None:
        self.sight = sight

    def reaches(self, kind: str) -> bool:
        return self.sight.reaches(kind, "s")

    def __str__(self) -> str:
        return str(self.sight.grant)


class _Store:
    """The search oracle's answers, on what a token may see."""

    def __init__(self, sight: Sight) -> None:
        self._sight, self._oracle = sight, sight.world.oracle

    def visible(self, token: Any) -> list[Held]:
        return self._sight.seen("s") if isinstance(token, _Eyes) else self._oracle.everything()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._oracle, name)


class _Door:
    """A server asked with one token."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight

    def of(self, token: Any) -> Any:
        return self._sight.fhir

    def ask(self, question: Question) -> Answer:
        return Door.ask(self, question)  # type: ignore[arg-type]


def search(curious: Curious) -> Made:
    """A random search with all that belongs to one, by GET."""
    return _search(curious, replace(_question(curious), post=False))


def search_by_post(curious: Curious) -> Made:
    """The same by POST of a form."""
    return _search(curious, replace(_question(curious), post=True))


def _search(curious: Curious, question: Question) -> Made:
    sight = curious.sight
    kinds = {*compartment(question.compartment[0])} if question.compartment else every_kind(sight)
    kinds = {*kinds} - {"AuditEvent"}  # of the audit trail, and searched on its own

    def judge(reply: Any) -> str:
        if not question.types and not any(map(sight.reaches, kinds)):
            return refused(reply, 403)
        # It asks again by itself, for all pages.
        store: Any = _Store(sight)
        door: Any = _Door(sight)
        found = compare(door, store, question, sight.world.clock.now)
        return "" if found is None else str(found)

    return Request(f"{question.path}?{urlencode(question.query())}"), judge


def count(curious: Curious) -> Made:
    """How many there are, without any of them."""
    sight = curious.sight
    kind = curious.random.choice(sight.world.kinds)
    wanted = sum(held.key[0] == kind for held in sight.seen("s"))

    def judge(reply: Any) -> str:
        if not sight.reaches(kind):
            return refused(reply, 403)
        if reply.status != 200 or "entry" in reply.json:
            return f"status {reply.status}, or entries"
        return "" if reply.json["total"] == wanted else f"total {reply.json['total']}, not {wanted}"

    return Request(f"{kind}?_summary=count"), judge


def _question(curious: Curious) -> Question:
    asker = Asker(curious.random, curious.sight.world.oracle.everything(), curious.offered)
    return replace(asker.question(), token=_Eyes(curious.sight))
