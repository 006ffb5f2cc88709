"""A way to ask a datatype function: a field as it is sent in, what it became and what was said of it out.

Names, numbers and addresses are synthetic: no person, no site and no event in them exists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from mappings.datatypes import FUNCTIONS
from mappings.hl7v2.message import Message, Repetition, parse
from mappings.result import Source
from mappings.scope import Account, Scope
from mappings.tables import Table
from server.fhir.validation import validate

_STEP = re.compile(r"([^.\[]+)|\[(\d+)\]")
_PRIMITIVE = re.compile(r"[a-z]")
_EXTENSION = {
    "Reference(Practitioner)": "Reference",
    "Reference(Organization)": "Reference",
    "Reference(Location)": "Reference",
}


@dataclass(frozen=True)
class Answer:
    """result: FHIR JSON. used: component ("4.2") -> the paths it became. findings: (code, component or "")."""

    result: Any
    account: Account
    repetition: Repetition

    @property
    def used(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for use in self.account.uses:
            found.setdefault(str(use.value.position).split("].", 1)[1], []).append(use.path)
        return found

    @property
    def tables(self) -> set[str]:
        return {use.table for use in self.account.uses if use.table}

    @property
    def findings(self) -> list[str]:
        return [finding.code for finding in self.account.findings]

    @property
    def unread(self) -> set[str]:
        """Components with content that nothing was made of."""
        read = {(use.value.start, use.value.end) for use in self.account.uses}
        filled = [leaf for leaf in self.repetition.filled() if not leaf.is_null]
        return {str(leaf.position).split("].", 1)[1] for leaf in filled if (leaf.start, leaf.end) not in read}

    @property
    def intents(self) -> dict[str, Mapping[str, Any]]:
        return {key: intent.resource for key, intent in self.account.intents.items()}


Ask = Callable[..., Answer]


def message_of(segment: str, header_time: str = "20260301120000-0500") -> Message:
    return parse(
        f"MSH|^~\\&|APP|SITE|||{header_time}||ADT^A01|1|P|2.5.1|||||||UNICODE UTF-8\r{segment}\r".encode()
    )


def answer(name: str, repetition: Repetition, scope: Scope, table: str = "") -> Answer:
    return Answer(FUNCTIONS[name](repetition, scope, table), scope.account, repetition)


@pytest.fixture(scope="session")
def ask() -> Ask:
    """ask(function, content): the content as the only field of a segment; or segment=, field=, repetition=."""

    def ask(
        name: str,
        content: str = "",
        *,
        table: str = "",
        segment: str = "",
        field: int = 1,
        repetition: int = 1,
        source: Source | None = None,
        header_time: str = "20260301120000-0500",
        tables: Mapping[str, Table] | None = None,
    ) -> Answer:
        message = message_of(segment or f"ZZ1|{content}", header_time)
        value = message.segments[1].repetitions(field)[repetition - 1]
        return answer(name, value, Scope(source or Source("test"), message, tables), table)

    return ask


@pytest.fixture(scope="session")
def at_path() -> Callable[[Any, str], Any]:
    """What stands at a path (`name[0].given[1]`); raises where nothing does."""

    def at_path(result: Any, path: str) -> Any:
        for member, index in _STEP.findall(path):
            result = result[member] if member else result[int(index)]
        return result

    return at_path


def _resources(name: str, answered: Answer) -> Iterator[dict[str, Any]]:
    """The result as part of a resource that can be judged, and every further resource."""
    kind, result = FUNCTIONS[name].result, answered.result
    subject = {"reference": "Patient/1"}
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    if kind == "value[x]":
        yield {**observation, **result}
    elif kind == "SampledData":
        yield {**observation, "valueSampledData": result}
    elif kind == "Observation.referenceRange":
        yield {**observation, "referenceRange": [result]}
    elif kind == "performed[x]":
        yield {"resourceType": "Procedure", "status": "completed", "subject": subject, **(result or {})}
    elif kind == "effective[x]":
        yield {
            "resourceType": "MedicationAdministration",
            "status": "completed",
            "medicationCodeableConcept": {"text": "x"},
            "subject": subject,
            **(result or {}),
        }
    elif kind in ("dose[x]", "rate[x]"):
        yield {
            "resourceType": "MedicationRequest",
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": {"text": "x"},
            "subject": subject,
            "dosageInstruction": [{"doseAndRate": [result]}],
        }
    elif result is not None:
        kind = _EXTENSION.get(kind, kind)
        member = f"value{kind[0].upper()}{kind[1:]}"
        yield {
            "resourceType": "Basic",
            "code": {"text": "x"},
            "extension": [{"url": "http://example.org/x", member: _placed(result)}],
        }
    for resource in answered.intents.values():
        yield _placed(dict(resource))


def _placed(element: Any) -> Any:
    """References to intents as references to resources that are stored."""
    if isinstance(element, dict):
        if str(element.get("reference", "")).startswith("#intent:"):
            kind = element["reference"].removeprefix("#intent:").split(":")[0]
            return {**element, "reference": f"{kind}/1"}
        return {member: _placed(content) for member, content in element.items()}
    return [_placed(content) for content in element] if isinstance(element, list) else element


@pytest.fixture(scope="session")
def faults() -> Callable[[str, Answer], list[Any]]:
    """What FHIR R4 has against the result of a function, and against the further resources."""

    def faults(name: str, answered: Answer) -> list[Any]:
        if answered.result is None:
            return []
        return [issue for resource in _resources(name, answered) for issue in validate(resource)]

    return faults
