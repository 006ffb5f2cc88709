"""A client of a FHIR server that knows HTTP and JSON, and nothing of any server."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import requests


@dataclass(slots=True)
class Fhir:
    """A client of a FHIR server that only speaks HTTP.

    base: without a slash at the end. run: begins every id of this run, and is the code of its tag.
    """

    base: str
    token: str
    run: str
    session: requests.Session = field(default_factory=requests.Session)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        """One request of a path below the base or of a whole URL; underscores of headers are hyphens.

        A body that is no text is sent as application/fhir+json. Never a 5xx (no line of FHIR allows one).
        """
        url = path if path.startswith("http") else f"{self.base}/{path}".rstrip("/")
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if body is not None:
            sent["Content-Type"] = "application/fhir+json"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        answer = self.session.request(method, url, data=data, headers=sent, timeout=60, allow_redirects=False)
        assert answer.status_code < 500, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> requests.Response:
        return self.ask("POST", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> requests.Response:
        return self.ask("PUT", path, body, **headers)

    def form(self, path: str, query: str, **headers: str) -> requests.Response:
        """A search by POST; query: as it would stand in the URL."""
        return self.ask(
            "POST", path, query.encode(), Content_Type="application/x-www-form-urlencoded", **headers
        )

    def create(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The resource as it was stored, tagged as of this run."""
        tagged = resource | {"meta": resource.get("meta", {}) | {"tag": [self.tag]}}
        answer = self.post(resource["resourceType"], tagged)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    @property
    def tag(self) -> dict[str, str]:
        return {"system": "urn:example:conformance", "code": self.run}

    @property
    def mine(self) -> str:
        """The part of a query that leaves what this run has tagged."""
        return f"_tag=urn:example:conformance|{self.run}"

    def all(self, query: str, pages: int = 20) -> list[dict[str, Any]]:
        """All entries of a search, page by page. Raises: AssertionError unless each page is a searchset."""
        entries: list[dict[str, Any]] = []
        url: str | None = query
        for _ in range(pages):
            answer = self.get(str(url))
            assert answer.status_code == 200, f"{query}: {answer.status_code} {answer.text[:600]}"
            page = answer.json()
            assert (page["resourceType"], page["type"]) == ("Bundle", "searchset")
            entries += page.get("entry", [])
            url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
            if url is None:
                return entries
        raise AssertionError(f"{query}: more than {pages} pages")

    def matches(self, query: str) -> list[dict[str, Any]]:
        """The matching resources of a search."""
        return [entry["resource"] for entry in self.all(query) if entry["search"]["mode"] == "match"]

    def included(self, query: str) -> list[dict[str, Any]]:
        """The resources that came along with a search."""
        return [entry["resource"] for entry in self.all(query) if entry["search"]["mode"] == "include"]

    def batch(self, requests_: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers to many requests, each as one of its own: [{"response": .., "resource": ..}]."""
        if not requests_:
            return []
        answer = self.post("", {"resourceType": "Bundle", "type": "batch", "entry": requests_})
        assert answer.status_code == 200, answer.text[:600]
        entries = answer.json()["entry"]
        assert len(entries) == len(requests_)
        for asked, told in zip(requests_, entries, strict=True):
            assert told["response"]["status"] < "5", (asked["request"], told)
        return list(entries)

    def reads(self, urls: list[str]) -> list[dict[str, Any]]:
        return self.batch([{"request": {"method": "GET", "url": url}} for url in urls])
