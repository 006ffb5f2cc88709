"""Hostile requests from a seeded grammar, over every route that a server has.

`Grammar(random.Random(seed), routes).requests()` never ends; every request says of which kind it is. MARK is in
many values, so that an error that repeats one is found. (Names of search parameters are repeated: a caller must
know which was wrong.)
"""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

# `conftest` loads the words first: tests are no packages.
from hostile_words import CONTENT_TYPES, FHIR, FORM, HEADERS, LONG, MARK, METHODS, NASTY, PATHS, PLACES, WORST


def form(pairs: Sequence[tuple[str, str]]) -> str:
    """Percent-encoded pairs; unpaired surrogates as the bytes they would have."""
    return urlencode(
        [(n.encode("utf-8", "surrogatepass"), v.encode("utf-8", "surrogatepass")) for n, v in pairs]
    )


@cache
def bombs() -> tuple[bytes, ...]:
    """Small bodies that would be large."""
    whole = b'{"resourceType":"Patient","id":"' + b"a" * 10_000_000 + b'"}'
    return gzip.compress(whole), zlib.compress(b"0" * 5_000_000)


@dataclass(frozen=True, slots=True)
class Hostile:
    """One request. path: percent-encoded, without query. kind: which production made it. who: whose token."""

    kind: str
    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    who: str = "everything"


