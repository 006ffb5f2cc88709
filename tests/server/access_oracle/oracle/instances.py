"""Requests about one resource, its versions and its meta, and the histories."""

from __future__ import annotations

from typing import Any

from access_oracle.curious import Curious, Json, Made, Request, every_kind, paged, refused
from search_oracle.evaluator import Key


def version(curious: Curious, key: Key, numbers: list[int], number: int, reply: Any, body: Any = None) -> str:
    """The judgement of an answer that shows one version. numbers: those that may be seen."""
    sight = curious.sight
    if not sight.reaches(key[0], "r"):
        return refused(reply, 403)
    if number not in numbers:
        return refused(reply, 404)
    content = sight.world.versions[key][number - 1].content
    if content is None:
        return refused(reply, 410)
    if reply.status != 200:
        return f"status {reply.status} for what may be seen"
    return "" if reply.json == (content if body is None else body(content)) else "another content"


def read(curious: Curious) -> Made:
    key = curious.key()
    last = len(curious.sight.world.versions.get(key, []))
    shown = curious.sight.shown(key, "r")
    return Request("/".join(key)), lambda reply: version(curious, key, shown, last, reply)


def vread(curious: Curious) -> Made:
    key = curious.key()
    number = curious.random.randint(1, len(curious.sight.world.versions.get(key, [])) + 1)
    shown = curious.sight.shown(key, "r")
    path = f"{'/'.join(key)}/_history/{number}"
    return Request(path), lambda reply: version(curious, key, shown, number, reply)


def meta(curious: Curious) -> Made:
    key = curious.key()
    last = len(curious.sight.world.versions.get(key, []))

    def answered(content: Json) -> Json:
        return {"resourceType": "Parameters", "parameter": [{"name": "return", "valueMeta": content["meta"]}]}

    shown = curious.sight.shown(key, "r")
    path = f"{'/'.join(key)}/$meta"
    return Request(path), lambda reply: version(curious, key, shown, last, reply, answered)


def versions_of(entries: list[Json]) -> list[tuple[str, str, int]]:
    return [
        (*entry["fullUrl"].rsplit("/", 2)[1:], int(entry["response"]["etag"].strip('W/"'))) for entry in entries
    ]


def history_of_one(curious: Curious) -> Made:
    sight, key = curious.sight, curious.key()

    def judge(reply: Any) -> str:
        if not sight.reaches(key[0], "r"):
            return refused(reply, 403)
        wanted = [(*key, number) for number in reversed(sight.shown(key, "r"))]
        if not wanted:
            return refused(reply, 404)
        found = paged(curious, reply)
        return found if isinstance(found, str) else "" if versions_of(found) == wanted else "other versions"

    return Request(f"{'/'.join(key)}/_history?_count={curious.random.choice((1, 2, 50))}"), judge


def history(curious: Curious) -> Made:
    """Of a type or of the system."""
    sight = curious.sight
    kind = curious.random.choice(("", *sight.world.kinds))
    count = curious.random.choice((3, 10, 100))

    def judge(reply: Any) -> str:
        reachable = sight.reaches(kind) if kind else any(sight.reaches(one) for one in every_kind(sight))
        if not reachable:
            return refused(reply, 403)
        wanted = {one for one in sight.every_version("s") if kind in ("", one[0])}
        found = paged(curious, reply)
        if isinstance(found, str):
            return found
        got = versions_of(found)
        if len(set(got)) != len(got):
            return "a version twice"
        return (
            "" if set(got) == wanted else f"versions too many {set(got) - wanted}, missing {wanted - set(got)}"
        )

    return Request(f"{kind}/_history?_count={count}".removeprefix("/")), judge
