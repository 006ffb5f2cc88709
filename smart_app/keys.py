"""The app's own key pairs, with which it proves itself to authorization servers (private_key_jwt).

BATON_HOME/app-keys.json holds the private keys (mode 0600), BATON_HOME/app-jwks.json the public ones
for whoever registers the app. Both algorithms that SMART names are there, since a server need support
only one. A key's `nbf` says from when it signs, its `exp` until when it may be accepted; both are seconds
of the epoch, and keys without them always did and always may. The file is looked at on every use, so that
a running app follows a rotation.
Source: hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

ALGORITHMS = ("ES384", "RS384")  # in the order of preference
PRIVATE_FILE = "app-keys.json"
PUBLIC_FILE = "app-jwks.json"
RSA_BITS = 3072
ASSERTION_SECONDS = 300  # SMART: exp no more than five minutes ahead

Record = dict[str, Any]
"""A private key as JWK, with `nbf` and `exp` where it has been part of a rotation."""


class KeyFault(ValueError):
    """The keys cannot be rotated now; the text says why."""


class AppKeys:
    """The private keys of an installation as its file has them now."""

    def __init__(self, home: Path) -> None:
        self._path = home / PRIVATE_FILE
        self._read_at: tuple[int, int, int] | None = None
        self._keys: tuple[tuple[Record, ECKey | RSAKey], ...] = ()
        self._current()

    def algorithm(self, announced: Sequence[str]) -> str:
        """Our best algorithm of those a server announces; none announced: our best."""
        return next((name for name in ALGORITHMS if name in announced), ALGORITHMS[0])

    def assertion(self, client_id: str, audience: str, algorithm: str, *, now: int, jti: str) -> str:
        """A client assertion, good for five minutes from `now` (seconds of the epoch)."""
        key = self._signing(algorithm, now)
        header = {"alg": algorithm, "typ": "JWT", "kid": key.kid}
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
            "jti": jti,
        }
        return jwt.encode(header, claims, key, algorithms=[algorithm])

    def public_jwks(self) -> dict[str, Any]:
        return {
            "keys": [
                key.as_dict(private=False) | ({"exp": record["exp"]} if "exp" in record else {})
                for record, key in self._current()
            ]
        }

    def _signing(self, algorithm: str, now: int) -> ECKey | RSAKey:
        """The newest pair whose time has come."""
        own = [(record.get("nbf", 0), key) for record, key in self._current() if record["alg"] == algorithm]
        return next((key for begins, key in reversed(own) if begins <= now), own[0][1])

    def _current(self) -> tuple[tuple[Record, ECKey | RSAKey], ...]:
        status = self._path.stat()
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        if stamp != self._read_at:
            self._keys = tuple((record, _pair(record)) for record in _read(self._path))
            self._read_at = stamp
        return self._keys


def _read(path: Path) -> list[Record]:
    records: list[Record] = msgspec.json.decode(path.read_bytes())["keys"]
    return records


def _pair(record: Record) -> ECKey | RSAKey:
    jwk = {name: value for name, value in record.items() if name not in ("nbf", "exp")}
    (key,) = KeySet.import_key_set({"keys": [jwk]}).keys
    assert isinstance(key, ECKey | RSAKey)
    return key


def load_keys(home: Path) -> AppKeys:
    """The keys of an installation. Raises: FileNotFoundError before `prepare_keys`."""
    return AppKeys(home)


def prepare_keys(home: Path) -> AppKeys:
    """Create the key pairs once, and write the public ones beside them; safe when two start at once."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / PRIVATE_FILE
    if not path.exists():
        _place_once(path, msgspec.json.encode({"keys": _fresh()}), 0o600)
    keys = load_keys(home)
    public = msgspec.json.encode(keys.public_jwks())
    target = home / PUBLIC_FILE
    if not target.exists() or target.read_bytes() != public:
        draft = home / f".{PUBLIC_FILE}.{os.getpid()}"
        draft.write_bytes(public)
        draft.replace(target)
    return keys


def _fresh() -> list[Record]:
    pairs: list[ECKey | RSAKey] = [
        ECKey.generate_key("P-384", {"use": "sig", "alg": "ES384"}, auto_kid=True),
        RSAKey.generate_key(RSA_BITS, {"use": "sig", "alg": "RS384"}, auto_kid=True),
    ]
    return [dict(key.as_dict(private=True)) for key in pairs]


# -- what `baton keys` calls (entry points of the group `baton.keys`)


def key_schedule(home: Path) -> list[dict[str, Any]]:
    """All keys, oldest first: {kid, algorithm, signs_from, published_until}, the times or None."""
    path = home / PRIVATE_FILE
    return [
        {
            "kid": record["kid"],
            "algorithm": record["alg"],
            "signs_from": _moment(record.get("nbf")),
            "published_until": _moment(record.get("exp")),
        }
        for record in (_read(path) if path.exists() else ())
    ]


def rotate_keys(home: Path, *, now: datetime, delay: timedelta, overlap: timedelta) -> dict[str, Any]:
    """Make new pairs, which sign after the delay; those before them stay good for the overlap after that.

    The answer is {jwks, replaces}: the public keys that every server which registered one of the kids in
    `replaces` is to know from now on. Both zero: the keys before are of no use from now on.
    Raises: KeyFault where new pairs wait for their turn already, or there are none to replace.
    """
    path = home / PRIVATE_FILE
    if not path.exists():
        raise KeyFault("the app has no keys yet; they are made at its first start")
    with _locked(home):
        known = _read(path)
        begins, at = int((now + delay).timestamp()), int(now.timestamp())
        ends = begins + int(overlap.total_seconds())
        if delay and max(record.get("nbf", 0) for record in known) > at:
            raise KeyFault("new keys of the app are waiting to sign already; rotate again after that")
        kept = [record | {"exp": min(record.get("exp", ends), ends)} for record in known]
        fresh = [record | {"nbf": begins} for record in _fresh()]
        draft = home / f".{PRIVATE_FILE}.{os.getpid()}"
        _write(draft, {"keys": [*(record for record in kept if record["exp"] > at), *fresh]})
        draft.replace(path)
    return {"jwks": prepare_keys(home).public_jwks(), "replaces": [record["kid"] for record in known]}


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One rotation at a time."""
    descriptor = os.open(home / f".{PRIVATE_FILE}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, record: dict[str, Any]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(msgspec.json.encode(record))
        stream.flush()
        os.fsync(stream.fileno())


def _place_once(path: Path, content: bytes, mode: int) -> None:
    """Write a file that appears whole or not at all; the first writer wins."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
