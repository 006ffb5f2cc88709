"""Random requests over every row source that only read, each with what it must be answered.

A source makes a request and judges the answer: "" or what is wrong with it. SOURCES has a row each. Searches are
those of the search oracle, asked of what may be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any
from urllib.parse import urlencode

from access_oracle.sight import Sight
from search_oracle.asking import Answer, Door, compare
from search_oracle.definitions import open_types, patient_compartment
from search_oracle.evaluator import Held, Key
from search_oracle.makers import BASE, IDS
from search_oracle.questions import Asker, Offered, Question

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


Judge = Callable[[Any], str]
Made = tuple[Request, Judge]


@dataclass(slots=True)
class Curious:
    """Somebody with a token who asks at random. offered: what the server says that it answers."""

    sight: Sight
    random: Random
    offered: Offered

    def made(self, name: str = "") -> tuple[str, Request, Judge]:
        """A request of a source, and the judge of its answer."""
        name = name or self.random.choice(tuple(SOURCES))
        return name, *SOURCES[name](self)

    def key(self) -> Key:
        known = list(self.sight.world.versions)
        if self.random.random() < 0.05:
            return (self.random.choice(self.sight.world.kinds), "nobody-has-this")
        return self.random.choice(known)

    def question(self) -> Question:
        asker = Asker(self.random, self.sight.world.oracle.everything(), self.offered)
        return replace(asker.question(), token=_Eyes(self.sight))


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


def refused(reply: Any, *statuses: int) -> str:
    """"" for a refusal with one of the statuses, and no more than an OperationOutcome."""
    if reply.status not in statuses:
        return f"status {reply.status}, not {statuses}"
    if reply.json["resourceType"] != "OperationOutcome" or "ETag" in reply.headers and reply.status != 410:
        return "a refusal that tells more than that it is one"
    return ""


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


# -- one resource


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


# -- history


def versions_of(entries: list[Json]) -> list[tuple[str, str, int]]:
    return [
        (*entry["fullUrl"].rsplit("/", 2)[1:], int(entry["response"]["etag"].strip('W/"'))) for entry in entries
    ]


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
        return "" if set(got) == wanted else f"versions too many {set(got) - wanted}, missing {wanted - set(got)}"

    return Request(f"{kind}/_history?_count={count}".removeprefix("/")), judge


def every_kind(sight: Sight) -> set[str]:
    """The types that a scope may be about, as far as they matter to whether there is any."""
    return {*sight.world.kinds, *patient_compartment(), *sorted(open_types())[:3], "AuditEvent", "Bundle"}


# -- searches


def search(curious: Curious) -> Made:
    """A random search with all that belongs to one, by GET."""
    return _search(curious, replace(curious.question(), post=False))


def search_by_post(curious: Curious) -> Made:
    """The same by POST of a form."""
    return _search(curious, replace(curious.question(), post=True))


def _search(curious: Curious, question: Question) -> Made:
    sight = curious.sight

    def judge(reply: Any) -> str:
        if not question.types and not any(map(sight.reaches, every_kind(sight))):
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


# -- operations


def everything(curious: Curious) -> Made:
    """$everything of a patient: the record, and what it refers to and is nobody's chart."""
    sight = curious.sight
    patient = curious.random.choice(IDS)
    key = ("Patient", patient)

    def judge(reply: Any) -> str:
        if not sight.reaches("Patient"):
            return refused(reply, 403)
        if not sight.sees(key, "s"):
            return refused(reply, 404)
        if not sight.world.is_there(key):
            return refused(reply, 410)
        entries = paged(curious, reply)
        if isinstance(entries, str):
            return entries
        seen = {held.key: held for held in sight.seen("s")}
        record = {one for one, held in seen.items() if patient in held.patients()} | {key}
        named = set().union(*(seen[one].all_references() for one in record))
        outside = {one for one in named & seen.keys() if not seen[one].patients() - {patient}} - record
        got = [(entry["resource"]["resourceType"], entry["resource"]["id"]) for entry in entries]
        matches = {one for one, entry in zip(got, entries, strict=True) if entry["search"]["mode"] == "match"}
        if len(set(got)) != len(got):
            return "a resource twice"
        if matches != record:
            return f"record too much {matches - record}, missing {record - matches}"
        others = set(got) - matches
        return "" if others == outside else f"others too many {others - outside}, missing {outside - others}"

    return Request(f"Patient/{patient}/$everything?_count={curious.random.choice((2, 7, 100))}"), judge


