"""What an operator says of the OpenID provider that staff sign in by."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_NAME = "your organization"


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """issuer: as the provider calls itself. client_secret: "" for private_key_jwt. name: shown to people.

    asks_second_factor: the operator vouches that nobody signs in there without one; else only a token whose
    `amr` says so saves the person ours.
    """

    issuer: str
    client_id: str
    client_secret: str = ""
    name: str = DEFAULT_NAME
    asks_second_factor: bool = False
