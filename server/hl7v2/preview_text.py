"""What applying messages again would change, as lines for a shell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from server.fhir.changed_elements import canonical
from server.hl7v2.preview import Preview, ResourceChange


@dataclass(slots=True)
class Summary:
    """Of several previews: messages, those that would change something, those that would not be applied, and
    versions that would be written."""

    messages: int = 0
    changing: int = 0
    refused: int = 0
    resources: int = 0

    def count(self, shown: Preview) -> None:
        """Take one in."""
        self.messages += 1
        self.refused += shown.is_refused
        if not shown.is_refused:
            self.changing += bool(shown.resources)
            self.resources += len(shown.resources)

    def __str__(self) -> str:
        return (
            f"of {self.messages} messages {self.changing} would change something ({self.resources} resources),"
            f" {self.messages - self.changing - self.refused} nothing, {self.refused} would not be applied"
        )


def lines(shown: Preview) -> Iterator[str]:
    """One message: what its map says otherwise, and what that makes of the record."""
    message = shown.message
    kind = f"{message.type}^{message.trigger}" if message.trigger else message.type
    before = f"mapped by {message.mapping_version}" if message.mapping_version else "not mapped yet"
    yield f"message {message.id}  {kind} of {message.source}, {message.state}; {before}, now by {shown.version}"
    if shown.is_compared:
        for one in shown.said:
            path = f"{one.intent}: {one.path}"
            yield f"  map     {path}  {text_of(one.before) or 'nothing'} -> {text_of(one.after) or 'nothing'}"
        for finding in shown.findings:
            state = "found now" if finding.is_new else "no longer found"
            yield f"  map     {state}: {finding.code} {finding.position} {finding.text}"
        if not shown.said and not shown.findings:
            yield "  map     says the same as before"
    if shown.refused:
        yield f"  refused {shown.refused}"
        return
    for resource in shown.resources:
        yield from _resource(resource)
    written = {f"{resource.resource_type}/{resource.id}" for resource in shown.resources}
    for outcome in shown.outcomes:
        if outcome.reference not in written and outcome.outcome != "unchanged":
            yield f"  record  {outcome.reference or outcome.intent.partition(':')[0]} {outcome.outcome}"
    if shown.moved:
        yield f"  record  {shown.moved} resources are pointed at the survivor"
    if not shown.resources:
        yield "  record  nothing would change"


def _resource(resource: ResourceChange) -> Iterator[str]:
    if not resource.version:
        yield f"  record  a new {resource.resource_type}"
    else:
        versions = f"version {resource.version} -> {resource.version + 1}"
        yield f"  record  {resource.resource_type}/{resource.id}, {versions}"
    for change in resource.changes:
        before, after = text_of(change.before), text_of(change.after)
        told = f"{before} -> {after}" if before and after else after or before
        yield f"            {change.kind:<8} {change.path}  {told}"
    for fault in resource.faults:
        yield f"            refused: {fault}"


def text_of(value: Any) -> str:
    """FHIR JSON in one line, "" for nothing."""
    return "" if value is None else canonical(value).decode()
