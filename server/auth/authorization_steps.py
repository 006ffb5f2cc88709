"""What the authorization endpoint does next, and what a page of ours sends back (values only)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from server.auth.clients import Client


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send the browser to this URL by 302."""

    url: str


@dataclass(frozen=True, slots=True)
class SignIn:
    """Nobody is signed in (or not freshly enough): show the sign-in page and come back."""

    client: Client


@dataclass(frozen=True, slots=True)
class ChoosePatient:
    """A patient must be chosen."""

    client: Client


@dataclass(frozen=True, slots=True)
class ChooseEncounter:
    """One of the patient's encounters is to be chosen, or none of them."""

    client: Client
    patient: str


@dataclass(frozen=True, slots=True)
class Consent:
    """The user decides. scope: what is asked for. launch: replaces the launch parameter in the page's form.

    encounter: as in Choice.
    """

    client: Client
    scope: str
    patient: str | None
    launch: str = ""
    encounter: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """The request cannot be answered to the client. code: the OAuth error."""

    code: str
    text: str
    status: int = 400


Step = Redirect | SignIn | ChoosePatient | ChooseEncounter | Consent | ErrorPage


@dataclass(frozen=True, slots=True)
class Choice:
    """What a page of ours sent. granted: the scopes left ticked, None before the consent page.

    encounter: an id, "" where the user goes on without one, None before that was asked.
    """

    patient: str | None = None
    granted: Collection[str] | None = None
    denied: bool = False
    encounter: str | None = None
