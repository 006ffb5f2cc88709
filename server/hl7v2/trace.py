"""What is kept of how a message was mapped and applied: JSON, for people and for `baton map explain`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from mappings.result import Mapped
from server.hl7v2.drafts import Outcome

_encode = msgspec.json.Encoder(decimal_format="number").encode


def trace(mapped: Mapped, outcomes: Sequence[Outcome] = ()) -> bytes:
    """The steps, findings, unread components and merges of a result, and what became of its intents."""
    told: dict[str, Any] = {
        "version": mapped.version,
        "steps": mapped.steps,
        "findings": mapped.findings,
        "unread": mapped.unread,
        "merges": mapped.merges,
        "outcomes": list(outcomes),
    }
    return _encode(told)


def read_trace(text: bytes) -> dict[str, Any]:
    """The inverse, of plain objects."""
    found: dict[str, Any] = msgspec.json.decode(text)
    return found
