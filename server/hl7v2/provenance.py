"""The Provenance of what a message made: which message, who sent it, and by which maps it was read (pure).

The message is named by the number under which the log keeps it; nothing of its content stands here.
Source: hl7.org/fhir/R4/provenance.html
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from server.hl7v2.joining import date_time
from server.interactions.version import instant

MESSAGE_SYSTEM = "urn:baton:message"
SOURCE_SYSTEM = "urn:baton:hl7v2-source"
ACTIVITY_SYSTEM = "urn:baton:provenance-activity"
_PARTICIPANTS = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


def provenance(
    id: str, message: int, source: str, version: str, targets: Iterable[str], *, moment: int, now: datetime
) -> dict[str, Any]:
    """targets: Type/id/_history/version of what was written. version: of the maps. moment: of the event, in
    microseconds UTC."""
    return {
        "resourceType": "Provenance",
        "id": id,
        "target": [{"reference": target} for target in targets],
        "occurredDateTime": date_time(moment),
        "recorded": instant(now),
        "activity": {"coding": [{"system": ACTIVITY_SYSTEM, "code": "v2-fhir-transformation"}]},
        "agent": [
            _agent("author", {"identifier": {"system": SOURCE_SYSTEM, "value": source}}),
            _agent("assembler", {"display": f"Baton, HL7 v2 maps {version}"}),
        ],
        "entity": [
            {"role": "source", "what": {"identifier": {"system": MESSAGE_SYSTEM, "value": str(message)}}}
        ],
    }


def _agent(kind: str, who: dict[str, Any]) -> dict[str, Any]:
    return {"type": {"coding": [{"system": _PARTICIPANTS, "code": kind}]}, "who": who}
