"""The body of a write: a valid resource of the type it is written to, made ready before anybody is held up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from server.errors import FhirError
from server.fhir.index_rows import IndexRows
from server.fhir.index_values import index_values
from server.fhir.validation import validate
from server.interactions.request import Context, InteractionRequest


def prepared(
    context: Context, request: InteractionRequest, body: dict[str, Any] | None = None
) -> InteractionRequest:
    """The request with its body found valid and indexed, and with an id where it creates.

    body: takes the place of the request's own, where its references were rewritten.

    This is most of the work of a write and needs nothing of the store, so it is done before the writers' lock;
    only the index of a conditional update is left until its id is known. Interactions without a body stay as
    they are. Raises: as `_check`, `indexed`.
    """
    if request.interaction not in ("create", "update"):
        return request
    body = _check(request, request.body if body is None else body)
    if request.interaction == "update" and not request.id:
        return replace(request, body=body)
    id = request.id or context.new_id()
    return replace(request, id=id, body=body, index=_index(context, body, id))


def indexed(context: Context, request: InteractionRequest) -> InteractionRequest:
    """The request with the index rows of its valid body. Raises: as `_index`."""
    return replace(request, index=_index(context, request.body or {}, request.id))


def _index(context: Context, body: dict[str, Any], id: str) -> IndexRows:
    """The index rows of a valid body, stored under the id.

    Raises: FhirError too-costly (more index values than the published limit: what a resource costs to store
    grows with them).
    """
    index = index_values(
        {**body, "id": id},
        base_url=context.base_url,
        time_zone=context.time_zone,
        custom=context.store.custom_parameters(),
    )
    most = context.limits.index_values
    if index.size > most:
        raise FhirError(
            "too-costly",
            f"the resource has more than {most} values that can be searched for (limit: index-values)",
        )
    return index


def _check(request: InteractionRequest, body: dict[str, Any] | None) -> dict[str, Any]:
    """The body, as one that is written where the request says.

    Raises: FhirError required, invalid-request (another type than the URL's), invalid-resource with every
    error that was found and its path.
    """
    if body is None:
        raise FhirError("required", "a resource is needed as the body")
    if body.get("resourceType") != request.resource_type:
        raise FhirError("invalid-request", "the body is not a resource of the type in the URL", "resourceType")
    issues = validate(body)
    if any(issue.severity in ("error", "fatal") for issue in issues):
        raise FhirError("invalid-resource", issues=tuple(issues))
    return body
