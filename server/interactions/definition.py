"""SearchParameter resources that are active: what they define is asked and indexed from their commit on.

A draft is kept and not used; a retired or deleted one is not answered any more. Who may define decides what
everyone can ask, and what every write has to index: that takes a `system/` scope, or a user whose role looks
after the server (`auth.access`).
Source: hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.errors import FhirError
from server.fhir.search_query import SearchParameter
from server.interactions.call import Call
from server.storage.interface import Writer


def define(call: Call[Writer], resource_type: str, id: str, content: Mapping[str, Any] | None) -> None:
    """Let a version that is about to be written take effect. content: None for a deletion.

    Other types pass through. Raises: FhirError forbidden, unprocessable (what it says cannot be a parameter
    here).
    """
    if resource_type != "SearchParameter":
        return
    active = content is not None and content["status"] == "active"
    if not active and not call.unit.is_defined(id):
        return
    if not call.decision.definitions:
        raise FhirError(
            "forbidden",
            "an active SearchParameter changes what everyone can ask: that takes a system/ scope, or a user"
            " whose role looks after the server",
        )
    wanted: tuple[SearchParameter, ...] = ()
    if active:
        from server.fhir.custom_definitions import definitions  # no other request needs it

        assert content is not None
        wanted = definitions(content)
    call.unit.define(id, wanted, call.context.limits.custom_search_parameters)
