"""$index-progress: how far the search parameters are that a SearchParameter resource defines, or all of them.

Baton's own: `urn:baton:operation:index-progress`. It tells counts and codes, nothing of what is indexed.
"""

from __future__ import annotations

from typing import Any

from server.errors import FhirError
from server.fhir.json_codec import encode
from server.interactions.call import Call
from server.interactions.operations.definition import Arguments
from server.interactions.request import InteractionResponse
from server.storage.custom_parameters import ParameterState
from server.storage.interface import Reader


def index_progress(call: Call[Reader], arguments: Arguments) -> InteractionResponse:
    """A Parameters resource with a part `parameter` for each type that one is defined on; none is defined:
    empty.

    Raises: FhirError not-found for a resource that is absent or hidden, deleted or not.
    """
    request, visible = call.request, call.decision.visible
    if request.id and call.unit.read(request.resource_type, request.id, visible) is None:
        raise FhirError("not-found", "there is no such resource")
    shown = [
        state
        for state in call.unit.parameter_states(request.id)
        if request.id or call.unit.read("SearchParameter", state.id, visible) is not None
    ]
    body: dict[str, Any] = {"resourceType": "Parameters"}
    if shown:
        body["parameter"] = [{"name": "parameter", "part": _parts(state)} for state in shown]
    return InteractionResponse(200, encode(body))


def _parts(state: ParameterState) -> list[dict[str, Any]]:
    return [
        {"name": "definition", "valueReference": {"reference": f"SearchParameter/{state.id}"}},
        {"name": "base", "valueCode": state.resource_type},
        {"name": "code", "valueCode": state.code},
        {"name": "ready", "valueBoolean": state.ready},
        {"name": "indexed", "valueInteger": min(state.done, 2**31 - 1)},
        {"name": "percent", "valueInteger": state.percent},
    ]
