"""What an EHR's answer to a launch means (pure): its context, its refusals.

Sources: hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html, RFC 6749 4.1.2.1
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from smart_app.issuers import Issuer
from smart_app.problems import ProblemError
from smart_app.session import Chart, is_id


def chart_of(context: Mapping[str, Any]) -> Chart:
    """The launch context of a token response; anything but plain ids counts as absent."""
    return Chart(
        patient=_resource_id(context.get("patient")),
        encounter=_resource_id(context.get("encounter")),
        show_banner=context.get("need_patient_banner") is not False,
    )


def _resource_id(value: Any) -> str | None:
    """An id as FHIR allows it (and as some servers send it, with its type)."""
    text = value.rpartition("/")[2] if isinstance(value, str) else ""
    return text if is_id(text) else None


def refusal(issuer: Issuer, error: str, *, ehr_launch: bool) -> ProblemError:
    """The problem page of an error that the authorization endpoint sent back."""
    if error in ("temporarily_unavailable", "server_error"):
        return ProblemError("ehr-unavailable", issuer=issuer.label, log=f"authorize: {error}")
    if error == "invalid_scope":
        return ProblemError("scopes-cut", issuer=issuer.label, scopes="every permission")
    if error in ("invalid_request", "invalid_launch") and ehr_launch:
        # the EHR does not know the launch it made: it was used, or its time has passed
        return ProblemError("launch-expired")
    return ProblemError("login-refused", issuer=issuer.label, error=error)


def host_of(iss: str) -> str:
    """The host of an address that somebody sent, short enough to be shown."""
    try:
        return (urlsplit(iss).hostname or "?")[:100]
    except ValueError:
        return "?"
