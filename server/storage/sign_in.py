"""What signing in keeps beside accounts and sessions, as values and as the interface to keep them by.

Secrets of second factors arrive here sealed, recovery codes and the keys of failed attempts as keyed hashes.
`use_time_step` and `use_recovery_code` are atomic: of any number of concurrent callers in any number of
processes exactly one is told that it was the first.
Sources: RFC 6238 section 5.2 (a code is taken once), OpenID Connect Core 1.0 section 5.7 (issuer and subject
together name somebody).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SecondFactorRow:
    """The TOTP secrets of an account, sealed. secret: in force since `since`, "" for none. pending: shown to
    the person and not yet confirmed, "" for none. last_step: of the last code that was taken."""

    username: str
    secret: str = ""
    pending: str = ""
    since: datetime | None = None
    last_step: int = 0


@dataclass(frozen=True, slots=True)
class ExternalIdentityRow:
    """Who somebody is at an OpenID provider, and their account here."""

    issuer: str
    subject: str
    username: str
    linked: datetime


@dataclass(frozen=True, slots=True)
class FailedAttemptsRow:
    """level: failed attempts in thousandths, as of `counted`. closed_until: nothing is tried before."""

    level: int
    counted: datetime
    closed_until: datetime


class SignInStore(Protocol):
    """Each call is one durable transaction, or a part of the surrounding one of the thread."""

    # Second factors
    def second_factor(self, username: str) -> SecondFactorRow | None: ...

    def put_second_factor(self, row: SecondFactorRow) -> None:
        """Add or replace."""

    def remove_second_factor(self, username: str) -> bool:
        """With its recovery codes; False if there was none."""

    def use_time_step(self, username: str, step: int) -> bool:
        """Take a code of a time step; False if one of it, or of a later one, was taken before."""

    def put_recovery_codes(self, username: str, hashes: Iterable[bytes]) -> None:
        """Replace all of an account."""

    def recovery_codes(self, username: str) -> int:
        """How many are left."""

    def use_recovery_code(self, username: str, code_hash: bytes) -> bool:
        """Take one; False if there is no such one any more."""

    # Accounts at OpenID providers
    def link_identity(self, row: ExternalIdentityRow) -> bool:
        """False, and nothing changed, if the identity has an account, or the account one at that issuer."""

    def identity(self, issuer: str, subject: str) -> ExternalIdentityRow | None: ...

    def identities(self, username: str = "") -> tuple[ExternalIdentityRow, ...]:
        """Of an account or of all, in the order of account and issuer."""

    def unlink_identity(self, issuer: str, username: str) -> bool:
        """False if there was none."""

    # Failed attempts
    def attempts(self, key_hash: bytes) -> FailedAttemptsRow | None:
        """None: none that count."""

    def hold_attempts(self, key_hash: bytes, now: datetime) -> FailedAttemptsRow:
        """Inside a transaction: the row, made where there is none, unchanged by others until its end."""

    def put_attempts(self, key_hash: bytes, row: FailedAttemptsRow, expires: datetime) -> None:
        """Replace. expires: from then on it counts for nothing."""

    def forget_attempts(self, key_hash: bytes) -> None: ...
