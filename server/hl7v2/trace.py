"""What is kept of how a message was mapped and applied: JSON, for people and for `baton map explain`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from mappings.result import Mapped, Step
from server.hl7v2.draft import Outcome

_MEMBERS = Step.__struct_fields__
_DEFAULTS = dict(zip(_MEMBERS[-len(Step.__struct_defaults__) :], Step.__struct_defaults__, strict=True))
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
    """The inverse, of plain objects; also of a text of before, whose steps were objects."""
    found: dict[str, Any] = msgspec.json.decode(text)
    found["steps"] = [one if isinstance(one, dict) else _object(one) for one in found["steps"]]
    return found


def _object(step: Sequence[Any]) -> dict[str, Any]:
    return _DEFAULTS | dict(zip(_MEMBERS, step, strict=False))
