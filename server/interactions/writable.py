"""Whether a version may be written: what it says, and whose charts it is in.

A chart that is not there yet is begun by whoever may create the Patient, related or not: nothing is in it that
could be seen by that. Until its transaction ends it is in reach, so that who registers a patient can say there
who cares for the patient; afterwards only what was said counts.

An emergency access opens a chart for a while and makes no relationship: what would make one is not written by
it. What made one before may be replaced or deleted by it, as by any relationship.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from server.auth.access import Decision, may_write
from server.fhir.index_rows import IndexRows
from server.fhir.visibility import Limit
from server.interactions.call import Call
from server.storage.interface import Reader


def is_writable(
    call: Call[Any], decision: Decision, rows: IndexRows, content: Mapping[str, Any], *, new: bool = False
) -> bool:
    """Whether the decision allows the content to be written. rows: its index rows. new: it is the first version
    of its id."""
    makes = rows.relations is not None and bool(rows.relations.relationships)
    keeps = partial(_keeps, call.unit, decision, rows, content, new, makes)
    return may_write(decision, content["resourceType"], rows, content, keeps)


def is_replaceable(call: Call[Any], decision: Decision, rows: IndexRows, content: Mapping[str, Any]) -> bool:
    """Whether the decision allows stored content to be replaced or deleted. rows: its index rows."""
    keeps = partial(_keeps, call.unit, decision, rows, content, False, False)
    return may_write(decision, content["resourceType"], rows, content, keeps)


def _keeps(
    unit: Reader,
    decision: Decision,
    rows: IndexRows,
    content: Mapping[str, Any],
    new: bool,
    lasting: bool,
    limits: tuple[Limit, ...],
) -> bool:
    others = set(rows.compartments)
    if new and content["resourceType"] == "Patient" and unit.begins_chart(content["id"]):
        others.discard(content["id"])
        if not others:
            return True
    return unit.reaches(decision.writable, limits, others, lasting=lasting)
