"""The body of a write: a valid resource of the type it is written to, made ready before anybody is held up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from server.errors import FhirError
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
    request = replace(request, body=_check(request, request.body if body is None else body))
    if request.interaction == "update" and not request.id:
        return request
    return indexed(context, replace(request, id=request.id or context.new_id()))


def indexed(context: Context, request: InteractionRequest) -> InteractionRequest:
    """The request with the index rows of its valid body.

    Raises: FhirError too-costly (more index values than the published limit: what a resource costs to store
    grows with them).
    """
    content = {**(request.body or {}), "id": request.id}
    index = index_values(
        content,
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
    return replace(request, index=index)


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
