"""Random writes with a token: what may be written is written, all else leaves no trace.

Sources: hl7.org/fhir/R4/http.html#create, #update, #delete, #cond-update; docs/decisions/0005-access-in-sql.md
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from access_oracle.curious import refused
from access_oracle.sight import Sight
from access_oracle.world import PLACE
from search_oracle.definitions import open_types
from search_oracle.evaluator import Held, Key

# Refusals that have nothing to do with access: a lifecycle's order, a version that has to be named.
OTHER_RULES = (422, 428)
TRIES = 12  # to find something worth a try
Json = dict[str, Any]
Aim = tuple[Key, Json | None]  # what to write where, or what stands there to be deleted


@dataclass(slots=True)
class Writer:
    """Somebody with a token who writes at random."""

    sight: Sight
    random: Random

    def write(self) -> str:
        """One write, and what is wrong with its answer or with what it left ("": nothing)."""
        return self.random.choice((self.put, self.put, self.delete, self.by_condition, self.create))()

    def _aimed(self, made: Callable[[], Aim], may: Callable[[Aim], bool]) -> Aim:
        """Anything, or where that is soon found something that may be written or that is delicate."""
        wish = self.random.choice((lambda one: True, may, self._is_delicate))
        tried = [made()]
        while not wish(tried[-1]) and len(tried) < TRIES:
            tried.append(made())
        return tried[-1]

    def _is_delicate(self, one: Aim) -> bool:
        """For a partner what everybody may see, for others what is in charts opened in an emergency alone."""
        (kind, _), content = one
        if self.sight.grant.partner:
            return kind in open_types()
        opened = {one.patient for one in self.sight.world.open_to(self.sight.grant.user)}
        charts = Held(content, 0, PLACE).patients() if content and opened else set()
        return bool(charts) and opened >= charts

    def put(self) -> str:
        """An update of what is there, or a creation under an id of the client's."""
        sight, world = self.sight, self.sight.world

        def made() -> Aim:
            key = world.any_key()
            return key, world.made(key)

        key, content = self._aimed(made, lambda one: self._may_put(*one))
        assert content is not None
        there, versions = world.is_there(key), world.versions.get(key, [])
        may = self._may_put(key, content)
        reply = self._sent("PUT", key, content)
        if reply.status in OTHER_RULES and may:
            return self._unchanged(key, reply)
        if not may:
            if not sight.reaches(key[0], "u"):
                return refused(reply, 403) or self._unchanged(key, reply)
            if reply.status == 200 and there and sight.sees(key, "rsu"):
                return self._unchanged(key, reply)  # the same content makes no version
            wrong = (
                ""
                if reply.status in (403, 412, *OTHER_RULES)
                else f"PUT {key}: {reply.status} for what may not be written"
            )
            return wrong or self._unchanged(key, reply)
        if reply.status not in (200, 201):
            return f"PUT {key}: {reply.status} for what may be written ({len(versions)} versions)"
        world.stored(key, _representation(world, key, reply))
        return ""

    def _may_put(self, key: Key, content: Json | None) -> bool:
        sight = self.sight
        assert content is not None
        kind, versions = key[0], sight.world.versions.get(key, [])
        if not sight.reaches(kind, "u"):
            return False
        if not versions:
            return sight.may_hold(kind, "c", content, new=True)
        if not sight.sees(key, "rsu"):
            return False
        last = versions[-1].content
        if last is None:
            before = next((v.content for v in reversed(versions) if v.content is not None), None)
            return (
                before is not None
                and sight.may_hold(kind, "c", before, gone=True)
                and sight.may_hold(kind, "c", content)
            )
        return sight.may_hold(kind, "u", last, gone=True) and sight.may_hold(kind, "u", content)

    def delete(self) -> str:
        sight, world = self.sight, self.sight.world

        def made() -> Aim:
            key = world.any_key()
            return key, world.versions[key][-1].content if world.is_there(key) else None

        key, _ = self._aimed(made, lambda one: self._may_delete(*one))
        reply = self._sent("DELETE", key, None)
        return self._judged_delete(key, reply, sight.reaches(key[0], "d"), f"DELETE {key}")

    def _may_delete(self, key: Key, content: Json | None) -> bool:
        sight = self.sight
        return (
            content is not None and sight.sees(key, "rsd") and sight.may_hold(key[0], "d", content, gone=True)
        )

    def _judged_delete(self, key: Key, reply: Any, reaches: bool, what: str, seen: str = "rsd") -> str:
        sight, world = self.sight, self.sight.world
        if not reaches:
            return (f"{what}: {reply.status}, not 403" if reply.status != 403 else "") or self._unchanged(
                key, reply
            )
        if not world.is_there(key) or not sight.sees(key, seen):
            wrong = reply.status not in (204, 412)
            return (f"{what}: {reply.status} for nothing" if wrong else "") or self._unchanged(key, reply)
        content = world.versions[key][-1].content
        assert content is not None
        if not sight.may_hold(key[0], "d", content, gone=True):
            return (f"{what}: {reply.status}, not 403" if reply.status != 403 else "") or self._unchanged(
                key, reply
            )
        if reply.status in OTHER_RULES:
            return self._unchanged(key, reply)
        if reply.status != 204:
            return f"{what}: {reply.status} for what may be deleted"
        world.deleted(key)
        return ""

    def by_condition(self) -> str:
        """A deletion of what an id names: what is hidden fulfils no condition."""
        sight, world = self.sight, self.sight.world
        key = world.any_key()
        reply = sight.fhir.delete(f"{key[0]}?_id={key[1]}", **world.if_match(key))
        reaches = sight.reaches(key[0], "d") and sight.reaches(key[0], "s")
        return self._judged_delete(key, reply, reaches, f"DELETE {key[0]}?_id={key[1]}", "s")

    def create(self) -> str:
        """A creation unless something fulfils a condition: only what may be seen does."""
        sight, world = self.sight, self.sight.world
        key = world.any_key()
        content = {name: part for name, part in world.made(key).items() if name != "id"}
        seen = sight.sees(key, "rs") and world.is_there(key)
        may = sight.reaches(key[0], "c")
        reply = sight.fhir.post(key[0], content, If_None_Exist=f"_id={key[1]}", Prefer="return=representation")
        if not may:
            return "" if reply.status == 403 else f"POST {key[0]}: {reply.status}, not 403"
        if seen:
            return "" if reply.status == 200 else f"POST {key[0]} of what is there: {reply.status}"
        if reply.status == 422:
            return ""
        allowed = sight.may_hold(key[0], "c", content | {"id": "not-given-yet"}, new=True)
        if reply.status != (201 if allowed else 403):
            return f"POST {key[0]}: {reply.status}, may be written: {allowed}"
        if allowed:
            id = reply.headers["Location"].split("/")[-3]
            world.stored((key[0], id), _representation(world, (key[0], id), reply))
        return ""

    def _sent(self, method: str, key: Key, content: dict[str, Any] | None) -> Any:
        """The write by itself, or as the one entry of a transaction."""
        world, path = self.sight.world, "/".join(key)
        headers = world.if_match(key)
        if self.random.random() < 0.7:
            return self.sight.fhir(method, path, content, **headers)
        request = {"method": method, "url": path} | ({"ifMatch": headers["If_Match"]} if headers else {})
        entry: dict[str, Any] = {"request": request} | ({} if content is None else {"resource": content})
        reply = self.sight.fhir.post("", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
        return reply if reply.status != 200 else _Entry(reply.json["entry"][0]["response"])

    def _unchanged(self, key: Key, reply: Any) -> str:
        """ "" where there are as many versions as before."""
        world = self.sight.world
        history = world.everything.get(f"{'/'.join(key)}/_history?_count=1")
        now = history.json["total"] if history.status == 200 else 0
        return "" if now == len(world.versions.get(key, [])) else f"{key} was changed, answered {reply.status}"


class _Entry:
    """The answer to the entry of a transaction, as that to a request."""

    def __init__(self, response: dict[str, Any]) -> None:
        self.status = int(response["status"][:3])
        self.headers = {"ETag": response.get("etag", "")}


def _representation(world: Any, key: Key, reply: Any) -> Any:
    """The stored resource, read by who may read all."""
    return world.everything.get("/".join(key))
