"""Charts that somebody has opened in an emergency, as far as a session or a token has to know of them."""

from __future__ import annotations

from datetime import datetime

from server.auth.context import AuthContext


def open_emergencies(context: AuthContext, fhir_user: str | None) -> tuple[tuple[str, datetime], ...]:
    """The patients whose charts a person has opened in an emergency, each with the moment until which.

    Opening one and ending it raise the security epoch, so it may be kept as long as that stays.
    """
    if not fhir_user:
        return ()
    found = context.store.emergency_access.list(actor=fhir_user, open_at=context.clock())
    return tuple((access.patient, access.until) for access in found)
