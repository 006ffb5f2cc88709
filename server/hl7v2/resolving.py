"""What an intent says, as JSON whose references to other intents of the message have become references to
resources; and whether a resource is known to say so already.

Wards, doctors, allergies: a feed repeats most of what it says in message after message. That it was found
stored just so is remembered, for as long as the same version is the stored one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from server.fhir.json_codec import encode
from server.storage.versions import StoredVersion

# A member, and no text of a sender: there the quotes would be escaped.
_TO_INTENT = re.compile(rb'"reference":("#intent:(?:[^"\\]|\\.)*")')
_INTENT = "#intent:"
_MOST = 4096  # resources; when there are more, all are forgotten
_LONGEST = 4096  # bytes

# What was written here is read again: no limits of what comes from outside.
_read = msgspec.json.Decoder(float_hook=Decimal).decode


def resolved(resource: Mapping[str, Any], refer: Callable[[str], str | None]) -> bytes:
    """The JSON of an intent's resource. refer: key of an intent -> `Type/id`, None for one that is not there,
    whose references stay as they are."""
    text = encode(resource)
    if _TO_INTENT.search(text) is None:
        return text

    def reference(match: re.Match[bytes]) -> bytes:
        found = refer(_read(match[1]).removeprefix(_INTENT))
        return match[0] if found is None else b'"reference":' + encode(found)

    return _TO_INTENT.sub(reference, text)


def read(text: bytes) -> dict[str, Any]:
    """The resource that a JSON says."""
    found: dict[str, Any] = _read(text)
    return found


class Repetitions:
    """What was last found stored just so of each resource. For one thread."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[int, datetime, bytes]] = {}

    def has(self, stored: StoredVersion, text: bytes) -> bool:
        """Whether the stored version is known to say it."""
        said = (stored.version_id, stored.last_updated, text)
        return self._found.get((stored.resource_type, stored.id)) == said

    def add(self, stored: StoredVersion, text: bytes) -> None:
        """Remember that the stored version says it."""
        if len(text) > _LONGEST:
            return
        if len(self._found) >= _MOST:
            self._found = {}
        self._found[stored.resource_type, stored.id] = (stored.version_id, stored.last_updated, text)
