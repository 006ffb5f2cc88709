"""Who changes something of the deployment: the operator by a command, or an administrator on a page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something, as the audit trail names them. client_id: the pages they use, "" for a command."""

    principal: str
    username: str = ""
    client_id: str = ""


OPERATOR = Actor("operator")
