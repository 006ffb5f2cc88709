"""The body of a write is a valid resource of the type it is written to."""

from __future__ import annotations

from server.errors import FhirError
from server.fhir.validation import validate
from server.interactions.request import InteractionRequest


def check_content(request: InteractionRequest) -> None:
    """Nothing for interactions without a body.

    Raises: FhirError required, invalid-request (another type than the URL's), invalid-resource with every
    error that was found and its path.
    """
    if request.interaction not in ("create", "update"):
        return
    body = request.body
    if body is None:
        raise FhirError("required", "a resource is needed as the body")
    if body.get("resourceType") != request.resource_type:
        raise FhirError("invalid-request", "the body is not a resource of the type in the URL", "resourceType")
    issues = validate(body)
    if any(issue.severity in ("error", "fatal") for issue in issues):
        raise FhirError("invalid-resource", issues=tuple(issues))
