"""Resources written and questions asked through the server's door, beside the oracle's own answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from search_oracle.charts import TYPES, resource
from search_oracle.clauses import Refused
from search_oracle.evaluator import Held, Key, Oracle, Token
from search_oracle.makers import BASE, IDS
from search_oracle.questions import FORMS, Asker, Offered, Question
from search_oracle.values import Place

Json = dict[str, Any]
ZONE = ZoneInfo("America/New_York")  # of the server that the tests of the server start
COMMON = (
    "Patient",
    "Patient",
    "Observation",
    "Observation",
    "Observation",
    "Encounter",
    "Practitioner",
    "List",
)
OTHERS = 4  # further types of one chart


def offered(fhir: Any) -> Offered:
    """What a server says that it answers."""
    statement = fhir.get("metadata").json
    codes = {
        row["type"]: frozenset(parameter["name"] for parameter in row.get("searchParam", ()))
        for row in statement["rest"][0]["resource"]
    }
    answered = set()
    for form, path in FORMS.items():
        answer = fhir.get(path)
        assert answer.status in (200, 400, 404), (path, answer.status, answer.body)
        if answer.status == 200:
            answered.add(form)
    return Offered(codes, frozenset(answered))


@dataclass(slots=True)
class Answer:
    """What all pages of a search held. pages: (matches, includes) of each, matches in order."""

    pages: list[tuple[list[Key], set[Key]]] = field(default_factory=list)
    total: int | None = None
    status: int = 200

    @property
    def matches(self) -> list[Key]:
        return [key for matches, _ in self.pages for key in matches]


class Door:
    """A server, by the requests of a token: `as_token` of the tests' fixtures."""

    def __init__(self, as_token: Callable[..., Any]) -> None:
        self._as_token = as_token
        self._known: dict[Token, Any] = {}
        self.everything = self.of(Token())

    def of(self, token: Token) -> Any:
        if token not in self._known:
            if token.patient is None:
                self._known[token] = self._as_token("system/*.cruds")
            else:
                scopes = [
                    f"patient/{kind}.rs" + ("?" + urlencode(criteria, safe=",") if criteria else "")
                    for kind, criteria in token.scopes
                ]
                self._known[token] = self._as_token(" ".join(scopes), patient=token.patient)
        return self._known[token]

    def ask(self, question: Question) -> Answer:
        """All pages of a search, by GET or first by POST."""
        fhir, path = self.of(question.token), question.path
        text = urlencode(question.query())
        if question.post:
            form = {"Content_Type": "application/x-www-form-urlencoded"}
            reply = fhir("POST", f"{path}/_search".removeprefix("/"), text.encode(), **form)
        else:
            reply = fhir.get(f"{path}?{text}")
        answer = Answer(status=reply.status)
        while reply.status == 200:
            bundle = reply.json
            if not answer.pages:
                answer.total = bundle.get("total")
            answer.pages.append(_page(bundle))
            following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
            if not following:
                return answer
            assert len(answer.pages) < 1_000, "the pages do not end"
            reply = fhir.get(following[0].removeprefix(BASE[:-1]).removeprefix("/"))
            answer.status = reply.status
        answer.pages.append(([("refused", reply.body.decode())], set()))
        return answer


def _page(bundle: Json) -> tuple[list[Key], set[Key]]:
    matches: list[Key] = []
    includes: list[Key] = []
    for entry in bundle.get("entry", ()):
        key = (entry["resource"]["resourceType"], entry["resource"]["id"])
        mode = entry["search"]["mode"]
        assert mode in ("match", "include"), entry["resource"]
        (matches if mode == "match" else includes).append(key)
    assert len(set(includes)) == len(includes), "a resource is included twice on a page"
    return matches, set(includes)


