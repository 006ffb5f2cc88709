"""Searches for the pages on which somebody who is signed in chooses a patient or an encounter.

They pass the one door like every other search, so nothing is offered that the person may not see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.auth.sessions import Session
from server.errors import FhirError
from server.fhir.json_codec import decode
from server.interactions.cursor import PARAMETER as CURSOR
from server.interactions.request import InteractionRequest, InteractionResponse

Perform = Callable[[Principal, InteractionRequest], InteractionResponse]
CLIENT_ID = "oauth2-pages"
_SCOPES = parse_scopes("user/Patient.rs user/Encounter.rs")
_COUNT = "20"


@dataclass(frozen=True, slots=True)
class Found:
    """A page of what was found. cursor: continues, "" at the end. fault: why nothing was searched, or ""."""

    resources: tuple[Mapping[str, Any], ...] = ()
    cursor: str = ""
    fault: str = ""


def search(
    perform: Perform, session: Session, resource_type: str, query: tuple[tuple[str, str], ...], cursor: str = ""
) -> Found:
    """Resources of a type, a page at a time; none where the person's role sees none of the type."""
    asked = (*query, ("_count", _COUNT), *(((CURSOR, cursor),) if cursor else ()))
    try:
        answer = perform(_principal(session), InteractionRequest("search-type", resource_type, query=asked))
    except FhirError as error:
        if error.status >= 500:
            raise
        if error.status == 403:
            return Found()
        return Found(fault="This search could not be answered. Change what you look for, then search again.")
    bundle = decode(answer.body)
    following = next((link["url"] for link in bundle.get("link", ()) if link["relation"] == "next"), "")
    return Found(
        tuple(
            entry["resource"]
            for entry in bundle.get("entry", ())
            if entry["resource"]["resourceType"] == resource_type
        ),
        parse_qs(urlsplit(following).query).get(CURSOR, [""])[0],
    )


def escaped(value: str) -> str:
    """What somebody typed as the value of a search parameter: nothing in it separates or escapes."""
    for sign in "\\|$,":
        value = value.replace(sign, f"\\{sign}")
    return value


def _principal(session: Session) -> Principal:
    return Principal(CLIENT_ID, _SCOPES, user=session.fhir_user, role=session.role, username=session.username)
