"""Signing keys of the authorization server: RSA pairs that sign id tokens, and the public set of them.

A key lies in `BATON_HOME/keys/signing-NNNN.pem`, PKCS #8 encrypted under a passphrase derived from
BATON_SECRET_KEY, mode 0600. `signing.json` beside them says from when each signs and until when it is
published; without it, before the first rotation, the newest signs and all are published. It is looked at on
every use, so that every process of a running server follows a rotation at once.
Sources: OpenID Connect Core 1.0 sections 10 and 10.1.1, RFC 7517, RFC 7638 (`kid`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.jwk import RSAKey

from server.auth.credentials import derived_key

ALGORITHM = "RS256"
KEY_BITS = 2048
SCHEDULE = "signing.json"
_FILES = "signing-*.pem"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class SigningKeyError(Exception):
    """Keys cannot be read or rotated; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class ScheduledKey:
    """file: its name in `keys/`. signs_from: it signs from then on, until a later one does.

    published_until: None while no successor is known; after it the key verifies nothing any more.
    """

    file: str
    signs_from: datetime
    published_until: datetime | None = None


class SigningKeys:
    """The keys of one BATON_HOME as they are at each moment; for many threads and processes."""

    def __init__(self, home: Path, secret_key: bytes, clock: Callable[[], datetime]) -> None:
        self._folder = home / "keys"
        self._passphrase = _passphrase(secret_key)
        self._clock = clock
        self._seen: tuple[tuple[int, int, int] | None, tuple[ScheduledKey, ...]] | None = None

    def exist(self) -> bool:
        """Whether the home has any key, or the schedule of some; a new home has none until the first start."""
        return any(self._folder.glob(_FILES)) or (self._folder / SCHEDULE).exists()

    def schedule(self) -> tuple[ScheduledKey, ...]:
        """All keys, oldest first, also those to come and those no longer published."""
        try:
            status = (self._folder / SCHEDULE).stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        except FileNotFoundError:
            stamp = None
        seen = self._seen
        if seen is None or seen[0] != stamp:
            seen = self._seen = stamp, _read_schedule(self._folder)
        return seen[1]

    def published(self) -> tuple[ScheduledKey, ...]:
        """The keys whose public part is in the key set now."""
        now = self._clock()
        return tuple(key for key in self.schedule() if key.published_until is None or now < key.published_until)

    def signing(self) -> ScheduledKey:
        """The key that signs now."""
        now, keys = self._clock(), self.schedule()
        return next((key for key in reversed(keys) if key.signs_from <= now), keys[0])

    def sign(self, claims: dict[str, Any]) -> str:
        """A compact JWT of the claims, signed by the key of this moment. Raises: SigningKeyError."""
        key = self.signer()
        return jwt.encode({"alg": ALGORITHM, "kid": key.kid, "typ": "JWT"}, claims, key, [ALGORITHM])

    def signer(self) -> RSAKey:
        """The pair that signs now. Raises: SigningKeyError."""
        try:
            return self.pair(self.signing())
        except FileNotFoundError:  # replaced at once, between our look at the schedule and at the file
            self._seen = None
            return self.pair(self.signing())

    def pair(self, key: ScheduledKey) -> RSAKey:
        """The pair of a scheduled key. Raises: SigningKeyError, FileNotFoundError."""
        return _read_key(self._folder / key.file, self._passphrase)

    def public_set(self) -> dict[str, Any]:
        """The JWK Set to publish. Raises: SigningKeyError."""
        pairs = []
        for key in self.published():
            with contextlib.suppress(FileNotFoundError):  # replaced at once
                pairs.append(self.pair(key))
        return {
            "keys": [
                {**key.as_dict(private=False), "kid": key.kid, "use": "sig", "alg": ALGORITHM} for key in pairs
            ]
        }


