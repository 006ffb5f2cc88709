"""Random resources with every version they had, written through the server's door and kept beside it.

Charts are those of the search oracle; here deletions, returns and moves between charts matter as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from search_oracle.asking import COMMON, ZONE
from search_oracle.charts import TYPES, resource
from search_oracle.evaluator import Held, Key, Oracle
from search_oracle.makers import BASE, IDS
from search_oracle.values import Place

Json = dict[str, Any]
OTHERS = 4  # further types of one world
PLACE = Place(BASE, ZONE)


@dataclass(frozen=True, slots=True)
class Version:
    """content: None for a deletion. charts: ids of the patients in whose compartments it is; a deletion stays
    in those of what it deleted."""

    content: Json | None
    charts: frozenset[str]


class World:
    """All resources. everything: requests that may do all. clock: the server's, with `now` and `advance`."""

    def __init__(self, everything: Any, random: Random, clock: Any) -> None:
        self.everything, self.random, self.clock = everything, random, clock
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
