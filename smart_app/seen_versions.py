"""Which versions of the sources a page rests on, as text that goes into its form and comes back (pure)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import msgspec

from smart_app.reconciliation.records import SourceVersion
from smart_app.view_records import ChangedSource


def seal_seen(versions: Sequence[SourceVersion]) -> str:
    """Opaque text; equal for equal versions."""
    rows = sorted((each.reference, each.version) for each in versions)
    return base64.urlsafe_b64encode(msgspec.json.encode(rows)).decode()


def changed_since(seen: str, now: Sequence[SourceVersion]) -> tuple[ChangedSource, ...]:
    """What changed, came or went since a page was made.

    Raises: ValueError if the text is none of ours.
    """
    try:
        rows = msgspec.json.decode(base64.urlsafe_b64decode(seen), type=list[tuple[str, str | None]])
    except (msgspec.DecodeError, binascii.Error, ValueError):
        raise ValueError("not the versions of a page") from None
    before = dict(rows)
    after = {each.reference: each.version for each in now}
    found = [ChangedSource(reference, "new") for reference in after.keys() - before.keys()]
    found += [ChangedSource(reference, "gone") for reference in before.keys() - after.keys()]
    found += [
        ChangedSource(reference, "changed")
        for reference in before.keys() & after.keys()
        if before[reference] != after[reference]
    ]
    return tuple(sorted(found, key=lambda each: each.reference))
