"""Who calls: the value every access decision starts from. Tokens make it, `access` judges it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from server.auth.scopes import Scope


@dataclass(frozen=True, slots=True)
class Principal:
    """The bearer of one access token.

    client_id: the OAuth client. user: fhirUser as "Practitioner/id", None for backend services.
    scopes: what was granted. patient, encounter: ids of the launch context. role: the user's role
    (`policy`), "" for none. username: the account that acts, "" for none. token_hash: by which the token is
    found again, b"" without one. token_id: a piece of it, for audit; never the token.
    organization: "Organization/id" of the partner that the client or the user belongs to, None for our own.
    purpose: for which the partner asks, a code of v3-PurposeOfUse, "" where none is known.
    emergencies: the patients whose charts the user opened in an emergency, each with the moment until which.
    decisions: what `access` already worked out for this value; a principal lives as long as its token is
    cached, so an access decision costs one dictionary look-up after the first.
    """

    client_id: str
    scopes: tuple[Scope, ...]
    user: str | None = None
    patient: str | None = None
    encounter: str | None = None
    role: str = ""
    token_id: str = ""
    username: str = ""
    token_hash: bytes = b""
    organization: str | None = None
    purpose: str = ""
    emergencies: tuple[tuple[str, datetime], ...] = ()
    decisions: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Whom the audit trail names: the user, else the account, else the partner's organization, else the
        client; "" for nobody."""
        if self.user:
            return self.user
        if self.username:
            return f"User/{self.username}"
        if self.organization:
            return self.organization
        return f"Client/{self.client_id}" if self.client_id else ""
