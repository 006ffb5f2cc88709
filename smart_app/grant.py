"""What a login may do where: the tokens and whom they speak for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from smart_app.issuers import Issuer
from smart_app.messages import N_
from smart_app.sealing import fingerprint
from smart_app.token_endpoint import TokenResponse
from smart_app.view_records import Notice


@dataclass(frozen=True, slots=True)
class User:
    """The person. reference: `Type/id` on the issuer's server, "" if the EHR did not say. role: of
    `data/practitioner-roles.toml`, "" for none."""

    reference: str
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Grant:
    """What a login may do where: the tokens and whom they speak for. Kept sealed.

    shortfall: labels of what was not granted; unwritable: types that may not be written.
    """

    iss: str
    subject: str
    user: User
    access_token: str = field(repr=False)
    expires_at: float
    refresh_token: str = field(repr=False)
    scope: str
    shortfall: tuple[str, ...] = ()
    unwritable: tuple[str, ...] = ()

    @property
    def person(self) -> str:
        """Stands for the person in the database, without saying who it is."""
        return fingerprint(f"{self.iss}\x00{self.subject}")


def renewed(grant: Grant, response: TokenResponse) -> Grant:
    """The grant with the tokens of a refresh; what the response leaves out stays (RFC 6749 6)."""
    return replace(
        grant,
        access_token=response.access_token,
        expires_at=response.expires_at,
        refresh_token=response.refresh_token or grant.refresh_token,
        scope=response.scope or grant.scope,
    )


def notices(issuer: Issuer, grant: Grant) -> tuple[Notice, ...]:
    """What a page of this login must say: no store, permissions left out."""
    found = []
    if not issuer.store:
        found.append(
            Notice(
                "not-connected",
                N_("%(issuer)s is not connected to a store: the lists can be compared, not saved or signed."),
                {"issuer": issuer.label},
            )
        )
    if grant.shortfall:
        found.append(
            Notice(
                "permission",
                N_("%(issuer)s did not let the app read: %(what)s. Shown without."),
                {"issuer": issuer.label, "what": ", ".join(grant.shortfall)},
            )
        )
    return tuple(found)
