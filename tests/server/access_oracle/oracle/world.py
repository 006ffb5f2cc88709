"""Random resources with every version they had, written through the server's door and kept beside it.

Charts are those of the search oracle; here deletions, returns and moves between charts matter as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

from access_oracle.grants import Grant, Scope
from search_oracle.asking import COMMON, ZONE
from search_oracle.charts import TYPES, resource
from search_oracle.evaluator import Held, Key, Oracle
from search_oracle.makers import BASE, IDS
from search_oracle.values import Place

Json = dict[str, Any]
OTHERS = 4  # further types of one world
PLACE = Place(BASE, ZONE)
EVERYTHING = Grant((Scope("system", "*", "cruds"),))


@dataclass(frozen=True, slots=True)
class Version:
    """content: None for a deletion. charts: ids of the patients in whose compartments it is; a deletion stays
    in those of what it deleted."""

    content: Json | None
    charts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Opened:
    """A chart that was opened in an emergency. user: "Practitioner/id", or of a role. patient: an id."""

    user: str
    patient: str
    since: datetime
    until: datetime


class World:
    """All resources, and the charts opened in an emergency. everything: requests that may do all. enter: makes
    requests with a new token. clock: the server's, with `now` and `advance`."""

    def __init__(self, enter: Callable[[Grant], Any], random: Random, clock: Any) -> None:
        self.enter, self.random, self.clock = enter, random, clock
        self.everything = enter(EVERYTHING)
        self.opened: list[Opened] = []
        self.kinds = tuple(dict.fromkeys((*COMMON, *random.sample(sorted(TYPES), OTHERS))))
        self.versions: dict[Key, list[Version]] = {}
        self.oracle = Oracle(PLACE)

    def write(self, times: int) -> None:
        """So many random changes. What the rules of care refuse (the order of a lifecycle) is left out."""
        for _ in range(times):
            self.clock.advance(seconds=self.random.choice((0, 1, 40)))
            key = self.any_key()
            if self.is_there(key) and self.random.random() < 0.2:
                reply = self.everything.delete("/".join(key), **self.if_match(key))
                assert reply.status == 204, reply.body
                self.deleted(key)
                continue
            reply = self.put(self.everything, key, self.made(key))
            if reply.status == 422 and self.is_there(key):
                continue
            assert reply.status in (200, 201), reply.body
            self.stored(key, reply)

    def wait(self, until: datetime) -> None:
        """Time passes; tokens of before may be over then, and everything's is made anew."""
        while (left := (until - self.clock.now).total_seconds()) > 0:
            self.clock.advance(seconds=left)
            if self.clock.now < until:  # a clock that nobody moves
                time.sleep(left)
        self.everything = self.enter(EVERYTHING)

    def open_to(self, user: str | None) -> list[Opened]:
        """The charts that a user has open now."""
        now = self.clock.now
        return [one for one in self.opened if one.user == user and one.since <= now < one.until]

    def any_key(self) -> Key:
        weighted = (*COMMON, *self.kinds)
        return (self.random.choice(weighted), self.random.choice(IDS))

    def made(self, key: Key) -> Json:
        return resource(self.random, *key, self.kinds)

    def put(self, fhir: Any, key: Key, content: Json) -> Any:
        return fhir.put("/".join(key), content, Prefer="return=representation", **self.if_match(key))

    def stored(self, key: Key, reply: Any) -> None:
        """What a write answered with is the version that counts from now on."""
        number = int(reply.headers["ETag"].strip('W/"'))
        before = self.versions.setdefault(key, [])
        if number > len(before):
            before.append(Version(reply.json, frozenset(Held(reply.json, 0, PLACE).patients())))
            self.oracle.put(reply.json)
        assert number == len(before), key

    def deleted(self, key: Key) -> None:
        versions = self.versions[key]
        versions.append(Version(None, versions[-1].charts))
        self.oracle.delete(key)

    def is_there(self, key: Key) -> bool:
        versions = self.versions.get(key, [])
        return bool(versions) and versions[-1].content is not None

    def if_match(self, key: Key) -> dict[str, str]:
        """The header without which existing resources of some types are not written."""
        return {"If_Match": f'W/"{len(self.versions[key])}"'} if self.is_there(key) else {}