def lastn(curious: Curious) -> Made:
    """$lastn with more than there are of any kind: every Observation of a patient that has a code."""
    sight = curious.sight
    patient = curious.random.choice(IDS)
    pairs = [("patient", f"Patient/{patient}"), ("code:missing", "false")]
    categories = [("category:missing", "false"), ("category:missing", "true")]
    asked = [*pairs, curious.random.choice(categories)]
    now = sight.world.clock.now

    def judge(reply: Any) -> str:
        if not sight.reaches("Observation"):
            return refused(reply, 403)
        if reply.status != 200:
            return f"status {reply.status}: {reply.body[:200]!r}"
        wanted = {held.key[1] for held in sight.world.oracle.matches("Observation", asked, sight.seen("s"), now)}
        got = {e["resource"]["id"] for e in reply.json.get("entry", ()) if e["search"]["mode"] == "match"}
        return "" if got == wanted else f"too many {got - wanted}, missing {wanted - got}"

    return Request(f"Observation/$lastn?max=1000&{urlencode(asked)}"), judge


def match(curious: Curious) -> Made:
    """$match with a patient's own words. Whom the rules find is theirs; that nobody hidden is among them is not."""
    sight = curious.sight
    patients = [held.resource for held in sight.world.oracle.everything() if held.key[0] == "Patient"]
    described = curious.random.choice(patients) if patients else {"resourceType": "Patient"}
    kept = {name: described[name] for name in ("name", "birthDate", "telecom", "identifier", "gender") if name in described}
    body = {
        "resourceType": "Parameters",
        "parameter": [{"name": "resource", "resource": {"resourceType": "Patient", **kept}}],
    }

    def judge(reply: Any) -> str:
        if not sight.reaches("Patient"):
            return refused(reply, 403)
        if reply.status != 200:
            return refused(reply, 400, 422)  # too little to look for anybody
        seen = {held.key[1] for held in sight.seen("s")}
        got = {
            entry["resource"]["id"]
            for entry in reply.json.get("entry", ())
            if entry["resource"]["resourceType"] == "Patient"
        }
        return "" if got <= seen else f"hidden patients {got - seen}"

    return Request("Patient/$match", body), judge


# -- bundles


def batch(curious: Curious) -> Made:
    """Entries are answered as the requests that they are."""
    made = [curious.made(curious.random.choice(("read", "vread", "history of one", "count"))) for _ in range(5)]
    sent = [request for _, request, _ in made]
    body = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": request.path}} for request in sent],
    }

    def judge(reply: Any) -> str:
        if reply.status != 200:
            return f"status {reply.status}"
        for request, entry in zip(sent, reply.json["entry"], strict=True):
            alone = request.ask(curious.sight.fhir)
            if not entry["response"]["status"].startswith(str(alone.status)):
                return f"{request}: {entry['response']['status']}, alone {alone.status}"
            if alone.status == 200 and entry["resource"] != alone.json:
                return f"{request}: another content than alone"
            if alone.status != 200 and "resource" in entry:
                return f"{request}: a refusal with a resource"
        return ""

    return Request("", body), judge


def transaction(curious: Curious) -> Made:
    """All entries are answered, or none."""
    sent = [curious.made(curious.random.choice(("read", "read", "count")))[1] for _ in range(2)]
    body = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"request": {"method": "GET", "url": request.path}} for request in sent],
    }

    def judge(reply: Any) -> str:
        alone = [request.ask(curious.sight.fhir) for request in sent]
        failing = {answer.status for answer in alone if answer.status != 200}
        if failing:
            return refused(reply, *failing)
        if reply.status != 200:
            return f"status {reply.status}: {reply.body[:200]!r}"
        same = [entry["resource"] for entry in reply.json["entry"]] == [answer.json for answer in alone]
        return "" if same else "another content than alone"

    return Request("", body), judge


SOURCES: Mapping[str, Callable[[Curious], Made]] = {
    "read": read,
    "vread": vread,
    "$meta": meta,
    "history of one": history_of_one,
    "history": history,
    "search": search,
    "search by chains, includes and order": search,
    "POST _search": search_by_post,
    "count": count,
    "$everything": everything,
    "$lastn": lastn,
    "$match": match,
    "batch": batch,
    "transaction": transaction,
}