@dataclass(slots=True)
class Grammar:
    """routes: (methods, path with samples filled in) of the pages and endpoints beside FHIR. parameters: search
    parameter codes by resource type."""

    random: random.Random
    routes: Sequence[tuple[Sequence[str], str]]
    parameters: dict[str, Sequence[str]] = field(default_factory=dict)

    def requests(self) -> Iterator[Hostile]:
        """Without end; every production gets its share."""
        makers = [self.pages, self.pages, self.forms, self.forms, self.methods, self.heads]
        if self.parameters:
            makers += [
                self.bad_json,
                self.primitives,
                self.primitives,
                self.searches,
                self.searches,
                self.posted_searches,
                self.conditions,
                self.cursors,
                self.paths,
                self.header_tricks,
                self.media,
                self.bundles,
                self.encoded,
                self.limits,
            ]
        while True:
            for maker in makers:
                yield maker()

    # Parts

    def type(self) -> str:
        return self.random.choice(("Patient", "Patient", *self.parameters))

    def noise(self) -> str:
        kind = self.random.randrange(4)
        if kind == 0:
            return "".join(
                chr(self.random.choice((0, 9, 10, 34, 39, 60, 92, 0xE9, 0x202E, 0x1F4A9))) for _ in range(9)
            )
        if kind == 1:
            return self.random.choice(self.random.choice(list(WORST.values())))
        return self.random.choice(NASTY)

    def short(self) -> str:
        return self.noise()[: self.random.choice((1, 40, 4_000))]

    def some_headers(self, most: int = 2) -> tuple[tuple[str, str], ...]:
        names = self.random.sample(list(HEADERS), self.random.randint(0, most))
        return tuple((name, self.random.choice(HEADERS[name])) for name in names)

    def who(self) -> str:
        return self.random.choice(("everything", "everything", "everything", "patient", "nobody", "wrong"))

    def write(self, kind: str, body: bytes, type: str, **more: Any) -> Hostile:
        method, path = self.random.choice(
            (("POST", f"/fhir/{type}"), ("PUT", f"/fhir/{type}/h1"), ("POST", "/fhir"))
        )
        headers = (("Content-Type", FHIR), *self.some_headers(1))
        return Hostile(kind, method, path, headers=headers, body=body, who=self.who(), **more)

    # Productions

    def bad_json(self) -> Hostile:
        pick = self.random.choice
        depth = pick((33, 100, 50_000))
        body = pick(
            (
                b"",
                b"{",
                b"[]",
                b"null",
                b'"',
                b"{}" * 9,
                b"\xff\xfe{\x00}",
                b"\xef\xbb\xbf{}",
                b"\x00" * 99,
                b'{"resourceType":"Patient","resourceType":"Patient"}',
                b'{"resourceType":"Patient","id":"\\ud800"}',
                b'{"resourceType":"Patient","id":"\\u0000"}',
                b'{"a":' * depth,
                b'{"a":' * depth + b"1" + b"}" * depth,
                b"[" * depth + b"]" * depth,
                b'{"resourceType":"Patient","x":' + b"9" * pick((65, 5_000, LONG)) + b"}",
                b'{"resourceType":"Patient","x":1e' + b"9" * pick((4, 400)) + b"}",
                b'{"resourceType":"\xc3\x28"}',
                b'{"resourceType":"Patient","x":-0,"y":1E400,"z":0.0e-999999}',
                b'{"resourceType":"Patient",}',
                b'{"resourceType":"Patient"}\n{"resourceType":"Patient"}',
                b'{"' + b"k" * LONG + b'":1}',
                b'{"resourceType":"' + MARK.encode() + b'"}',
                b'{"resourceType":["Patient"]}',
                b'{"resourceType":{}}',
                b'{"resourceType":"Patient","extension":[' + b"{}," * 20_000 + b"{}]}",
                b"{" + b",".join(b'"k%d":1' % n for n in range(20_000)) + b"}",
                b"\xed\xa0\x80",
                b"NaN",
                b"// {}",
            )
        )
        return self.write("bad JSON", body, self.type())

    def primitives(self) -> Hostile:
        name = self.random.choice(list(PLACES))
        value: Any = self.random.choice((*WORST[name], *WORST[name], MARK, self.noise()))
        if self.random.random() < 0.15:
            value = self.random.choice(([value], {"value": 1}, None, True, 10**63, 1.5, [[]], {}))
        resource = self.random.choice(PLACES[name])(value)
        text = json.dumps(resource, ensure_ascii=self.random.random() < 0.5)
        if name in ("decimal", "integer", "unsignedInt", "positiveInt") and isinstance(value, str):
            text = text.replace(json.dumps(value), value) if self.random.random() < 0.5 else text
        return self.write(
            f"primitive {name}", text.encode("utf-8", "surrogatepass"), str(resource["resourceType"])
        )

    def _query(self, type: str) -> list[tuple[str, str]]:
        general = (
            "_id",
            "_lastUpdated",
            "_count",
            "_sort",
            "_include",
            "_include:iterate",
            "_revinclude",
            "_summary",
            "_elements",
            "_total",
            "_has:Observation:subject:code",
            "_has:" * 9 + "x",
            "_filter",
            "_text",
            "_content",
            "_format",
            "_pretty",
            "_type",
            "_since",
            "_at",
            "_list",
            "_query",
            "_cursor",
            "_contained",
            "_source",
        )
        modifiers = (
            "",
            "",
            "",
            ":exact",
            ":contains",
            ":not",
            ":missing",
            ":text",
            ":in",
            ":of-type",
            ":Patient",
            ":identifier",
            ":above",
            ":Patient.name",
            ".name",
            ".patient.patient.patient",
            ":nothing",
        )
        pairs = []
        for _ in range(self.random.choice((1, 1, 2, 3, 30))):
            code = self.random.choice(
                (*self.parameters[type], self.random.choice(general), self.short().replace(MARK, "x"))
            )
            prefix = self.random.choice(("", "", "", "gt", "ap", "ne", "sa", "eb"))
            value = self.random.choice(
                (",".join([self.short()[:20]] * 300), self.noise(), self.noise(), self.short())
            )
            pairs.append((code + self.random.choice(modifiers), prefix + value))
        return pairs

    def searches(self) -> Hostile:
        type = self.type()
        query = form(self._query(type))
        if self.random.random() < 0.8:  # most stay below the limit of a URL
            query = query[:15_000]
        path = self.random.choice(
            (f"/fhir/{type}", f"/fhir/{type}", f"/fhir/{type}/p1/_history", "/fhir/_history")
        )
        return Hostile("search", "GET", path, query, self.some_headers(1), who=self.who())

    def posted_searches(self) -> Hostile:
        type = self.type()
        body = form(self._query(type)).encode()
        if self.random.random() < 0.2:
            body = self.random.choice(
                (b"&" * 9_000, b"=" * LONG, b"\xff\xfe", b"name=%", b"a=1&" * 499, b"%00=%00")
            )
        return Hostile(
            "posted search", "POST", f"/fhir/{type}/_search", "", (("Content-Type", FORM),), body, self.who()
        )

    def conditions(self) -> Hostile:
        query = form(self._query("Patient"))[: self.random.choice((200, 8_000))]
        if self.random.random() < 0.5:
            headers = (("Content-Type", FHIR), ("If-None-Exist", query))
            return Hostile(
                "condition", "POST", "/fhir/Patient", "", headers, b'{"resourceType":"Patient"}', self.who()
            )
        body = b'{"resourceType":"Patient","id":"p1"}'
        return Hostile(
            "condition", self.random.choice(("PUT", "DELETE", "PATCH")), "/fhir/Patient", query, (), body
        )

    def cursors(self) -> Hostile:
        cursor = self.random.choice(
            (
                "",
                "a",
                "A" * 200,
                "=" * 99,
                "eyJhIjoxfQ",
                "A" * 9_000,
                "\u00e9",
                MARK,
                "a.b.c",
                "-_" * 60,
                "\0",
                "%",
                "AAAA.AAAA",
            )
        )
        path = self.random.choice((f"/fhir/{self.type()}", "/fhir/Patient/p1/_history", "/fhir/_history"))
        name = self.random.choice(("_cursor", "_page", "_getpages", "cursor"))
        query = form([("_count", self.short()[:30]), (name, cursor)])
        return Hostile("cursor", "GET", path, query, who=self.who())

    def paths(self) -> Hostile:
        base = self.random.choice(
            ("/fhir/", "/fhir/", "/", "/oauth2/", "/console/", "/ehr/", "/fhir/Patient/p1/")
        )
        tail = self.random.choice(
            (*PATHS, quote_from_bytes(self.short().encode("utf-8", "surrogatepass"), safe="/;"))
        )
        path, _, query = (base + tail).partition("?")
        return Hostile("path", self.random.choice(METHODS[:6]), path, query, who=self.who())

    def header_tricks(self) -> Hostile:
        method, path = self.random.choice(
            (
                ("GET", "/fhir/Patient/p1"),
                ("PUT", "/fhir/Patient/p1"),
                ("GET", "/fhir/metadata"),
                ("DELETE", "/fhir/Patient/h9"),
                ("GET", "/oauth2/login"),
                ("GET", "/console/"),
                ("POST", "/oauth2/token"),
                ("GET", "/metrics"),
            )
        )
        body = b'{"resourceType":"Patient","id":"p1"}' if method == "PUT" else b""
        return Hostile("headers", method, path, "", self.some_headers(4), body, self.who())

    def heads(self) -> Hostile:
        methods, path = self.random.choice(self.routes)
        who = self.random.choice(("staff", "nobody"))
        return Hostile("head", self.random.choice(methods), path, "", self.some_headers(4), who=who)

    def media(self) -> Hostile:
        headers = (
            ("Content-Type", self.random.choice(CONTENT_TYPES)),
            ("Accept", self.random.choice((*CONTENT_TYPES, "*/*"))),
        )
        method, path = self.random.choice(
            (
                ("POST", "/fhir/Patient"),
                ("PUT", "/fhir/Patient/h1"),
                ("POST", "/fhir/Patient/_search"),
                ("POST", "/fhir"),
                ("PATCH", "/fhir/Patient/p1"),
            )
        )
        body = self.random.choice(
            (b'{"resourceType":"Patient","id":"h1"}', b"<Patient/>", b"name=x", b"--\r\n\r\n--", b"\xff" * 99)
        )
        return Hostile("media", method, path, "", headers, body, self.who())

    def bundles(self) -> Hostile:
        pick = self.random.choice
        url = pick(
            (
                "Patient/p1",
                "Patient",
                "Patient?name=x",
                self.short(),
                "",
                "/",
                "Patient/../..",
                "http://x/Patient/1",
                "urn:uuid:1",
            )
        )
        entry: Any = {
            "fullUrl": pick(
                ("urn:uuid:" + "0" * 36, self.short(), "urn:uuid:6f9619ff-8b86-d011-b42d-00c04fc964ff")
            ),
            "resource": pick(
                (
                    {"resourceType": "Patient"},
                    {"resourceType": "Bundle", "type": "batch", "entry": []},
                    None,
                    [],
                    MARK,
                    {"resourceType": "Patient", "link": [{"type": "refer", "other": {"reference": url}}]},
                )
            ),
            "request": {
                "method": pick(("GET", "POST", "PUT", "DELETE", "PATCH", "get", "", MARK)),
                "url": url,
                pick(("ifMatch", "ifNoneExist", "ifNoneMatch", "ifModifiedSince", "x")): self.short(),
            },
        }
        body = {
            "resourceType": "Bundle",
            "type": pick(("batch", "transaction", "transaction", "history", "", 1, None)),
            "entry": pick(
                (
                    [entry],
                    [entry] * 20,
                    [None],
                    [[]],
                    {},
                    "x",
                    [entry, entry, {"request": entry["request"]}],
                    [1],
                )
            ),
        }
        text = json.dumps(body).encode("utf-8", "surrogatepass")
        return Hostile(
            "bundle", "POST", pick(("/fhir", "/fhir/")), "", (("Content-Type", FHIR),), text, self.who()
        )

    def methods(self) -> Hostile:
        path = self.random.choice(
            ("/fhir", "/fhir/Patient", "/fhir/Patient/p1", "/fhir/metadata", *(p for _, p in self.routes))
        )
        return Hostile("method", self.random.choice(METHODS), path, "", self.some_headers(1), who=self.who())

    def encoded(self) -> Hostile:
        body = self.random.choice((*bombs(), b"\x1f\x8b\x08", b"PK\x03\x04" * 99))
        coding = self.random.choice(("gzip", "deflate", "br", "gzip, gzip", "x-gzip", ""))
        headers = (("Content-Type", FHIR), ("Content-Encoding", coding))
        return Hostile("encoded", "POST", self.random.choice(("/fhir", "/fhir/Patient")), "", headers, body)

    def limits(self) -> Hostile:
        kind = self.random.randrange(6)
        if kind == 0:
            return Hostile("limit", "GET", "/fhir/Patient", "a=1&" * self.random.choice((501, 4_000)))
        if kind == 1:
            return Hostile("limit", "GET", "/fhir/Patient/" + "a" * self.random.choice((16_384, 60_000)))
        if kind == 2:
            body = b'{"resourceType":"Patient","x":"' + b"a" * 5_000_000 + b'"}'
            return Hostile("limit", "POST", "/fhir/Patient", "", (("Content-Type", FHIR),), body)
        if kind == 3:
            body = b'{"resourceType":"Bundle","type":"batch","entry":[' + b"{}," * 5_001 + b"{}]}"
            return Hostile("limit", "POST", "/fhir", "", (("Content-Type", FHIR),), body)
        if kind == 4:
            headers = (("Content-Type", FHIR), ("Content-Length", "33000000"))
            return Hostile("limit", "POST", "/fhir", "", headers, b"{}")
        body = b'{"resourceType":"Patient","contact":[' + b'{"name":{"text":"x"}},' * 50_000 + b"{}]}"
        return Hostile("limit", "POST", "/fhir/Patient", "", (("Content-Type", FHIR),), body)

    def pages(self) -> Hostile:
        methods, path = self.random.choice(self.routes)
        words = (
            "next",
            "again",
            "because",
            "client_id",
            "redirect_uri",
            "scope",
            "state",
            "aud",
            "response_type",
            "type",
            "id",
            "q",
            "page",
            "patient",
            "launch",
            "iss",
            "code",
            "error",
            "version",
            "cursor",
            "iss",
            "error_description",
        )
        pairs = [
            (self.random.choice((*words, self.short())), self.short()) for _ in range(self.random.randint(0, 4))
        ]
        query = form(pairs)
        if self.random.random() < 0.4:
            path = (
                path.rstrip("/") + "/" + quote_from_bytes(self.short()[:200].encode("utf-8", "surrogatepass"))
            )
        method = self.random.choice((*methods, "GET", "POST"))
        return Hostile(
            "page",
            method,
            path,
            query[:15_000],
            self.some_headers(2),
            who=self.random.choice(("staff", "nobody")),
        )

    def forms(self) -> Hostile:
        _, path = self.random.choice([row for row in self.routes if "POST" in row[0]])
        names = (
            "csrf",
            "csrf_token",
            "username",
            "password",
            "next",
            "grant_type",
            "code",
            "client_id",
            "client_secret",
            "code_verifier",
            "redirect_uri",
            "scope",
            "token",
            "refresh_token",
            "client_assertion",
            "patient",
            "grant",
            "client_assertion_type",
            "decision",
            "launch",
            "id_token",
            "line",
            "draft",
            "version",
            "action",
            "reason",
            "note",
            "outcome",
            "task",
        )
        good = {
            "grant_type": ("authorization_code", "client_credentials", "refresh_token", "implicit"),
            "client_assertion_type": ("urn:ietf:params:oauth:client-assertion-type:jwt-bearer",),
            "client_assertion": ("a.b.c", "eyJhbGciOiJub25lIn0.e30.", "." * 900, "eyJhbGciOiJub25lIn0." * 3),
        }
        pairs = [
            (name, self.random.choice((*good.get(name, ()), self.short())))
            for name in self.random.sample(names, 6)
        ]
        body = form(pairs).encode()
        if self.random.random() < 0.2:
            body = self.random.choice(
                (b"\xff" * 900, b"&" * 50_000, b"a=" + b"b" * 200_000, b"a=1&" * 5_000, b"--x\r\n")
            )
        content_type = self.random.choice((FORM, FORM, FORM, *CONTENT_TYPES))
        headers = (("Content-Type", content_type), *self.some_headers(1))
        return Hostile("form", "POST", path, "", headers, body, self.random.choice(("staff", "nobody")))