def write_chart(door: Door, random: Random, size: int, advance: Callable[[int], Any]) -> Oracle:
    """Random writes through the door; what they left is in the oracle. advance: moves the clock by seconds.

    A change that the rules of care refuse (a lifecycle's order) is left out. A chart has few types, so that
    its resources refer to one another.
    """
    types = (*COMMON, *random.sample(sorted(TYPES), OTHERS))
    oracle = Oracle(Place(BASE, ZONE))
    versions: dict[Key, str] = {}
    for _ in range(size):
        advance(random.choice((0, 1, 40)))
        key = (random.choice(types), random.choice(IDS))
        path = "/".join(key)
        headers = {"If_Match": versions[key]} if key in versions else {}
        if headers and random.random() < 0.25:
            reply = door.everything.delete(path, **headers)
            assert reply.status == 204, reply.body
            del versions[key]
            oracle.delete(key)
            continue
        made = resource(random, *key, types)
        reply = door.everything.put(path, made, Prefer="return=representation", **headers)
        if reply.status == 422 and headers:
            continue
        assert reply.status in (200, 201), (made, reply.body)
        versions[key] = reply.headers["ETag"]
        oracle.put(reply.json)
    return oracle


@dataclass(frozen=True, slots=True)
class Difference:
    """A question that the server and the oracle answer differently."""

    question: Question
    what: str
    expected: Any
    actual: Any
    about: tuple[Json, ...]

    def __str__(self) -> str:
        q = self.question
        shown = [json.dumps(resource, default=str, ensure_ascii=False) for resource in self.about[:3]]
        return "\n".join(
            (
                f"{'POST ' if q.post else ''}{q.path}?{'&'.join('='.join(pair) for pair in q.query())}",
                f"  token: {q.token}",
                f"  {self.what}: expected {self.expected}",
                f"  {' ' * len(self.what)}  actual   {self.actual}",
                *(f"  {line}" for line in shown),
            )
        )


def expected_matches(oracle: Oracle, question: Question, seen: list[Held], now: datetime) -> list[Held]:
    """All matches of a question, in order."""
    # What all types have is read once, also where nothing is seen: it may be refused.
    types = question.types or sorted({held.key[0] for held in seen}) or [COMMON[0]]
    found = [held for kind in types for held in oracle.matches(kind, question.pairs, seen, now)]
    found.sort(key=lambda held: held.number)
    if question.compartment is not None:
        of = question.compartment[0]  # that it exists, and may be seen, is not asked
        found = [held for held in found if question.compartment in held.compartments(of)]
    return oracle.in_order(found, question.sort) if question.sort else found


def compare(door: Door, oracle: Oracle, question: Question, now: datetime) -> Difference | None:
    """What the server answers otherwise than the oracle; None: nothing."""
    seen = oracle.visible(question.token)
    answer = door.ask(question)

    def differs(what: str, wanted: Any, got: Any, keys: Iterable[Key]) -> Difference:
        about = tuple(held.resource for held in oracle.visible(Token()) if held.key in set(keys))
        return Difference(question, what, wanted, got, about)

    status = 200 if all(map(question.token.reaches, question.types)) else 403
    try:
        expected = expected_matches(oracle, question, seen, now)
    except Refused:
        expected, status = [], 400 if status == 200 else status
    if answer.status != status:
        return differs("status", status, answer.matches, ())
    if status != 200:
        return None
    wanted = [held.key for held in expected]
    if answer.matches != wanted:
        return differs("matches", wanted, answer.matches, set(wanted) ^ set(answer.matches) or wanted)
    if ("_total", "none") not in question.shape and answer.total != len(wanted):
        return differs("total", len(wanted), answer.total, ())
    at = 0
    for matches, included in answer.pages:
        page = expected[at : at + len(matches)]
        at += len(matches)
        brought = oracle.included(page, question.includes, seen)
        if included != brought:
            return differs("included", sorted(brought), sorted(included), included ^ brought)
    return None


def asked(
    door: Door, oracle: Oracle, random: Random, known: Offered, count: int, now: datetime
) -> list[Difference]:
    """The differences that so many random questions find."""
    asker = Asker(random, oracle.visible(Token()), known)
    found = (compare(door, oracle, asker.question(), now) for _ in range(count))
    return [difference for difference in found if difference is not None]
