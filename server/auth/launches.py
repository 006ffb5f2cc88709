"""EHR launch: a single-use secret that stands for user, client and patient.

The EHR opens the app's launch address with it; the authorization endpoint takes it instead of a sign-in,
which a frame of another site could not keep. Good for 60 seconds and once.
Source: hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#launch-app-ehr-launch
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from server.auth.context import AuthContext, record
from server.auth.sessions import Session
from server.storage.authorization import LaunchRow


class LaunchError(Exception):
    """No launch can be issued; the text says why."""


@dataclass(frozen=True, slots=True)
class Launch:
    """secret: the `launch` parameter. url: the app's launch address with `iss` and `launch`."""

    secret: str
    url: str


def issue_launch(
    context: AuthContext,
    session: Session,
    client_id: str,
    *,
    patient: str | None = None,
    encounter: str | None = None,
    intent: str = "",
    fhir_context: Sequence[Mapping[str, Any]] = (),
    need_patient_banner: bool = True,
) -> Launch:
    """A launch of a client by a signed-in user, for one patient. The caller has checked that the user may see
    patient and encounter.

    fhir_context: objects as SMART's `fhirContext`. need_patient_banner: False where the EHR's own banner stays
    in sight. Raises: LaunchError for a client that is unknown, disabled or has no launch address.
    """
    client = context.rows.client(client_id)
    if client is None or client.disabled or not client.launch_url:
        raise LaunchError("this app is not registered for a launch from here")
    more: dict[str, Any] = {
        "session": session.session_hash.hex(),
        "need_patient_banner": need_patient_banner,
        "auth_time": session.created.isoformat(),
    }
    if intent:
        more["intent"] = intent
    if fhir_context:
        more["fhirContext"] = [dict(item) for item in fhir_context]
    row = LaunchRow(
        launch_hash=b"",
        client_id=client_id,
        username=session.username,
        expires=context.clock(),
        patient=patient,
        encounter=encounter,
        context=more,
    )
    with context.rows.transaction():
        secret = add_launch(context, row, context.lifetimes.launch)
        record(
            context,
            "launch",
            200,
            principal=session.fhir_user or f"User/{session.username}",
            client_id=client_id,
            username=session.username,
            patient=patient or "",
        )
    separator = "&" if urlsplit(client.launch_url).query else "?"
    query = urlencode({"iss": context.fhir_base, "launch": secret})
    return Launch(secret, f"{client.launch_url}{separator}{query}")


def add_launch(context: AuthContext, row: LaunchRow, lifetime: timedelta) -> str:
    """Keep a launch under a new secret, which is returned."""
    secret = context.new_secret()
    context.rows.add_launch(
        replace(row, launch_hash=context.hash(secret), expires=context.clock() + lifetime, used=None)
    )
    return secret


def use_launch(context: AuthContext, secret: str, client_id: str, *, continued: bool) -> LaunchRow | None:
    """Consume a launch of this client; None when it is unknown, expired, used, or another client's.

    continued: whether it must be one that stands for a consent page in progress, or must not be.
    """
    digest, now = context.hash(secret), context.clock()
    row = context.rows.launch(digest)
    if row is None or row.client_id != client_id or bool(row.context.get("continued")) != continued:
        return None
    used = context.rows.use_launch(digest, now)
    if used is None or used.used is not None or used.expires <= now:
        return None
    return used


def continue_launch(context: AuthContext, row: LaunchRow) -> str:
    """A new secret for a consumed launch, for the consent page to send back."""
    return add_launch(
        context, replace(row, context={**row.context, "continued": True}), context.lifetimes.consent
    )