def signing_keys(
    home: Path, secret_key: bytes, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> SigningKeys:
    """The keys of BATON_HOME; the first one is made when there is none.

    Raises: SigningKeyError when a file was encrypted under another BATON_SECRET_KEY.
    """
    folder = home / "keys"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not any(folder.glob(_FILES)):
        _write_key(folder / "signing-0001.pem", _passphrase(secret_key))
    keys = SigningKeys(home, secret_key, clock)
    keys.public_set()
    return keys


def rotate(
    home: Path, secret_key: bytes, *, now: datetime, delay: timedelta, overlap: timedelta
) -> tuple[ScheduledKey, ...]:
    """Make a new key, which signs after the delay; those before it stay published for the overlap after that.

    Both zero: the keys before it are of no use from now on. What is no longer published is removed.
    Raises: SigningKeyError where a key is waiting for its turn already, or another BATON_SECRET_KEY is needed.
    """
    signing_keys(home, secret_key)
    folder = home / "keys"
    with _locked(folder):
        known = _read_schedule(folder)
        if known[-1].signs_from > now and delay:
            raise SigningKeyError(
                f"a new key signs from {known[-1].signs_from:%Y-%m-%d %H:%M} UTC already; rotate again then"
            )
        if not (folder / SCHEDULE).exists():
            _write_schedule(folder, known)  # else an interruption would let the new key sign at once
        new = ScheduledKey(f"signing-{_number(known[-1].file) + 1:04d}.pem", now + delay)
        _write_key(folder / new.file, _passphrase(secret_key))
        ends = new.signs_from + overlap
        kept = [replace(key, published_until=min(key.published_until or ends, ends)) for key in known]
        schedule = (*(key for key in kept if (key.published_until or ends) > now), new)
        _write_schedule(folder, schedule)
        for file in {key.file for key in known} - {key.file for key in schedule}:
            (folder / file).unlink(missing_ok=True)
    return schedule


def _passphrase(secret_key: bytes) -> str:
    return derived_key(secret_key, "signing keys").hex()


def _number(file: str) -> int:
    digits = re.search(r"\d+", file)
    return int(digits[0]) if digits else 0


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One rotation at a time."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read_schedule(folder: Path) -> tuple[ScheduledKey, ...]:
    """Never empty. Raises: SigningKeyError."""
    try:
        content = (folder / SCHEDULE).read_bytes()
    except FileNotFoundError:
        found = tuple(ScheduledKey(path.name, _LONG_AGO) for path in sorted(folder.glob(_FILES)))
    else:
        try:
            found = tuple(msgspec.json.decode(content, type=list[ScheduledKey]))
        except msgspec.DecodeError:
            raise SigningKeyError(f"keys/{SCHEDULE} is damaged: restore it, or move it away") from None
    if not found:
        raise SigningKeyError("there is no signing key in keys/")
    return found


def _write_schedule(folder: Path, schedule: tuple[ScheduledKey, ...]) -> None:
    draft = folder / f".{SCHEDULE}.{secrets.token_hex(8)}"
    _write_file(draft, msgspec.json.format(msgspec.json.encode(schedule), indent=1) + b"\n")
    draft.replace(folder / SCHEDULE)


def _write_file(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _write_key(path: Path, passphrase: str) -> None:
    """Write a new key whole or not at all; where another process was quicker, keep that one's."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_file(temporary, RSAKey.generate_key(KEY_BITS).as_pem(private=True, password=passphrase))
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_key(path: Path, passphrase: str) -> RSAKey:
    try:
        return _import_key(path.read_bytes(), passphrase)
    except (ValueError, TypeError):
        raise SigningKeyError(
            f"keys/{path.name} was written under another BATON_SECRET_KEY: restore that key, or move the file "
            "away to start with a new one (id tokens signed before can then no longer be verified)"
        ) from None


@lru_cache(maxsize=8)
def _import_key(pem: bytes, passphrase: str) -> RSAKey:
    """The key of a file. Checking an RSA key costs 50 ms, so a process does it once for each content."""
    key = RSAKey.import_key(pem, password=passphrase)
    key.ensure_kid()
    return key
