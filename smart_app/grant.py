"""What a login may do where: the tokens and whom they speak for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from smart_app.issuers import Issuer
from smart_app.messages import N_
from smart_app.sealing import fingerprint
from smart_app.token_endpoint import TokenResponse
from smart_app.view_records import Notice

Connection = Literal["own", "connected", "unlinked", "ended", "none"]
"""A chart and the store: one server; linked; to be linked; linked, but the access ended; never."""


@dataclass(frozen=True, slots=True)
class User:
    """The person. reference: `Type/id` on the issuer's server, "" if the EHR did not say. role: of
    `data/practitioner-roles.toml`, "" for none."""

    reference: str
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class StoreGrant:
    """What a login at another EHR may do in the store, for one patient. Kept sealed.

    patient_there: the id at the EHR, patient: the id in the store. author: `Practitioner/id` in the store.
    access_token: "" once it cannot be had any more.
    """

    patient_there: str
    patient: str
    author: str
    access_token: str = field(repr=False)
    expires_at: float
    scope: str
    unwritable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """What a login may do where: the tokens and whom they speak for. Kept sealed.

    shortfall: labels of what was not granted; unwritable: types that may not be written. id_token, nonce: of
    the launch, kept while the store may still take them. store: access to the store, where that is another
    server and the login is connected with it.
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
    id_token: str = field(default="", repr=False)
    nonce: str = field(default="", repr=False)
    store: StoreGrant | None = None

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


def notices(issuer: Issuer, grant: Grant, connection: Connection) -> tuple[Notice, ...]:
    """What a page of this login must say: no store, permissions left out."""
    found = []
    if connection == "unlinked":
        found.append(
            Notice(
                "not-connected",
                N_("This chart of %(issuer)s is not connected with the store yet; Reconcile says how."),
                {"issuer": issuer.label},
            )
        )
    if connection == "ended":
        found.append(
            Notice(
                "not-connected",
                N_("The access to the store has ended: open the app again from the chart. Drafts are kept."),
            )
        )
    if connection == "none":
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
