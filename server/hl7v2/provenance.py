"""The Provenance of what a message made: which message, who sent it, and by which maps it was read (pure).

A map says of it what the message says; where it says nothing, the source is the author. Targets are what was
written, each in its version. The message is named by the number under which the log keeps it; nothing of its
content stands here.
Source: hl7.org/fhir/R4/provenance.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.hl7v2.joining import date_time
from server.interactions.version import instant

MESSAGE_SYSTEM = "urn:baton:message"
SOURCE_SYSTEM = "urn:baton:hl7v2-source"
_PARTICIPANTS = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


@dataclass(frozen=True, slots=True)
class Origin:
    """message: its number. source: the name of its sender. version: of the maps. moment: of the event, in
    microseconds UTC."""

    message: int
    source: str
    version: str
    moment: int


def provenance(
    id: str, origin: Origin, targets: Iterable[str], said: Mapping[str, Any] | None, now: datetime
) -> dict[str, Any]:
    """targets: Type/id/_history/version of what was written. said: what the map says of it, its references
    resolved."""
    said = said or {
        "recorded": instant(now),
        "occurredDateTime": date_time(origin.moment),
        "activity": {"text": "v2-fhir-transformation"},
        "agent": [_agent("author", {"identifier": {"system": SOURCE_SYSTEM, "value": origin.source}})],
    }
    others = [agent for agent in said.get("agent", ()) if not _is_assembler(agent)]
    assembler = _agent("assembler", {"display": f"Baton, HL7 v2 maps {origin.version}"})
    message = {"identifier": {"system": MESSAGE_SYSTEM, "value": str(origin.message)}}
    return {
        **said,
        "resourceType": "Provenance",
        "id": id,
        "target": [{"reference": target} for target in targets],
        "agent": [*others, assembler],
        "entity": [*said.get("entity", ()), {"role": "source", "what": message}],
    }


def _agent(kind: str, who: dict[str, Any]) -> dict[str, Any]:
    return {"type": {"coding": [{"system": _PARTICIPANTS, "code": kind}]}, "who": who}


def _is_assembler(agent: Mapping[str, Any]) -> bool:
    codings = agent.get("type", {}).get("coding", ())
    return any(coding.get("code") == "assembler" for coding in codings)
