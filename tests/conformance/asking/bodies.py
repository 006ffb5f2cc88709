"""What tests of interactions send and look at again and again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def new(number: str, **more: Any) -> dict[str, Any]:
    """A Patient with an identifier."""
    return {"resourceType": "Patient", "identifier": [{"system": "urn:example:in", "value": number}], **more}


def outcome(answer: Any, status: int, *codes: str) -> dict[str, Any]:
    """The issue of a refusal."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome"
    for issue in body["issue"]:
        assert issue["severity"] in ("fatal", "error", "warning", "information")
        assert issue["diagnostics"]
    assert not codes or body["issue"][0]["code"] in codes, body
    return dict(body["issue"][0])


def bundle(kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
    """A Bundle to send to the base."""
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def references(value: Any) -> Iterator[str]:
    """All literal references in a resource."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name == "reference" and isinstance(part, str):
                yield part
            else:
                yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def batched(names: list[str], size: int) -> Iterator[list[str]]:
    """names in lists of at most that size."""
    yield from (names[start : start + size] for start in range(0, len(names), size))


def local(resource: dict[str, Any]) -> str:
    """A reference to a resource."""
    return f"{resource['resourceType']}/{resource['id']}"
