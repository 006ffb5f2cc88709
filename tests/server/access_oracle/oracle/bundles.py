"""Batches and transactions of requests that read."""

from __future__ import annotations

from typing import Any

from access_oracle.curious import Curious, Made, Request, refused
from access_oracle.instances import history_of_one, read, vread
from access_oracle.searches import count


def batch(curious: Curious) -> Made:
    """Entries are answered as the requests that they are."""
    sent = [curious.random.choice((read, vread, history_of_one, count))(curious)[0] for _ in range(5)]
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
    sent = [curious.random.choice((read, read, count))(curious)[0] for _ in range(2)]
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
